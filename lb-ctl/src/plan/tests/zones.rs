//! Zonal affinity in the maps: numbers, tables and words, on the way from one plan to the next, and after a restart.

use std::collections::{BTreeMap, BTreeSet};

use lb_common::layout::{DeliveryMode, Selection};

use super::maps::FakeMaps;
use super::world::{World, ip, path, v4};
use crate::model::{Delivery, HaLeader, HaPolicy, LocalityPolicy, Ratio, Scheme, ZonalAffinity};
use crate::plan::diff::{Operation, diff};
use crate::plan::{Plan, PlanError, SavedPlan};

const STAY: ZonalAffinity = ZonalAffinity::StayWithinZone;

/// `web` with two endpoints in each of the zones a, b and c; clients are known to be in a, b and elsewhere.
fn zonal(affinity: Option<ZonalAffinity>) -> World {
    let mut world = World::web(&["10.0.0.1", "10.0.0.2"]);
    world.place("main", "zone-a");
    for (group, zone, addresses) in [
        ("second", "zone-b", ["10.0.1.1", "10.0.1.2"]),
        ("third", "zone-c", ["10.0.2.1", "10.0.2.2"]),
    ] {
        world.group(group, &addresses);
        world.place(group, zone);
        world.attach("web", group, false);
    }
    world.clients("zone-a", &["10.1.0.0/16", "2001:db8:1::/48"]);
    world.clients("zone-b", &["10.2.0.0/16"]);
    world.clients("elsewhere", &["10.9.0.0/16"]);
    let service = world.service("web");
    service.scheme = Scheme::Internal;
    service.locality = LocalityPolicy::Rendezvous;
    service.zonal_affinity = affinity;
    world
}

/// The zone that a client is in, by the longest prefix in the maps; 0 is none.
fn zone_of(maps: &FakeMaps, client: &str) -> u32 {
    let client = crate::plan::rules::prefix(&ip(client).into()).0;
    let bits = |key: [u32; 4]| {
        key.iter()
            .fold(0u128, |bits, word| (bits << 32) | u128::from(u32::from_be(*word)))
    };
    let matches = maps
        .zones
        .iter()
        .filter(|((key, length), _)| *length == 0 || (bits(*key) ^ bits(client)) >> (128 - length) == 0);
    let longest = matches.max_by_key(|((_, length), _)| *length);
    longest.map_or(0, |(_, zone)| *zone)
}

/// The addresses that a client may be sent to, as the layout says that packets find them.
fn seen(maps: &FakeMaps, plan: &Plan, client: &str) -> BTreeSet<String> {
    let by_number: BTreeMap<u32, String> = plan
        .services
        .values()
        .flat_map(|service| service.members.iter())
        .map(|(id, member)| (member.number, id.address.to_string()))
        .collect();
    members(maps, plan, client)
        .iter()
        .map(|member| by_number[member].clone())
        .collect()
}

fn members(maps: &FakeMaps, plan: &Plan, client: &str) -> BTreeSet<u32> {
    let Some(record) = maps.tables.services.get(&v4(plan, "web").number) else {
        return BTreeSet::new();
    };
    let zone = zone_of(maps, client) as usize;
    let words = maps.words(record);
    let word = zone.checked_sub(1).and_then(|index| words.get(index)).copied();
    let selection = match word {
        None | Some(0) => record.selection(),
        Some(word) => Selection::from_word(word),
    };
    maps.slots(selection).iter().copied().collect()
}

fn reached(plan: &Plan, now: u32) -> FakeMaps {
    let mut maps = FakeMaps::new();
    maps.tables.now = now;
    maps.reach(&plan.contents);
    maps
}

const ALL: [&str; 6] = [
    "10.0.0.1", "10.0.0.2", "10.0.1.1", "10.0.1.2", "10.0.2.1", "10.0.2.2",
];

/// A client in each zone, in one without backends, and in none.
const CLIENTS: [&str; 4] = ["10.1.0.7", "10.2.0.7", "10.9.0.7", "10.8.0.7"];

fn set<const N: usize>(addresses: [&str; N]) -> BTreeSet<String> {
    addresses.into_iter().map(str::to_owned).collect()
}

