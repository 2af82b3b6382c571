//! What selection tables take up, and how large those are that exist.

use std::collections::BTreeMap;

use super::compile::Plan;
use super::limits::Limits;
use super::service::IpFamily;
use super::{Pending, ServiceKey};
use crate::model::{HeldSizes, ResourcePath, size_of_table};

/// Slots of all selection tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSpace {
    pub slots: u64,
    /// Those that successors are made of.
    pub reserve: u64,
    /// Of tables in force.
    pub in_use: u64,
    /// Of former ones, which packets may still read.
    pub retired: u64,
    /// What services wait for.
    pub wanted: u64,
}

impl Plan {
    pub fn table_space(&self, limits: &Limits) -> TableSpace {
        let slots = u64::from(limits.table_slots);
        let retired = self.space.retired.slots();
        let wanted = self.pending().map(|(_, pending)| match pending {
            Pending::Space { slots } => u64::from(*slots),
            Pending::Build(_) => 0,
        });
        TableSpace {
            slots,
            reserve: limits.table_reserve.into(),
            in_use: slots.saturating_sub(self.space.regions.free(limits.table_slots) + retired),
            retired,
            wanted: wanted.sum(),
        }
    }

    /// The sizes of the tables that a service has. Those of its families never differed.
    pub fn held_sizes(&self, service: &ResourcePath) -> HeldSizes {
        let names: BTreeMap<u32, &String> = self
            .space
            .zone_numbers
            .iter()
            .map(|(zone, number)| (*number, zone))
            .collect();
        let mut held = HeldSizes::default();
        for family in [IpFamily::V4, IpFamily::V6] {
            let service = service.clone();
            let Some(plan) = self.services.get(&ServiceKey { service, family }) else {
                continue;
            };
            let own = plan.tables.own.as_ref();
            held.own = held.own.or_else(|| size_of_table(own?.region.size));
            for (number, table) in &plan.tables.zones {
                if let (Some(zone), Some(size)) = (names.get(number), size_of_table(table.region.size)) {
                    held.zones.entry((*zone).clone()).or_insert(size);
                }
            }
        }
        held
    }
}
