//! Balance, disruption and determinism of the Maglev table. The seeds are fixed, so the bounds are exact statements.

use std::collections::BTreeMap;

use super::*;
use crate::hash::identity;

/// Endpoints by name, in the order that the caller owes: by identity.
fn candidates(
    seed: u128,
    names: impl IntoIterator<Item = u32>,
    weight: impl Fn(u32) -> u32,
) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = names
        .into_iter()
        .map(|name| Candidate {
            identity: identity(seed, format!("endpoint-{name}").as_bytes()),
            weight: weight(name),
            member: name + 1,
        })
        .collect();
    candidates.sort();
    candidates
}

fn table(candidates: &[Candidate], size: u32) -> Vec<u32> {
    let mut slots = vec![u32::MAX; size as usize];
    build(
        candidates,
        &mut slots,
        &mut vec![Walk::default(); candidates.len()],
    );
    slots
}

fn shares(slots: &[u32]) -> BTreeMap<u32, u32> {
    let mut shares = BTreeMap::new();
    for slot in slots {
        *shares.entry(*slot).or_default() += 1;
    }
    shares
}

fn is_prime(number: u32) -> bool {
    number > 1
        && (2..)
            .take_while(|d: &u32| d * d <= number)
            .all(|d| !number.is_multiple_of(d))
}

#[test]
fn sizes_are_primes_beside_those_of_rendezvous() {
    assert!(SIZES.iter().all(|size| is_prime(*size)));
    for (slots, prime) in crate::rendezvous::SIZES.into_iter().zip(SIZES) {
        assert_eq!(prime_for(slots), prime);
        assert!(slots.abs_diff(prime) <= 3);
    }
}

#[test]
fn no_candidates_name_no_member() {
    assert!(table(&[], 4093).iter().all(|slot| *slot == 0));
}

#[test]
fn one_candidate_takes_all() {
    assert!(
        table(&candidates(1, 0..1, |_| 7), 4093)
            .iter()
            .all(|slot| *slot == 1)
    );
}

#[test]
fn two_builds_are_identical_and_scratch_space_does_not_matter() {
    let candidates = candidates(1, 0..30, |name| 1 + name % 4);
    let mut dirty = vec![7; 4093];
    let used = Walk {
        at: 99,
        skip: 3,
        credit: 12,
    };
    build(&candidates, &mut dirty, &mut [used; 30]);
    assert_eq!(dirty, table(&candidates, 4093));
}

/// The caller sorts by identity, so the order in which endpoints are listed can't matter.
#[test]
fn the_order_of_listing_is_irrelevant() {
    let forward = candidates(5, 0..50, |name| 1 + name % 3);
    let backward = candidates(5, (0..50).rev(), |name| 1 + name % 3);
    assert_eq!(forward, backward);
    assert_eq!(table(&forward, 65_537), table(&backward, 65_537));
}

#[test]
fn equal_weights_are_no_weights() {
    for weight in [2, 17, 1000] {
        let equal = table(&candidates(3, 0..40, |_| weight), 4093);
        assert_eq!(equal, table(&candidates(3, 0..40, |_| 1), 4093));
    }
}

#[test]
fn seeds_give_different_tables() {
    assert_ne!(
        table(&candidates(1, 0..10, |_| 1), 4093),
        table(&candidates(2, 0..10, |_| 1), 4093)
    );
}

#[test]
fn unweighted_shares_differ_by_one_slot() {
    for seed in 1..=5 {
        for (count, size) in [(2, 4093), (7, 4093), (40, 4093), (600, 65_537)] {
            let shares = shares(&table(&candidates(seed, 0..count, |_| 1), size));
            assert_eq!(shares.len(), count as usize);
            let (least, most) = (shares.values().min(), shares.values().max());
            assert!(
                most.zip(least).is_some_and(|(most, least)| most - least <= 1),
                "{count} {seed}"
            );
        }
    }
}

#[test]
fn shares_are_proportional_to_weights() {
    for seed in 1..=5 {
        let weights = |name: u32| [1, 10, 7, 100][name as usize % 4];
        let candidates = candidates(seed, 0..8, weights);
        let total: u32 = candidates.iter().map(|candidate| candidate.weight).sum();
        let shares = shares(&table(&candidates, 65_537));
        for candidate in &candidates {
            let exact = 65_537.0 * f64::from(candidate.weight) / f64::from(total);
            let share = f64::from(shares[&candidate.member]);
            assert!(
                (share / exact - 1.0).abs() < 0.01,
                "{candidate:?}: {share} of {exact}"
            );
        }
    }
}

#[test]
fn a_weight_of_one_beside_a_thousand_still_gets_its_slots() {
    let shares = shares(&table(&candidates(1, 0..2, |name| 1 + 999 * name), 4093));
    assert_eq!(shares[&1], 4);
}

/// The fraction of slots that change hands although neither of the two hands left or came.
fn disturbed(before: &[u32], after: &[u32], involved: impl Fn(u32) -> bool) -> f64 {
    let moved = before
        .iter()
        .zip(after)
        .filter(|(old, new)| old != new && !involved(**old) && !involved(**new));
    moved.count() as f64 / before.len() as f64
}

#[test]
fn a_departure_disturbs_few_others() {
    for (seed, count, size) in [(1, 40, 4093), (2, 40, 4093), (3, 600, 65_537), (4, 10, 65_537)] {
        let before = table(&candidates(seed, 0..count, |_| 1), size);
        let one = table(&candidates(seed, 1..count, |_| 1), size);
        let tenth = table(&candidates(seed, count / 10..count, |_| 1), size);
        let (by_one, by_tenth) = (
            disturbed(&before, &one, |member| member == 1),
            disturbed(&before, &tenth, |member| member <= count / 10),
        );
        eprintln!("{count} in {size}: one leaves {by_one:.4}, a tenth leaves {by_tenth:.4} disturbed");
        assert!(by_one < 0.03 && by_tenth < 0.05, "{by_one} {by_tenth}");
        // Every slot of the one that left is someone else's.
        assert!(!one.contains(&1));
    }
}

/// One endpoint of `count` and one more goes, at the size that services have by default.
#[test]
fn one_endpoint_moves_its_share_and_few_others() {
    const SLOTS: u32 = 65_537;
    for count in [
        1, 2, 3, 5, 8, 13, 21, 40, 41, 42, 77, 120, 163, 164, 300, 500, 655, 656, 800, 1000,
    ] {
        let seed = u128::from(count);
        let more = table(&candidates(seed, 0..=count, |_| 1), SLOTS);
        let fewer = table(&candidates(seed, 1..=count, |_| 1), SLOTS);
        let moved = more
            .iter()
            .zip(&fewer)
            .filter(|(one, other)| one != other)
            .count();
        let moved = moved as f64 / f64::from(SLOTS);
        let others = disturbed(&more, &fewer, |member| member == 1);
        assert!(others <= 0.012, "{count}: {others} between others");
        assert!(moved <= 1.5 / f64::from(count) + others, "{count}: {moved}");
        let shares = shares(&more);
        assert_eq!(shares.len(), count as usize + 1);
        assert!(
            shares
                .values()
                .max()
                .zip(shares.values().min())
                .is_some_and(|(most, least)| most - least <= 1)
        );
    }
}
