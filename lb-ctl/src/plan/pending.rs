//! Tables that are not there yet: what a service waits for while it goes on with the plan that it has.
//!
//! `compile` builds what is cheap and asks for the rest: whoever runs the builds hands the results in with the next
//! inputs. A service that waits is planned as before, as a whole; one that is new is not planned at all, so that no
//! rule leads to it yet.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use lb_common::layout::Pool;

use super::compile::Plan;
use super::members::EndpointId;
use super::recipe::{BuiltTable, Made, Recipe, TableBuild};
use super::service::ServiceKey;

/// What a service waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Pending {
    /// Tables that somebody has to build.
    Build(Vec<TableBuild>),
    /// Room for tables: until packets can't read those any more that were replaced last.
    Space { slots: u32 },
}

/// Which tables a service wants.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Wanted {
    /// The pool that they are of.
    pub(super) pool: Option<Pool>,
    pub(super) own: Option<Arc<Recipe>>,
    /// By zone number.
    pub(super) zones: BTreeMap<u32, Arc<Recipe>>,
}

impl Wanted {
    pub(super) fn recipes(&self) -> impl Iterator<Item = &Arc<Recipe>> {
        self.own.iter().chain(self.zones.values())
    }
}

/// A service that waits: what for, and what is its own already.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Waiting {
    pub(super) pending: Pending,
    pub(super) wanted: Arc<Wanted>,
    /// Numbers of endpoints that the maps do not have yet: tables that are being built name them.
    pub(super) members: BTreeMap<EndpointId, u32>,
    /// That of the service itself, if the maps do not have it yet.
    pub(super) number: Option<u32>,
}

/// Tables that were built and are not in use yet.
#[derive(Clone, Debug, Default)]
pub struct BuiltTables(HashMap<Arc<Recipe>, Arc<[u32]>>);

impl BuiltTables {
    pub fn insert(&mut self, built: BuiltTable) {
        let BuiltTable(Made { recipe, slots }) = built;
        self.0.insert(recipe, slots);
    }

    /// Forgets what nobody waits for any more.
    pub fn retain_wanted(&mut self, plan: &Plan) {
        if self.0.is_empty() {
            return;
        }
        let wanted: std::collections::HashSet<&Arc<Recipe>> = plan
            .waiting
            .values()
            .flat_map(|waiting| waiting.wanted.recipes())
            .collect();
        self.0.retain(|recipe, _| wanted.contains(recipe));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, recipe: &Arc<Recipe>) -> Option<Made> {
        let (recipe, slots) = self.0.get_key_value(recipe)?;
        Some(Made {
            recipe: recipe.clone(),
            slots: slots.clone(),
        })
    }
}

impl Plan {
    /// Services that wait, and for what.
    pub fn pending(&self) -> impl Iterator<Item = (&ServiceKey, &Pending)> {
        self.waiting.iter().map(|(key, waiting)| (key, &waiting.pending))
    }

    /// The builds that services wait for.
    pub fn builds(&self) -> impl Iterator<Item = (&ServiceKey, &TableBuild)> {
        self.pending().flat_map(|(key, pending)| {
            let builds = match pending {
                Pending::Build(builds) => builds.as_slice(),
                Pending::Space { .. } => &[],
            };
            builds.iter().map(move |build| (key, build))
        })
    }

    /// What waits for room.
    pub(super) fn waits_for_space(&self) -> Vec<ServiceKey> {
        let waiting = self
            .pending()
            .filter(|(_, pending)| matches!(pending, Pending::Space { .. }));
        waiting.map(|(key, _)| key.clone()).collect()
    }

    /// Takes `waiting` up in the place of what the service waited for. Numbers that it has no use for any more never
    /// were in the maps.
    pub(super) fn set_waiting(&mut self, key: &ServiceKey, waiting: Option<Waiting>, in_use: &[u32]) {
        let before = match waiting {
            Some(waiting) => {
                let numbers = waiting.members.values().copied();
                numbers.for_each(|number| self.space.members.reserve(number));
                self.waiting.insert(key.clone(), waiting)
            }
            None => self.waiting.remove(key),
        };
        let Some(before) = before else { return };
        let after = self.waiting.get(key);
        let is_kept = |number: &u32| {
            in_use.contains(number)
                || after.is_some_and(|after| after.members.values().any(|other| other == number))
        };
        for number in before.members.values().filter(|number| !is_kept(number)) {
            self.space.members.release(*number);
        }
    }

    /// Nothing leads to the service any more.
    pub(super) fn stop_waiting(&mut self, key: &ServiceKey) {
        let number = self.waiting.get(key).and_then(|waiting| waiting.number);
        self.set_waiting(key, None, &[]);
        if let Some(number) = number {
            self.space.services.release(number);
        }
    }
}
