//! What a selection table is made of, and making it: pure work for a processor, nothing else.

use std::hash::{BuildHasher as _, Hash, Hasher};
use std::sync::Arc;

use lb_common::maglev::{self, Candidate, Walk};
use lb_common::rendezvous;

use crate::model::LocalityPolicy;

/// What a table depends on: with the same recipe it need not be built again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recipe {
    /// Of all the rest: tells recipes apart at a glance.
    fingerprint: u64,
    is_maglev: bool,
    size: u32,
    /// Sorted by identity, so that the order of the resources plays no part.
    candidates: Vec<Candidate>,
}

impl Hash for Recipe {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.fingerprint);
    }
}

/// Nanoseconds, about, on a slow processor: for one candidate of one slot, and for a slot.
const EQUAL_STEP: u64 = 2;
const WEIGHTED_STEP: u64 = 15;
const MAGLEV_SLOT: u64 = 100;
const SLOT: u64 = 2;

/// Work that is worth a thread of its own.
const WORTH_A_THREAD: u64 = 5_000_000;

impl Recipe {
    /// `slots` is one of [`rendezvous::SIZES`].
    pub(super) fn new(locality: LocalityPolicy, slots: u32, mut candidates: Vec<Candidate>) -> Self {
        candidates.sort();
        let is_maglev = locality.is_maglev();
        let size = if is_maglev {
            maglev::prime_for(slots)
        } else {
            slots
        };
        let parts = candidates
            .iter()
            .map(|one| (one.identity, one.weight, one.member));
        let parts: Vec<(u64, u32, u32)> = parts.collect();
        Self {
            fingerprint: hasher().hash_one((is_maglev, size, parts)),
            is_maglev,
            size,
            candidates,
        }
    }

    pub(super) fn size(&self) -> u32 {
        self.size
    }

    pub(super) fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    pub(super) fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Whether both make tables of one kind and size.
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        self.is_maglev == other.is_maglev && self.size == other.size
    }

    /// Maglev tables depend on all candidates in every slot.
    fn is_akin(&self, before: &Self) -> bool {
        !self.is_maglev
            && self.is_alike(before)
            && rendezvous::are_equal(&self.candidates) == rendezvous::are_equal(&before.candidates)
    }

    /// What is in the table before, and stays; and what is not in it.
    fn split(&self, before: &Self) -> (Vec<Candidate>, Vec<Candidate>) {
        let weighs = !rendezvous::are_equal(&self.candidates);
        let is_same = |one: &Candidate, other: &Candidate| {
            one.member == other.member && (!weighs || one.weight == other.weight)
        };
        let stays = |candidate: &Candidate, others: &[Candidate]| {
            let found = others.binary_search_by_key(&candidate.identity, |other| other.identity);
            found.is_ok_and(|position| is_same(candidate, &others[position]))
        };
        let candidates = self.candidates.iter();
        candidates.partition(|candidate| stays(candidate, &before.candidates))
    }

    fn step(&self) -> u64 {
        match rendezvous::are_equal(&self.candidates) {
            true => EQUAL_STEP,
            false => WEIGHTED_STEP,
        }
    }
}

fn hasher() -> std::hash::BuildHasherDefault<std::collections::hash_map::DefaultHasher> {
    Default::default()
}

/// A table that is there, and what it was made of.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Made {
    pub(super) recipe: Arc<Recipe>,
    pub(super) slots: Arc<[u32]>,
}

/// A table that is to be built.
#[derive(Clone, Debug, PartialEq)]
pub struct TableBuild {
    recipe: Arc<Recipe>,
    /// The table to go from, where only what differs costs anything.
    before: Option<Made>,
}

/// A table that was built.
#[derive(Clone, Debug, PartialEq)]
pub struct BuiltTable(pub(super) Made);

impl TableBuild {
    pub(super) fn new(recipe: Arc<Recipe>, before: Option<Made>) -> Self {
        let before = before.filter(|before| recipe.is_akin(&before.recipe));
        Self { recipe, before }
    }

    /// Tells builds of different tables apart.
    pub fn id(&self) -> u64 {
        self.recipe.fingerprint
    }

    /// About how many nanoseconds of one processor it takes.
    pub fn cost(&self) -> u64 {
        let (size, count) = (u64::from(self.recipe.size), self.recipe.candidates.len() as u64);
        let per_slot = match &self.before {
            None if self.recipe.is_maglev => MAGLEV_SLOT,
            None => self.recipe.step() * count,
            Some(before) => self.update_per_slot(&before.recipe),
        };
        size * (per_slot + SLOT)
    }

