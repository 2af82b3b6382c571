//! Weights that endpoints report (semantics §6).

use super::world::{World, ip, v4};
use crate::health::{WeightError, machine::Weight};
use crate::model::{EndpointWeight, LocalityPolicy};
use crate::plan::Plan;

fn weighted() -> World {
    let mut world = World::web(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    world.service("web").locality = LocalityPolicy::WeightedMaglev;
    world.weight("10.0.0.1", reported(10));
    world.weight("10.0.0.2", reported(20));
    world.weight("10.0.0.3", reported(0));
    world
}

fn reported(value: u32) -> Weight {
    Weight {
        value: EndpointWeight::whole(value),
        error: None,
    }
}

fn failed(value: u32, error: WeightError) -> Weight {
    Weight {
        value: EndpointWeight::whole(value),
        error: Some(error),
    }
}

type Shares = Vec<(Option<EndpointWeight>, bool)>;

fn whole(weight: u32) -> Option<EndpointWeight> {
    Some(EndpointWeight::whole(weight))
}

/// Weight in force and slots of each endpoint.
fn shares(plan: &Plan) -> Shares {
    let web = v4(plan, "web");
    let table = &web.contents.table.as_ref().expect("a table").1;
    let share = |number: u32| table.contains(&number);
    web.members
        .values()
        .map(|member| (member.weight, share(member.number)))
        .collect()
}

const EQUAL: [(Option<EndpointWeight>, bool); 3] = [(None, true), (None, true), (None, true)];
const WEIGHTED: [(Option<EndpointWeight>, bool); 3] = [
    (Some(EndpointWeight::whole(10)), true),
    (Some(EndpointWeight::whole(20)), true),
    (Some(EndpointWeight::ZERO), false),
];

#[test]
fn weights_count_only_where_the_policy_says_so() {
    let mut world = weighted();
    assert_eq!(shares(&world.compile(&Plan::default())), WEIGHTED);
    world.service("web").locality = LocalityPolicy::WeightedRendezvous;
    assert_eq!(shares(&world.compile(&Plan::default())), WEIGHTED);
    for locality in [LocalityPolicy::Maglev, LocalityPolicy::Rendezvous] {
        world.service("web").locality = locality;
        assert_eq!(shares(&world.compile(&Plan::default())), EQUAL);
    }
}

#[test]
fn one_missing_or_invalid_weight_makes_all_equal() {
    for error in [WeightError::MissingWeight, WeightError::InvalidWeight] {
        // Of an unhealthy endpoint, or of one in the other pool, it counts as well.
        for healthy in [true, false] {
            let mut world = weighted();
            world.weight("10.0.0.2", failed(20, error));
            world.health("10.0.0.1", healthy);
            let shares = shares(&world.compile(&Plan::default()));
            assert_eq!(shares, [(None, healthy), (None, true), (None, true)]);
        }
        let mut world = weighted();
        world.group("spare", &["10.0.1.1"]);
        world.attach("web", "spare", true);
        world.weight("10.0.1.1", failed(1, error));
        assert_eq!(shares(&world.compile(&Plan::default()))[..3], EQUAL);
    }
}

#[test]
fn no_reply_keeps_the_last_weight() {
    let mut world = weighted();
    world.weight("10.0.0.2", failed(20, WeightError::UnavailableWeight));
    assert_eq!(shares(&world.compile(&Plan::default())), WEIGHTED);
}

#[test]
fn a_draining_endpoint_has_no_say() {
    let mut world = weighted();
    world.service("web").draining_timeout_sec = 100;
    let plan = world.compile(&Plan::default());
    world.weight("10.0.0.3", failed(0, WeightError::MissingWeight));
    assert_eq!(shares(&world.compile(&plan)), EQUAL);
    world.group("main", &["10.0.0.1", "10.0.0.2"]);
    let plan = world.compile(&plan);
    assert_eq!(shares(&plan), WEIGHTED);
    assert!(
        v4(&plan, "web")
            .members
            .keys()
            .any(|id| id.address == ip("10.0.0.3")),
        "draining"
    );
}

#[test]
fn all_weights_zero_is_equal_shares() {
    let mut world = weighted();
    for address in ["10.0.0.1", "10.0.0.2"] {
        world.weight(address, reported(0));
    }
    let zero = [(whole(0), true); 3];
    assert_eq!(shares(&world.compile(&Plan::default())), zero);
}

#[test]
fn without_a_health_check_everything_is_healthy_and_weighs_one() {
    let mut world = weighted();
    world.health("10.0.0.1", false);
    world.service("web").health_check = None;
    let plan = world.compile(&Plan::default());
    assert!(v4(&plan, "web").members.values().all(|member| member.healthy));
    assert_eq!(shares(&plan), [(whole(1), true); 3]);
}

#[test]
fn what_was_never_probed_is_unhealthy() {
    let mut world = weighted();
    world.health.clear();
    let plan = world.compile(&Plan::default());
    assert!(v4(&plan, "web").members.values().all(|member| !member.healthy));
    assert_eq!(shares(&plan), [(whole(1), true); 3]);
}
