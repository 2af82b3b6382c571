//! The database as a file: a row for each resource.
//!
//! After one I/O error the library refuses everything until the file is opened anew, and it may panic on a damaged one.
//! Whoever gets an error drops the [`DatabaseFile`].

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;

use super::error::{failed, io_error};
use super::{OwnedChanges, StoreError, StoreId, Stored, import};
use crate::damage::caught;
use crate::directory::PRIVATE_FILE;
use crate::model::ResourcePath;
use crate::resources::set::Resources;

const FORMAT_VERSION: u64 = 1;
pub(super) const FILE: &str = "resources.redb";
/// Far more than the rows that one change touches; the whole is read once, at the start.
const CACHE_BYTES: usize = 16 << 20;

/// Canonical path to JSON.
type Rows = TableDefinition<'static, &'static str, &'static [u8]>;
const RESOURCES: Rows = TableDefinition::new("resources");
const OWNERS: Rows = TableDefinition::new("owners");
/// Holds nothing for longer than a trial takes.
const TRIALS: Rows = TableDefinition::new("trials");
const ABOUT: TableDefinition<'static, &'static str, u64> = TableDefinition::new("about");
const FORMAT: &str = "formatVersion";
/// Counts commits, so that one whose outcome was an error can be recognised.
const SEQUENCE: &str = "sequence";
const ID: [&str; 2] = ["idHigh", "idLow"];

/// What a commit has overwritten, row by row.
pub(super) struct Undo {
    /// The sequence number that the commit would have.
    sequence: u64,
    rows: Vec<(Rows, String, Option<Vec<u8>>)>,
}

#[derive(Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    /// Absent only while it is dropped.
    database: Option<Database>,
    id: StoreId,
}

impl DatabaseFile {
    /// Makes the file if need be. A new one takes over what an older lb-ctl left in the directory.
    pub(super) fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        guarded(&path, || {
            if !path.exists() {
                make(directory, &path)?;
            }
            let database = builder().open(&path);
            let database = database.map_err(|error| failed(&path, "opened")(error.into()))?;
            let id = check(&path, &database)?;
            Ok(Self {
                path: path.clone(),
                database: Some(database),
                id,
            })
        })
    }

    pub(super) fn id(&self) -> StoreId {
        self.id
    }

    pub(super) fn load(&self) -> Result<Stored, StoreError> {
        let mut unreadable = BTreeMap::new();
        guarded(&self.path, || {
            let resources = self.rows(RESOURCES, &mut unreadable)?;
            let owners = self.rows(OWNERS, &mut unreadable)?;
            Ok(Stored {
                resources: Resources { all: resources },
                owners,
                unreadable: std::mem::take(&mut unreadable),
            })
        })
    }

    fn rows<V: DeserializeOwned>(
        &self,
        rows: Rows,
        unreadable: &mut BTreeMap<ResourcePath, String>,
    ) -> Result<BTreeMap<ResourcePath, V>, StoreError> {
        let mut read = || -> Result<_, redb::Error> {
            let table = self.database().begin_read()?.open_table(rows)?;
            let mut found = BTreeMap::new();
            for row in table.iter()? {
                let (path, value) = row?;
                let path = ResourcePath::from_canonical(path.value());
                match serde_json::from_slice(value.value()) {
                    Ok(value) => drop(found.insert(path, value)),
                    Err(error) => drop(unreadable.insert(path, error.to_string())),
                }
            }
            Ok(found)
        };
        read().map_err(failed(&self.path, "read"))
    }

    /// On an error it may still be found in the file that is opened next, by [`DatabaseFile::undo`].
    pub(super) fn commit(&self, changes: &OwnedChanges) -> Result<(), (StoreError, Option<Undo>)> {
        let mut undo = None;
        let result = guarded(&self.path, || {
            commit(self.database(), changes, &mut undo).map_err(failed(&self.path, "written"))
        });
        result.map_err(|error| (error, undo))
    }

    /// Takes back a commit that was answered with an error, if it is there nevertheless.
    pub(super) fn undo(&self, undo: &Undo) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> {
            let transaction = self.database().begin_write()?;
            if sequence(&transaction)? == undo.sequence {
                for (rows, path, before) in &undo.rows {
                    let mut table = transaction.open_table(*rows)?;
                    match before {
                        Some(value) => drop(table.insert(path.as_str(), value.as_slice())?),
                        None => drop(table.remove(path.as_str())?),
                    }
                }
            }
            transaction
                .open_table(ABOUT)?
                .insert(SEQUENCE, undo.sequence + 1)?;
            transaction.commit()?;
            Ok(())
        };
        guarded(&self.path, || write().map_err(failed(&self.path, "written")))
    }

    /// Whether a change of so many bytes could be kept now.
    pub(super) fn try_out(&self, bytes: usize) -> Result<(), StoreError> {
        let commit = |value: Option<&[u8]>| -> Result<(), redb::Error> {
            let transaction = self.database().begin_write()?;
            match value {
                Some(value) => drop(transaction.open_table(TRIALS)?.insert("", value)?),
                None => drop(transaction.open_table(TRIALS)?.remove("")?),
            }
            transaction.commit()?;
            Ok(())
        };
        let write = || {
            commit(Some(&vec![1; bytes]))?;
            commit(None)
        };
        guarded(&self.path, || write().map_err(failed(&self.path, "written")))
    }

    fn database(&self) -> &Database {
        self.database.as_ref().expect("it is open until it is dropped")
    }
}

