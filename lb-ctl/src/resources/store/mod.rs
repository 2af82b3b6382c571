//! Keeps the resources between runs, behind a trait: here a database in the state directory, for a fleet one that its
//! hosts share. What changes together is one commit, whole or absent after a crash at any instant, and costs what it
//! changes, not what there is.

mod changes;
mod database;
mod error;
mod file;
mod id;
mod import;
mod memory;
mod writer;

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use jiff::Timestamp;

pub use self::changes::OwnedChanges;
pub use self::database::DatabaseStore;
pub use self::error::StoreError;
pub use self::id::StoreId;
pub use self::memory::{Failure, Latch, MemoryStore};
pub use crate::directory::DirectoryError;

use super::set::Resources;
use crate::model::ResourcePath;

pub trait ResourceStore: Send + Sync {
    /// What was kept last; nothing when nothing ever was. Blocks: it is for the start.
    fn load(&self) -> Result<Stored, StoreError>;

    /// Resolves when the changes would survive a loss of power: all of them. On an error, none. The work is done
    /// whether or not anyone waits for it, in the order of the calls.
    fn propose(&self, changes: OwnedChanges) -> BoxFuture<'static, Result<(), StoreError>>;

    /// What others commit to a shared store; a store of one host never tells anything.
    fn follow(&self) -> BoxStream<'static, Followed>;

    fn state(&self) -> StoreState;

    /// The maps that are written from this store carry it, too.
    fn id(&self) -> StoreId;
}

/// Which file of `--config` defines a resource, for those that one does.
pub type Owners = BTreeMap<ResourcePath, String>;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    pub resources: Resources,
    pub owners: Owners,
    /// Rows that can't be read, and why. They stay in the store until a change replaces them.
    pub unreadable: BTreeMap<ResourcePath, String>,
}

/// What a shared store tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Followed {
    Changed(Stored),
    Unavailable { reason: String },
    Available,
}

/// Whether the store can be written now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StoreState {
    #[default]
    Available,
    Unavailable {
        since: Timestamp,
        reason: String,
    },
}

impl StoreState {
    /// After a failure; the first of a row says since when.
    fn fail(&mut self, reason: String) {
        let since = match self {
            Self::Unavailable { since, .. } => *since,
            Self::Available => Timestamp::now(),
        };
        *self = Self::Unavailable { since, reason };
    }
}
