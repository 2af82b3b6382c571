//! What an older lb-ctl kept: all resources in one JSON file. It is taken over once, when the database is made.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::io_error;
use super::{StoreError, Stored};
use crate::resources::set::Resources;

const FORMAT_VERSION: u64 = 1;

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "formatVersion")]
    format_version: u64,
}

#[derive(Deserialize)]
struct Loaded {
    resources: Resources,
}

/// Nothing when there is no such file.
pub(super) fn read(directory: &Path) -> Result<Stored, StoreError> {
    let path = file(directory);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Stored::default()),
        Err(cause) => return Err(io_error(&path, "read")(cause)),
    };
    let damaged = |cause: serde_json::Error| StoreError::Damaged {
        path: path.clone(),
        cause: cause.to_string(),
    };
    let version: Version = serde_json::from_slice(&text).map_err(damaged)?;
    if version.format_version != FORMAT_VERSION {
        return Err(StoreError::Version {
            path,
            found: version.format_version,
            known: FORMAT_VERSION,
        });
    }
    let loaded: Loaded = serde_json::from_slice(&text).map_err(damaged)?;
    Ok(Stored {
        resources: loaded.resources,
        ..Stored::default()
    })
}

/// The file was taken over: it is kept under another name, for whoever goes back.
pub(super) fn retire(directory: &Path) -> Result<(), StoreError> {
    let path = file(directory);
    match fs::rename(&path, directory.join("resources.json.imported")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(io_error(&path, "renamed")(cause)),
        Ok(()) => {
            tracing::info!("took over the resources of {}", path.display());
            Ok(())
        }
    }
}

fn file(directory: &Path) -> PathBuf {
    directory.join("resources.json")
}