#[test]
fn clients_of_a_zone_see_its_endpoints() {
    let world = zonal(Some(STAY));
    let plan = world.compile(&Plan::default());
    let maps = reached(&plan, world.now);
    assert_eq!(seen(&maps, &plan, "10.1.0.7"), set(["10.0.0.1", "10.0.0.2"]));
    assert_eq!(seen(&maps, &plan, "2001:db8:1::7"), set(["10.0.0.1", "10.0.0.2"]));
    assert_eq!(seen(&maps, &plan, "10.2.0.7"), set(["10.0.1.1", "10.0.1.2"]));
    for client in ["10.9.0.7", "10.8.0.7", "2001:db8:2::7"] {
        assert_eq!(seen(&maps, &plan, client), set(ALL), "{client}");
    }
    // Zones with backends and without clients, or the other way round, are not in use.
    assert_eq!(plan.contents.zones.len(), 3);
    assert_eq!(v4(&plan, "web").contents.zone_words.len(), 2);
}

#[test]
fn without_zonal_affinity_there_are_no_zones() {
    let world = zonal(None);
    let plan = world.compile(&Plan::default());
    assert!(plan.contents.zones.is_empty());
    assert_eq!(v4(&plan, "web").contents.record.zones, 0);
}

#[test]
fn spill_follows_the_health_of_the_zone() {
    let half = Ratio {
        numerator: 5,
        denominator: 10,
    };
    let mut world = zonal(Some(ZonalAffinity::SpillCrossZone(half)));
    let mut plan = world.compile(&Plan::default());
    let mut maps = reached(&plan, world.now);
    for (unhealthy, expected) in [
        ("10.0.0.1", set(["10.0.0.2"])),
        ("10.0.0.2", set(["10.0.1.1", "10.0.1.2", "10.0.2.1", "10.0.2.2"])),
    ] {
        world.health(unhealthy, false);
        plan = world.compile(&plan);
        maps.reach(&plan.contents);
        assert_eq!(seen(&maps, &plan, "10.1.0.7"), expected);
        assert_eq!(seen(&maps, &plan, "10.2.0.7"), set(["10.0.1.1", "10.0.1.2"]));
    }
}

#[test]
fn dropping_drops_in_every_zone() {
    let mut world = zonal(Some(STAY));
    let mut policy = super::world::failover(0);
    policy.drop_traffic_if_unhealthy = true;
    world.service("web").failover = Some(policy);
    ALL.iter().for_each(|address| world.health(address, false));
    let plan = world.compile(&Plan::default());
    let maps = reached(&plan, world.now);
    for client in CLIENTS {
        assert_eq!(seen(&maps, &plan, client), set([]), "{client}");
    }
}

/// Applies the difference, one operation at a time: every client sees what it saw before, or what it will see, in the
/// service or in its zone; never anything else.
fn walk(maps: &mut FakeMaps, old: &Plan, new: &Plan) -> Vec<Operation> {
    let view = |maps: &FakeMaps, client| members(maps, new, client);
    let before: Vec<_> = CLIENTS.map(|client| view(maps, client)).into();
    let own_before = view(maps, "10.8.0.7");
    let operations = diff(&old.contents, &new.contents);
    let mut between = Vec::new();
    for operation in &operations {
        maps.apply(operation);
        between.push(CLIENTS.map(|client| view(maps, client)));
    }
    let after: Vec<_> = CLIENTS.map(|client| view(maps, client)).into();
    let own_after = view(maps, "10.8.0.7");
    for (views, operation) in between.iter().zip(&operations) {
        for (client, view) in views.iter().enumerate() {
            let allowed = [&before[client], &after[client], &own_before, &own_after];
            assert!(
                allowed.contains(&view),
                "{}: {view:?} after {operation:.80?}",
                CLIENTS[client]
            );
        }
    }
    assert_eq!(maps.contents(), new.contents);
    operations
}

fn first(operations: &[Operation], is_it: impl Fn(&Operation) -> bool) -> usize {
    operations.iter().position(is_it).expect("the operation")
}

fn last(operations: &[Operation], is_it: impl Fn(&Operation) -> bool) -> usize {
    operations.iter().rposition(is_it).expect("the operation")
}

