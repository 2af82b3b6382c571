//! What the maps hold and the saved history does not know, because it was lost, or the daemon died between the two.
//!
//! Packets and entries may still use it, so it is not overwritten: services and members end, and their numbers and
//! table space wait as if they had just been removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lb_common::flow::MAX_IDLE_SECONDS;
use lb_common::layout::Service;

use super::compile::Plan;
use super::contents::{Contents, ServiceContents};
use super::members::EndedMember;
use super::regions::Region;
use super::removed::RemovedService;
use super::service::ServicePlan;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Unclaimed {
    /// Services that the history does not name.
    services: BTreeMap<u32, Arc<ServiceContents>>,
    /// Members that the history does not name, by their service, which it names.
    members: BTreeMap<u32, Vec<u32>>,
    regions: Vec<Region>,
    zone_words: Vec<Region>,
    pub(super) steering: BTreeSet<u32>,
    pub(super) zones: BTreeSet<u32>,
}

impl Plan {
    /// Finds what `actual` holds beyond the adopted history, and reserves it.
    pub fn reserve_unclaimed(&mut self, actual: &Contents) {
        let known = self.known_members();
        let mut unclaimed = Unclaimed::default();
        for (number, held) in &actual.services {
            if !self.contents.services.contains_key(number) {
                self.space.services.reserve(*number);
                unclaimed.services.insert(*number, held.clone());
            }
            let strangers: Vec<u32> = held
                .members
                .keys()
                .copied()
                .filter(|member| !known.contains(member))
                .collect();
            strangers
                .iter()
                .for_each(|member| self.space.members.reserve(*member));
            unclaimed.members.insert(*number, strangers);
        }
        unclaimed.regions = self.strange_regions(actual);
        for region in &unclaimed.regions {
            self.space.regions.mark(*region);
        }
        unclaimed.zone_words = self.strange_zone_words(actual);
        for region in &unclaimed.zone_words {
            self.space.zone_words.mark(*region);
        }
        let known_zones: BTreeSet<u32> = self.space.zone_numbers.values().copied().collect();
        let zones = actual.zones.values().copied().filter(|zone| *zone != 0);
        unclaimed.zones = zones.filter(|zone| !known_zones.contains(zone)).collect();
        unclaimed
            .zones
            .iter()
            .for_each(|zone| self.space.free_zones.reserve(*zone));
        let sets = actual.rules.steering.keys().map(|(key, _)| key.steering);
        let known_sets: BTreeSet<u32> = self.steering.values().copied().collect();
        unclaimed.steering = sets.filter(|set| !known_sets.contains(set)).collect();
        unclaimed
            .steering
            .iter()
            .for_each(|set| self.space.steering.reserve(*set));
        self.unclaimed = unclaimed;
    }

    /// The first compilation knows the time: from now on what is unclaimed is what was removed now. Steering sets and
    /// zones stay reserved until the rules and the prefixes are compiled.
    pub(super) fn end_unclaimed(&mut self, now: u32) {
        let services = std::mem::take(&mut self.unclaimed.services);
        let mut members = std::mem::take(&mut self.unclaimed.members);
        for (number, held) in services {
            let strangers = members.remove(&number).unwrap_or_default();
            let removed = ended_service(number, held.record, &strangers, now);
            self.put_contents(number, removed.contents.clone(), now);
            self.removed.push(Arc::new(removed));
        }
        for service in self.services.clone().values() {
            let strangers = members.remove(&service.number).unwrap_or_default();
            if !strangers.is_empty() {
                self.end_strangers(service.number, &strangers, now);
            }
        }
        let regions = std::mem::take(&mut self.unclaimed.regions);
        for region in regions {
            self.space.retired.add(0, region, now);
        }
        let words = std::mem::take(&mut self.unclaimed.zone_words);
        self.space.retire_zone_words(words, now);
    }

    /// Members of a service that its history does not know.
    fn end_strangers(&mut self, service: u32, strangers: &[u32], now: u32) {
        let found = self.services.iter().find(|(_, plan)| plan.number == service);
        let Some((key, plan)) = found.map(|(key, plan)| (key.clone(), plan.clone())) else {
            return;
        };
        let mut next = ServicePlan::clone(&plan);
        next.ended
            .extend(strangers.iter().map(|member| plan.end(*member, now)));
        self.services.insert(key, Arc::new(next));
    }

    fn known_members(&self) -> BTreeSet<u32> {
        let mut known = BTreeSet::new();
        for service in self.services.values() {
            known.extend(service.members.values().map(|member| member.number));
            known.extend(service.ended.iter().map(|member| member.number));
        }
        let removed = self.removed.iter().flat_map(|service| &service.members);
        known.extend(removed.map(|member| member.number));
        known
    }

    /// Tables in force that no adopted service has.
    fn strange_regions(&self, actual: &Contents) -> Vec<Region> {
        let tables = self.services.values().flat_map(|service| service.tables.iter());
        let known: BTreeSet<u32> = tables.map(|table| table.region.offset).collect();
        let held = actual.services.values().flat_map(|held| {
            let own = held.table.iter().map(|(offset, slots)| (offset, slots));
            own.chain(&held.zone_tables)
        });
        held.filter(|(offset, _)| !known.contains(offset))
            .map(|(offset, slots)| Region {
                offset: *offset,
                size: slots.len() as u32,
            })
            .collect()
    }

    /// Zone selections in force that no adopted service has.
    fn strange_zone_words(&self, actual: &Contents) -> Vec<Region> {
        let words = self.services.values().filter_map(|service| service.zone_words);
        let known: BTreeSet<u32> = words.map(|words| words.offset).collect();
        let held = actual.services.values().map(|held| held.record.zones());
        held.filter(|zones| zones.count > 0 && !known.contains(&zones.first))
            .map(|zones| Region {
                offset: zones.first,
                size: zones.count,
            })
            .collect()
    }
}

fn ended_service(number: u32, record: Service, members: &[u32], now: u32) -> RemovedService {
    let policy = record.policy();
    let idle_seconds = if policy.in_use() {
        policy.idle_seconds()
    } else {
        MAX_IDLE_SECONDS
    };
    let ended = |member: &u32| EndedMember::new(*member, now, idle_seconds);
    let members: Vec<_> = members.iter().map(ended).collect();
    let free_at = EndedMember::new(0, now, idle_seconds).free_at;
    RemovedService::new(number, record, members, free_at)
}
