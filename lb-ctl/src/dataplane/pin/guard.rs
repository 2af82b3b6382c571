//! A pin directory that is ours, and what becomes of it when the start fails.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{PinDirectory, ensure_bpf_file_system, entries};
use crate::directory::{DirectoryLock, lock_directory};

/// The BPF file system holds no files, so the directory itself is locked. Unless [`TakenPins::keep`] is called, what
/// was not there before goes with this: pins of links last made are removed first, so that nothing forwards with maps
/// that are gone.
#[derive(Debug)]
pub struct TakenPins {
    root: PathBuf,
    before: BTreeSet<PathBuf>,
    kept: bool,
    _lock: DirectoryLock,
}

impl PinDirectory {
    /// Takes the directory, which is made if need be.
    pub fn take(&self) -> Result<TakenPins> {
        let was_there = self.root.exists();
        ensure_bpf_file_system(&self.root)?;
        let lock = lock_directory(&self.root, "pin directory")?;
        let before = match was_there {
            true => everything_below(&self.root)?,
            false => BTreeSet::new(),
        };
        Ok(TakenPins {
            root: self.root.clone(),
            before,
            kept: false,
            _lock: lock,
        })
    }
}

impl TakenPins {
    /// Whatever is pinned now stays.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// Whatever is pinned now stays also if the start fails later.
    pub fn keep_so_far(&mut self) -> Result<()> {
        self.before = everything_below(&self.root)?;
        Ok(())
    }

    fn remove_what_is_new(&self) -> Result<()> {
        let now = everything_below(&self.root)?;
        let new: Vec<&PathBuf> = now.difference(&self.before).collect();
        let is_link = |path: &Path| path.parent().is_some_and(|parent| parent.ends_with("links"));
        let (links, others): (Vec<&PathBuf>, Vec<&PathBuf>) =
            new.into_iter().partition(|path| is_link(path.as_path()));
        // What is in a directory comes after it.
        for path in links.into_iter().rev().chain(others.into_iter().rev()) {
            let removed = match path.is_dir() {
                true => std::fs::remove_dir(path),
                false => std::fs::remove_file(path),
            };
            removed.with_context(|| format!("removing {}", path.display()))?;
        }
        Ok(())
    }
}

impl Drop for TakenPins {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(error) = self.remove_what_is_new() {
            tracing::warn!("what the start has pinned stays: {error:#}");
        }
    }
}

/// The directory, if it is there, and all below it.
fn everything_below(directory: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    if directory.exists() {
        found.insert(directory.to_owned());
    }
    for entry in entries(directory)? {
        match entry.is_dir() {
            true => found.extend(everything_below(&entry)?),
            false => drop(found.insert(entry)),
        }
    }
    Ok(found)
}
