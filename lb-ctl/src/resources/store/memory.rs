//! A store that forgets with the process, and does as it is told: for tests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use tokio::sync::{mpsc, watch};

use super::{Followed, OwnedChanges, ResourceStore, StoreError, StoreId, StoreState, Stored};

/// Copies are the same store.
#[derive(Clone, Debug)]
pub struct MemoryStore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    /// While it is true, proposals wait.
    held: watch::Sender<bool>,
    id: StoreId,
}

#[derive(Debug, Default)]
struct Inner {
    stored: Stored,
    state: StoreState,
    fails: Option<Failure>,
    commits: usize,
    followers: Vec<mpsc::UnboundedSender<Followed>>,
}

/// How proposals end that are told to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    Conflict,
    Unavailable(String),
}

/// Proposals wait as long as it lives.
#[derive(Debug)]
pub struct Latch(Arc<Shared>);

impl MemoryStore {
    pub fn new(stored: Stored) -> Self {
        let inner = Inner {
            stored,
            ..Inner::default()
        };
        Self(Arc::new(Shared {
            inner: Mutex::new(inner),
            held: watch::Sender::new(false),
            id: StoreId::random().expect("the kernel has random numbers"),
        }))
    }

    /// From now on proposals fail like this, until it is taken back by `None`.
    pub fn fail(&self, failure: Option<Failure>) {
        let mut inner = self.0.inner();
        match &failure {
            Some(Failure::Unavailable(reason)) => inner.state.fail(reason.clone()),
            _ => inner.state = StoreState::Available,
        }
        inner.fails = failure;
    }

    /// Proposals wait, also those that were made before.
    pub fn hold(&self) -> Latch {
        self.0.held.send_replace(true);
        Latch(Arc::clone(&self.0))
    }

    /// How many proposals were kept.
    pub fn commits(&self) -> usize {
        self.0.inner().commits
    }

    /// Another host has changed the store: who follows it is told.
    pub fn change_elsewhere(&self, changes: OwnedChanges) {
        let mut inner = self.0.inner();
        changes.apply_to(&mut inner.stored);
        let followed = Followed::Changed(inner.stored.clone());
        inner.tell(&followed);
    }

    /// What a shared store would tell of itself.
    pub fn tell(&self, followed: &Followed) {
        self.0.inner().tell(followed);
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(Stored::default())
    }
}

impl Drop for Latch {
    fn drop(&mut self) {
        self.0.held.send_replace(false);
    }
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(&self, changes: OwnedChanges) -> Result<(), StoreError> {
        let mut inner = self.inner();
        match &inner.fails {
            Some(Failure::Conflict) => Err(StoreError::Conflict),
            Some(Failure::Unavailable(reason)) => Err(StoreError::Unavailable {
                reason: reason.clone(),
            }),
            None => {
                changes.apply_to(&mut inner.stored);
                inner.commits += 1;
                Ok(())
            }
        }
    }
}

impl Inner {
    fn tell(&mut self, followed: &Followed) {
        self.followers
            .retain(|follower| follower.send(followed.clone()).is_ok());
    }
}

impl ResourceStore for MemoryStore {
    fn load(&self) -> Result<Stored, StoreError> {
        Ok(self.0.inner().stored.clone())
    }

    fn propose(&self, changes: OwnedChanges) -> BoxFuture<'static, Result<(), StoreError>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let mut held = shared.held.subscribe();
            // The sender lives as long as `shared` does.
            let _ = held.wait_for(|held| !held).await;
            shared.commit(changes)
        })
    }

    fn follow(&self) -> BoxStream<'static, Followed> {
        let (follower, told) = mpsc::unbounded_channel();
        self.0.inner().followers.push(follower);
        Box::pin(stream::unfold(told, async |mut told| {
            told.recv().await.map(|followed| (followed, told))
        }))
    }

    fn state(&self) -> StoreState {
        self.0.inner().state.clone()
    }

    fn id(&self) -> StoreId {
        self.0.id
    }
}
