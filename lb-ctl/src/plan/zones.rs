//! Client zones in the maps: their numbers and prefixes, and each service's tables for them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};
use lb_common::layout::ZoneTables;

use super::compile::{Inputs, Plan, Space};
use super::contents::ZonePrefix;
use super::limits::LeftOut;
use super::members::EndpointId;
use super::regions::Region;
use super::rules::prefix;
use super::service::ServicePlan;
use crate::model::{BackendService, ResourcePath, zones_in_use};

/// Client prefixes by zone name, as the settings have them.
pub type ZonePrefixes = BTreeMap<String, BTreeSet<IpNet>>;

impl ServicePlan {
    /// Where the selections of zones are.
    pub(super) fn zone_place(&self) -> ZoneTables {
        ZoneTables {
            first: self.zone_words.map_or(0, |words| words.offset),
            count: self.zone_words.map_or(0, |words| words.size),
        }
    }

    /// The selections of the clients in zone 1, 2, …
    pub(super) fn zone_selections(&self) -> Vec<u64> {
        let word = |zone| {
            let table = self.tables.zones.get(&zone);
            table.map_or(0, |table| table.selection().to_word())
        };
        (1..=self.zone_place().count).map(word).collect()
    }

    pub(super) fn zone_tables(&self) -> BTreeMap<u32, Arc<[u32]>> {
        let tables = self.tables.zones.values();
        tables
            .map(|table| (table.region.offset, table.slots.clone()))
            .collect()
    }
}

impl Space {
    /// Room for the selections of the zones up to `highest`; nothing when there is none. Another number of words is
    /// another place: packets see all of the old ones or all of the new ones.
    pub(super) fn zone_words(
        &mut self,
        present: Option<Region>,
        highest: u32,
        capacity: u32,
        now: u32,
    ) -> Option<Region> {
        if let Some(words) = present.filter(|words| words.size == highest) {
            return Some(words);
        }
        let new = (highest > 0)
            .then(|| self.zone_words.take(highest, capacity))
            .flatten();
        self.retire_zone_words(present, now);
        new
    }
}

impl Inputs<'_> {
    /// The zone that an endpoint is in: its group's.
    pub(super) fn zone_of(&self, endpoint: &EndpointId) -> Option<&str> {
        let group = self.config.groups.get(&endpoint.group)?;
        Some(group.zone.as_str())
    }

    fn zones_in_use<'a>(&'a self, service: &'a BackendService) -> impl Iterator<Item = &'a str> {
        zones_in_use(self.config, service, |zone| self.has_clients(zone))
    }

    pub(super) fn has_clients(&self, zone: &str) -> bool {
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

    /// The prefixes of the zones in use; those of a zone that don't fit are left out. A number that is given back is
    /// given away by a later plan only: while the maps change, it must not mean another zone.
    pub(super) fn compile_zones(&mut self, inputs: &Inputs<'_>) -> Vec<LeftOut> {
        let mut left_out = Vec::new();
        let mut users: BTreeMap<&str, Vec<&ResourcePath>> = BTreeMap::new();
        for service in inputs.config.services.values() {
            for zone in inputs.zones_in_use(service) {
                users.entry(zone).or_default().push(&service.path);
            }
        }
        let mut prefixes = BTreeMap::new();
        for (zone, services) in users {
            let number = self.space.zone_numbers.get(zone).copied().unwrap_or(0);
            let nets = inputs.zones.get(zone).into_iter().flatten();
            let mut with_zone = prefixes.clone();
            with_zone.extend(nets.map(|net| (prefix(net), number)));
            let mut all = with_zone.clone();
            keep_families_apart(&mut all);
            match all.len() as u64 <= u64::from(inputs.limits.zone_prefixes) {
                true => prefixes = with_zone,
                false => left_out.push(LeftOut::new(
                    services.into_iter().cloned(),
                    format!(
                        "its zone {zone} is not told apart: more than {} client prefixes of zones (`[zones]`) don't fit \
                         the data plane",
                        inputs.limits.zone_prefixes
                    ),
                )),
            }
        }
        keep_families_apart(&mut prefixes);
        if *self.contents.zones != prefixes {
            self.contents.zones = Arc::new(prefixes);
        }
        self.forget_zones(inputs);
        left_out
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