#[test]
fn what_is_named_comes_first() {
    let plan = zonal(Some(STAY)).compile(&Plan::default());
    let operations = walk(&mut FakeMaps::new(), &Plan::default(), &plan);
    let steps = [
        last(&operations, |o| matches!(o, Operation::PutMember(..))),
        first(&operations, |o| matches!(o, Operation::WriteTable(..))),
        last(&operations, |o| matches!(o, Operation::WriteTable(..))),
        first(&operations, |o| matches!(o, Operation::PutZoneSelection(..))),
        last(&operations, |o| matches!(o, Operation::PutZoneSelection(..))),
        first(&operations, |o| matches!(o, Operation::PutService(..))),
        first(&operations, |o| matches!(o, Operation::PutZone(..))),
    ];
    assert!(steps.is_sorted(), "{steps:?}");
}

#[test]
fn zonal_affinity_comes_and_goes() {
    let mut world = zonal(None);
    let without = world.compile(&Plan::default());
    let mut maps = reached(&without, world.now);
    world.service("web").zonal_affinity = Some(STAY);
    let with = world.compile(&without);
    walk(&mut maps, &without, &with);
    world.service("web").zonal_affinity = None;
    let again = world.compile(&with);
    let operations = walk(&mut maps, &with, &again);
    let put = first(&operations, |o| matches!(o, Operation::PutService(..)));
    assert!(put < first(&operations, |o| matches!(o, Operation::DeleteZone(..))));
    assert!(again.contents.zones.is_empty());
}

#[test]
fn an_unhealthy_endpoint_leaves_its_zones_table_before_it_is_unhealthy() {
    let mut world = zonal(Some(STAY));
    let plan = world.compile(&Plan::default());
    let mut maps = reached(&plan, world.now);
    world.health("10.0.0.1", false);
    let next = world.compile(&plan);
    let operations = walk(&mut maps, &plan, &next);
    let flip = last(&operations, |o| matches!(o, Operation::PutZoneSelection(..)));
    assert!(flip < first(&operations, |o| matches!(o, Operation::PutMember(..))));
    // The other zone is not touched.
    let words = operations
        .iter()
        .filter(|o| matches!(o, Operation::PutZoneSelection(..)));
    assert_eq!(words.count(), 1);
}

#[test]
fn another_zone_is_another_place() {
    let mut world = zonal(Some(STAY));
    let plan = world.compile(&Plan::default());
    let mut maps = reached(&plan, world.now);
    let old = v4(&plan, "web").contents.record.zones();
    world.clients("zone-c", &["10.3.0.0/16"]);
    let next = world.compile(&plan);
    walk(&mut maps, &plan, &next);
    let new = v4(&next, "web").contents.record.zones();
    assert_eq!((old.count, new.count), (2, 3));
    assert!(new.first >= old.first + old.count, "{old:?} {new:?}");
    assert_eq!(seen(&maps, &next, "10.3.0.7"), set(["10.0.2.1", "10.0.2.2"]));
    // After the grace time the old place is free.
    world.now = next.next_deadline().expect("a deadline");
    let later = world.compile(&next);
    world.clients("zone-c", &[]);
    let again = world.compile(&later);
    assert_eq!(v4(&again, "web").contents.record.zones(), old);
}

#[test]
fn a_zones_number_stays_and_is_not_given_away_at_once() {
    let mut world = zonal(Some(STAY));
    let plan = world.compile(&Plan::default());
    let mut maps = reached(&plan, world.now);
    let (a, b) = (zone_of(&maps, "10.1.0.7"), zone_of(&maps, "10.2.0.7"));
    assert_eq!((a, b), (1, 2));
    // Another settings file: zone-a is gone, zone-c has come.
    world.zones.remove("zone-a");
    world.clients("zone-c", &["10.1.0.0/16"]);
    let next = world.compile(&plan);
    walk(&mut maps, &plan, &next);
    assert_eq!(zone_of(&maps, "10.2.0.7"), b);
    assert_eq!(zone_of(&maps, "10.1.0.7"), 3);
    // A zone that loses its backends keeps its number for when they come back.
    world.detach("web", "second");
    let without = world.compile(&next);
    walk(&mut maps, &next, &without);
    assert_eq!(zone_of(&maps, "10.2.0.7"), 0);
    world.attach("web", "second", false);
    let back = world.compile(&without);
    walk(&mut maps, &without, &back);
    assert_eq!(zone_of(&maps, "10.2.0.7"), b);
}

