//! Tells that files may have changed, whichever way an editor writes them: in place, by renaming another one over them,
//! or by turning a symbolic link.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::ModifyKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

use super::ConfigFiles;

/// A change is told when so long nothing more has happened,
const QUIET: Duration = Duration::from_millis(50);
/// and at the latest when so many of these have passed.
const MOST_QUIETS: u32 = 20;

/// Dropping it ends it.
#[derive(Debug)]
pub struct FileWatcher {
    task: AbortHandle,
}

impl Drop for FileWatcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FileWatcher {
    /// Wakes `changed` after every burst of events that may concern `files`. Needs a tokio runtime.
    pub fn new(files: ConfigFiles, changed: Arc<Notify>) -> notify::Result<Self> {
        let (events_in, events) = mpsc::unbounded_channel();
        let of_interest = files.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Lost events are a reason to look, too.
            if event.as_ref().map_or(true, |event| concerns(&of_interest, event)) {
                let _ = events_in.send(());
            }
        })?;
        let mut places = Places {
            files,
            watcher,
            watched: BTreeSet::new(),
        };
        places.watch()?;
        Ok(Self {
            task: tokio::spawn(follow(places, events, changed)).abort_handle(),
        })
    }
}

async fn follow(mut places: Places, mut events: mpsc::UnboundedReceiver<()>, changed: Arc<Notify>) {
    while events.recv().await.is_some() {
        for _ in 0..MOST_QUIETS {
            tokio::time::sleep(QUIET).await;
            let mut more = false;
            while events.try_recv().is_ok() {
                more = true;
            }
            if !more {
                break;
            }
        }
        // Before the files are read: a directory may be another one than it was.
        if let Err(error) = places.watch() {
            tracing::warn!("the files of --config are not followed everywhere: {error}; SIGHUP rereads them");
        }
        changed.notify_one();
    }
}

struct Places {
    files: ConfigFiles,
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
}

impl Places {
    /// The directories that hold the files now, and those that hold what symbolic links lead to.
    fn watch(&mut self) -> notify::Result<()> {
        for directory in std::mem::take(&mut self.watched) {
            // It may be gone, and its watch with it.
            let _ = self.watcher.unwatch(&directory);
        }
        for directory in directories(&self.files) {
            self.watcher.watch(&directory, RecursiveMode::NonRecursive)?;
            self.watched.insert(directory);
        }
        Ok(())
    }
}

fn directories(files: &ConfigFiles) -> BTreeSet<PathBuf> {
    let mut directories = BTreeSet::new();
    for path in files.followed() {
        for path in [Some(path.to_owned()), path.canonicalize().ok()]
            .into_iter()
            .flatten()
        {
            if path.is_dir() {
                directories.insert(path.clone());
            }
            directories.extend(path.parent().map(Path::to_owned));
        }
    }
    directories
}

/// What is written to other files beside ours does not concern them; what comes, goes or is renamed there may.
fn concerns(files: &ConfigFiles, event: &Event) -> bool {
    match event.kind {
        EventKind::Access(_) => false,
        EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => {
            event.paths.iter().any(|path| may_be_ours(files, path))
        }
        _ => true,
    }
}

fn may_be_ours(files: &ConfigFiles, path: &Path) -> bool {
    let is_json = path.extension() == Some(OsStr::new("json"));
    is_json
        || files
            .followed()
            .any(|given| given.file_name() == path.file_name())
}
