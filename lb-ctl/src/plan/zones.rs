//! Client zones in the maps: their numbers and prefixes, and each service's tables for them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};
use lb_common::layout::ZoneTables;

use super::compile::{Inputs, Plan, PlanError, Space};
use super::contents::ZonePrefix;
use super::members::EndpointId;
use super::regions::Region;
use super::rules::prefix;
use super::selection::{Recipe, Shelf, Table};
use crate::model::{BackendService, ResourcePath};

/// Client prefixes by zone name, as the settings have them.
pub type ZonePrefixes = BTreeMap<String, BTreeSet<IpNet>>;

/// The zones of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ZonePlan {
    /// Where its selection words are, one for each zone number.
    pub(super) words: Option<Region>,
    /// By zone number; clients of other zones see the service's own table.
    pub(super) tables: BTreeMap<u32, Table>,
}

impl ZonePlan {
    /// The tables of `refined`, and room for the words of the zones up to `highest`. Another number of words is
    /// another place: packets see all of the old ones or all of the new ones.
    pub(super) fn next(
        mut self,
        refined: BTreeMap<u32, Recipe>,
        highest: u32,
        capacity: u32,
        shelf: &mut Shelf<'_>,
    ) -> Result<Self, PlanError> {
        let mut tables = BTreeMap::new();
        for (zone, recipe) in refined {
            if let Some(table) = shelf.table(self.tables.remove(&zone), recipe)? {
                tables.insert(zone, table);
            }
        }
        for table in std::mem::take(&mut self.tables).into_values() {
            shelf.retire(Some(table));
        }
        let words = match self.words {
            Some(words) if words.size == highest => Some(words),
            old => {
                let new = (highest > 0).then(|| shelf.space.zone_words.take(highest, capacity));
                shelf.space.retire_zone_words(old, shelf.now);
                match new {
                    Some(None) => return Err(PlanError::ZoneTables(capacity)),
                    new => new.flatten(),
                }
            }
        };
        Ok(Self { words, tables })
    }

    pub(super) fn place(&self) -> ZoneTables {
        ZoneTables {
            first: self.words.map_or(0, |words| words.offset),
            count: self.words.map_or(0, |words| words.size),
        }
    }

    pub(super) fn words(&self) -> Vec<u64> {
        let word = |zone| {
            let table = self.tables.get(&zone);
            table.map_or(0, |table| table.selection().to_word())
        };
        (1..=self.place().count).map(word).collect()
    }

    pub(super) fn tables(&self) -> BTreeMap<u32, Arc<[u32]>> {
        let tables = self.tables.values();
        tables
            .map(|table| (table.region.offset, table.slots.clone()))
            .collect()
    }

    /// Everything is given back, after the grace time.
    pub(super) fn retire(&self, space: &mut Space, now: u32) {
        space.retire(self.tables.values().map(|table| table.region), now);
        space.retire_zone_words(self.words, now);
    }
}

impl Inputs<'_> {
    /// The zone that an endpoint is in: its group's.
    pub(super) fn zone_of(&self, endpoint: &EndpointId) -> Option<&str> {
        let group = self.config.groups.get(&endpoint.group)?;
        Some(group.zone.as_str())
    }

    /// The zones that a service tells apart: they hold a configured backend, and clients are known to be there.
    fn zones_in_use<'a>(&'a self, service: &'a BackendService) -> impl Iterator<Item = &'a str> {
        let groups: BTreeSet<&ResourcePath> = match service.zonal_affinity {
            Some(_) => service.backends.iter().map(|backend| &backend.group).collect(),
            None => BTreeSet::new(),
        };
        let groups = groups.into_iter().filter_map(|path| self.config.groups.get(path));
        let zones: BTreeSet<&str> = groups
            .filter(|group| !group.endpoints.is_empty())
            .map(|group| group.zone.as_str())
            .collect();
        zones.into_iter().filter(|zone| self.has_clients(zone))
    }

    fn has_clients(&self, zone: &str) -> bool {
        self.zones.get(zone).is_some_and(|prefixes| !prefixes.is_empty())
    }
}

impl Space {
    /// Names and numbers of the zones that a service tells apart.
    pub(super) fn zones_of<'a>(
        &self,
        inputs: &'a Inputs<'_>,
        service: &'a BackendService,
    ) -> impl Iterator<Item = (&'a str, u32)> {
        let numbers = self.zone_numbers.clone();
        inputs
            .zones_in_use(service)
            .filter_map(move |zone| Some((zone, *numbers.get(zone)?)))
    }
}

impl Plan {
    /// Zones in use get numbers, which they keep for as long as the settings know them.
    pub(super) fn number_zones(&mut self, inputs: &Inputs<'_>) {
        let services = inputs.config.services.values();
        for zone in services.flat_map(|service| inputs.zones_in_use(service)) {
            if !self.space.zone_numbers.contains_key(zone) {
                let number = self.space.free_zones.take(u32::MAX).unwrap_or(0);
                Arc::make_mut(&mut self.space.zone_numbers).insert(zone.to_owned(), number);
            }
        }
    }

    /// The prefixes of the zones in use. A number that is given back is given away by a later plan only: while the
    /// maps change, it must not mean another zone.
    pub(super) fn compile_zones(&mut self, inputs: &Inputs<'_>) -> Result<(), PlanError> {
        let services = inputs.config.services.values();
        let in_use: BTreeSet<&str> = services
            .flat_map(|service| inputs.zones_in_use(service))
            .collect();
        let mut prefixes = BTreeMap::new();
        for zone in in_use {
            let number = self.space.zone_numbers.get(zone).copied().unwrap_or(0);
            let nets = inputs.zones.get(zone).into_iter().flatten();
            prefixes.extend(nets.map(|net| (prefix(net), number)));
        }
        keep_families_apart(&mut prefixes);
        if prefixes.len() as u64 > u64::from(inputs.limits.zone_prefixes) {
            return Err(PlanError::ZonePrefixes(inputs.limits.zone_prefixes));
        }
        if *self.contents.zones != prefixes {
            self.contents.zones = Arc::new(prefixes);
        }
        self.forget_zones(inputs);
        Ok(())
    }

    fn forget_zones(&mut self, inputs: &Inputs<'_>) {
        let free = &mut self.space.free_zones;
        for number in std::mem::take(&mut self.unclaimed.zones) {
            free.release(number);
        }
        let is_gone = |zone: &String| !inputs.has_clients(zone);
        let gone: Vec<String> = self
            .space
            .zone_numbers
            .keys()
            .filter(|zone| is_gone(zone))
            .cloned()
            .collect();
        for zone in gone {
            if let Some(number) = Arc::make_mut(&mut self.space.zone_numbers).remove(&zone) {
                free.release(number);
            }
        }
    }
}

/// IPv4 clients are looked up as IPv4-mapped IPv6 addresses: a short IPv6 prefix such as `::/0` must not take them.
fn keep_families_apart(prefixes: &mut BTreeMap<ZonePrefix, u32>) {
    let (every_ipv4, bits) = prefix(&Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0).into());
    let covers = |(key, length): &ZonePrefix| *length < bits && *key == truncated(every_ipv4, *length);
    if prefixes.keys().any(covers) {
        prefixes.entry((every_ipv4, bits)).or_insert(0);
    }
}

fn truncated(key: [u32; 4], bits: u32) -> [u32; 4] {
    std::array::from_fn(|word| {
        let kept = bits.saturating_sub(32 * word as u32).min(32);
        let mask = u32::MAX.checked_shl(32 - kept).unwrap_or(0);
        key[word] & mask.to_be()
    })
}

#[cfg(test)]
mod tests;
