//! Services that wait for tables or for room: what they do meanwhile, and that they get both.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::maps::FakeMaps;
use super::world::{World, applied, ip, key, path, target, v4};
use crate::model::{LocalityPolicy, Ports, RuleProtocol, TableSlots};
use crate::plan::diff::diff;
use crate::plan::{IpFamily, Pending, Plan, Scope, TableBuild, compile};

fn go(world: &World, previous: &Plan, scope: Scope<'_>) -> Plan {
    compile(&world.inputs(), &applied(previous, world.now), scope, world.now).expect("it fits")
}

fn builds(plan: &Plan) -> Vec<TableBuild> {
    plan.builds().map(|(_, build)| build.clone()).collect()
}

fn build_all(world: &mut World, plan: &Plan) {
    for build in builds(plan) {
        world.built.insert(build.run());
    }
}

fn services(names: &[&str]) -> BTreeSet<crate::model::ResourcePath> {
    names.iter().map(|name| path(name)).collect()
}

fn endpoints_of(plan: &Plan) -> usize {
    let slots = v4(plan, "web").contents.table.clone().expect("a table").1;
    slots.iter().collect::<BTreeSet<_>>().len()
}

#[test]
fn a_new_service_is_not_led_to_before_its_table_is_there() {
    let mut world = World::web(&["10.0.0.1", "10.0.0.2"]);
    world.inline_work = 0;
    let plan = world.compile(&Plan::default());
    assert!(plan.services.is_empty() && plan.contents.services.is_empty());
    assert!(plan.contents.rules.rules.is_empty() && plan.contents.rules.vips.is_empty());
    assert_eq!(builds(&plan).len(), 1);
    assert_eq!(plan.next_deadline(), None, "it does not spin");
    assert!(plan.due(world.now + 1000).is_empty());
    build_all(&mut world, &plan);
    let plan = go(&world, &plan, Scope::Services(&services(&["web"])));
    assert_eq!((plan.pending().count(), plan.contents.rules.rules.len()), (0, 2));
    world.built.retain_wanted(&plan);
    assert!(world.built.is_empty());
    let mut inline = world.clone();
    inline.inline_work = u64::MAX;
    assert_eq!(plan.contents, inline.compile(&Plan::default()).contents);
}

/// However many wait at once, each has numbers of its own, so that what is built for one is of use.
#[test]
fn numbers_of_services_that_wait_are_their_own() {
    let mut world = World::web(&["10.0.0.1", "10.0.0.2"]);
    for (index, name) in ["a", "b", "c"].into_iter().enumerate() {
        world.service(name);
        world.attach(name, "main", false);
        let vip = format!("192.0.2.{}", 10 + index);
        world.rule(name, &vip, RuleProtocol::L3Default, Ports::All, name);
    }
    world.inline_work = 0;
    let plan = world.compile(&Plan::default());
    build_all(&mut world, &plan);
    let all = go(&world, &plan, Scope::Services(&services(&["web", "a", "b", "c"])));
    assert_eq!(all.pending().count(), 0);
    let one_by_one = ["c", "web", "b", "a"].iter().fold(plan, |plan, name| {
        go(&world, &plan, Scope::Services(&services(&[name])))
    });
    assert_eq!(one_by_one.contents.rules, all.contents.rules);
    for (key, service) in &all.services {
        let other = &one_by_one.services[key];
        assert_eq!(other.members, service.members);
        let slots = |plan: &crate::plan::ServicePlan| plan.contents.table.clone().map(|(_, slots)| slots);
        assert_eq!(slots(other), slots(service), "only the place may differ");
    }
    // What waits and goes gives its numbers back.
    let mut fresh = World::web(&["10.0.0.1"]);
    fresh.inline_work = 0;
    let waits = fresh.compile(&Plan::default());
    fresh.remove_service("web");
    let gone = fresh.compile(&waits);
    assert_eq!(gone.pending().count(), 0);
    assert_eq!(gone.space, Plan::default().space);
}

