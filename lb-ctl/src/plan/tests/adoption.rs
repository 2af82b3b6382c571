//! A new daemon takes up where the last one left off, with its history, with an older one, or with none.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::changes::{sample, walk};
use super::events::{Event, Life, any_event};
use super::maps::FakeMaps;
use super::world::{World, number, v4};
use crate::plan::diff::diff;
use crate::plan::{MemberStatus, Plan, SavedPlan};

/// As it is kept between two runs.
fn through_json(plan: &Plan) -> SavedPlan {
    let text = serde_json::to_string(&plan.save()).expect("it serialises");
    serde_json::from_str(&text).expect("it reads what it wrote")
}

fn lived(steps: &[Vec<Event>]) -> (Life, FakeMaps, Plan) {
    let mut life = Life::new();
    let mut maps = FakeMaps::new();
    let mut plan = Plan::default();
    for step in [&Vec::new()].into_iter().chain(steps) {
        step.iter().for_each(|event| life.on(event));
        maps.tables.now = life.world.now;
        plan = life.world.compile(&plan);
        maps.reach(&plan.contents);
    }
    (life, maps, plan)
}

fn any_life() -> impl Strategy<Value = Vec<Vec<Event>>> {
    proptest::collection::vec(proptest::collection::vec(any_event(), 1..5), 0..8)
}

/// Numbers and state of members, and the pools: all that tracked flows depend on.
fn history(plan: &Plan) -> Vec<String> {
    let service = |(key, service): (
        &crate::plan::ServiceKey,
        &std::sync::Arc<crate::plan::ServicePlan>,
    )| {
        let (number, record) = (service.number, service.contents.record);
        format!(
            "{key} {number} {:?} {} {:?}",
            service.members, record.pools, service.contents.members
        )
    };
    plan.services.iter().map(service).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_restart_changes_nothing(steps in any_life(), next in proptest::collection::vec(any_event(), 1..5)) {
        let (mut life, maps, plan) = lived(&steps);
        let adopted = Plan::adopt(through_json(&plan), &maps.contents());
        let again = life.world.compile(&adopted);
        prop_assert_eq!(diff(&maps.contents(), &again.contents), []);
        prop_assert_eq!(history(&again), history(&plan));
        // And what happens next is what would have happened.
        next.iter().for_each(|event| life.on(event));
        prop_assert_eq!(history(&life.world.compile(&again)), history(&life.world.compile(&plan)));
    }

    /// The daemon died between keeping the history and applying the plan.
    #[test]
    fn a_restart_with_a_newer_history_goes_on(
        steps in any_life(),
        last in proptest::collection::vec(any_event(), 1..5),
    ) {
        let (mut life, mut maps, plan) = lived(&steps);
        last.iter().for_each(|event| life.on(event));
        let next = life.world.compile(&plan);
        maps.tables.now = life.world.now;
        let again = life.world.compile(&Plan::adopt(through_json(&next), &maps.contents()));
        prop_assert_eq!(numbers(&again), numbers(&next));
        walk(&mut maps, &again.contents, &sample());
    }

    /// The last steps were applied and not kept. No time passed, so no number has changed hands.
    #[test]
    fn a_restart_with_an_older_history_is_safe(steps in any_life(), lost in any_life()) {
        let (mut life, mut maps, mut plan) = lived(&steps);
        let saved = through_json(&plan);
        for event in lost.iter().flatten().filter(|event| !matches!(event, Event::Time(_))) {
            life.on(event);
            plan = life.world.compile(&plan);
            maps.reach(&plan.contents);
        }
        let again = life.world.compile(&Plan::adopt(saved, &maps.contents()));
        let known = numbers(&plan);
        for (key, service) in &again.services {
            for (id, member) in service.members.iter().filter(|(_, member)| known.contains(&member.number)) {
                let before = plan.services.get(key).and_then(|service| service.members.get(id));
                prop_assert_eq!(before.map(|member| member.number), Some(member.number));
            }
        }
        walk(&mut maps, &again.contents, &sample());
    }

    #[test]
    fn a_restart_without_history_is_safe(steps in any_life()) {
        let (life, mut maps, before) = lived(&steps);
        let again = life.world.compile(&Plan::adopt(SavedPlan::default(), &maps.contents()));
        let used: BTreeSet<u32> = numbers(&before);
        prop_assert!(numbers(&again).is_disjoint(&used), "entries may name {:?}", used);
        walk(&mut maps, &again.contents, &sample());
        // In the end the old numbers are free.
        let mut world = life.world.clone();
        let mut plan = again;
        while let Some(deadline) = plan.next_deadline() {
            prop_assert!(deadline > world.now);
            world.now = deadline;
            plan = world.compile(&plan);
        }
        let live: usize = plan.services.values().map(|service| service.members.len()).sum();
        let held: usize = plan.contents.services.values().map(|service| service.members.len()).sum();
        prop_assert_eq!(live, held);
    }
}

fn numbers(plan: &Plan) -> BTreeSet<u32> {
    let members = plan
        .services
        .values()
        .flat_map(|service| service.members.values());
    members.map(|member| member.number).collect()
}

#[test]
fn drains_and_waiting_numbers_survive() {
    let mut world = World::web(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    world.service("web").draining_timeout_sec = 100;
    let mut maps = FakeMaps::new();
    let plan = world.compile(&Plan::default());
    let (two, three) = (number(&plan, "web", "10.0.0.2"), number(&plan, "web", "10.0.0.3"));
    world.group("main", &["10.0.0.1", "10.0.0.3"]);
    let plan = world.compile(&plan);
    world.service("web").draining_timeout_sec = 0;
    world.group("main", &["10.0.0.1"]);
    let plan = world.compile(&plan);
    maps.tables.now = world.now;
    maps.reach(&plan.contents);

    let plan = world.compile(&Plan::adopt(through_json(&plan), &maps.contents()));
    let draining = v4(&plan, "web")
        .members
        .values()
        .find(|member| member.number == two);
    assert_eq!(
        draining.expect("a member").status,
        MemberStatus::Draining(world.now + 101)
    );
    world.group("main", &["10.0.0.1", "10.0.0.4"]);
    let plan = world.compile(&plan);
    assert!(![two, three].contains(&number(&plan, "web", "10.0.0.4")));
}

#[test]
fn a_table_in_force_is_not_written_over() {
    let mut world = World::web(&["10.0.0.1", "10.0.0.2"]);
    let plan = world.compile(&Plan::default());
    let mut maps = FakeMaps::new();
    maps.tables.now = world.now;
    maps.reach(&plan.contents);
    let in_force = v4(&plan, "web").contents.record.selection().offset;
    world.health("10.0.0.1", false);
    let again = world.compile(&Plan::adopt(SavedPlan::default(), &maps.contents()));
    assert_ne!(v4(&again, "web").contents.record.selection().offset, in_force);
    maps.reach(&again.contents);
}
