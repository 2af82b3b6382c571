//! Balance, disruption and determinism of the rendezvous table. The seeds are fixed, so the bounds are exact
//! statements.

use std::collections::BTreeMap;

use super::*;
use crate::hash::identity;

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
    build(candidates, &mut slots);
    slots
}

fn shares(slots: &[u32]) -> BTreeMap<u32, u32> {
    let mut shares = BTreeMap::new();
    for slot in slots {
        *shares.entry(*slot).or_default() += 1;
    }
    shares
}

fn unequal(name: u32) -> u32 {
    [1, 10, 5, 100][name as usize % 4]
}

#[test]
fn the_logarithm_agrees_with_floating_point() {
    let powers = (0..64).flat_map(|bit| [1u64 << bit, (1 << bit) - 1, (1 << bit) | 1]);
    let spread = (0..2000).map(|index: u64| index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for hash in powers.chain(spread).chain([u64::MAX / 3, u64::MAX - 1, u64::MAX]) {
        let exact = -(((hash as f64) + 1.0) / 2f64.powi(64)).log2();
        let ours = negative_log2(hash) as f64 / (1u64 << FRACTION) as f64;
        assert!((exact - ours).abs() < 1e-6, "{hash}: {exact} {ours}");
    }
}

#[test]
fn the_logarithm_falls_monotonically() {
    let mut hashes: Vec<u64> = (0..20_000u64)
        .map(|index| finish(index) >> (index % 64))
        .collect();
    hashes.extend((0..5000).map(|step| (1 << 63) + step));
    hashes.sort();
    assert!(
        hashes
            .windows(2)
            .all(|pair| negative_log2(pair[0]) >= negative_log2(pair[1]))
    );
}

#[test]
fn parts_are_parts_of_the_whole() {
    for weight in [|_| 1, unequal] {
        let candidates = candidates(9, 0..30, weight);
        let whole = table(&candidates, 4096);
        let mut parts = vec![0; 4096];
        for (index, part) in parts.chunks_mut(1000).enumerate() {
            build_part(&candidates, 1000 * index, part);
        }
        assert_eq!(parts, whole);
    }
}

#[test]
fn no_candidates_name_no_member_and_one_takes_all() {
    assert!(table(&[], 4096).iter().all(|slot| *slot == 0));
    assert!(
        table(&candidates(1, 0..1, |_| 7), 4096)
            .iter()
            .all(|slot| *slot == 1)
    );
}

#[test]
fn two_builds_are_identical() {
    let candidates = candidates(1, 0..30, unequal);
    assert_eq!(table(&candidates, 4096), table(&candidates, 4096));
}

/// Ties aside, which are settled by identity, no order at all is needed.
#[test]
fn the_order_of_candidates_is_irrelevant() {
    for weight in [|_| 1, unequal] {
        let sorted = candidates(5, 0..50, weight);
        let mut reversed = sorted.clone();
        reversed.reverse();
        let mut rotated = sorted.clone();
        rotated.rotate_left(17);
        assert_eq!(table(&sorted, 4096), table(&reversed, 4096));
        assert_eq!(table(&sorted, 4096), table(&rotated, 4096));
    }
}

#[test]
fn equal_weights_are_no_weights() {
    for weight in [2, 17, 1000] {
        let equal = table(&candidates(3, 0..40, |_| weight), 4096);
        assert_eq!(equal, table(&candidates(3, 0..40, |_| 1), 4096));
    }
}

/// The path for equal weights gives what the weighted one would.
#[test]
fn both_ways_of_building_agree_on_equal_weights() {
    let candidates = candidates(3, 0..40, |_| 10);
    for (index, slot) in table(&candidates, 4096).iter().enumerate() {
        let salt = finish(index as u64 ^ 0x736c_6f74);
        assert_eq!(*slot, cheapest(&candidates, salt));
    }
}

#[test]
fn seeds_give_different_tables() {
    assert_ne!(
        table(&candidates(1, 0..10, |_| 1), 4096),
        table(&candidates(2, 0..10, |_| 1), 4096)
    );
}

#[test]
fn unweighted_shares_are_even_as_chance_allows() {
    for seed in 1..=5 {
        for (count, size) in [(2u32, 4096u32), (7, 4096), (40, 4096), (600, 65_536)] {
            let shares = shares(&table(&candidates(seed, 0..count, |_| 1), size));
            assert_eq!(shares.len(), count as usize);
            let mean = f64::from(size) / f64::from(count);
            let most = f64::from(*shares.values().max().expect("some"));
            let least = f64::from(*shares.values().min().expect("some"));
            // Five standard deviations of a binomial share.
            let bound = 5.0 * mean.sqrt();
            assert!(
                most - mean < bound && mean - least < bound,
                "{count} {seed}: {least}..{most} of {mean}"
            );
        }
    }
}

#[test]
fn shares_are_proportional_to_weights() {
    for seed in 1..=5 {
        let candidates = candidates(seed, 0..8, unequal);
        let total: u32 = candidates.iter().map(|candidate| candidate.weight).sum();
        let size = 1 << 20;
        let shares = shares(&table(&candidates, size));
        for candidate in &candidates {
            let exact = f64::from(size) * f64::from(candidate.weight) / f64::from(total);
            let share = f64::from(shares[&candidate.member]);
            // Five standard deviations: 3 % for the smallest weight, 0.1 % for the largest.
            assert!(
                (share - exact).abs() < 5.0 * exact.sqrt(),
                "{candidate:?}: {share} of {exact}"
            );
        }
    }
}

#[test]
fn one_to_ten_comes_out_one_to_ten() {
    for seed in 1..=5 {
        let shares = shares(&table(&candidates(seed, 0..2, |name| 1 + 9 * name), 65_536));
        let ratio = f64::from(shares[&2]) / f64::from(shares[&1]);
        assert!((ratio / 10.0 - 1.0).abs() < 0.05, "{ratio}");
    }
}

/// Slots that change hands although neither of the two hands left or came.
fn disturbed(before: &[u32], after: &[u32], involved: impl Fn(u32) -> bool) -> usize {
    before
        .iter()
        .zip(after)
        .filter(|(old, new)| old != new && !involved(**old) && !involved(**new))
        .count()
}

#[test]
fn who_leaves_or_comes_moves_no_unrelated_slot() {
    for weight in [|_| 1, unequal] {
        for (seed, count, size) in [(1, 10, 4096), (2, 40, 4096), (3, 600, 65_536)] {
            let all = table(&candidates(seed, 0..count, weight), size);
            for gone in [1, count / 10] {
                let fewer = table(&candidates(seed, gone..count, weight), size);
                assert_eq!(disturbed(&all, &fewer, |member| member <= gone), 0);
                assert_eq!(disturbed(&fewer, &all, |member| member <= gone), 0);
                // And what was not the leavers' stays where it was.
                let kept = all.iter().zip(&fewer).filter(|(old, _)| **old > gone);
                assert!(kept.into_iter().all(|(old, new)| old == new));
            }
        }
    }
}

#[test]
fn a_heavier_weight_only_wins_slots() {
    let before = table(&candidates(1, 0..20, |name| 5 + name % 2), 65_536);
    let after = table(
        &candidates(1, 0..20, |name| if name == 3 { 9 } else { 5 + name % 2 }),
        65_536,
    );
    let changed: Vec<_> = before
        .iter()
        .zip(&after)
        .filter(|(old, new)| old != new)
        .collect();
    assert!(!changed.is_empty());
    assert!(changed.iter().all(|(_, new)| **new == 4));
}

/// One endpoint of `count` and one more goes, at the size that services have by default. No flow of others moves.
#[test]
fn one_endpoint_moves_its_share_and_no_other() {
    const SLOTS: u32 = 1 << 16;
    for count in [
        1, 2, 3, 5, 8, 13, 21, 40, 41, 77, 120, 163, 164, 300, 500, 655, 656, 1000,
    ] {
        let all = candidates(u128::from(count) + 7, 0..=count, |_| 1);
        let more = table(&all, SLOTS);
        let shares = shares(&more);
        let due = f64::from(SLOTS) / f64::from(count + 1);
        let deviation = (due * (1.0 - 1.0 / f64::from(count + 1))).sqrt();
        for (member, share) in &shares {
            let off = (f64::from(*share) - due).abs();
            assert!(off <= 4.5 * deviation, "{count}: {member} has {share} for {due}");
        }
        // The other slots are as they were: `an_updated_table…` of the planner proves that this is what is built.
        let left: Vec<Candidate> = all
            .iter()
            .copied()
            .filter(|candidate| candidate.member != 1)
            .collect();
        let by_member: BTreeMap<u32, Candidate> = left.iter().map(|one| (one.member, *one)).collect();
        let mut fewer = more.clone();
        update(&mut fewer, &left, &[], |member| by_member.get(&member).copied());
        let moved = more
            .iter()
            .zip(&fewer)
            .filter(|(one, other)| one != other)
            .count();
        assert_eq!(moved as u32, shares[&1]);
        assert!(
            moved as f64 <= 1.5 / f64::from(count) * f64::from(SLOTS),
            "{count}: {moved}"
        );
    }
}