#[test]
fn a_service_that_waits_stays_as_it_was_as_a_whole() {
    let mut world = World::web(&["10.0.0.1", "10.0.0.2"]);
    let plan = world.compile(&Plan::default());
    world.inline_work = 0;
    world.group("main", &["10.0.0.2", "10.0.0.3"]);
    world.service("web").idle_timeout_sec = 120;
    let waits = world.compile(&plan);
    assert_eq!(waits.contents.services, plan.contents.services);
    assert_eq!(waits.services, plan.services);
    // The number that is set aside is nobody else's.
    world.inline_work = u64::MAX;
    world.service("other");
    world.group("others", &["10.0.0.9"]);
    world.attach("other", "others", false);
    world.rule("other", "192.0.2.9", RuleProtocol::L3Default, Ports::All, "other");
    let mut only_other = world.clone();
    only_other.config.services.remove(&path("web"));
    let plan = world.compile(&waits);
    let numbers: Vec<u32> = plan
        .services
        .values()
        .flat_map(|service| service.members.values().map(|member| member.number))
        .collect();
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len());
}

/// A rule leads to its former service until the table of the new one is there.
#[test]
fn there_is_no_moment_without_a_rule_while_the_new_target_waits() {
    let mut world = World::web(&["10.0.0.1"]);
    let plan = world.compile(&Plan::default());
    let before = plan.contents.rules.clone();
    world.group("others", &["10.0.0.9"]);
    world.service("new");
    world.attach("new", "others", false);
    for name in ["web-tcp", "web-udp"] {
        world.config.rules.get_mut(&path(name)).expect("a rule").service = path("new");
    }
    world.inline_work = 0;
    let waits = world.compile(&plan);
    assert_eq!(waits.contents.rules, before);
    assert!(waits.services.contains_key(&key("web", IpFamily::V4)));
    assert!(waits.contents.services[&v4(&plan, "web").number].table.is_some());
    build_all(&mut world, &waits);
    let moved = go(&world, &waits, Scope::Services(&services(&["new"])));
    let led_to: BTreeSet<u32> = moved
        .contents
        .rules
        .rules
        .values()
        .map(|rule| rule.service)
        .collect();
    assert_eq!(led_to, BTreeSet::from([v4(&moved, "new").number]));
    assert!(!moved.services.contains_key(&key("web", IpFamily::V4)));
}

/// Health changes faster than tables are built: each build that ends is used all the same.
#[test]
fn builds_are_of_use_however_fast_health_changes() {
    let addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"];
    let mut world = World::web(&addresses);
    let mut plan = world.compile(&Plan::default());
    world.inline_work = 0;
    let web = services(&["web"]);
    let mut used = 0;
    for step in 0..8 {
        world.health(addresses[step % 4], step >= 4);
        plan = go(&world, &plan, Scope::Services(&web));
        let under_way = builds(&plan);
        // It changes again while they run, which asks for nothing new.
        world.health(addresses[(step + 1) % 4], step < 4);
        plan = go(&world, &plan, Scope::Services(&web));
        assert_eq!(
            builds(&plan).iter().map(TableBuild::id).collect::<Vec<_>>(),
            under_way.iter().map(TableBuild::id).collect::<Vec<_>>()
        );
        let before = v4(&plan, "web").contents.table.clone();
        for build in under_way {
            world.built.insert(build.run());
        }
        plan = go(&world, &plan, Scope::Services(&web));
        world.built.retain_wanted(&plan);
        used += usize::from(v4(&plan, "web").contents.table != before);
    }
    assert!(used >= 6, "{used}");
    while !builds(&plan).is_empty() {
        build_all(&mut world, &plan);
        plan = go(&world, &plan, Scope::Services(&web));
    }
    let healthy = world.health.values().filter(|state| state.healthy).count();
    assert_eq!(endpoints_of(&plan), healthy);
}

