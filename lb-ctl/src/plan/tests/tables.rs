//! Selection tables: what they depend on, where they go, and what does not fit.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use lb_common::{maglev, rendezvous};
use proptest::prelude::*;

use super::world::{World, failover, ip, number, path, resolved, v4};
use crate::model::LocalityPolicy;
use crate::net::NextHop;
use crate::plan::service::GRACE_SEC;
use crate::plan::{EndpointId, Plan, PlanError};

/// The endpoint in every slot.
fn endpoints(plan: &Plan, service: &str) -> Vec<EndpointId> {
    let service = v4(plan, service);
    let by_number: BTreeMap<u32, &EndpointId> = service
        .members
        .iter()
        .map(|(id, member)| (member.number, id))
        .collect();
    slots(plan, "web")
        .iter()
        .map(|slot| by_number[slot].clone())
        .collect()
}

fn slots(plan: &Plan, service: &str) -> Arc<[u32]> {
    v4(plan, service)
        .contents
        .table
        .as_ref()
        .expect("a table")
        .1
        .clone()
}

fn offset(plan: &Plan, service: &str) -> u32 {
    v4(plan, service).contents.record.selection().offset
}

fn addresses(count: usize) -> Vec<String> {
    (0..count)
        .map(|i| format!("10.0.{}.{}", i / 200, i % 200 + 1))
        .collect()
}

fn world(locality: LocalityPolicy, addresses: &[String]) -> World {
    let mut world = World::web(&addresses.iter().map(String::as_str).collect::<Vec<_>>());
    world.service("web").locality = locality;
    world
}

const LOCALITIES: [LocalityPolicy; 4] = [
    LocalityPolicy::Maglev,
    LocalityPolicy::WeightedMaglev,
    LocalityPolicy::Rendezvous,
    LocalityPolicy::WeightedRendezvous,
];

