//! A small disk that can be full.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

const BALLAST: &str = "ballast";

/// Mounted until dropped.
pub struct Tmpfs(PathBuf);

impl Tmpfs {
    /// On a directory that is made for it.
    pub fn mount(path: &Path, mebibytes: u32) -> Self {
        fs::create_dir_all(path).unwrap_or_else(|error| panic!("making {}: {error}", path.display()));
        let options = format!("size={mebibytes}m,mode=0700");
        mount(
            Some("tmpfs"),
            path,
            Some("tmpfs"),
            MsFlags::empty(),
            Some(options.as_str()),
        )
        .unwrap_or_else(|error| panic!("mounting a file system on {}: {error}", path.display()));
        Self(path.to_owned())
    }

    /// Takes all the room that there is.
    pub fn fill(&self) {
        let path = self.0.join(BALLAST);
        let mut ballast = fs::File::create(path).expect("a file that takes room");
        let page = [1; 4096];
        loop {
            match ballast.write_all(&page) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("filling the disk: {error}"),
            }
        }
    }

    pub fn make_room(&self) {
        fs::remove_file(self.0.join(BALLAST)).expect("removing what took the room");
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: what still runs there may go on until it ends.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