fn through_json(plan: &Plan) -> SavedPlan {
    let text = serde_json::to_string(&plan.save()).expect("it serialises");
    serde_json::from_str(&text).expect("it reads what it wrote")
}

#[test]
fn a_restart_changes_nothing() {
    let mut world = zonal(Some(STAY));
    let plan = world.compile(&Plan::default());
    world.health("10.0.0.1", false);
    let plan = world.compile(&plan);
    let maps = reached(&plan, world.now);
    let again = world.compile(&Plan::adopt(through_json(&plan), &maps.contents()));
    assert_eq!(diff(&maps.contents(), &again.contents), []);
    assert_eq!(again.save(), plan.save());
}

#[test]
fn a_restart_with_other_zones_goes_on() {
    let mut world = zonal(Some(STAY));
    let plan = world.compile(&Plan::default());
    let mut maps = reached(&plan, world.now);
    let b = zone_of(&maps, "10.2.0.7");
    world.zones.remove("zone-a");
    world.clients("zone-c", &["10.3.0.0/16"]);
    let adopted = Plan::adopt(through_json(&plan), &maps.contents());
    let next = world.compile(&adopted);
    walk(&mut maps, &plan, &next);
    assert_eq!(zone_of(&maps, "10.2.0.7"), b);
    assert_eq!(seen(&maps, &next, "10.3.0.7"), set(["10.0.2.1", "10.0.2.2"]));
    assert_eq!(seen(&maps, &next, "10.1.0.7"), set(ALL));
}

/// Neither tables nor words in force are written over, and no number in the maps means another zone meanwhile;
/// `FakeMaps` refuses the first.
#[test]
fn a_restart_without_history_is_safe() {
    let mut world = zonal(Some(STAY));
    let plan = world.compile(&Plan::default());
    let mut maps = reached(&plan, world.now);
    let (a, b) = (zone_of(&maps, "10.1.0.7"), zone_of(&maps, "10.2.0.7"));
    let old = v4(&plan, "web").contents.record.zones();
    let mut next = world.compile(&Plan::adopt(SavedPlan::default(), &maps.contents()));
    let new = v4(&next, "web").contents.record.zones();
    assert!(new.first >= old.first + old.count, "{old:?} {new:?}");
    maps.reach(&next.contents);
    assert!(![a, b].contains(&zone_of(&maps, "10.1.0.7")));
    assert_eq!(seen(&maps, &next, "10.1.0.7"), set(["10.0.0.1", "10.0.0.2"]));
    while let Some(deadline) = next.next_deadline() {
        world.now = deadline;
        maps.tables.now = deadline;
        next = world.compile(&next);
        maps.reach(&next.contents);
    }
    assert_eq!(maps.tables.services.len(), 1);
}

#[test]
fn a_removed_service_gives_its_place_back() {
    let mut world = zonal(Some(STAY));
    let mut plan = world.compile(&Plan::default());
    let place = v4(&plan, "web").contents.record.zones();
    let mut maps = reached(&plan, world.now);
    let removed = world.clone();
    world.remove_service("web");
    plan = world.compile(&plan);
    maps.reach(&plan.contents);
    assert!(maps.tables.services.values().all(|record| record.zones == 0));
    while let Some(deadline) = plan.next_deadline() {
        world.now = deadline;
        maps.tables.now = deadline;
        plan = world.compile(&plan);
        maps.reach(&plan.contents);
    }
    world.config = removed.config;
    plan = world.compile(&plan);
    assert_eq!(v4(&plan, "web").contents.record.zones(), place);
}