/// An endpoint that has left is in no table that comes later, though it was asked for before.
#[test]
fn a_table_that_names_who_has_left_is_not_used() {
    let mut world = World::web(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    let plan = world.compile(&Plan::default());
    world.inline_work = 0;
    world.health("10.0.0.3", false);
    let waits = world.compile(&plan);
    build_all(&mut world, &waits);
    world.group("main", &["10.0.0.1", "10.0.0.3"]);
    let waits = world.compile(&waits);
    assert_eq!(v4(&waits, "web").contents, v4(&plan, "web").contents);
    build_all(&mut world, &waits);
    let next = go(&world, &waits, Scope::Services(&services(&["web"])));
    assert_eq!(endpoints_of(&next), 1);
    assert!(
        !v4(&next, "web")
            .members
            .keys()
            .any(|id| id.address == ip("10.0.0.2"))
    );
}

#[test]
fn what_is_cheap_is_built_at_once_and_the_rest_is_asked_for() {
    let mut world = World::web(&["10.0.0.1", "10.0.0.2"]);
    world.service("web").locality = LocalityPolicy::Rendezvous;
    world.service("web").table_slots = TableSlots::all(16_384);
    world.inline_work = 1_500_000;
    let plan = world.compile(&Plan::default());
    assert_eq!(plan.pending().count(), 0);
    world.service("web").table_slots = TableSlots::all(65_536);
    world.service("web").locality = LocalityPolicy::Maglev;
    let plan = world.compile(&plan);
    assert!(matches!(plan.pending().next(), Some((_, Pending::Build(builds))) if builds.len() == 1));
}

#[derive(Clone, Debug)]
enum Step {
    /// A service comes, with tables of this size, or goes.
    Service(u8, bool),
    Flip(u8, u8),
    Resize(u8, bool),
    Time(u32),
}

const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
const LARGE: u32 = 16_384;
const SMALL: u32 = 4096;

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..NAMES.len() as u8, any::<bool>()).prop_map(|(name, large)| Step::Service(name, large)),
        8 => (0..NAMES.len() as u8, 0..2u8).prop_map(|(name, endpoint)| Step::Flip(name, endpoint)),
        1 => (0..NAMES.len() as u8, any::<bool>()).prop_map(|(name, large)| Step::Resize(name, large)),
        3 => (0..4u32).prop_map(Step::Time),
    ]
}

fn size(large: bool) -> u32 {
    if large { LARGE } else { SMALL }
}

struct Crowd {
    world: World,
    /// Slots that services may have: all but the reserve.
    room: u32,
}

impl Crowd {
    fn new() -> Self {
        let mut world = World::new();
        world.limits.table_slots = 2 * crate::model::TABLE_CELLS[2];
        world.limits.table_reserve = LARGE;
        // Eight large places in all.
        let room = 8 * LARGE - world.limits.table_reserve;
        Self { world, room }
    }

    /// As it is admitted: the tables of all services fit what is not the reserve.
    fn fits(&self, more: u32) -> bool {
        let services = self.world.config.services.values();
        services.map(|service| service.table_slots.slots).sum::<u32>() + more <= self.room
    }

    fn on(&mut self, step: &Step) {
        match step {
            Step::Service(name, large) => {
                let name = NAMES[usize::from(*name)];
                if self.world.config.services.contains_key(&path(name)) {
                    self.world.remove_service(name);
                } else if self.fits(size(*large)) {
                    self.add(name, size(*large));
                }
            }
            Step::Flip(name, endpoint) => {
                let address = ip(&format!("10.0.{name}.{}", endpoint + 1));
                if let Some(state) = self.world.health.get_mut(&target(address)) {
                    state.healthy = !state.healthy;
                }
            }
            Step::Resize(name, large) => {
                let name = path(NAMES[usize::from(*name)]);
                let fits = self.fits(size(*large));
                if let Some(service) = self.world.config.services.get_mut(&name).filter(|_| fits) {
                    service.table_slots = TableSlots::all(size(*large));
                }
            }
            Step::Time(seconds) => self.world.now += seconds,
        }
    }

    fn add(&mut self, name: &str, slots: u32) {
        let number = name.bytes().next().unwrap_or(b'a') - b'a';
        let addresses: Vec<String> = (1..=2).map(|host| format!("10.0.{number}.{host}")).collect();
        self.world
            .group(name, &addresses.iter().map(String::as_str).collect::<Vec<_>>());
        let service = self.world.service(name);
        service.locality = LocalityPolicy::Rendezvous;
        service.table_slots = TableSlots::all(slots);
        self.world.attach(name, name, false);
        let vip = format!("192.0.2.{}", 10 + number);
        self.world
            .rule(name, &vip, RuleProtocol::L3Default, Ports::All, name);
    }
}

