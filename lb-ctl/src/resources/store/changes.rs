//! What differs between two states of a store.

use std::collections::BTreeMap;

use super::{Owners, Stored};
use crate::model::ResourcePath;
use crate::resources::set::{Resource, Resources};

/// A value that is absent is removed. It owns what it says, so that it can be written while everything else goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnedChanges {
    pub resources: Vec<(ResourcePath, Option<Resource>)>,
    pub owners: Vec<(ResourcePath, Option<String>)>,
}

impl OwnedChanges {
    pub fn between(before: (&Resources, &Owners), after: (&Resources, &Owners)) -> Self {
        Self {
            resources: differences(&before.0.all, &after.0.all),
            owners: differences(before.1, after.1),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.owners.is_empty()
    }

    pub(super) fn apply_to(self, stored: &mut Stored) {
        put(&mut stored.resources.all, self.resources);
        put(&mut stored.owners, self.owners);
    }
}

fn differences<V: Clone + PartialEq>(
    before: &BTreeMap<ResourcePath, V>,
    after: &BTreeMap<ResourcePath, V>,
) -> Vec<(ResourcePath, Option<V>)> {
    let gone = before.keys().filter(|path| !after.contains_key(path));
    let gone = gone.map(|path| (path.clone(), None));
    let put = after
        .iter()
        .filter(|(path, value)| before.get(path) != Some(value));
    gone.chain(put.map(|(path, value)| (path.clone(), Some(value.clone()))))
        .collect()
}

fn put<V>(map: &mut BTreeMap<ResourcePath, V>, changes: Vec<(ResourcePath, Option<V>)>) {
    for (path, value) in changes {
        match value {
            Some(value) => drop(map.insert(path, value)),
            None => drop(map.remove(&path)),
        }
    }
}
