//! The store in a state directory: a database of one row for each resource.
//!
//! The directory belongs to one process at a time; a lock that the kernel releases with the process says whose it is.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;

use super::import;
use super::{Changes, ResourceStore, StoreError, Stored};
use crate::model::ResourcePath;
use crate::resources::set::Resources;

const FORMAT_VERSION: u64 = 1;
const FILE: &str = "resources.redb";
/// Far more than the rows that one change touches; the whole is read once, at the start.
const CACHE_BYTES: usize = 16 << 20;

/// Canonical path to JSON.
type Rows = TableDefinition<'static, &'static str, &'static [u8]>;
const RESOURCES: Rows = TableDefinition::new("resources");
const OWNERS: Rows = TableDefinition::new("owners");
const ABOUT: TableDefinition<'static, &'static str, u64> = TableDefinition::new("about");
const FORMAT: &str = "formatVersion";

/// A state directory that is ours.
#[derive(Debug)]
pub struct DatabaseStore {
    directory: PathBuf,
    path: PathBuf,
    database: Database,
    _lock: Flock<File>,
}

impl DatabaseStore {
    /// Makes the directory and the database if need be, and takes them. A new database takes over what an older
    /// lb-ctl left in the directory.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(directory).map_err(io_error(directory, "made"))?;
        let lock = lock(directory)?;
        let path = directory.join(FILE);
        if !path.exists() {
            make(directory, &path)?;
        }
        let database = builder().open(&path);
        let database = database.map_err(|error| failed(&path, "opened")(error.into()))?;
        let store = Self {
            directory: directory.to_owned(),
            path,
            database,
            _lock: lock,
        };
        store.check_version()?;
        Ok(store)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn check_version(&self) -> Result<(), StoreError> {
        let read = || -> Result<Option<u64>, redb::Error> {
            let table = self.database.begin_read()?.open_table(ABOUT)?;
            Ok(table.get(FORMAT)?.map(|version| version.value()))
        };
        match read().map_err(failed(&self.path, "read"))? {
            Some(FORMAT_VERSION) => Ok(()),
            found => Err(StoreError::Version {
                path: self.path.clone(),
                found: found.unwrap_or(0),
                known: FORMAT_VERSION,
            }),
        }
    }

    fn rows<V: DeserializeOwned>(&self, rows: Rows) -> Result<BTreeMap<ResourcePath, V>, StoreError> {
        let read = failed(&self.path, "read");
        let transaction = self.database.begin_read().map_err(|error| read(error.into()))?;
        let table = transaction.open_table(rows).map_err(|error| read(error.into()))?;
        let mut found = BTreeMap::new();
        for row in table.iter().map_err(|error| read(error.into()))? {
            let (path, value) = row.map_err(|error| read(error.into()))?;
            let value = serde_json::from_slice(value.value()).map_err(|cause| StoreError::Damaged {
                path: self.path.clone(),
                cause: format!("the row of {}: {cause}", path.value()),
            })?;
            found.insert(ResourcePath::from_canonical(path.value()), value);
        }
        Ok(found)
    }
}

impl ResourceStore for DatabaseStore {
    fn load(&self) -> Result<Stored, StoreError> {
        Ok(Stored {
            resources: Resources {
                all: self.rows(RESOURCES)?,
            },
            owners: self.rows(OWNERS)?,
        })
    }

    fn commit(&self, changes: &Changes<'_>) -> Result<(), StoreError> {
        commit(&self.database, changes).map_err(failed(&self.path, "written"))
    }
}

fn lock(directory: &Path) -> Result<Flock<File>, StoreError> {
    let path = directory.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let file = file.map_err(io_error(&path, "opened"))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => StoreError::InUse(directory.to_owned()),
        errno => io_error(&path, "locked")(errno.into()),
    })
}

/// A database that is there is whole: it is made under another name.
fn make(directory: &Path, path: &Path) -> Result<(), StoreError> {
    let fresh = directory.join(format!("{FILE}.new"));
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(io_error(&fresh, "removed")(error));
        }
        _ => {}
    }
    let imported = import::read(directory)?;
    let (nothing, nobody) = Default::default();
    let changes = Changes::between((&nothing, &nobody), (&imported.resources, &imported.owners));
    let database = builder().create(&fresh);
    let database = database.map_err(|error| failed(&fresh, "made")(error.into()))?;
    commit(&database, &changes).map_err(failed(&fresh, "written"))?;
    drop(database);
    let install = || -> std::io::Result<()> {
        fs::rename(&fresh, path)?;
        File::open(directory)?.sync_all()
    };
    install().map_err(io_error(path, "made"))?;
    import::retire(directory)
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn commit(database: &Database, changes: &Changes<'_>) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    put(&transaction, RESOURCES, &changes.resources)?;
    put(&transaction, OWNERS, &changes.owners)?;
    transaction.open_table(ABOUT)?.insert(FORMAT, FORMAT_VERSION)?;
    transaction.commit()?;
    Ok(())
}

fn put<V: serde::Serialize>(
    transaction: &WriteTransaction,
    rows: Rows,
    changes: &[(&ResourcePath, Option<&V>)],
) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(rows)?;
    for (path, value) in changes {
        match value {
            Some(value) => {
                let json = serde_json::to_vec(value).map_err(std::io::Error::from)?;
                table.insert(path.as_str(), json.as_slice())?;
            }
            None => drop(table.remove(path.as_str())?),
        }
    }
    Ok(())
}

pub(super) fn io_error(path: &Path, doing: &'static str) -> impl Fn(std::io::Error) -> StoreError {
    move |cause| StoreError::Io {
        path: path.to_owned(),
        doing,
        cause,
    }
}

fn failed(path: &Path, doing: &'static str) -> impl Fn(redb::Error) -> StoreError {
    move |cause| match cause {
        redb::Error::Corrupted(cause) => StoreError::Damaged {
            path: path.to_owned(),
            cause,
        },
        redb::Error::Io(cause) if cause.kind() == std::io::ErrorKind::InvalidData => StoreError::Damaged {
            path: path.to_owned(),
            cause: cause.to_string(),
        },
        cause => StoreError::Database {
            path: path.to_owned(),
            doing,
            cause: Box::new(cause),
        },
    }
}
