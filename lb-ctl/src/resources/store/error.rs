//! Why a store could not do what it was asked for.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{} can't be {doing}: {cause}", path.display())]
    Io {
        path: PathBuf,
        doing: &'static str,
        cause: io::Error,
    },
    #[error("{0}")]
    Directory(#[from] crate::directory::DirectoryError),
    #[error("{} is damaged: {cause}; restore it, or remove it to start without resources", path.display())]
    Damaged { path: PathBuf, cause: String },
    #[error("{} has the format version {found}, and this lb-ctl reads {known}", path.display())]
    Version { path: PathBuf, found: u64, known: u64 },
    /// Somebody else has changed a shared store since it was looked at.
    #[error("the resources were changed elsewhere at the same time; try again")]
    Conflict,
    /// Nothing was kept, and it may work later.
    #[error("nothing can be kept now: {reason}; nothing was changed")]
    Unavailable { reason: String },
}

pub(super) fn io_error(path: &Path, doing: &'static str) -> impl Fn(io::Error) -> StoreError {
    move |cause| StoreError::Io {
        path: path.to_owned(),
        doing,
        cause,
    }
}

/// What a database says at its start.
pub(super) fn failed(path: &Path, doing: &'static str) -> impl Fn(redb::Error) -> StoreError {
    let damaged = |cause| StoreError::Damaged {
        path: path.to_owned(),
        cause,
    };
    move |cause| match cause {
        redb::Error::Corrupted(cause) => damaged(cause),
        redb::Error::Io(cause) if cause.kind() == io::ErrorKind::InvalidData => damaged(cause.to_string()),
        cause => StoreError::Io {
            path: path.to_owned(),
            doing,
            cause: into_io(cause),
        },
    }
}

fn into_io(cause: redb::Error) -> io::Error {
    match cause {
        redb::Error::Io(cause) => cause,
        cause => io::Error::other(cause),
    }
}
