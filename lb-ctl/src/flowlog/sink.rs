//! Where the lines go.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// `[log] connections`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Destination {
    /// Among the daemon's own log.
    #[default]
    StandardError,
    File(PathBuf),
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "stderr" => Ok(Self::StandardError),
            path if path.contains('/') && !path.ends_with('/') => Ok(Self::File(path.into())),
            _ => Err("expected stderr, or the path of a file (with a /)".to_owned()),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StandardError => f.write_str("stderr"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Whole lines go in. A file that was renamed or deleted is made anew at the next write.
pub(super) struct Sink {
    destination: Destination,
    file: Option<File>,
    /// The last write stopped within a line.
    torn: bool,
}

impl Sink {
    /// Opens the file, so that one that can't be opened is known at once.
    pub(super) fn new(destination: Destination) -> io::Result<Self> {
        let mut sink = Self {
            destination,
            file: None,
            torn: false,
        };
        sink.reopen()?;
        Ok(sink)
    }

    /// Opens the file by its name again.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let Destination::File(path) = &self.destination {
            self.file = None;
            self.file = Some(open(path)?);
            self.torn = false;
        }
        Ok(())
    }

    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if !self.is_current() {
            self.reopen()?;
        }
        let torn = std::mem::replace(&mut self.torn, true);
        let end: &[u8] = if torn { b"\n" } else { b"" };
        match &mut self.file {
            Some(file) => file.write_all(end).and_then(|()| file.write_all(lines))?,
            None => {
                let mut out = io::stderr().lock();
                out.write_all(end).and_then(|()| out.write_all(lines))?;
            }
        }
        self.torn = false;
        Ok(())
    }

    /// Whether the name still leads to the file that is open.
    fn is_current(&self) -> bool {
        let Destination::File(path) = &self.destination else {
            return true;
        };
        let same = |file: &File| {
            let (open, named) = (file.metadata().ok()?, fs::metadata(path).ok()?);
            Some((open.dev(), open.ino()) == (named.dev(), named.ino()))
        };
        self.file.as_ref().and_then(same).unwrap_or(false)
    }
}

/// Whom a client talks to is nobody else's business.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}
