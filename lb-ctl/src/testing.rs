//! What tests of several modules need.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

const BOUND: Duration = Duration::from_secs(60);

/// A small file system that only this thread and those that it starts see.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub(crate) fn mount(bytes: usize) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: no root");
            return None;
        }
        unshare(CloneFlags::CLONE_NEWNS).expect("root");
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("root");
        let directory = tempfile::tempdir().expect("root");
        let size = format!("size={bytes},mode=0700");
        let kind = Some("tmpfs");
        mount(
            kind,
            directory.path(),
            kind,
            MsFlags::empty(),
            Some(size.as_str()),
        )
        .expect("root");
        Some(Self(directory))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn fill(&self) {
        use std::io::Write as _;
        let mut file = fs::File::create(self.filling()).expect("root");
        while file.write_all(&[1; 4096]).is_ok() {}
    }

    pub(crate) fn free(&self) {
        fs::remove_file(self.filling()).expect("root");
    }

    fn filling(&self) -> PathBuf {
        self.0.path().join("filling")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        umount2(self.0.path(), MntFlags::MNT_DETACH).expect("root");
    }
}

/// Waits for a condition with a bound.
#[track_caller]
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < BOUND, "never {what}");
        std::thread::yield_now();
    }
}