    /// Slots of those that go are decided anew among all; in the others those that come compete with the holder.
    fn update_per_slot(&self, before: &Recipe) -> u64 {
        let (staying, added) = self.recipe.split(before);
        let (count, held) = (self.recipe.candidates.len(), before.candidates.len().max(1));
        let gone = before.candidates.len().saturating_sub(staying.len());
        let competing = added.len() as u64 * 2 * self.recipe.step();
        competing + self.recipe.step() * (count * gone / held) as u64
    }

    /// The same result on every host, however many processors it has.
    pub fn run(&self) -> BuiltTable {
        let slots = match &self.before {
            Some(before) => self.update(before),
            None => self.build(),
        };
        BuiltTable(Made {
            recipe: self.recipe.clone(),
            slots: slots.into(),
        })
    }

    fn build(&self) -> Vec<u32> {
        let recipe = &*self.recipe;
        let mut table = vec![0; recipe.size as usize];
        if recipe.is_maglev {
            let mut walks = vec![Walk::default(); recipe.candidates.len()];
            maglev::build(&recipe.candidates, &mut table, &mut walks);
        } else {
            self.in_parts(&mut table, |first, part| {
                rendezvous::build_part(&recipe.candidates, first, part);
            });
        }
        table
    }

    fn update(&self, before: &Made) -> Vec<u32> {
        let (staying, added) = self.recipe.split(&before.recipe);
        let holders = Holders::new(staying);
        let mut table = before.slots.to_vec();
        self.in_parts(&mut table, |first, part| {
            let holder = |member| holders.get(member);
            rendezvous::update_part(first, part, &self.recipe.candidates, &added, holder);
        });
        table
    }

    /// Over as many threads as are worth it; slots do not depend on each other.
    fn in_parts(&self, table: &mut [u32], work: impl Fn(usize, &mut [u32]) + Sync) {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = ((self.cost() / WORTH_A_THREAD) as usize).clamp(1, processors);
        if threads == 1 {
            return work(0, table);
        }
        let length = table.len().div_ceil(threads);
        std::thread::scope(|scope| {
            for (index, part) in table.chunks_mut(length).enumerate() {
                let work = &work;
                scope.spawn(move || work(index * length, part));
            }
        });
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::EndpointWeight;

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
        let recipe = |candidates| {
            let recipe = Recipe::new(LocalityPolicy::WeightedRendezvous, 4096, candidates);
            Arc::new(recipe)
        };
        let (before, after) = (recipe(before), recipe(after));
        let BuiltTable(before) = TableBuild::new(before, None).run();
        let updated = TableBuild::new(after.clone(), Some(before)).run();
        assert!(updated == TableBuild::new(after, None).run());
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

        #[test]
        fn the_unit_of_weights_plays_no_part(candidates in any_candidates(1..1001)) {
            assert_unit_plays_no_part(LocalityPolicy::WeightedRendezvous, &candidates);
            assert_unit_plays_no_part(LocalityPolicy::WeightedMaglev, &candidates);
        }
    }

    /// Weights are kept in millionths: tables that were made of whole numbers must not change by that.
    fn assert_unit_plays_no_part(locality: LocalityPolicy, candidates: &[Candidate]) {
        let table = |unit: u32| {
            let candidates = candidates.iter().map(|one| Candidate {
                weight: one.weight * unit,
                ..*one
            });
            let recipe = Recipe::new(locality, 4096, candidates.collect());
            TableBuild::new(Arc::new(recipe), None).run().0.slots
        };
        assert!(table(1) == table(EndpointWeight::ONE.millionths()));
    }

    /// Enough of them that a build is worth more than one thread.
    #[test]
    fn a_table_that_is_built_in_parts_is_the_same() {
        let candidate = |index: u32| Candidate {
            identity: lb_common::hash::identity(3, &index.to_be_bytes()),
            weight: 1 + index % 3,
            member: index + 1,
        };
        let recipe = Recipe::new(
            LocalityPolicy::WeightedRendezvous,
            1 << 14,
            (0..80).map(candidate).collect(),
        );
        let build = TableBuild::new(Arc::new(recipe), None);
        assert!(build.cost() > 2 * WORTH_A_THREAD);
        let mut alone = vec![0; 1 << 14];
        rendezvous::build(build.recipe.candidates(), &mut alone);
        assert!(*build.run().0.slots == *alone);
    }
}
