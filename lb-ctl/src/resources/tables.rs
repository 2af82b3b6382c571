//! Sizes of selection tables: decided when a service is made, kept with it, and changed by nobody but its owner; and
//! whether all of them fit.

use std::collections::{BTreeMap, BTreeSet};

use lb_common::rendezvous::{SIZES, SLOTS_EACH};

use super::draft::{Drafts, Report};
use super::fault::{Fault, FaultKind};
use super::kind::Kind;
use super::set::{Resource, Resources};
use crate::model::{
    BackendService, Config, HeldSizes, ResourcePath, TABLE_CELLS, TableDemand, TableSlots, larger_pool,
};

/// `[tables] default-slots`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefaultSlots {
    /// As many as leave room for others.
    #[default]
    Auto,
    Slots(u32),
}

/// The room that selection tables have, as the settings say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRoom {
    /// `table-slots`.
    pub slots: u32,
    /// What no table takes for good: successors are made of it.
    pub reserve: u32,
    pub default_slots: DefaultSlots,
    /// Zones that clients are known to be in.
    pub zones: BTreeSet<String>,
    /// Tables of services whose size was never decided, because an older version made them.
    pub held: BTreeMap<ResourcePath, HeldSizes>,
}

impl Default for TableRoom {
    /// Where there is no data plane: more than anybody needs.
    fn default() -> Self {
        Self {
            slots: u32::MAX,
            reserve: u32::MAX / 4,
            default_slots: DefaultSlots::Auto,
            zones: BTreeSet::new(),
            held: BTreeMap::new(),
        }
    }
}

impl TableRoom {
    /// What is left over beside whole blocks of the usual size is no room for a table of that size.
    fn capacity(&self) -> u64 {
        let block = TABLE_CELLS[2];
        let rest = if self.slots >= 4 * block {
            self.slots % block
        } else {
            0
        };
        u64::from(self.slots.saturating_sub(self.reserve).saturating_sub(rest))
    }

    fn demand<'a>(&self, config: &'a Config) -> BTreeMap<&'a ResourcePath, TableDemand> {
        config.table_demand(|zone| self.zones.contains(zone))
    }

    /// Whether services may have tables of this size when all of them take up `total` then: large ones as long as half
    /// of the room is left, for thousands of services are to fit.
    fn suits(&self, size: u32, total: u64) -> bool {
        let capacity = self.capacity();
        match SIZES.iter().position(|other| *other == size) {
            Some(2) => total <= capacity / 2,
            Some(1) => total <= capacity / 16 * 9,
            _ => true,
        }
    }
}

/// Sizes that `auto` chooses from, the best first.
const CHOICE: [u32; 3] = [SIZES[2], SIZES[1], SIZES[0]];

impl Resources {
    /// Puts the sizes that are kept beside the services into the model. A service of an older store has those of its
    /// tables that are there; what is not there had a size that followed the number of endpoints.
    pub(super) fn put_sizes(&self, config: &mut Config, room: &TableRoom) {
        let undecided = |path: &ResourcePath, service: &BackendService| {
            let sizes = TableSlots::by_count(config, service);
            match room.held.get(path) {
                Some(held) => sizes.with_held(held),
                None => sizes,
            }
        };
        let sizes: Vec<(ResourcePath, TableSlots)> = config
            .services
            .iter()
            .map(|(path, service)| {
                let kept = self.get(path).and_then(|resource| resource.table_slots.clone());
                (path.clone(), kept.unwrap_or_else(|| undecided(path, service)))
            })
            .collect();
        for (path, slots) in sizes {
            if let Some(service) = config.services.get_mut(&path) {
                service.table_slots = slots;
            }
        }
    }