fn give_weights(world: &mut World) {
    for (weight, state) in world.health.values_mut().enumerate() {
        state.weight.value = weight as u32 % 4;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Two hosts with other histories, and resources in another order.
    #[test]
    fn the_order_and_the_numbers_play_no_part(
        order in Just(addresses(9)).prop_shuffle(),
        history in proptest::collection::vec(0..9usize, 0..9),
        locality in 0..4usize,
    ) {
        let mut one = world(LOCALITIES[locality], &addresses(9));
        give_weights(&mut one);
        let first = one.compile(&Plan::default());

        let mut other = world(LOCALITIES[locality], &order);
        other.health = one.health.clone();
        other.service("aaa");
        other.attach("aaa", "main", false);
        other.rule("aaa", "192.0.2.9", crate::model::RuleProtocol::L3Default, crate::model::Ports::All, "aaa");
        let mut second = Plan::default();
        for index in history {
            other.group("main", &[&order[index]]);
            second = other.compile(&second);
        }
        other.group("main", &order.iter().map(String::as_str).collect::<Vec<_>>());
        second = other.compile(&second);

        prop_assert_ne!(slots(&first, "web"), slots(&second, "web"), "the numbers differ");
        prop_assert_eq!(endpoints(&first, "web"), endpoints(&second, "web"));
    }
}

#[test]
fn another_seed_is_another_table() {
    for locality in LOCALITIES {
        let mut world = world(locality, &addresses(5));
        let plan = world.compile(&Plan::default());
        world.seed ^= 1;
        assert_ne!(
            endpoints(&plan, "web"),
            endpoints(&world.compile(&Plan::default()), "web")
        );
    }
}

#[test]
fn shares_follow_weights() {
    for locality in [LocalityPolicy::WeightedMaglev, LocalityPolicy::WeightedRendezvous] {
        let mut world = world(locality, &addresses(3));
        for (weight, state) in [100, 300, 600].into_iter().zip(world.health.values_mut()) {
            state.weight.value = weight;
        }
        let plan = world.compile(&Plan::default());
        let slots = slots(&plan, "web");
        for (address, share) in addresses(3).iter().zip([0.1, 0.3, 0.6]) {
            let member = number(&plan, "web", address);
            let got = slots.iter().filter(|slot| **slot == member).count() as f64 / slots.len() as f64;
            assert!(
                (got - share).abs() < 0.03,
                "{locality:?} {address}: {got} for {share}"
            );
        }
    }
}

#[test]
fn a_backend_that_leaves_rendezvous_moves_no_other_slot() {
    let mut world = world(LocalityPolicy::Rendezvous, &addresses(6));
    let plan = world.compile(&Plan::default());
    world.health("10.0.0.4", false);
    let next = world.compile(&plan);
    let gone = number(&plan, "web", "10.0.0.4");
    for (before, after) in slots(&plan, "web").iter().zip(slots(&next, "web").iter()) {
        assert_ne!(*after, gone);
        assert!(*before == gone || before == after);
    }
}

#[test]
fn the_algorithm_and_the_size_are_the_locality_policys() {
    let size = |locality, count| {
        let world = world(locality, &addresses(count));
        slots(&world.compile(&Plan::default()), "web").len() as u32
    };
    assert_eq!(size(LocalityPolicy::Maglev, 40), maglev::SIZES[0]);
    assert_eq!(size(LocalityPolicy::Maglev, 41), maglev::SIZES[1]);
    assert_eq!(size(LocalityPolicy::Rendezvous, 40), rendezvous::SIZES[0]);
    assert_eq!(size(LocalityPolicy::Rendezvous, 41), rendezvous::SIZES[1]);
}

#[test]
fn the_size_follows_the_configuration_and_not_health() {
    let mut world = world(LocalityPolicy::Maglev, &addresses(41));
    for address in addresses(40) {
        world.health(&address, false);
    }
    assert_eq!(
        slots(&world.compile(&Plan::default()), "web").len() as u32,
        maglev::SIZES[1]
    );
    // Nor does a failover between pools of other sizes change it.
    world.group("spare", &["10.0.9.1"]);
    world.attach("web", "spare", true);
    world.service("web").failover = Some(failover(100));
    let plan = world.compile(&Plan::default());
    assert_eq!(v4(&plan, "web").active, lb_common::layout::Pool::Failover);
    assert_eq!(slots(&plan, "web").len() as u32, maglev::SIZES[1]);
}

#[test]
fn a_table_is_written_again_only_when_it_changes() {
    let mut world = world(LocalityPolicy::WeightedMaglev, &addresses(4));
    let plan = world.compile(&Plan::default());
    let is_same = |next: &Plan| Arc::ptr_eq(&slots(&plan, "web"), &slots(next, "web"));
    let again = world.compile(&plan);
    assert!(is_same(&again));
    assert!(Arc::ptr_eq(
        &v4(&plan, "web").contents,
        &v4(&again, "web").contents
    ));
    assert_eq!(offset(&plan, "web"), offset(&again, "web"));
    // Equal weights in another unit, another policy, another next hop: the same slots.
    for state in world.health.values_mut() {
        state.weight.value = 500;
    }
    world.service("web").draining_timeout_sec = 77;
    let next = world.compile(&plan);
    assert!(is_same(&next));
    assert_eq!(offset(&plan, "web"), offset(&next, "web"));
    world.service("web").locality = LocalityPolicy::Rendezvous;
    assert!(!is_same(&world.compile(&plan)));
}

#[test]
fn a_new_table_goes_elsewhere_and_the_old_space_waits() {
    let mut world = world(LocalityPolicy::Maglev, &addresses(3));
    let plan = world.compile(&Plan::default());
    let first = offset(&plan, "web");
    world.health("10.0.0.1", false);
    let plan = world.compile(&plan);
    let second = offset(&plan, "web");
    assert_ne!(second, first);
    // In the same second, and in a later one, a third and a fourth place.
    world.health("10.0.0.2", false);
    let plan = world.compile(&plan);
    assert!(![first, second].contains(&offset(&plan, "web")));
    world.now += GRACE_SEC - 1;
    world.health("10.0.0.2", true);
    let later = world.compile(&plan);
    assert!(![first, second, offset(&plan, "web")].contains(&offset(&later, "web")));
    world.now += 1;
    let plan = world.compile(&plan);
    assert_eq!(offset(&plan, "web"), first, "after the grace it is used again");
}

#[test]
fn what_does_not_fit_is_an_error_and_changes_nothing() {
    let mut world = world(LocalityPolicy::Maglev, &addresses(3));
    world.limits.table_slots = 2 * maglev::SIZES[0] + 1;
    let plan = world.compile(&Plan::default());
    let before = plan.clone();
    world.health("10.0.0.1", false);
    let next = world.compile(&plan);
    world.health("10.0.0.2", false);
    let tables = world.try_compile(&next);
    let expected = PlanError::Tables {
        service: "web (IPV4)".to_owned(),
        size: maglev::SIZES[0],
        capacity: world.limits.table_slots,
    };
    assert_eq!(tables.map(|_| ()), Err(expected));
    // When the old space is free it fits.
    world.now += GRACE_SEC;
    world.compile(&next);

    let mut small = world.clone();
    small.limits.members = 4;
    small.group("main", &["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]);
    assert_eq!(small.try_compile(&plan).map(|_| ()), Err(PlanError::Members(4)));
    let mut few = world.clone();
    few.limits.services = 2;
    few.service("web-2");
    few.rule(
        "more",
        "192.0.2.8",
        crate::model::RuleProtocol::L3Default,
        crate::model::Ports::All,
        "web-2",
    );
    assert_eq!(few.try_compile(&plan).map(|_| ()), Err(PlanError::Services(2)));
    assert_eq!(plan, before);
}

#[test]
fn without_room_for_its_record_an_endpoint_is_unresolved() {
    let mut world = world(LocalityPolicy::Maglev, &addresses(3));
    world.limits.backends = 3;
    let plan = world.compile(&Plan::default());
    let unresolved = |plan: &Plan| {
        let members = v4(plan, "web").contents.members.clone();
        members.values().filter(|member| member.backend() == 0).count()
    };
    assert_eq!(unresolved(&plan), 1);
    world
        .config
        .groups
        .get_mut(&path("main"))
        .expect("a group")
        .endpoints
        .remove(0);
    let plan = world.compile(&plan);
    world.now += GRACE_SEC;
    let plan = world.compile(&plan);
    let attached = v4(&plan, "web").members.values().map(|member| member.number);
    let records = &v4(&plan, "web").contents.members;
    assert!(attached.into_iter().all(|number| records[&number].backend() != 0));
}

#[test]
fn an_endpoint_without_a_next_hop_gets_no_new_connection_while_another_has_one() {
    let mut world = World::web(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    let lost = |reason: &str| NextHop::Unresolved {
        reason: reason.to_owned(),
    };
    let selected = |world: &World, previous: &Plan| {
        let plan = world.compile(previous);
        let all: BTreeSet<IpAddr> = endpoints(&plan, "web").iter().map(|id| id.address).collect();
        (plan, all)
    };
    world.next_hops.insert(ip("10.0.0.2"), lost("no neighbour"));
    let (plan, all) = selected(&world, &Plan::default());
    assert_eq!(all, BTreeSet::from([ip("10.0.0.1"), ip("10.0.0.3")]));

    world
        .next_hops
        .insert(ip("10.0.0.2"), resolved(ip("10.0.0.2"), 2));
    let (plan, all) = selected(&world, &plan);
    assert_eq!(all.len(), 3);

    for address in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
        world.next_hops.insert(ip(address), lost("no route"));
    }
    let (_, all) = selected(&world, &plan);
    assert_eq!(all.len(), 3, "none is better than another");
}
