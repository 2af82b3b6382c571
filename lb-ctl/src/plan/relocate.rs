//! Room for a table where there is enough of it, but in pieces: smaller tables are moved out of the way.
//!
//! A table that is moved is written elsewhere first, like any other that replaces one. What it leaves is kept for whom
//! it was moved, until no packet reads it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::compile::Plan;
use super::limits::Limits;
use super::regions::{Region, Regions};
use super::retired::TableMark;
use super::service::{ServiceKey, ServicePlan};

/// Places that are kept for the tables of one service.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Promise {
    key: ServiceKey,
    regions: Vec<Region>,
    /// When those are unread that were replaced before this.
    unread: TableMark,
}

/// A table that is in force.
#[derive(Clone)]
struct Occupant {
    region: Region,
    key: ServiceKey,
    /// Absent of the service's own table.
    zone: Option<u32>,
}

/// Tables that go elsewhere, so that a place becomes free.
struct Clearing {
    place: Region,
    moves: Vec<(Occupant, Region)>,
}

/// Places that are looked at more closely.
const CLOSE_LOOKS: usize = 32;

impl Plan {
    /// The service whose promised places are free now: it has to be compiled before anybody else takes them.
    pub(super) fn keep_promise(&mut self) -> Option<ServiceKey> {
        let is_due = self.promise.as_ref()?.unread <= self.space.retired.unread_up_to();
        let promise = self
            .promise
            .take_if(|promise| is_due || !self.waiting.contains_key(&promise.key))?;
        for region in promise.regions {
            self.space.regions.release(region);
        }
        Some(promise.key)
    }

    /// Makes room for the first service that waits for it although there is enough. One at a time. Returns a service that
    /// has to lie off the grid, where tables of older versions leave no place in it, or there are few slots in all.
    pub(super) fn make_room(&mut self, limits: &Limits, now: u32) -> Option<ServiceKey> {
        let waiting = self.waits_for_space();
        if waiting.is_empty() || self.promise.is_some() {
            return None;
        }
        let free = self.space.regions.free(limits.table_slots);
        for key in waiting {
            let Some(waiting) = self.waiting.get(&key) else {
                continue;
            };
            let mut sizes: Vec<u32> = waiting.wanted.recipes().map(|recipe| recipe.size()).collect();
            sizes.sort_by_key(|size| Reverse(*size));
            let is_busy = self
                .services
                .get(&key)
                .is_some_and(|plan| self.space.retired.has(plan.number));
            let total: u64 = sizes.iter().map(|size| u64::from(size.next_multiple_of(2))).sum();
            if is_busy || total > free {
                continue;
            }
            if self.clear_places(&key, &sizes, limits, now) {
                return None;
            }
            let mut loose = self.space.regions.clone();
            loose.is_loose = true;
            if sizes
                .iter()
                .all(|size| loose.take(*size, limits.table_slots).is_some())
            {
                return Some(key);
            }
        }
        None
    }

    /// Moves what has to be moved for tables of these sizes, and keeps their places. Where not even what would have to be
    /// moved has a place, smaller tables are drawn together first.
    fn clear_places(&mut self, key: &ServiceKey, sizes: &[u32], limits: &Limits, now: u32) -> bool {
        let mut regions = Vec::new();
        let mut moved = false;
        for size in sizes {
            if let Some(region) = self.space.regions.take(*size, limits.table_slots) {
                regions.push(region);
                continue;
            }
            let Some(clearing) = self.clearing(*size, limits) else {
                regions
                    .into_iter()
                    .for_each(|region| self.space.regions.release(region));
                return moved || self.draw_together(*size, limits, now);
            };
            regions.push(clearing.place);
            self.space.regions.mark(clearing.place);
            self.carry_out(clearing.moves, now);
            moved = true;
        }
        if !moved {
            regions
                .into_iter()
                .for_each(|region| self.space.regions.release(region));
            return false;
        }
        self.promise = Some(Promise {
            key: key.clone(),
            regions,
            unread: self.space.retired.mark(),
        });
        true
    }

    fn draw_together(&mut self, size: u32, limits: &Limits, now: u32) -> bool {
        let smaller = lb_common::rendezvous::SIZES
            .into_iter()
            .rev()
            .filter(|other| *other < size);
        for size in smaller {
            if self
                .space
                .regions
                .clone()
                .take(size, limits.table_slots)
                .is_some()
            {
                continue;
            }
            if let Some(clearing) = self.clearing(size, limits) {
                let left: Vec<Region> = clearing
                    .moves
                    .iter()
                    .map(|(occupant, _)| occupant.region)
                    .collect();
                let owners: Vec<u32> = clearing
                    .moves
                    .iter()
                    .filter_map(|(one, _)| self.number(&one.key))
                    .collect();
                self.carry_out(clearing.moves, now);
                // Nobody waits for just this place: it is free when it is unread.
                for (region, owner) in left.into_iter().zip(owners) {
                    self.space.retired.add(owner, region, now);
                }
                return true;
            }
        }
        false
    }