/// No two tables that packets may read overlap.
fn assert_apart(plan: &Plan, slots: u32) {
    let mut regions: Vec<(u32, u32)> = plan
        .services
        .values()
        .flat_map(|service| service.tables.iter().map(|table| table.region))
        .map(|region| (region.offset, region.offset + region.space()))
        .collect();
    regions.sort_unstable();
    assert!(
        regions.windows(2).all(|pair| pair[0].1 <= pair[1].0),
        "{regions:?}"
    );
    assert!(regions.iter().all(|(_, end)| *end <= slots));
    let space = plan.table_space(&super::world::LIMITS);
    assert!(space.in_use + space.retired <= space.slots);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Services fill all the room that is not the reserve, come, go, and change: each has what it should have after a
    /// bounded time, however the pieces lie.
    #[test]
    fn every_service_gets_its_table(steps in proptest::collection::vec(any_step(), 1..60)) {
        let mut crowd = Crowd::new();
        let mut maps = FakeMaps::new();
        let mut plan = Plan::default();
        for step in &steps {
            crowd.on(step);
            plan = compile(&crowd.world.inputs(), &plan, Scope::All, crowd.world.now).expect("it was admitted");
            assert_apart(&plan, crowd.world.limits.table_slots);
            maps.tables.now = crowd.world.now;
            maps.reach(&plan.contents);
            plan.note_applied(crowd.world.now);
        }
        let mut rounds = 0;
        while plan.pending().next().is_some() {
            rounds += 1;
            prop_assert!(rounds <= 40, "{:?}", plan.pending().collect::<Vec<_>>());
            let deadline = plan.next_deadline();
            prop_assert!(deadline.is_some(), "something wakes those that wait");
            crowd.world.now = deadline.unwrap_or(0).max(crowd.world.now);
            plan = compile(&crowd.world.inputs(), &plan, Scope::Due, crowd.world.now).expect("it fits");
            assert_apart(&plan, crowd.world.limits.table_slots);
            maps.tables.now = crowd.world.now;
            maps.reach(&plan.contents);
            plan.note_applied(crowd.world.now);
        }
        for (name, service) in &crowd.world.config.services {
            let planned = &plan.services[&key(name.name(), IpFamily::V4)];
            let slots = planned.contents.table.as_ref().map(|(_, slots)| slots.len() as u32);
            prop_assert_eq!(slots, Some(service.table_slots.slots), "{}", name);
        }
        let mut everything = crowd.world.clone();
        everything.limits.table_slots = 64 * LARGE;
        let whole = everything.compile(&plan);
        for (service, planned) in &whole.services {
            prop_assert_eq!(&plan.services[service].contents.table, &planned.contents.table, "{}", service);
        }
    }
}

/// Small tables in all large places: they are drawn together for a large one.
#[test]
fn small_tables_make_way_for_a_large_one() {
    let mut crowd = Crowd::new();
    crowd.world.limits.table_slots = crate::model::TABLE_CELLS[2];
    for name in NAMES.into_iter().chain(["m", "n", "o", "p"]) {
        crowd.add(name, SMALL);
    }
    let mut plan = crowd.world.compile(&Plan::default());
    let mut maps = FakeMaps::new();
    maps.reach(&plan.contents);
    // Of each four neighbours one stays.
    let mut by_offset: Vec<(u32, String)> = plan
        .services
        .iter()
        .map(|(key, service)| {
            let table = service.tables.own.as_ref().expect("a table");
            (table.region.offset, key.service.name().to_owned())
        })
        .collect();
    by_offset.sort();
    for (position, (_, name)) in by_offset.iter().enumerate() {
        if position % 4 != 1 {
            crowd.world.remove_service(name);
        }
    }
    plan = crowd.world.compile(&plan);
    for name in ["x", "y"] {
        crowd.add(name, LARGE);
    }
    let mut rounds = 0;
    maps.reach(&plan.contents);
    plan = crowd.world.compile(&plan);
    maps.reach(&plan.contents);
    while plan.pending().next().is_some() {
        rounds += 1;
        assert!(rounds <= 10, "{:?}", plan.pending().collect::<Vec<_>>());
        let before = plan.contents.clone();
        plan.note_applied(crowd.world.now);
        crowd.world.now = plan.next_deadline().expect("something to wait for");
        plan = go(&crowd.world, &plan, Scope::Due);
        // Tables that move are written elsewhere before they are named.
        let operations = diff(&before, &plan.contents);
        assert!(!operations.is_empty() || plan.pending().next().is_none());
        maps.tables.now = crowd.world.now;
        maps.reach(&plan.contents);
    }
    assert!(rounds > 0, "there was no place before");
    assert_eq!(plan.services.len(), 6);
}