    /// Decides for the services that were not there before. Those that come together are of one size, so that it does
    /// not depend on their names.
    pub(super) fn decide_sizes(&self, before: &Self, config: &mut Config, room: &TableRoom) {
        let new: Vec<ResourcePath> = config
            .services
            .keys()
            .filter(|path| self.is_new_service(before, path))
            .cloned()
            .collect();
        if new.is_empty() {
            return;
        }
        let choose = |size: u32, config: &mut Config| {
            for path in &new {
                if let Some(service) = config.services.get_mut(path) {
                    service.table_slots = TableSlots::all(size);
                }
            }
        };
        match room.default_slots {
            DefaultSlots::Slots(slots) => choose(slots, config),
            DefaultSlots::Auto => {
                for size in CHOICE {
                    choose(size, config);
                    let total = room.demand(config).values().map(|demand| demand.slots).sum();
                    if room.suits(size, total) {
                        break;
                    }
                }
                shrink_to_reserve(config, &new, room);
            }
        }
    }

    fn is_new_service(&self, before: &Self, path: &ResourcePath) -> bool {
        let id = |resource: &Resource| resource.value.get("id").cloned();
        let (before, after) = (before.get(path).and_then(id), self.get(path).and_then(id));
        before != after
            && self
                .get(path)
                .is_some_and(|resource| resource.table_slots.is_none())
    }

    /// Services whose size was never decided.
    pub fn undecided_sizes(&self) -> impl Iterator<Item = &ResourcePath> {
        let services = self.of_kind(Kind::BackendService);
        let undecided = services.filter(|(_, resource)| resource.table_slots.is_none());
        undecided.map(|(path, _)| path)
    }

    /// From now on the sizes that the model has are kept.
    pub fn keep_sizes(&mut self, config: &Config) {
        for (path, resource) in &mut self.all {
            if resource.table_slots.is_none()
                && let Some(service) = config.services.get(path)
            {
                resource.table_slots = Some(service.table_slots.clone());
            }
        }
    }

    /// The resources, with this size of one service's tables: nearly every flow of it that is not tracked moves.
    pub fn with_table_slots(
        &self,
        path: &ResourcePath,
        slots: u32,
        room: &TableRoom,
    ) -> Result<(Self, Config), Vec<Fault>> {
        let fault = |kind, reason: String| vec![Fault::of_resource(path, kind, reason)];
        let mut next = self.clone();
        let Some(resource) = next
            .all
            .get_mut(path)
            .filter(|resource| resource.kind == Kind::BackendService)
        else {
            return Err(fault(
                FaultKind::NotFound,
                format!("The resource '{path}' was not found"),
            ));
        };
        if !is_size(slots) {
            let reason = format!("{slots} is no size of a selection table: {}", sizes());
            return Err(fault(FaultKind::Invalid, reason));
        }
        resource.table_slots = Some(TableSlots::all(slots));
        let (mut config, _) = self.config_within(room)?;
        let demand = |config: &Config| room.demand(config).get(path).copied();
        let before = demand(&config);
        if let Some(service) = config.services.get_mut(path) {
            service.table_slots = TableSlots::all(slots);
        }
        let total = room.demand(&config).values().map(|demand| demand.slots).sum();
        if let Some(after) = demand(&config)
            && before.is_none_or(|before| grows(&before, &after))
            && let Some(reason) = refusal(&after, total, room)
        {
            return Err(fault(FaultKind::Invalid, reason));
        }
        Ok((next, config))
    }
}

/// Tables of one family change together, and their successors come out of the reserve.
fn shrink_to_reserve(config: &mut Config, new: &[ResourcePath], room: &TableRoom) {
    for size in CHOICE {
        let demand = room.demand(config);
        let large: Vec<ResourcePath> = new
            .iter()
            .filter(|path| {
                let at_once = demand.get(path).map_or(0, |demand| demand.at_once);
                at_once > u64::from(room.reserve)
            })
            .cloned()
            .collect();
        for path in large {
            if let Some(service) = config.services.get_mut(&path) {
                service.table_slots.slots = service.table_slots.slots.min(size);
            }
        }
    }
}

pub(crate) fn is_size(slots: u32) -> bool {
    SIZES.contains(&slots)
}

/// "it is one of 4096, 16384, …".
pub(crate) fn sizes() -> String {
    let sizes: Vec<String> = SIZES.iter().map(u32::to_string).collect();
    format!("it is one of {}", sizes.join(", "))
}

fn grows(before: &TableDemand, after: &TableDemand) -> bool {
    after.slots > before.slots || after.at_once > before.at_once
}

