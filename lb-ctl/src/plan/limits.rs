//! How much fits the maps, and what becomes of what does not.

use lb_common::layout::size;
use thiserror::Error;

use super::compile::Plan;
use super::service::ServiceKey;
use crate::dataplane::Sizes;
use crate::model::ResourcePath;

/// How much fits the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub services: u32,
    pub members: u32,
    pub backends: u32,
    pub table_slots: u32,
    /// Slots that no table may take for good: successors are made of them.
    pub table_reserve: u32,
    /// Zones of all services with zonal affinity together.
    pub zone_tables: u32,
    pub zone_prefixes: u32,
    /// Blocks of ports of all rules together.
    pub rules: u32,
    pub vips: u32,
    /// Source ranges of all steering rules together.
    pub steering: u32,
    /// Interfaces that packets leave by.
    pub devices: u32,
    /// Ways on which health probes are delivered.
    pub probes: u32,
}

impl From<&Sizes> for Limits {
    fn from(sizes: &Sizes) -> Self {
        Self {
            services: sizes.services,
            members: sizes.members,
            backends: sizes.backends,
            table_slots: sizes.table_slots,
            table_reserve: Self::usual_reserve(sizes.table_slots),
            zone_tables: sizes.zone_tables,
            zone_prefixes: sizes.zone_prefixes,
            rules: size::RULES,
            vips: size::VIPS,
            steering: size::STEERING,
            devices: size::DEVICES,
            probes: sizes.members,
        }
    }
}

impl Limits {
    /// A quarter of the slots of all tables; of very few so many that the smallest table has a successor.
    pub fn usual_reserve(table_slots: u32) -> u32 {
        let smallest = lb_common::rendezvous::SIZES[0];
        (table_slots / 4).max(smallest.min(table_slots / 2))
    }
}

/// A resource of which something does not fit the maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The resource, or those that only together don't fit; first the one that says most.
    pub resources: Vec<ResourcePath>,
    /// A clause: what does not fit where.
    pub reason: String,
}

impl LeftOut {
    pub(super) fn new(resources: impl IntoIterator<Item = ResourcePath>, reason: String) -> Self {
        Self {
            resources: resources.into_iter().collect(),
            reason,
        }
    }
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.resources.first() {
            Some(resource) => write!(f, "{resource}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

/// What a change would leave out.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{}", summary(.0))]
pub struct PlanError(pub Vec<LeftOut>);

fn summary(left_out: &[LeftOut]) -> String {
    let all: Vec<String> = left_out.iter().map(LeftOut::to_string).collect();
    all.join("; ")
}

impl Plan {
    /// What of the configuration is not in force, because it does not fit the maps.
    pub fn left_out(&self) -> impl Iterator<Item = &LeftOut> {
        self.left_out_services
            .values()
            .flatten()
            .chain(&self.left_out_rules)
    }

    pub(super) fn set_left_out(&mut self, key: &ServiceKey, left_out: Vec<LeftOut>) {
        match left_out.is_empty() {
            true => drop(self.left_out_services.remove(key)),
            false => drop(self.left_out_services.insert(key.clone(), left_out)),
        }
    }

    /// An error if something is left out that was not before.
    pub(super) fn check_fit(&self, previous: &Self) -> Result<(), PlanError> {
        let known: Vec<&Vec<ResourcePath>> =
            previous.left_out().map(|left_out| &left_out.resources).collect();
        let new = self
            .left_out()
            .filter(|left_out| !known.contains(&&left_out.resources));
        let new: Vec<LeftOut> = new.cloned().collect();
        match new.is_empty() {
            true => Ok(()),
            false => Err(PlanError(new)),
        }
    }
}
