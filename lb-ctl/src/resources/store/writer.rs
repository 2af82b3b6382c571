//! The thread that writes the database, so that nothing else ever waits for the disk.
//!
//! After an error the file is opened anew: at the next change, and by itself with a growing pause, so that the state is
//! right when the cause has gone.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::file::{DatabaseFile, Undo};
use super::{OwnedChanges, StoreError, StoreState, Stored};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What is tried out is as large as what failed, up to this.
const LARGEST_TRIAL: usize = 16 << 20;
/// Of a change whose size is not known.
const SMALLEST_TRIAL: usize = 4096;

pub(super) enum Job {
    Load(SyncSender<Result<Stored, StoreError>>),
    Commit(OwnedChanges, oneshot::Sender<Result<(), StoreError>>),
}

pub(super) struct Writer {
    directory: PathBuf,
    /// Absent after an error.
    file: Option<DatabaseFile>,
    /// What must not be there when the file is opened next.
    undo: Option<Undo>,
    jobs: Receiver<Job>,
    state: Arc<Mutex<StoreState>>,
    trial: usize,
    pause: Duration,
}

impl Writer {
    pub(super) fn new(
        directory: PathBuf,
        file: DatabaseFile,
        jobs: Receiver<Job>,
        state: Arc<Mutex<StoreState>>,
    ) -> Self {
        Self {
            directory,
            file: Some(file),
            undo: None,
            jobs,
            state,
            trial: SMALLEST_TRIAL,
            pause: FIRST_PAUSE,
        }
    }

    /// Until nobody can ask for anything any more.
    pub(super) fn run(mut self) {
        loop {
            let job = match self.is_available() {
                true => self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => self.jobs.recv_timeout(self.pause),
            };
            match job {
                Ok(Job::Load(reply)) => drop(reply.send(self.load())),
                Ok(Job::Commit(changes, reply)) => drop(reply.send(self.commit(&changes))),
                Err(RecvTimeoutError::Timeout) => self.try_again(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn load(&mut self) -> Result<Stored, StoreError> {
        self.file()?.load()
    }

    fn commit(&mut self, changes: &OwnedChanges) -> Result<(), StoreError> {
        let result = match self.file() {
            Ok(file) => file.commit(changes),
            Err(error) => Err((error, None)),
        };
        match result {
            Ok(()) => {
                self.succeed();
                Ok(())
            }
            Err((error, undo)) => {
                self.undo = undo.or(self.undo.take());
                self.trial = size(changes).clamp(SMALLEST_TRIAL, LARGEST_TRIAL);
                self.pause = FIRST_PAUSE;
                let reason = self.fail(&error);
                Err(StoreError::Unavailable { reason })
            }
        }
    }

    fn try_again(&mut self) {
        let trial = self.trial;
        match self.file().and_then(|file| file.try_out(trial)) {
            Ok(()) => self.succeed(),
            Err(error) => {
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                self.fail(&error);
            }
        }
    }

    /// The file, opened anew if need be, without what failed.
    fn file(&mut self) -> Result<&DatabaseFile, StoreError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => DatabaseFile::open(&self.directory)?,
        };
        if let Some(undo) = &self.undo {
            file.undo(undo)?;
            self.undo = None;
        }
        Ok(self.file.insert(file))
    }

    fn succeed(&mut self) {
        self.pause = FIRST_PAUSE;
        if !self.is_available() {
            tracing::info!("{} can be written again", self.directory.display());
            *self.state() = StoreState::Available;
        }
    }

    /// Tells the log what it does not know yet. Returns the reason.
    fn fail(&mut self, error: &StoreError) -> String {
        self.file = None;
        let reason = error.to_string();
        let known =
            matches!(&*self.state(), StoreState::Unavailable { reason: known, .. } if *known == reason);
        if !known {
            tracing::error!("no change can be kept: {reason}");
        }
        self.state().fail(reason.clone());
        reason
    }

    fn is_available(&self) -> bool {
        *self.state() == StoreState::Available
    }

    fn state(&self) -> std::sync::MutexGuard<'_, StoreState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes, about.
fn size(changes: &OwnedChanges) -> usize {
    let row = |value: &Option<_>| serde_json::to_vec(value).map_or(0, |json| json.len());
    changes.resources.iter().map(|(_, value)| row(value)).sum()
}
