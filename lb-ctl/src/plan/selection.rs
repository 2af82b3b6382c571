//! Selection tables: which algorithm, which size, which candidates, and where they lie.

use std::sync::Arc;

use lb_common::layout::Selection;

use lb_common::maglev::{self, Candidate, Walk};
use lb_common::rendezvous;

use super::compile::{PlanError, Space};
use super::members::EndpointId;
use super::regions::Region;
use crate::model::LocalityPolicy;

/// What a table depends on: with the same recipe it need not be built again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recipe {
    is_maglev: bool,
    size: u32,
    /// Sorted by identity, so that the order of the resources plays no part.
    candidates: Vec<Candidate>,
}

impl Recipe {
    /// `configured` is the number of attached endpoints of the larger pool: the size follows the configuration, not
    /// health, because a change of size moves flows.
    pub(super) fn new(locality: LocalityPolicy, configured: usize, mut candidates: Vec<Candidate>) -> Self {
        candidates.sort();
        let is_maglev = matches!(locality, LocalityPolicy::Maglev | LocalityPolicy::WeightedMaglev);
        let size = if is_maglev {
            maglev::size_for(configured)
        } else {
            rendezvous::size_for(configured)
        };
        Self {
            is_maglev,
            size,
            candidates,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// The table, made of that of another recipe where only what differs costs anything.
    fn build_from(&self, before: &Table) -> Arc<[u32]> {
        match &before.recipe {
            Some(recipe) if self.is_akin(recipe) => self.updated(recipe, &before.slots),
            _ => self.build(),
        }
    }

    /// Maglev tables depend on all candidates in every slot.
    fn is_akin(&self, before: &Self) -> bool {
        !self.is_maglev
            && !before.is_maglev
            && self.size == before.size
            && rendezvous::are_equal(&self.candidates) == rendezvous::are_equal(&before.candidates)
    }

    fn updated(&self, before: &Self, slots: &[u32]) -> Arc<[u32]> {
        let weighs = !rendezvous::are_equal(&self.candidates);
        let is_same = |one: &Candidate, other: &Candidate| {
            one.member == other.member && (!weighs || one.weight == other.weight)
        };
        let stays = |candidate: &Candidate, others: &[Candidate]| {
            let found = others.binary_search_by_key(&candidate.identity, |other| other.identity);
            found.is_ok_and(|position| is_same(candidate, &others[position]))
        };
        let (staying, added): (Vec<Candidate>, Vec<Candidate>) = self
            .candidates
            .iter()
            .partition(|candidate| stays(candidate, &before.candidates));
        let holders = Holders::new(staying);
        let mut table = slots.to_vec();
        rendezvous::update(&mut table, &self.candidates, &added, |member| holders.get(member));
        table.into()
    }

    pub(super) fn build(&self) -> Arc<[u32]> {
        let mut table = vec![0; self.size as usize];
        if self.is_maglev {
            let mut walks = vec![Walk::default(); self.candidates.len()];
            maglev::build(&self.candidates, &mut table, &mut walks);
        } else {
            rendezvous::build(&self.candidates, &mut table);
        }
        table.into()
    }
}

/// Candidates by their members, which lie close together.
struct Holders {
    first: u32,
    candidates: Vec<Option<Candidate>>,
}

impl Holders {
    fn new(candidates: Vec<Candidate>) -> Self {
        let members = || candidates.iter().map(|candidate| candidate.member);
        let (first, last) = (members().min().unwrap_or(0), members().max().unwrap_or(0));
        let mut places = vec![None; (last - first) as usize + 1];
        for candidate in candidates {
            places[(candidate.member - first) as usize] = Some(candidate);
        }
        Self {
            first,
            candidates: places,
        }
    }

    fn get(&self, member: u32) -> Option<Candidate> {
        let place = member.checked_sub(self.first)?;
        *self.candidates.get(place as usize)?
    }
}

/// A table and its place in the array of all tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) region: Region,
    pub(super) slots: Arc<[u32]>,
    /// Absent when the table was read back from the kernel.
    recipe: Option<Recipe>,
}

impl Table {
    /// A table that the kernel holds.
    pub(super) fn held(region: Region, slots: Arc<[u32]>) -> Self {
        Self {
            region,
            slots,
            recipe: None,
        }
    }

