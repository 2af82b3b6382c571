//! From one plan to the next, one operation at a time: no packet is lost between two states that would deliver it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use lb_common::layout::{Member, Pool, Pools};
use lb_common::verdict::{Action, Verdict};
use proptest::prelude::*;

use super::events::{Life, any_event};
use super::maps::{FakeMaps, Kind, frame};
use super::world::{World, ip, resolved};
use crate::net::NextHop;
use crate::plan::Plan;
use crate::plan::contents::Contents;
use crate::plan::diff::{Operation, diff};

/// Packets to every VIP that the random configurations have, from clients on either side of the steering prefixes.
pub(super) fn sample() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for client in [3, 77, 4100, 9000, 20_000, 33_000, 65_000] {
        for (kind, vip, port) in [
            (Kind::Syn, "192.0.2.1", 80),
            (Kind::Ack, "192.0.2.1", 80),
            (Kind::Ack, "192.0.2.1", 81),
            (Kind::Udp, "192.0.2.1", 80),
            (Kind::Udp, "192.0.2.1", 87),
            (Kind::Syn, "192.0.2.2", 82),
            (Kind::Ack, "192.0.2.2", 82),
            (Kind::Udp, "192.0.2.2", 5000),
            (Kind::Icmp, "192.0.2.2", 0),
            (Kind::Ack, "2001:db8:1::7", 443),
        ] {
            frames.push(frame(kind, client, vip, port));
        }
    }
    frames
}

/// Without the slots.
fn brief(operation: &Operation) -> String {
    match operation {
        Operation::WriteTable(offset, slots) => format!("WriteTable({offset}, {} slots)", slots.len()),
        operation => format!("{operation:?}"),
    }
}

fn forwards(verdict: &Verdict) -> bool {
    verdict.reason.action() == Action::Forward
}

/// A member's pool and the active one are two records: without a failover drain there is a moment between them.
fn changes_pool_undrained(maps: &FakeMaps, actual: &Contents, desired: &Contents, member: u32) -> bool {
    let find = |contents: &Contents| {
        let holder = contents
            .services
            .values()
            .find(|service| service.members.contains_key(&member))?;
        Some((holder.record.pools(), holder.members[&member]))
    };
    let (Some((_, old)), Some((pools, new))) = (find(actual), find(desired)) else {
        return false;
    };
    let undrained = Pools::new(Pool::Primary, false, false, 0);
    let moves = undrained.counts(&old, 0) != undrained.counts(&new, 0);
    moves && !(pools.counts(&old, maps.tables.now) && pools.counts(&new, maps.tables.now))
}

/// Applies the difference, and judges the sample after every operation. `FakeMaps` refuses what is broken.
pub(super) fn walk(maps: &mut FakeMaps, desired: &Contents, frames: &[Vec<u8>]) {
    let actual = maps.contents();
    let operations = diff(&actual, desired);
    let old = maps.foresee(frames);
    let mut between: Vec<Vec<Verdict>> = Vec::new();
    for operation in &operations {
        maps.apply(operation);
        between.push(maps.foresee(frames));
    }
    assert_eq!(maps.contents(), *desired);
    let new = maps.foresee(frames);
    let rules = desired.rules.rules.values().map(|rule| rule.service);
    let led_to: BTreeSet<u32> = rules.chain(desired.rules.steering.values().copied()).collect();
    let same_rules = actual.rules == desired.rules;
    for (verdicts, operation) in between.iter().zip(&operations) {
        for ((old, new), verdict) in old.iter().zip(&new).zip(verdicts) {
            let context = || format!("{old:?} … {verdict:?} after {} … {new:?}", brief(operation));
            let actions = [old.reason.action(), new.reason.action()];
            // A packet whose rule leads elsewhere in the end may see the new state of the service that it leaves, if
            // other rules still lead there.
            let leaves = !same_rules && old.service != new.service && led_to.contains(&verdict.service);
            assert!(
                leaves || actions.contains(&verdict.reason.action()),
                "{}",
                context()
            );
            let torn = changes_pool_undrained(maps, &actual, desired, old.member);
            if same_rules && !torn && forwards(old) && forwards(new) {
                assert!(
                    [old.member, new.member].contains(&verdict.member),
                    "{}",
                    context()
                );
            }
        }
    }
}

#[test]
fn nothing_changes_by_nothing() {
    let life = Life::new();
    let plan = life.world.compile(&Plan::default());
    assert_eq!(diff(&plan.contents, &plan.contents), []);
    let again = life.world.compile(&plan);
    assert_eq!(diff(&plan.contents, &again.contents), []);
}

