//! A database that need not survive a loss of power, only the end of the process at any instant: it never waits for a
//! disk. One file for each boot, because what it says is about kernel state that a boot clears.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{
    AccessGuard, Database, ReadableDatabase as _, ReadableTable as _, StorageBackend, TableDefinition,
};
use redb::{TableError, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

const PREFIX: &str = "history-";
const CACHE_BYTES: usize = 16 << 20;

/// JSON to JSON.
pub(super) type Rows = TableDefinition<'static, &'static [u8], &'static [u8]>;

type Row<'a> = (AccessGuard<'a, &'static [u8]>, AccessGuard<'a, &'static [u8]>);

#[derive(Debug)]
pub(super) struct Volatile {
    path: PathBuf,
    database: Database,
}

impl Volatile {
    /// Opens that of `boot`, or makes it; those of other boots are removed. One that is damaged is made anew.
    pub(super) fn open(directory: &Path, boot: &str) -> Result<Self, redb::Error> {
        let path = directory.join(format!("{PREFIX}{boot}.redb"));
        remove_others(directory, &path);
        let database = match open(&path) {
            Ok(database) => database,
            Err(error) => {
                tracing::warn!("{} is damaged and made anew: {error}", path.display());
                fs::remove_file(&path)?;
                open(&path)?
            }
        };
        Ok(Self { path, database })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// All rows that can be read; a table that was never written has none.
    pub(super) fn read<K: DeserializeOwned, V: DeserializeOwned, C: FromIterator<(K, V)>>(
        &self,
        rows: Rows,
    ) -> Result<C, redb::Error> {
        let table = match self.database.begin_read()?.open_table(rows) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(C::from_iter(std::iter::empty())),
            Err(error) => return Err(error.into()),
        };
        let row = |row: Result<Row<'_>, redb::StorageError>| {
            let (key, value) = row?;
            let key = serde_json::from_slice(key.value()).map_err(io::Error::from)?;
            let value = serde_json::from_slice(value.value()).map_err(io::Error::from)?;
            Ok((key, value))
        };
        table.iter()?.map(row).collect()
    }

    /// One commit, whole or absent.
    pub(super) fn write(
        &self,
        change: impl FnOnce(&Writer) -> Result<(), redb::Error>,
    ) -> Result<(), redb::Error> {
        let writer = Writer(self.database.begin_write()?);
        change(&writer)?;
        writer.0.commit()?;
        Ok(())
    }
}

pub(super) struct Writer(WriteTransaction);

impl Writer {
    pub(super) fn put(
        &self,
        rows: Rows,
        key: &impl Serialize,
        value: &impl Serialize,
    ) -> Result<(), redb::Error> {
        let (key, value) = (json(key)?, json(value)?);
        self.0
            .open_table(rows)?
            .insert(key.as_slice(), value.as_slice())?;
        Ok(())
    }

    pub(super) fn remove(&self, rows: Rows, key: &impl Serialize) -> Result<(), redb::Error> {
        self.0.open_table(rows)?.remove(json(key)?.as_slice())?;
        Ok(())
    }

    pub(super) fn clear(&self, rows: Rows) -> Result<(), redb::Error> {
        self.0.delete_table(rows)?;
        Ok(())
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, redb::Error> {
    Ok(serde_json::to_vec(value).map_err(io::Error::from)?)
}

fn open(path: &Path) -> Result<Database, redb::Error> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    let backend = Unsynced(FileBackend::new(file)?);
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    Ok(builder.create_with_backend(backend)?)
}

fn remove_others(directory: &Path, ours: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_other = |path: &PathBuf| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let of_boot = name.starts_with(PREFIX) && path != ours;
        // Of earlier versions.
        of_boot || ["plan.json", "health.json"].contains(&name)
    };
    for path in entries.map(|entry| entry.path()).filter(is_other) {
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!("removing {}: {error}", path.display());
        }
    }
}

/// What the process has written, the kernel has, whatever becomes of the process.
#[derive(Debug)]
struct Unsynced(FileBackend);

impl StorageBackend for Unsynced {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}
