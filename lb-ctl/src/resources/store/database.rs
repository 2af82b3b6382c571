//! The store in a state directory, which belongs to one process at a time.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use tokio::sync::oneshot;

use super::error::io_error;
use super::file::DatabaseFile;
use super::writer::{Job, Writer};
use super::{Followed, OwnedChanges, ResourceStore, StoreError, StoreId, StoreState, Stored};
use crate::directory::{DirectoryLock, take_state_directory};

/// A state directory that is ours.
#[derive(Debug)]
pub struct DatabaseStore {
    directory: PathBuf,
    id: StoreId,
    state: Arc<Mutex<StoreState>>,
    /// Absent only while it is dropped.
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    _lock: DirectoryLock,
}

impl DatabaseStore {
    /// Makes the directory and the database if need be, and takes them. A new database takes over what an older
    /// lb-ctl left in the directory.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let lock = take_state_directory(directory)?;
        let file = DatabaseFile::open(directory)?;
        let id = file.id();
        let state = Arc::default();
        let (sender, jobs) = channel();
        let writer = Writer::new(directory.to_owned(), file, jobs, Arc::clone(&state));
        let thread = std::thread::Builder::new()
            .name("lb-store".to_owned())
            .spawn(|| writer.run())
            .map_err(io_error(directory, "served"))?;
        Ok(Self {
            directory: directory.to_owned(),
            id,
            state,
            jobs: Some(sender),
            thread: Some(thread),
            _lock: lock,
        })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // Whoever waits for the answer of a thread that is gone learns that.
            let _ = jobs.send(job);
        }
    }
}

impl ResourceStore for DatabaseStore {
    fn load(&self) -> Result<Stored, StoreError> {
        let (reply, answer) = sync_channel(1);
        self.send(Job::Load(reply));
        answer.recv().unwrap_or_else(|_| Err(gone()))
    }

    fn propose(&self, changes: OwnedChanges) -> BoxFuture<'static, Result<(), StoreError>> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Commit(changes, reply));
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(gone())) })
    }

    fn follow(&self) -> BoxStream<'static, Followed> {
        Box::pin(stream::pending())
    }

    fn state(&self) -> StoreState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn id(&self) -> StoreId {
        self.id
    }
}

impl Drop for DatabaseStore {
    /// Nobody else takes the directory before all is written.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable {
        reason: "the store is closed".to_owned(),
    }
}
