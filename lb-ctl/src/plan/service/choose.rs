//! Which tables a service wants, and which of them it can have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lb_common::maglev::Candidate;

use super::super::eligible::Eligible;
use super::super::pending::{Pending, Wanted};
use super::super::recipe::Recipe;
use super::super::selection::{Shelf, identity};
use super::super::zonal::refine;
use super::{ServicePlan, Task, attached_members, judged};
use crate::model::EndpointWeight;

/// What the eligible set makes of the service's own table, and of those of the zones in use; and the highest number of
/// these.
pub(super) fn wanted(task: &Task<'_, '_>, eligible: &Eligible, next: &ServicePlan) -> (Wanted, u32) {
    let (inputs, service) = (task.inputs, task.service);
    let judged = judged(next);
    let attached: Vec<_> = attached_members(next).collect();
    let candidate = |(position, weight): &(usize, EndpointWeight)| {
        let (id, member) = attached[*position];
        Candidate {
            identity: identity(inputs.seed, id),
            weight: weight.millionths(),
            member: member.number,
        }
    };
    let recipe = |endpoints: &[(usize, EndpointWeight)], slots: u32| {
        let candidates = endpoints.iter().map(candidate).collect();
        let recipe = Recipe::new(service.locality, slots, candidates);
        (!recipe.is_empty()).then(|| Arc::new(recipe))
    };
    let own = recipe(&eligible.endpoints, service.table_slots.slots);
    let mut zones = BTreeMap::new();
    let mut highest = 0;
    if let Some(affinity) = service.zonal_affinity {
        for (zone, number) in task.space.zones_of(inputs, service) {
            highest = highest.max(number);
            let is_there = |position: usize| inputs.zone_of(attached[position].0) == Some(zone);
            let refined = refine(&judged, is_there, eligible, affinity);
            let recipe = refined.and_then(|endpoints| recipe(&endpoints, service.table_slots.of_zone(zone)));
            zones.extend(recipe.map(|recipe| (number, recipe)));
        }
    }
    let pool = eligible.pool;
    (Wanted { pool, own, zones }, highest)
}

/// What came of a service's tables.
pub(super) enum Selected {
    /// It has some, and may wait for better ones.
    Has(Option<(Pending, Arc<Wanted>)>),
    /// It goes on with what it has.
    Waits(Pending, Arc<Wanted>),
}

/// The tables that are wanted, if they are to be had. If they have to be built and those wanted earlier are still being
/// built, or were, it is those first: however fast health changes, one build ends after the other.
pub(super) fn select(task: &mut Task<'_, '_>, wanted: Wanted, next: &mut ServicePlan) -> Selected {
    let mut shelf = Shelf {
        space: task.space,
        capacity: task.inputs.limits.table_slots,
        now: task.now,
        service: next.number,
        built: task.inputs.built,
        work: task.work,
    };
    let present = std::mem::take(&mut next.tables);
    let earlier = task.waiting.map(|waiting| &*waiting.wanted);
    let pending = match shelf.obtain(&present, &wanted, earlier) {
        Ok(tables) => {
            next.tables = tables;
            return Selected::Has(None);
        }
        Err(pending) => pending,
    };
    let earlier = earlier.filter(|earlier| **earlier != wanted && is_good_for(earlier, &wanted, next));
    let (Pending::Build(_), Some(earlier)) = (&pending, earlier) else {
        next.tables = present;
        return Selected::Waits(pending, Arc::new(wanted));
    };
    match shelf.obtain(&present, earlier, None) {
        Ok(tables) => {
            let pending = shelf.obtain(&tables, &wanted, Some(earlier)).err();
            next.tables = tables;
            Selected::Has(pending.map(|pending| (pending, Arc::new(wanted))))
        }
        Err(pending) => {
            next.tables = present;
            Selected::Waits(pending, Arc::new(earlier.clone()))
        }
    }
}

/// Whether tables that were wanted when they were asked for can be used until those come that are wanted now: they
/// name nobody but attached endpoints, and are of the same pool, kind and size.
fn is_good_for(earlier: &Wanted, wanted: &Wanted, next: &ServicePlan) -> bool {
    let attached: BTreeSet<u32> = attached_members(next).map(|(_, member)| member.number).collect();
    let names_attached = |recipe: &Arc<Recipe>| {
        recipe
            .candidates()
            .iter()
            .all(|candidate| attached.contains(&candidate.member))
    };
    let is_alike =
        |one: &Arc<Recipe>, other: Option<&Arc<Recipe>>| other.is_some_and(|other| one.is_alike(other));
    let zones_are_alike = earlier
        .zones
        .iter()
        .all(|(zone, recipe)| is_alike(recipe, wanted.zones.get(zone)));
    earlier.pool == wanted.pool
        && earlier
            .own
            .as_ref()
            .is_some_and(|own| is_alike(own, wanted.own.as_ref()))
        && earlier.zones.len() == wanted.zones.len()
        && zones_are_alike
        && earlier.recipes().all(names_attached)
}