/// From one state of the world to the next, with the web service's failover pool in `backup`.
fn walk_with_backup(before: impl Fn(&mut World), pause: u32, after: impl Fn(&mut World)) -> Vec<Operation> {
    let mut world = World::web(&["10.0.0.1"]);
    world.group("backup", &["10.0.0.2", "10.0.0.3"]);
    world.attach("web", "backup", true);
    let mut maps = FakeMaps::new();
    maps.tables.now = world.now;
    let first = world.compile(&Plan::default());
    maps.reach(&first.contents);
    before(&mut world);
    let plan = world.compile(&first);
    maps.reach(&plan.contents);
    world.now += pause;
    maps.tables.now = world.now;
    after(&mut world);
    let next = world.compile(&plan);
    let operations = diff(&maps.contents(), &next.contents);
    walk(&mut maps, &next.contents, &sample());
    operations
}

fn puts_of(operations: &[Operation], number: u32) -> Vec<Member> {
    let put = operations.iter().filter_map(|operation| match operation {
        Operation::PutMember(of, member) if *of == number => Some(*member),
        _ => None,
    });
    put.collect()
}

fn lose_sight_of(world: &mut World, address: IpAddr) {
    let reason = "waiting".to_owned();
    world.next_hops.insert(address, NextHop::Unresolved { reason });
}

#[test]
fn a_number_that_waited_is_not_given_again_in_the_same_step() {
    let operations = walk_with_backup(
        |world| world.detach("web", "main"),
        1000,
        |world| world.group("backup", &["10.0.0.2", "10.0.0.3", "10.0.0.4"]),
    );
    assert_eq!(puts_of(&operations, 1), []);
    assert!(operations.contains(&Operation::ClearMember(1)));
}

#[test]
fn a_member_that_is_found_and_changes_pools_is_reachable_before_a_table_names_it() {
    let two = ip("10.0.0.2");
    let operations = walk_with_backup(
        |world| lose_sight_of(world, two),
        1,
        |world| {
            world.next_hops.insert(two, resolved(two, 2));
            world.detach("web", "backup");
            world.attach("web", "backup", false);
        },
    );
    assert_eq!(puts_of(&operations, 2).len(), 2, "{operations:?}");
}

#[test]
fn a_draining_member_that_comes_back_to_another_pool_drains_until_then() {
    let two = ip("10.0.0.2");
    let operations = walk_with_backup(
        |world| {
            lose_sight_of(world, two);
            world.service("web").draining_timeout_sec = 100;
            world.group("backup", &["10.0.0.3"]);
        },
        1,
        |world| {
            world.next_hops.insert(two, resolved(two, 2));
            world.group("backup", &["10.0.0.2", "10.0.0.3"]);
            world.detach("web", "backup");
            world.attach("web", "backup", false);
        },
    );
    let [early, late] = puts_of(&operations, 2)[..] else {
        panic!("{operations:?}");
    };
    assert_eq!(early.backend(), late.backend());
    let now = World::new().now;
    let in_time = [now + 1, now + 1000].map(|second| early.serves_entries(second));
    assert_eq!(in_time, [true, false]);
}

#[test]
fn a_member_that_no_table_names_is_found_with_all_the_rest() {
    let two = ip("10.0.0.2");
    let operations = walk_with_backup(
        |world| lose_sight_of(world, two),
        1,
        |world| {
            world.next_hops.insert(two, resolved(two, 2));
            world.health("10.0.0.2", false);
        },
    );
    assert_eq!(puts_of(&operations, 2).len(), 1, "{operations:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_step_is_old_or_new(
        steps in proptest::collection::vec(proptest::collection::vec(any_event(), 1..5), 1..8)
    ) {
        let mut life = Life::new();
        let mut maps = FakeMaps::new();
        let frames = sample();
        let mut plan = life.world.compile(&Plan::default());
        maps.tables.now = life.world.now;
        maps.reach(&plan.contents);
        for step in &steps {
            for frame in &frames {
                maps.decide(frame);
            }
            step.iter().for_each(|event| life.on(event));
            maps.tables.now = life.world.now;
            let next = life.world.compile(&plan);
            walk(&mut maps, &next.contents, &frames);
            prop_assert_eq!(diff(&maps.contents(), &next.contents), []);
            plan = next;
        }
    }
}
