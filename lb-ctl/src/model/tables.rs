//! Sizes of selection tables: a property of a service, which nothing but its owner changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lb_common::maglev;
use lb_common::rendezvous::{SIZES, SLOTS_EACH};
use serde::{Deserialize, Serialize};

use super::{BackendService, Config, ResourcePath};

/// How many slots each selection table of a service has: 4,096, 16,384, 65,536 or 1,048,576. Maglev takes the prime that
/// belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSlots {
    pub slots: u32,
    /// Tables of a zone that were made with another size before sizes were kept. They keep it, because another size
    /// moves nearly every flow.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub zones: BTreeMap<String, u32>,
}

/// The size of tables by default.
pub const DEFAULT_SLOTS: u32 = SIZES[2];

impl Default for TableSlots {
    fn default() -> Self {
        Self::all(DEFAULT_SLOTS)
    }
}

impl TableSlots {
    pub fn all(slots: u32) -> Self {
        Self {
            slots,
            zones: BTreeMap::new(),
        }
    }

    pub fn of_zone(&self, zone: &str) -> u32 {
        self.zones.get(zone).copied().unwrap_or(self.slots)
    }

    /// As sizes followed the number of endpoints before they were kept.
    pub fn by_count(config: &Config, service: &BackendService) -> Self {
        let slots = size_by_count(larger_pool(config, service, |_| true));
        let zones: BTreeSet<&str> = match service.zonal_affinity {
            Some(_) => groups(config, service)
                .map(|(_, group)| group.zone.as_str())
                .collect(),
            None => BTreeSet::new(),
        };
        let size = |zone: &str| size_by_count(larger_pool(config, service, |other| other == zone));
        let sizes = zones.into_iter().map(|zone| (zone.to_owned(), size(zone)));
        Self {
            slots,
            zones: sizes.filter(|(_, size)| *size != slots).collect(),
        }
    }

    /// What is known of tables that exist, by zone and for the service's own, in the place of what is assumed.
    pub fn with_held(mut self, held: &HeldSizes) -> Self {
        if let Some(slots) = held.own {
            self.slots = slots;
            // Zones without a size of their own had the service's by coincidence.
            let changed = self.zones.iter().filter(|(_, size)| **size != slots);
            self.zones = changed.map(|(zone, size)| (zone.clone(), *size)).collect();
        }
        for (zone, size) in &held.zones {
            match *size == self.slots {
                true => drop(self.zones.remove(zone)),
                false => drop(self.zones.insert(zone.clone(), *size)),
            }
        }
        self
    }
}

/// Sizes of the tables that a service has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldSizes {
    pub own: Option<u32>,
    pub zones: BTreeMap<String, u32>,
}

/// The size that a table of so many slots was made with.
pub fn size_of_table(slots: u32) -> Option<u32> {
    SIZES
        .into_iter()
        .find(|size| *size == slots || maglev::prime_for(*size) == slots)
}

/// The slots that a table takes up in the array of all, by its size: of those of one size that Maglev and rendezvous
/// take, the larger, and made of whole smaller ones.
pub const TABLE_CELLS: [u32; 4] = [SIZES[0], SIZES[1], 65_538, 16 * 65_538];

fn space_of(slots: u32) -> u32 {
    let class = SIZES.iter().position(|size| *size >= slots);
    TABLE_CELLS[class.unwrap_or(3)]
}

fn size_by_count(endpoints: usize) -> u32 {
    let wanted = endpoints.saturating_mul(SLOTS_EACH as usize);
    let fits = SIZES.into_iter().find(|size| *size as usize >= wanted);
    fits.unwrap_or(SIZES[3])
}

fn groups<'a>(
    config: &'a Config,
    service: &'a BackendService,
) -> impl Iterator<Item = (&'a super::Backend, &'a super::Group)> {
    let backends = service.backends.iter();
    backends.filter_map(|backend| Some((backend, config.groups.get(&backend.group)?)))
}

/// Endpoints that the larger pool of a service has, in the zones that are meant.
pub fn larger_pool(config: &Config, service: &BackendService, is_meant: impl Fn(&str) -> bool) -> usize {
    let of_pool = |failover: bool| -> usize {
        groups(config, service)
            .filter(|(backend, group)| backend.failover == failover && is_meant(&group.zone))
            .map(|(_, group)| group.endpoints.len())
            .sum()
    };
    of_pool(false).max(of_pool(true))
}

/// The zones that a service tells apart: they hold a configured backend, and clients are known to be there.
pub fn zones_in_use<'a>(
    config: &'a Config,
    service: &'a BackendService,
    has_clients: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = &'a str> {
    let zones: BTreeSet<&str> = match service.zonal_affinity {
        Some(_) => groups(config, service)
            .filter(|(_, group)| !group.endpoints.is_empty())
            .map(|(_, group)| group.zone.as_str())
            .collect(),
        None => BTreeSet::new(),
    };
    zones.into_iter().filter(move |zone| has_clients(zone))
}

/// The tables of a service, as far as its resources tell: what it takes up, whatever its health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableDemand {
    /// For each address family that some rule leads to it in, one and one for each zone; one if there is no rule yet.
    pub tables: u32,
    /// Slots of all of them.
    pub slots: u64,
    /// Slots of those of one family, which change together.
    pub at_once: u64,
}

impl Config {
    /// What the tables of every service take up.
    pub fn table_demand(&self, has_clients: impl Fn(&str) -> bool) -> BTreeMap<&ResourcePath, TableDemand> {
        let mut families: BTreeMap<&ResourcePath, [bool; 2]> = BTreeMap::new();
        for rule in self.rules.values() {
            let family = match rule.vip.address {
                IpAddr::V4(_) => 0,
                IpAddr::V6(_) => 1,
            };
            families.entry(&rule.service).or_default()[family] = true;
        }
        let demand = |service: &BackendService| {
            let families = families.get(&service.path).copied().unwrap_or_default();
            let families = families.into_iter().filter(|in_use| *in_use).count().max(1) as u32;
            let space = |slots| u64::from(space_of(slots));
            let zones: Vec<u64> = zones_in_use(self, service, &has_clients)
                .map(|zone| space(service.table_slots.of_zone(zone)))
                .collect();
            let at_once = space(service.table_slots.slots) + zones.iter().sum::<u64>();
            TableDemand {
                tables: families * (1 + zones.len() as u32),
                slots: u64::from(families) * at_once,
                at_once,
            }
        };
        let services = self.services.iter();
        services.map(|(path, service)| (path, demand(service))).collect()
    }
}
