//! What is stored may have been right for an older version, or was edited: what is right of it has an effect.

use std::collections::BTreeSet;

use super::fault::Fault;
use super::set::Resources;
use super::tables::TableRoom;
use crate::model::{Config, ResourcePath};

impl Resources {
    /// The model of everything that is right, and every fault of the rest. What refers to something wrong is wrong, too.
    pub fn config_leniently(&self, room: &TableRoom) -> (Config, Vec<Fault>) {
        let mut right = self.clone();
        let mut faults = Vec::new();
        loop {
            let found = match right.config_within(room) {
                Ok((config, _)) => return (config, faults),
                Err(found) => found,
            };
            let named = found.iter().filter_map(|fault| fault.resource.as_ref());
            let wrong: BTreeSet<ResourcePath> =
                named.filter(|path| right.get(path).is_some()).cloned().collect();
            faults.extend(found);
            if wrong.is_empty() {
                return (Config::default(), faults);
            }
            right = right.without(&wrong);
        }
    }
}
