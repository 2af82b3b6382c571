//! What `status` tells of the store, and of what was found in it.

use std::collections::BTreeMap;

use super::Controller;
use super::change::Prepared;
use super::troubles::Subject;
use crate::model::ResourcePath;
use crate::resources::{Fault, StoreState};

/// What was found in the store and has no effect.
#[derive(Debug, Default)]
pub(super) struct StoredFaults {
    faults: Vec<Fault>,
    /// Rows that can't be read, and why.
    unreadable: BTreeMap<ResourcePath, String>,
}

impl StoredFaults {
    pub(super) fn new(faults: Vec<Fault>, unreadable: BTreeMap<ResourcePath, String>) -> Self {
        Self { faults, unreadable }
    }

    /// What the change has put right: what is planned is judged as a whole.
    fn mend(&mut self, change: &Prepared) {
        if change.config.is_some() {
            self.faults.clear();
        }
        for (path, _) in &change.changes.resources {
            self.unreadable.remove(path);
        }
    }

    fn text(&self) -> Option<String> {
        let faults = self.faults.iter().map(ToString::to_string);
        let unreadable = self.unreadable.iter();
        let unreadable = unreadable.map(|(path, why)| format!("stored: {path}: can't be read: {why}"));
        let all: Vec<String> = faults.chain(unreadable).collect();
        (!all.is_empty()).then(|| {
            format!(
                "stored, but without effect until it is put right: {}",
                all.join("; ")
            )
        })
    }
}

impl Controller {
    /// Of a store that can't be written while nobody asks it to, too.
    pub(super) fn look_at_store(&mut self) {
        match self.store.state() {
            StoreState::Available => self.troubles.clear(&Subject::Store),
            StoreState::Unavailable { reason, .. } => self
                .troubles
                .set(Subject::Store, format!("no change can be kept: {reason}")),
        }
        match self.stored_faults.text() {
            Some(text) => self.troubles.set(Subject::Stored, text),
            None => self.troubles.clear(&Subject::Stored),
        }
    }

    pub(super) fn is_stored(&mut self, change: &Prepared) {
        self.stored_faults.mend(change);
        self.look_at_store();
    }
}