/// Why tables don't fit, when all of them take up `total`.
fn refusal(demand: &TableDemand, total: u64, room: &TableRoom) -> Option<String> {
    let TableRoom { slots, reserve, .. } = room;
    let way_out = "raise --table-slots (`table-slots` in the settings file), or have services made with smaller tables \
                   (`[tables] default-slots`; `lb-ctl backend-services set-table-slots` for one that is there)";
    let TableDemand {
        tables,
        slots: own,
        at_once,
    } = demand;
    if total > room.capacity() {
        Some(format!(
            "its {tables} selection tables take {own} slots, which don't fit: of {slots} slots {reserve} are the reserve \
             that successors are made of, and {} are taken; {way_out}",
            total - own
        ))
    } else if *at_once > u64::from(*reserve) {
        Some(format!(
            "its selection tables of one address family take {at_once} slots, and their successors don't fit the reserve \
             of {reserve} slots (`[tables] reserve-slots`; a quarter of table-slots unless set); {way_out}"
        ))
    } else {
        None
    }
}

/// Refuses what makes tables more or larger than there is room for. What was there before stays, whether it fits or not.
pub(super) fn check_room(
    before: &Resources,
    config: &Config,
    drafts: &Drafts,
    room: &TableRoom,
    report: &mut Report,
) {
    let after = room.demand(config);
    let total: u64 = after.values().map(|demand| demand.slots).sum();
    if after
        .values()
        .all(|demand| refusal(demand, total, room).is_none())
    {
        return;
    }
    let known = before
        .config_within(room)
        .map(|(config, _)| config)
        .unwrap_or_default();
    let known = room.demand(&known);
    for (path, demand) in after {
        let is_more = known.get(path).is_none_or(|before| grows(before, &demand));
        if let Some(reason) = refusal(&demand, total, room).filter(|_| is_more)
            && let Some(draft) = drafts.get(culprit(path, config, drafts))
        {
            report.invalid(draft, "", reason);
        }
    }
}

/// The resource of the request that made the service's tables more.
fn culprit<'a>(path: &'a ResourcePath, config: &'a Config, drafts: &Drafts) -> &'a ResourcePath {
    let is_new = |path: &&ResourcePath| drafts.get(*path).is_some_and(|draft| draft.is_new);
    let rules = config.rules.values().filter(|rule| rule.service == *path);
    let groups = config
        .services
        .get(path)
        .into_iter()
        .flat_map(|service| &service.backends);
    let all = [path].into_iter();
    let all = all
        .chain(rules.map(|rule| &rule.path))
        .chain(groups.map(|backend| &backend.group));
    all.into_iter().find(is_new).unwrap_or(path)
}

/// Says so of a service whose tables are too small for its endpoints, with the imbalance to expect.
pub fn coarse_shares(config: &Config, service: &BackendService) -> Option<String> {
    let slots = service.table_slots.slots;
    let endpoints = larger_pool(config, service, |_| true);
    if endpoints as u64 * u64::from(SLOTS_EACH) <= u64::from(slots) || endpoints < 2 {
        return None;
    }
    let each = f64::from(slots) / endpoints as f64;
    let off = match service.locality.is_maglev() {
        true => format!("one slot, or {:.0} %", 100.0 / each.max(1.0)),
        false => format!("about {:.0} %", 100.0 / each.sqrt()),
    };
    let enough = SIZES
        .iter()
        .find(|size| **size as usize >= endpoints * SLOTS_EACH as usize);
    let more = enough.unwrap_or(&SIZES[3]);
    let advice = match *more > slots {
        true => format!(
            "; `lb-ctl backend-services set-table-slots {} {more}` evens them out, and moves nearly every flow that is \
             not tracked, once",
            service.path.name()
        ),
        false => String::new(),
    };
    Some(format!(
        "{slots} slots for {endpoints} endpoints are {each:.0} each, so their shares differ by {off}{advice}"
    ))
}

pub(super) fn warn_of_coarse_shares(config: &Config, drafts: &Drafts, report: &mut Report) {
    for service in config.services.values() {
        if let (Some(warning), Some(draft)) = (coarse_shares(config, service), drafts.get(&service.path)) {
            report.warn(draft, "", warning);
        }
    }
}
