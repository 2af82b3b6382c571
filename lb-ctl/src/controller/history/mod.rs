//! What outlives the daemon, but not the host's boot: numbers and drains, health. And the hash seed, which outlives both.
//!
//! The history of the plan and health are rows of a database, and a change is kept by the rows that it changes. They
//! need not survive a loss of power: after a boot the maps are gone, and with them what the numbers name. A thread of
//! its own writes; only who gives out a number waits for it.

mod place;
mod rows;
mod seed;
#[cfg(test)]
mod tests;
mod volatile;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use futures_util::future::{BoxFuture, ready};
use jiff::Timestamp;

pub use self::place::HistoryPlace;
pub use self::rows::HealthChanges;
pub use self::seed::kept_seed;

use self::volatile::Volatile;
use self::writer::{Mailbox, Writer};
use crate::health::{HealthState, TargetId};
use crate::plan::contents::Contents;
use crate::plan::{Plan, SavedPlan};

/// Keeps what the next start has to know.
pub trait Keeper: Send {
    /// Resolves as soon as the plan may go into the maps: at once, unless it gives out a number that is not kept yet.
    /// On an error such a plan must not be installed, because a later start would give the number to somebody else.
    fn save(&mut self, plan: &Plan, health: HealthChanges) -> BoxFuture<'static, Result<(), KeepError>>;

    fn state(&self) -> KeeperState;
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeepError(pub String);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeeperState {
    #[default]
    Keeping,
    Failing {
        since: Timestamp,
        reason: String,
    },
}

impl KeeperState {
    /// After a failure. Whether that is news.
    fn fail(&mut self, reason: &str) -> bool {
        let (since, is_news) = match self {
            Self::Failing { since, reason: known } => (*since, known != reason),
            Self::Keeping => (Timestamp::now(), true),
        };
        let reason = reason.to_owned();
        *self = Self::Failing { since, reason };
        is_news
    }
}

/// The history of one store, of one incarnation of the maps.
#[derive(Debug)]
pub struct History {
    /// What was kept when it was opened, if it is of these maps.
    saved: Option<SavedPlan>,
    health: BTreeMap<TargetId, HealthState>,
    mailbox: Arc<Mailbox>,
    thread: Option<JoinHandle<()>>,
}

impl History {
    /// For maps of this incarnation. What can't be read is told and then unknown: a start does not end for it.
    pub fn open(place: &HistoryPlace, incarnation: u32) -> anyhow::Result<Self> {
        let opened = place.prepare(Some(incarnation)).map_err(Into::into);
        let opened = opened.and_then(|()| Volatile::open(&place.file()));
        let rows = opened
            .inspect_err(|error| tracing::warn!("{} can't be read: {error}", place.file().display()))
            .ok();
        let saved = rows.as_ref().and_then(|rows| saved(rows, incarnation));
        let health = rows.as_ref().map(known_health).unwrap_or_default();
        let mailbox = Arc::<Mailbox>::default();
        let writer = Writer::new(mailbox.clone(), place.file(), incarnation, rows);
        let thread = std::thread::Builder::new().name("lb-history".to_owned());
        let thread = thread.spawn(|| writer.run())?;
        Ok(Self {
            saved,
            health,
            mailbox,
            thread: Some(thread),
        })
    }

    /// Whether what was kept is of these maps.
    pub fn fits(place: &HistoryPlace, incarnation: u32) -> bool {
        if let Err(error) = place.prepare(Some(incarnation)) {
            tracing::warn!("{}: {error}", place.file().display());
        }
        let read = || rows::read_incarnation(&Volatile::open(&place.file())?);
        place.file().exists() && read().is_ok_and(|found| found == Some(incarnation))
    }

    /// Health as it was known last in this boot.
    pub fn health(&mut self) -> BTreeMap<TargetId, HealthState> {
        std::mem::take(&mut self.health)
    }

    /// The plan that the maps were last written by. Without its history nobody knows what their numbers name: then
    /// the plan starts from nothing, and the first difference clears what the maps hold.
    pub fn adopt(&mut self, actual: &Contents) -> Plan {
        if let Some(saved) = self.saved.take() {
            return Plan::adopt(saved, actual);
        }
        if !actual.services.is_empty() {
            tracing::warn!("no history fits the pinned maps: connections start anew");
        }
        Plan::default()
    }
}

impl Keeper for History {
    fn save(&mut self, plan: &Plan, health: HealthChanges) -> BoxFuture<'static, Result<(), KeepError>> {
        let kept = self.mailbox.kept();
        let gives_numbers = kept.is_none_or(|kept| plan.gives_numbers_beyond(&kept, &kept));
        let request = self.mailbox.put(plan, health);
        match gives_numbers {
            true => Box::pin(self.mailbox.wait_for(request)),
            false => Box::pin(ready(Ok(()))),
        }
    }

    fn state(&self) -> KeeperState {
        self.mailbox.state()
    }
}

impl Drop for History {
    /// What is wanted is written first.
    fn drop(&mut self) {
        self.mailbox.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn saved(rows: &Volatile, incarnation: u32) -> Option<SavedPlan> {
    let read = || -> Result<Option<SavedPlan>, redb::Error> {
        match rows::read_incarnation(rows)? == Some(incarnation) {
            true => rows::read_plan(rows).map(Some),
            false => Ok(None),
        }
    };
    read().unwrap_or_else(|error| {
        tracing::warn!("{} can't be read: {error}", rows.path().display());
        None
    })
}

fn known_health(rows: &Volatile) -> BTreeMap<TargetId, HealthState> {
    rows::read_health(rows).unwrap_or_else(|error| {
        tracing::warn!("{} does not tell health: {error}", rows.path().display());
        BTreeMap::new()
    })
}