/// There is room for the three tables and no more.
#[test]
fn tables_that_are_given_up_leave_room() {
    let mut world = zonal(Some(STAY));
    let plan = world.compile(&Plan::default());
    let tables = &v4(&plan, "web").contents.zone_tables;
    let size: usize = tables.values().map(|slots| slots.len()).max().expect("tables");
    world.limits.table_slots = 3 * size as u32;
    let mut plan = world.compile(&Plan::default());
    for affinity in [None, Some(STAY), None, Some(STAY)] {
        world.service("web").zonal_affinity = affinity;
        plan = world.compile(&plan);
        while let Some(deadline) = plan.next_deadline() {
            world.now = deadline;
            plan = world.compile(&plan);
        }
    }
    world.remove_service("web");
    plan = world.compile(&plan);
    while let Some(deadline) = plan.next_deadline() {
        world.now = deadline;
        plan = world.compile(&plan);
    }
    world.config = zonal(Some(STAY)).config;
    assert_eq!(world.compile(&plan).contents.services.len(), 1);
}

#[test]
fn zones_that_do_not_fit_are_named_with_their_service() {
    let mut world = zonal(Some(STAY));
    let named = |world: &World| {
        let PlanError(left_out) = world.try_compile(&Plan::default()).expect_err("it does not fit");
        left_out
            .into_iter()
            .flat_map(|left_out| left_out.resources)
            .collect::<Vec<_>>()
    };
    world.limits.zone_tables = 1;
    assert_eq!(named(&world), [path("web")]);
    world.limits.zone_tables = 2;
    world.limits.zone_prefixes = 2;
    assert_eq!(named(&world), [path("web")]);
    world.limits.zone_prefixes = 3;
    assert!(world.try_compile(&Plan::default()).is_ok());
}

#[test]
fn a_group_is_delivered_to_by_gue() {
    let mut world = World::web(&["10.0.0.1", "fd00::1"]);
    world.gue_port = 7001;
    let group = world.config.groups.get_mut(&path("main")).expect("a group");
    group.delivery = Delivery::Gue;
    let plan = world.compile(&Plan::default());
    let modes: Vec<(u32, u32)> = plan
        .contents
        .backends
        .values()
        .map(|backend| (backend.mode, u32::from(backend.port)))
        .collect();
    assert!(modes.contains(&(DeliveryMode::GueIpv4 as u32, 7001)), "{modes:?}");
    assert!(modes.contains(&(DeliveryMode::GueIpv6 as u32, 7001)), "{modes:?}");
    assert!(
        v4(&plan, "web")
            .members
            .values()
            .all(|member| member.delivery == "gue")
    );
}

#[test]
fn the_leader_is_who_is_named() {
    let mut world = World::web(&["10.0.0.1", "10.0.0.2"]);
    for (number, endpoint) in world
        .config
        .groups
        .get_mut(&path("main"))
        .expect("a group")
        .endpoints
        .iter_mut()
        .enumerate()
    {
        endpoint.instance = Some(format!("vm-{}", number + 1));
    }
    let leads = |world: &mut World, instance: Option<&str>| {
        let leader = HaLeader {
            group: path("main"),
            instance: instance.map(str::to_owned),
        };
        world.service("web").ha_policy = Some(HaPolicy { leader: Some(leader) });
        let plan = world.compile(&Plan::default());
        let leader = v4(&plan, "web").contents.record.leader();
        assert!(leader.is_set());
        let members = &v4(&plan, "web").members;
        let found = members
            .iter()
            .find(|(_, member)| member.number == leader.member());
        found.map(|(id, _)| id.address.to_string())
    };
    assert_eq!(leads(&mut world, Some("vm-2")).as_deref(), Some("10.0.0.2"));
    // Its health plays no part.
    world.health("10.0.0.2", false);
    assert_eq!(leads(&mut world, Some("vm-2")).as_deref(), Some("10.0.0.2"));
    assert_eq!(leads(&mut world, Some("vm-3")), None);
    assert_eq!(leads(&mut world, None), None, "two could be meant");
    world
        .config
        .groups
        .get_mut(&path("main"))
        .expect("a group")
        .endpoints
        .truncate(1);
    assert_eq!(leads(&mut world, None).as_deref(), Some("10.0.0.1"));
    world.service("web").ha_policy = Some(HaPolicy { leader: None });
    let plan = world.compile(&Plan::default());
    let leader = v4(&plan, "web").contents.record.leader();
    assert_eq!((leader.is_set(), leader.member()), (true, 0));
}
