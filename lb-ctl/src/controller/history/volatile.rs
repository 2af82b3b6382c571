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

use crate::damage::caught;
use crate::directory::PRIVATE_FILE;

const CACHE_BYTES: usize = 16 << 20;

/// JSON to JSON.
pub(super) type Rows = TableDefinition<'static, &'static [u8], &'static [u8]>;

type Row<'a> = (AccessGuard<'a, &'static [u8]>, AccessGuard<'a, &'static [u8]>);

#[derive(Debug)]
pub(super) struct Volatile {
    path: PathBuf,
    /// Absent only while it is dropped.
    database: Option<Database>,
}

impl Volatile {
    /// Opens the file, or makes it. One that is damaged is made anew: without it connections start anew, and nothing
    /// else is lost.
    pub(super) fn open(path: &Path) -> Result<Self, redb::Error> {
        let database = match open(path) {
            Err(error) if is_damage(&error) => {
                tracing::warn!("{} is damaged and made anew: {error}", path.display());
                fs::remove_file(path)?;
                open(path)?
            }
            opened => opened?,
        };
        Ok(Self {
            path: path.to_owned(),
            database: Some(database),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn database(&self) -> &Database {
        self.database.as_ref().expect("it is open until it is dropped")
    }

    /// All rows that can be read; a table that was never written has none.
    pub(super) fn read<K: DeserializeOwned, V: DeserializeOwned, C: FromIterator<(K, V)>>(
        &self,
        rows: Rows,
    ) -> Result<C, redb::Error> {
        guarded(|| self.read_rows(rows))
    }

    fn read_rows<K: DeserializeOwned, V: DeserializeOwned, C: FromIterator<(K, V)>>(
        &self,
        rows: Rows,
    ) -> Result<C, redb::Error> {
        let table = match self.database().begin_read()?.open_table(rows) {
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
        guarded(|| {
            let writer = Writer(self.database().begin_write()?);
            change(&writer)?;
            writer.0.commit()?;
            Ok(())
        })
    }
}

impl Drop for Volatile {
    fn drop(&mut self) {
        // After an error or a panic, closing may panic, too.
        let database = self.database.take();
        drop(caught(|| drop(database)));
    }
}

/// A panic of the library is damage of the file.
fn guarded<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    caught(work).unwrap_or_else(|cause| Err(redb::Error::Corrupted(cause)))
}

fn is_damage(error: &redb::Error) -> bool {
    match error {
        redb::Error::Corrupted(_) => true,
        redb::Error::Io(error) => error.kind() == io::ErrorKind::InvalidData,
        _ => false,
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
        .mode(PRIVATE_FILE)
        .open(path)?;
    guarded(|| {
        let backend = Unsynced(FileBackend::new(file)?);
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        Ok(builder.create_with_backend(backend)?)
    })
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
