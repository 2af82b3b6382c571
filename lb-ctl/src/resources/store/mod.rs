//! Keeps the resources between runs, behind a trait: here a database in the state directory, for a fleet one that its
//! hosts share. What changes together is one commit, whole or absent after a crash at any instant, and costs what it
//! changes, not what there is.

mod database;
mod import;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::database::DatabaseStore;

use super::set::{Resource, Resources};
use crate::model::ResourcePath;

pub trait ResourceStore: Send + Sync {
    /// What was kept last; nothing when nothing ever was.
    fn load(&self) -> Result<Stored, StoreError>;

    /// Returns when the changes would survive a loss of power: all of them. On an error, none.
    fn commit(&self, changes: &Changes<'_>) -> Result<(), StoreError>;
}

/// Which file of `--config` defines a resource, for those that one does.
pub type Owners = BTreeMap<ResourcePath, String>;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    pub resources: Resources,
    pub owners: Owners,
}

/// What differs between two states. A value that is absent is removed.
#[derive(Debug, Default, PartialEq)]
pub struct Changes<'a> {
    pub resources: Vec<(&'a ResourcePath, Option<&'a Resource>)>,
    pub owners: Vec<(&'a ResourcePath, Option<&'a String>)>,
}

impl<'a> Changes<'a> {
    pub fn between(before: (&'a Resources, &'a Owners), after: (&'a Resources, &'a Owners)) -> Self {
        Self {
            resources: differences(&before.0.all, &after.0.all),
            owners: differences(before.1, after.1),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.owners.is_empty()
    }
}

fn differences<'a, V: PartialEq>(
    before: &'a BTreeMap<ResourcePath, V>,
    after: &'a BTreeMap<ResourcePath, V>,
) -> Vec<(&'a ResourcePath, Option<&'a V>)> {
    let gone = before.keys().filter(|path| !after.contains_key(path));
    let gone = gone.map(|path| (path, None));
    let put = after
        .iter()
        .filter(|(path, value)| before.get(path) != Some(value));
    gone.chain(put.map(|(path, value)| (path, Some(value)))).collect()
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{} can't be {doing}: {cause}", path.display())]
    Io {
        path: PathBuf,
        doing: &'static str,
        cause: io::Error,
    },
    #[error("the state directory {} is in use by another lb-ctl run", .0.display())]
    InUse(PathBuf),
    #[error("{} is damaged: {cause}; restore it, or remove it to start without resources", path.display())]
    Damaged { path: PathBuf, cause: String },
    #[error("{} has the format version {found}, and this lb-ctl reads {known}", path.display())]
    Version { path: PathBuf, found: u64, known: u64 },
    #[error("{} can't be {doing}: {cause}", path.display())]
    Database {
        path: PathBuf,
        doing: &'static str,
        cause: Box<redb::Error>,
    },
}

/// Keeps the resources as long as the process lives.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Stored>);

impl MemoryStore {
    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResourceStore for MemoryStore {
    fn load(&self) -> Result<Stored, StoreError> {
        Ok(self.stored().clone())
    }

    fn commit(&self, changes: &Changes<'_>) -> Result<(), StoreError> {
        let mut stored = self.stored();
        put(&mut stored.resources.all, &changes.resources);
        put(&mut stored.owners, &changes.owners);
        Ok(())
    }
}

fn put<V: Clone>(map: &mut BTreeMap<ResourcePath, V>, changes: &[(&ResourcePath, Option<&V>)]) {
    for (path, value) in changes {
        match value {
            Some(value) => drop(map.insert((*path).clone(), (*value).clone())),
            None => drop(map.remove(*path)),
        }
    }
}
