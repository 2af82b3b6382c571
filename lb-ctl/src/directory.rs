//! Directories that belong to one process at a time, and files that only their owner reads.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

const PRIVATE_DIRECTORY: u32 = 0o700;
pub(crate) const PRIVATE_FILE: u32 = 0o600;
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// What versions before this one lock, and no more than that.
const LOCK_FILE: &str = "lock";

#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("{} can't be {doing}: {cause}", path.display())]
    Io {
        path: PathBuf,
        doing: &'static str,
        cause: io::Error,
    },
    #[error("the {what} {} is in use by another lb-ctl run", path.display())]
    InUse { what: &'static str, path: PathBuf },
    #[error(
        "the state directory {} may be written by others (mode {mode:04o}), who could put anything there; \
         `chmod go-w` it, and see that what is in it is yours",
        path.display()
    )]
    WritableByOthers { path: PathBuf, mode: u32 },
    #[error("the state directory {} belongs to the user {owner}, not to the one that lb-ctl runs as", path.display())]
    NotOurs { path: PathBuf, owner: u32 },
}

/// Released by the kernel when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct DirectoryLock(#[expect(dead_code, reason = "held")] Vec<Flock<File>>);

/// Makes the state directory if need be, sees that nobody else can read or change what is in it, and takes it.
pub(crate) fn take_state_directory(path: &Path) -> Result<DirectoryLock, DirectoryError> {
    let made = DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE_DIRECTORY)
        .create(path);
    made.map_err(failed(path, "made"))?;
    check_state_directory(path)?;
    let directory = lock(path, "state directory", File::open(path))?;
    let file = path.join(LOCK_FILE);
    let opened = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(PRIVATE_FILE)
        .open(&file);
    let file = lock(path, "state directory", opened)?;
    make_private(path)?;
    Ok(DirectoryLock(vec![directory, file]))
}

/// Takes a directory as it is.
pub(crate) fn lock_directory(path: &Path, what: &'static str) -> Result<DirectoryLock, DirectoryError> {
    Ok(DirectoryLock(vec![lock(path, what, File::open(path))?]))
}

fn check_state_directory(path: &Path) -> Result<(), DirectoryError> {
    let metadata = fs::metadata(path).map_err(failed(path, "read"))?;
    let path = path.to_owned();
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        let owner = metadata.uid();
        return Err(DirectoryError::NotOurs { path, owner });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(DirectoryError::WritableByOthers { path, mode });
    }
    Ok(())
}

fn lock(path: &Path, what: &'static str, opened: io::Result<File>) -> Result<Flock<File>, DirectoryError> {
    let file = opened.map_err(failed(path, "opened"))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => DirectoryError::InUse {
            what,
            path: path.to_owned(),
        },
        errno => failed(path, "locked")(errno.into()),
    })
}

/// What earlier versions made is closed to others, too.
fn make_private(directory: &Path) -> Result<(), DirectoryError> {
    restrict(directory, PRIVATE_DIRECTORY)?;
    let read = failed(directory, "read");
    for entry in fs::read_dir(directory).map_err(&read)? {
        let entry = entry.map_err(&read)?;
        if entry.file_type().map_err(&read)?.is_file() {
            restrict(&entry.path(), PRIVATE_FILE)?;
        }
    }
    Ok(())
}

fn restrict(path: &Path, most: u32) -> Result<(), DirectoryError> {
    let metadata = fs::symlink_metadata(path).map_err(failed(path, "read"))?;
    let mode = metadata.mode() & 0o7777;
    if mode & !most != 0 {
        fs::set_permissions(path, Permissions::from_mode(mode & most)).map_err(failed(path, "restricted"))?;
    }
    Ok(())
}

fn failed(path: &Path, doing: &'static str) -> impl Fn(io::Error) -> DirectoryError {
    move |cause| DirectoryError::Io {
        path: path.to_owned(),
        doing,
        cause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").mode() & 0o7777
    }

    #[test]
    fn what_others_could_read_is_closed_and_what_others_could_write_is_refused() {
        let outer = tempfile::tempdir().expect("a directory");
        let state = outer.path().join("a/state");
        drop(take_state_directory(&state).expect("a new directory"));
        assert_eq!(mode(&state), 0o700);
        let file = state.join("resources.redb");
        fs::write(&file, "").expect("a file");
        for (path, open) in [(&state, 0o755), (&file, 0o644)] {
            fs::set_permissions(path, Permissions::from_mode(open)).expect("opening it");
        }
        drop(take_state_directory(&state).expect("an older version's directory"));
        assert_eq!(
            [mode(&state), mode(&file), mode(&state.join("lock"))],
            [0o700, 0o600, 0o600]
        );
        for open in [0o770, 0o707, 0o1777] {
            fs::set_permissions(&state, Permissions::from_mode(open)).expect("opening it");
            let error = take_state_directory(&state)
                .expect_err("others may write")
                .to_string();
            assert!(error.contains("may be written by others"), "{error}");
            assert_eq!(mode(&state), open, "it is left as it was");
        }
    }

    #[test]
    fn a_directory_has_one_owner_also_when_an_older_version_has_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let held = take_state_directory(directory.path()).expect("nobody has it");
        let error = take_state_directory(directory.path()).expect_err("it is taken");
        assert!(
            error.to_string().contains("in use by another lb-ctl run"),
            "{error}"
        );
        drop(held);
        let old = File::open(directory.path().join(LOCK_FILE)).expect("the lock file");
        let old = lock(directory.path(), "state directory", Ok(old)).expect("as older versions do");
        take_state_directory(directory.path()).expect_err("an older version has it");
        drop(old);
        take_state_directory(directory.path()).expect("nobody has it");
    }
}