    pub(super) fn selection(&self) -> Selection {
        Selection {
            offset: self.region.offset,
            size: self.region.size,
        }
    }
}

/// Where tables may lie, until when those that are replaced are left alone, and whose they are.
pub(super) struct Shelf<'a> {
    pub(super) space: &'a mut Space,
    pub(super) capacity: u32,
    pub(super) now: u32,
    pub(super) service: &'a dyn std::fmt::Display,
}

impl Shelf<'_> {
    /// The table of a recipe: the one that is there if it is that already, else a new one in another place. None for
    /// the empty set.
    pub(super) fn table(
        &mut self,
        present: Option<Table>,
        recipe: Recipe,
    ) -> Result<Option<Table>, PlanError> {
        if recipe.is_empty() {
            self.retire(present);
            return Ok(None);
        }
        if present
            .as_ref()
            .is_some_and(|table| table.recipe.as_ref() == Some(&recipe))
        {
            return Ok(present);
        }
        let slots = match &present {
            Some(table) => recipe.build_from(table),
            None => recipe.build(),
        };
        let recipe = Some(recipe);
        if let Some(table) = present.as_ref().filter(|table| table.slots == slots) {
            return Ok(Some(Table {
                recipe,
                ..table.clone()
            }));
        }
        let region = self.take(slots.len() as u32)?;
        self.retire(present);
        Ok(Some(Table {
            region,
            slots,
            recipe,
        }))
    }

    fn take(&mut self, size: u32) -> Result<Region, PlanError> {
        let region = self.space.regions.take(size, self.capacity);
        region.ok_or_else(|| PlanError::Tables {
            service: self.service.to_string(),
            size,
            capacity: self.capacity,
        })
    }

    pub(super) fn retire(&mut self, table: Option<Table>) {
        self.space.retire(table.map(|table| table.region), self.now);
    }
}

/// The identity of an endpoint in table builds, the same on every host that has the seed.
pub(super) fn identity(seed: u128, endpoint: &EndpointId) -> u64 {
    let instance = endpoint.instance.as_deref().unwrap_or_default();
    let name = format!("{}\0{}\0{instance}", endpoint.group, endpoint.address);
    lb_common::hash::identity(seed, name.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Few identities, so that some stay and some do not; two of the same identity don't occur.
    fn any_candidates(weights: std::ops::Range<u32>) -> impl Strategy<Value = Vec<Candidate>> {
        let of_identity = (weights, 1..4u32);
        proptest::collection::btree_map(0..12u64, of_identity, 1..10).prop_map(|candidates| {
            let candidate = |(identity, (weight, generation)): (u64, (u32, u32))| Candidate {
                identity: lb_common::hash::identity(1, &identity.to_be_bytes()),
                weight,
                member: 100 * generation + identity as u32,
            };
            candidates.into_iter().map(candidate).collect()
        })
    }

    fn assert_updates(before: Vec<Candidate>, after: Vec<Candidate>) {
        let recipe = |candidates| Recipe::new(LocalityPolicy::WeightedRendezvous, 10, candidates);
        let (before, after) = (recipe(before), recipe(after));
        let region = Region {
            offset: 0,
            size: before.size,
        };
        let table = Table {
            region,
            slots: before.build(),
            recipe: Some(before),
        };
        assert!(after.build_from(&table) == after.build());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn an_updated_table_is_the_one_that_is_built(
            before in any_candidates(1..4),
            after in any_candidates(1..4),
        ) {
            assert_updates(before, after);
        }

        #[test]
        fn so_it_is_with_equal_weights(before in any_candidates(5..6), after in any_candidates(7..8)) {
            assert_updates(before, after);
        }
    }
}
