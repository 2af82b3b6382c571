//! What is done beside the controller's loop, and comes back to it as a message.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::change::Prepared;
use super::history::KeepError;
use super::verify::Verified;
use crate::control::ControlError;
use crate::model::ResourcePath;
use crate::plan::contents::Contents;
use crate::plan::{BuiltTable, TableMark};
use crate::resources::StoreError;

/// A piece of work that is done.
pub(super) enum Done {
    /// A change was judged, and planned for.
    Prepared(Box<Result<Prepared, ControlError>>),
    /// The store holds a change, or does not.
    Stored(Result<(), StoreError>),
    /// The store holds again what it held before a change, or does not.
    Reverted(Result<(), StoreError>),
    /// The history holds a plan, or does not.
    Kept(Result<(), KeepError>),
    /// The tables that a service waits for.
    Built(ResourcePath, Vec<BuiltTable>),
    /// No packet reads tables that had been replaced by then; an error if nobody can tell.
    Unread(TableMark, std::io::Result<()>),
    /// What the maps hold.
    Held(Held),
    /// The same, because somebody asked.
    Verified(Box<Verified>),
}

pub(super) struct Held {
    /// How many times the maps had been written when reading began.
    pub(super) generation: u64,
    pub(super) contents: anyhow::Result<Contents>,
}

/// Starts work, and takes its results.
#[derive(Clone)]
pub(super) struct Work(mpsc::UnboundedSender<Done>);

impl Work {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Done>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    pub(super) fn wait(&self, done: impl Future<Output = Done> + Send + 'static) {
        let sender = self.0.clone();
        tokio::spawn(async move {
            // Nobody waits any more when the daemon stops.
            let _ = sender.send(done.await);
        });
    }

    /// For what takes the processor or blocks.
    pub(super) fn compute(&self, work: impl FnOnce() -> Done + Send + 'static) {
        let sender = self.0.clone();
        tokio::task::spawn_blocking(move || {
            let _ = sender.send(work());
        });
    }

    /// The same after a pause.
    pub(super) fn later(&self, pause: Duration, work: impl FnOnce() -> Done + Send + 'static) {
        let this = self.clone();
        tokio::spawn(async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            this.compute(work);
        });
    }

    pub(super) fn read(
        &self,
        reader: Arc<dyn Fn() -> anyhow::Result<Contents> + Send + Sync>,
        generation: u64,
    ) {
        self.compute(move || {
            Done::Held(Held {
                generation,
                contents: reader(),
            })
        });
    }
}