impl Drop for DatabaseFile {
    fn drop(&mut self) {
        // After an error of the disk or a panic, closing may panic, too.
        let database = self.database.take();
        drop(caught(|| drop(database)));
    }
}

/// A panic of the library is damage of the file.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    caught(work).unwrap_or_else(|cause| {
        Err(StoreError::Damaged {
            path: path.to_owned(),
            cause,
        })
    })
}

/// The version is one that we know; a file of a version without an id gets one.
fn check(path: &Path, database: &Database) -> Result<StoreId, StoreError> {
    let read = || -> Result<_, redb::Error> {
        let table = database.begin_read()?.open_table(ABOUT)?;
        let number = |key| -> Result<Option<u64>, redb::Error> { Ok(table.get(key)?.map(|n| n.value())) };
        let words = [number(ID[0])?, number(ID[1])?].map(Option::unwrap_or_default);
        Ok((number(FORMAT)?, StoreId::from_words(words)))
    };
    let (version, id) = read().map_err(failed(path, "read"))?;
    if version != Some(FORMAT_VERSION) {
        return Err(StoreError::Version {
            path: path.to_owned(),
            found: version.unwrap_or(0),
            known: FORMAT_VERSION,
        });
    }
    if let Some(id) = id {
        return Ok(id);
    }
    let give = || -> Result<StoreId, redb::Error> {
        let transaction = database.begin_write()?;
        let id = put_new_id(&transaction)?;
        transaction.commit()?;
        Ok(id)
    };
    give().map_err(failed(path, "written"))
}

/// A database that is there is whole: it is made under another name.
fn make(directory: &Path, path: &Path) -> Result<(), StoreError> {
    let fresh = directory.join(format!("{FILE}.new"));
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error(&fresh, "removed")(error));
        }
        _ => {}
    }
    let imported = import::read(directory)?;
    let (nothing, nobody) = Default::default();
    let changes = OwnedChanges::between((&nothing, &nobody), (&imported.resources, &imported.owners));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(PRIVATE_FILE)
        .open(&fresh);
    let file = file.map_err(io_error(&fresh, "made"))?;
    let database = builder().create_file(file);
    let database = database.map_err(|error| failed(&fresh, "made")(error.into()))?;
    fill(&database, &changes).map_err(failed(&fresh, "written"))?;
    drop(database);
    let install = || -> io::Result<()> {
        fs::rename(&fresh, path)?;
        File::open(directory)?.sync_all()
    };
    install().map_err(io_error(path, "made"))?;
    import::retire(directory)
}

fn fill(database: &Database, changes: &OwnedChanges) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    put(&transaction, RESOURCES, &changes.resources, &mut Vec::new())?;
    put(&transaction, OWNERS, &changes.owners, &mut Vec::new())?;
    transaction.open_table(ABOUT)?.insert(FORMAT, FORMAT_VERSION)?;
    put_new_id(&transaction)?;
    transaction.commit()?;
    Ok(())
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn put_new_id(transaction: &WriteTransaction) -> Result<StoreId, redb::Error> {
    let id = StoreId::random()?;
    let mut table = transaction.open_table(ABOUT)?;
    for (key, word) in ID.into_iter().zip(id.words()) {
        table.insert(key, word)?;
    }
    Ok(id)
}

fn sequence(transaction: &WriteTransaction) -> Result<u64, redb::Error> {
    let table = transaction.open_table(ABOUT)?;
    let number = table.get(SEQUENCE)?.map_or(0, |number| number.value());
    Ok(number)
}

fn commit(database: &Database, changes: &OwnedChanges, undo: &mut Option<Undo>) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    let sequence = sequence(&transaction)? + 1;
    let mut rows = Vec::new();
    put(&transaction, RESOURCES, &changes.resources, &mut rows)?;
    put(&transaction, OWNERS, &changes.owners, &mut rows)?;
    transaction.open_table(ABOUT)?.insert(SEQUENCE, sequence)?;
    *undo = Some(Undo { sequence, rows });
    transaction.commit()?;
    Ok(())
}

/// Tells `before` what the rows held.
fn put<V: serde::Serialize>(
    transaction: &WriteTransaction,
    rows: Rows,
    changes: &[(ResourcePath, Option<V>)],
    before: &mut Vec<(Rows, String, Option<Vec<u8>>)>,
) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(rows)?;
    for (path, value) in changes {
        let old = match value {
            Some(value) => {
                let json = serde_json::to_vec(value).map_err(io::Error::from)?;
                table.insert(path.as_str(), json.as_slice())?
            }
            None => table.remove(path.as_str())?,
        };
        before.push((
            rows,
            path.as_str().to_owned(),
            old.map(|old| old.value().to_vec()),
        ));
    }
    Ok(())
}
