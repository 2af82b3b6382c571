//! The files of `--config`: which there are, what they say, and when they change.
//!
//! A file owns what it defines. All files together are one version: it is taken as a whole or refused as a whole.

mod judge;
mod watch;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use judge::{FromFiles, judge};
pub use watch::FileWatcher;

use crate::resources::{self, Document, Fault};

const STANDARD_INPUT: &str = "-";

/// As they were given: files and directories, by absolute path, so that their names mean the same in every run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigFiles {
    given: Vec<PathBuf>,
}

impl ConfigFiles {
    pub fn new(given: &[PathBuf]) -> std::io::Result<Self> {
        let absolute = |path: &PathBuf| match path.as_os_str() == STANDARD_INPUT {
            true => Ok(path.clone()),
            false => std::path::absolute(path),
        };
        Ok(Self {
            given: given.iter().map(absolute).collect::<Result<_, _>>()?,
        })
    }

    pub fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    pub fn read(&self) -> Result<Vec<Document>, Vec<Fault>> {
        match self.is_empty() {
            true => Ok(Vec::new()),
            false => resources::read(&self.given),
        }
    }

    /// What can change: standard input is read once.
    pub fn followed(&self) -> impl Iterator<Item = &Path> {
        let paths = self.given.iter().map(PathBuf::as_path);
        paths.filter(|path| path.as_os_str() != STANDARD_INPUT)
    }

    /// Whether a file is one of these, or lies in a directory that is, be it there now or not.
    pub fn includes(&self, file: &str) -> bool {
        let file = Path::new(file);
        self.given
            .iter()
            .any(|given| file == given || file.parent() == Some(given))
    }
}
