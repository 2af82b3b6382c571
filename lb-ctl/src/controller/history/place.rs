//! Where the history is kept: a file for each boot and store, in a directory that no full disk can stop.
//!
//! Older versions kept it in the state directory. What they have left there in this boot is taken over, if it is what
//! the maps were written by.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::rows;
use super::volatile::Volatile;
use crate::directory::PRIVATE_FILE;
use crate::resources::StoreId;

const PREFIX: &str = "history-";

/// The directories that a history may be in.
#[derive(Clone, Debug)]
pub struct HistoryPlace {
    pub runtime_dir: PathBuf,
    pub state_dir: PathBuf,
    pub store: StoreId,
}

impl HistoryPlace {
    pub(super) fn file(&self) -> PathBuf {
        let name = format!("{PREFIX}{}-{}.redb", boot_id(), self.store);
        self.runtime_dir.join(name)
    }

    /// Where older versions look for it, too.
    pub(super) fn former_file(&self) -> PathBuf {
        self.state_dir.join(format!("{PREFIX}{}.redb", boot_id()))
    }

    /// Makes the directory, and takes over what an older version has left that is of these maps.
    pub(super) fn prepare(&self, incarnation: Option<u32>) -> io::Result<()> {
        fs::create_dir_all(&self.runtime_dir)?;
        remove_of_other_boots(&self.runtime_dir);
        remove_of_other_boots(&self.state_dir);
        let former = self.former_file();
        if former.exists() {
            let fresh = self.file().with_extension("new");
            copy(&former, &fresh)?;
            match incarnation.is_some() && incarnation_of(&fresh) == incarnation {
                true => {
                    fs::rename(&fresh, self.file())?;
                    fs::remove_file(&former)?;
                    tracing::info!("took over the history of {}", former.display());
                }
                false => fs::remove_file(&fresh)?,
            }
        }
        Ok(())
    }
}

impl HistoryPlace {
    /// Leaves the history of the maps `from` where an older version looks for it, as one of the maps `to`. It stays here,
    /// too, until [`HistoryPlace::forget`].
    pub fn give_back(&self, from: u32, to: u32) -> anyhow::Result<()> {
        let file = self.file();
        if incarnation_of(&file) != Some(from) {
            anyhow::bail!("{} is not the history of what is pinned", file.display());
        }
        let fresh = self.former_file().with_extension("new");
        copy(&file, &fresh)?;
        rows::write_incarnation(&Volatile::open(&fresh)?, to)?;
        fs::rename(&fresh, self.former_file())?;
        Ok(())
    }

    /// What was given back is of no use here any more.
    pub fn forget(&self) {
        if let Err(error) = fs::remove_file(self.file()) {
            tracing::warn!("removing {}: {error}", self.file().display());
        }
    }
}

/// Nothing of a file that is not there.
fn incarnation_of(path: &Path) -> Option<u32> {
    if !path.exists() {
        return None;
    }
    let read = || rows::read_incarnation(&Volatile::open(path)?);
    read().ok().flatten()
}

/// Never readable by others.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut target = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(PRIVATE_FILE)
        .open(to)?;
    io::copy(&mut File::open(from)?, &mut target)?;
    Ok(())
}

fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// What they say is about kernel state that a boot clears.
fn remove_of_other_boots(directory: &Path) {
    let of_this_boot = format!("{PREFIX}{}", boot_id());
    let is_other = |path: &PathBuf| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let of_boot = name.starts_with(PREFIX) && !name.starts_with(&of_this_boot);
        // Of earlier versions.
        of_boot || ["plan.json", "health.json"].contains(&name)
    };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(is_other) {
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!("removing {}: {error}", path.display());
        }
    }
}
