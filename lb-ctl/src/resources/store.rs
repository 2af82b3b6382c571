//! Keeps the resources between runs: one JSON file in the state directory, replaced whole or not at all.
//!
//! The directory belongs to one process at a time; a lock that the kernel releases with the process says whose it is.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::set::Resources;

const FORMAT_VERSION: u32 = 1;

pub trait ResourceStore: Send + Sync {
    /// What was saved last; nothing when nothing ever was.
    fn load(&self) -> Result<Resources, StoreError>;

    /// Returns when the resources would survive a loss of power.
    fn save(&self, resources: &Resources) -> Result<(), StoreError>;
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{} can't be {doing}: {cause}", path.display())]
    Io {
        path: PathBuf,
        doing: &'static str,
        cause: io::Error,
    },
    #[error("the state directory {} is in use by another lb-ctl run", .0.display())]
    InUse(PathBuf),
    #[error("{} is damaged: {cause}; restore it, or remove it to start without resources", path.display())]
    Damaged { path: PathBuf, cause: serde_json::Error },
    #[error("{} has the format version {found}, and this lb-ctl reads {FORMAT_VERSION}", path.display())]
    Version { path: PathBuf, found: u32 },
}

/// A state directory that is ours.
#[derive(Debug)]
pub struct FileStore {
    directory: PathBuf,
    _lock: Flock<File>,
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "formatVersion")]
    format_version: u32,
}

#[derive(Deserialize)]
struct Loaded {
    resources: Resources,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Saved<'a> {
    format_version: u32,
    resources: &'a Resources,
}

impl FileStore {
    /// Makes the directory if need be, and takes it.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(directory).map_err(|cause| io_error(directory, "made", cause))?;
        let path = directory.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let file = file.map_err(|cause| io_error(&path, "opened", cause))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
            nix::errno::Errno::EWOULDBLOCK => StoreError::InUse(directory.to_owned()),
            errno => io_error(&path, "locked", errno.into()),
        })?;
        Ok(Self {
            directory: directory.to_owned(),
            _lock: lock,
        })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn file(&self) -> PathBuf {
        self.directory.join("resources.json")
    }
}

impl ResourceStore for FileStore {
    fn load(&self) -> Result<Resources, StoreError> {
        let path = self.file();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Resources::default()),
            Err(cause) => return Err(io_error(&path, "read", cause)),
        };
        let damaged = |cause| StoreError::Damaged {
            path: path.clone(),
            cause,
        };
        let version: Version = serde_json::from_slice(&text).map_err(damaged)?;
        if version.format_version != FORMAT_VERSION {
            return Err(StoreError::Version {
                path,
                found: version.format_version,
            });
        }
        let loaded: Loaded = serde_json::from_slice(&text).map_err(damaged)?;
        Ok(loaded.resources)
    }

    fn save(&self, resources: &Resources) -> Result<(), StoreError> {
        let path = self.file();
        let fresh = self.directory.join("resources.json.new");
        let saved = Saved {
            format_version: FORMAT_VERSION,
            resources,
        };
        let write = || -> io::Result<()> {
            let mut file = File::create(&fresh)?;
            file.write_all(&serde_json::to_vec_pretty(&saved)?)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(|cause| io_error(&path, "written", cause))
    }
}

fn io_error(path: &Path, doing: &'static str, cause: io::Error) -> StoreError {
    StoreError::Io {
        path: path.to_owned(),
        doing,
        cause,
    }
}

/// Keeps the resources as long as the process lives.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Resources>);

impl ResourceStore for MemoryStore {
    fn load(&self) -> Result<Resources, StoreError> {
        Ok(self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone())
    }

    fn save(&self, resources: &Resources) -> Result<(), StoreError> {
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = resources.clone();
        Ok(())
    }
}