    fn number(&self, key: &ServiceKey) -> Option<u32> {
        self.services.get(key).map(|plan| plan.number)
    }

    /// The cheapest place of `size` slots whose tables can all go elsewhere.
    fn clearing(&self, size: u32, limits: &Limits) -> Option<Clearing> {
        let occupants = self.movable();
        let mut candidates: Vec<(u64, Region, Vec<&Occupant>)> = Regions::places(size, limits.table_slots)
            .filter_map(|place| {
                let (inside, taken) = self.inside(&occupants, place, limits)?;
                Some((taken, place, inside))
            })
            .collect();
        candidates.sort_by_key(|(taken, region, _)| (*taken, region.offset));
        let mut candidates = candidates.into_iter().take(CLOSE_LOOKS);
        candidates.find_map(|(_, place, inside)| self.moves(place, inside, limits))
    }

    /// The tables in a place, and the slots that they take up; nothing if something in it can't be moved.
    fn inside<'a>(
        &self,
        occupants: &'a BTreeMap<u32, Occupant>,
        place: Region,
        limits: &Limits,
    ) -> Option<(Vec<&'a Occupant>, u64)> {
        let (start, end) = (place.offset, place.offset.checked_add(place.space())?);
        if end > limits.table_slots {
            return None;
        }
        let before = occupants.range(..start).next_back().map(|(_, occupant)| occupant);
        let before = before.filter(|occupant| occupant.region.offset + occupant.region.space() > start);
        let inside: Vec<&Occupant> = before
            .into_iter()
            .chain(occupants.range(start..end).map(|(_, occupant)| occupant))
            .collect();
        let overlap = |region: Region| {
            let (from, to) = (
                region.offset.max(start),
                (region.offset + region.space()).min(end),
            );
            u64::from(to.saturating_sub(from))
        };
        let taken: u64 = inside.iter().map(|occupant| overlap(occupant.region)).sum();
        let whole: u64 = inside
            .iter()
            .map(|occupant| u64::from(occupant.region.space()))
            .sum();
        let free = self.space.regions.free_within(start, end);
        (free + taken == u64::from(end - start)).then_some((inside, whole))
    }

    fn moves(&self, place: Region, mut inside: Vec<&Occupant>, limits: &Limits) -> Option<Clearing> {
        let mut regions: Regions = self.space.regions.clone();
        regions.mark(place);
        inside.sort_by_key(|occupant| Reverse(occupant.region.size));
        let moves = inside.into_iter().map(|occupant| {
            let to = regions.take(occupant.region.size, limits.table_slots)?;
            Some((occupant.clone(), to))
        });
        let moves = moves.collect::<Option<Vec<_>>>()?;
        Some(Clearing { place, moves })
    }

    /// The tables of services that have no former ones: a service has two of one place at most. By offset.
    fn movable(&self) -> BTreeMap<u32, Occupant> {
        let idle = self
            .services
            .iter()
            .filter(|(_, plan)| !self.space.retired.has(plan.number));
        let tables = idle.flat_map(|(key, plan)| {
            let own = plan.tables.own.iter().map(|table| (None, table.region));
            let zones = plan
                .tables
                .zones
                .iter()
                .map(|(zone, table)| (Some(*zone), table.region));
            own.chain(zones).map(|(zone, region)| Occupant {
                region,
                key: key.clone(),
                zone,
            })
        });
        tables
            .map(|occupant| (occupant.region.offset, occupant))
            .collect()
    }

    /// The places that are left stay marked.
    fn carry_out(&mut self, moves: Vec<(Occupant, Region)>, now: u32) {
        for (occupant, to) in moves {
            let Some(plan) = self.services.get(&occupant.key) else {
                continue;
            };
            let next = plan.with_table_at(occupant.zone, to);
            self.space.regions.mark(to);
            self.space.retired.note_reader(next.number, now);
            self.put_contents(next.number, next.contents.clone(), now);
            self.services.insert(occupant.key, Arc::new(next));
        }
    }
}

impl ServicePlan {
    /// The same with one of its tables in another place.
    fn with_table_at(&self, zone: Option<u32>, region: Region) -> Self {
        let mut next = self.clone();
        let table = match zone {
            None => next.tables.own.as_mut(),
            Some(zone) => next.tables.zones.get_mut(&zone),
        };
        if let Some(table) = table {
            table.region = region;
        }
        let mut contents = (*next.contents).clone();
        let own = next.tables.own.as_ref();
        contents.record.selection = own.map_or(0, |table| table.selection().to_word());
        contents.table = own.map(|table| (table.region.offset, table.slots.clone()));
        contents.zone_words = next.zone_selections();
        contents.zone_tables = next.zone_tables();
        next.contents = Arc::new(contents);
        next
    }
}
