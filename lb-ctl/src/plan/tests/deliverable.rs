//! What stands between packets and endpoints, and when it counts (semantics §9).

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::maps::FakeMaps;
use super::world::{World, applied, ip, number, path, v4};
use crate::model::{FailoverPolicy, Ratio};
use crate::net::NextHop;
use crate::plan::{Obstacle, Plan, ProbeDestination, Scope, Undeliverable, Way, compile};

const A: &str = "10.0.0.1";
const B: &str = "10.0.0.2";

fn unresolved() -> NextHop {
    NextHop::Unresolved {
        reason: "nobody answers".to_owned(),
    }
}

fn closed() -> Way {
    Way::Closed(Undeliverable {
        device: "br0".to_owned(),
        reason: "br0 is a bridge".to_owned(),
    })
}

/// As the loop compiles when nothing but a deadline or an event of the service has come.
fn go_on(world: &World, plan: &Plan) -> Plan {
    let before = applied(plan, world.now);
    let services = BTreeSet::from([path("web")]);
    let scope = match plan.due(world.now).is_empty() {
        true => Scope::Services(&services),
        false => Scope::Due,
    };
    compile(&world.inputs(), &before, scope, world.now).expect("it fits")
}

fn healthy(plan: &Plan, address: &str) -> bool {
    let members = v4(plan, "web").members.iter();
    let mut found = members.filter(|(id, _)| id.address == ip(address));
    found.next().expect("a member").1.healthy
}

fn selected(plan: &Plan) -> BTreeSet<IpAddr> {
    let service = v4(plan, "web");
    let (_, slots) = service.contents.table.as_ref().expect("a table");
    let members = service.members.iter();
    let named = members.filter(|(_, member)| slots.contains(&member.number));
    named.map(|(id, _)| id.address).collect()
}

fn record(plan: &Plan, address: &str) -> u32 {
    v4(plan, "web").contents.members[&number(plan, "web", address)].backend()
}

#[test]
fn where_no_probe_takes_that_way_an_unresolved_next_hop_counts_after_five_seconds() {
    for has_check in [true, false] {
        let mut world = World::web(&[A, B]);
        if !has_check {
            world.service("web").health_check = None;
        }
        let mut plan = world.compile(&Plan::default());
        world.next_hops.insert(ip(A), unresolved());
        plan = go_on(&world, &plan);
        assert!(
            healthy(&plan, A) && selected(&plan).contains(&ip(A)),
            "that may pass"
        );
        assert_eq!(record(&plan, A), 0, "what is sent there is dropped and counted");
        let due = plan.next_deadline().expect("a verdict is due");
        assert!(due <= world.now + 5);
        world.now += 4;
        plan = go_on(&world, &plan);
        assert!(healthy(&plan, A));
        world.now += 1;
        assert!(!plan.due(world.now).is_empty(), "the second wakes the loop");
        plan = go_on(&world, &plan);
        assert!(!healthy(&plan, A));
        assert_eq!(selected(&plan), BTreeSet::from([ip(B)]));
        FakeMaps::new().reach(&plan.contents);
    }
}

#[test]
fn a_break_begins_the_five_seconds_anew() {
    let mut world = World::web(&[A, B]);
    let good = world.next_hops[&ip(A)].clone();
    let mut plan = world.compile(&Plan::default());
    for hop in [unresolved(), good, unresolved()] {
        world.next_hops.insert(ip(A), hop);
        plan = go_on(&world, &plan);
        world.now += 4;
    }
    plan = go_on(&world, &plan);
    assert!(healthy(&plan, A));
    world.now += 1;
    assert!(!healthy(&go_on(&world, &plan), A));
}

#[test]
fn probes_at_the_vip_judge_an_unresolved_next_hop_themselves() {
    let mut world = World::web(&[A, B]);
    world.probe_destination = ProbeDestination::Vip;
    let plan = world.compile(&Plan::default());
    let probing = plan.probing(&world.config.services[&path("web")], crate::plan::IpFamily::V4);
    let target = |address| {
        probing
            .expect("a check")
            .target(ip(address), crate::model::Delivery::Auto)
    };
    for address in [A, B] {
        world.health.insert(target(address), super::world::state(true));
    }
    world.next_hops.insert(ip(A), unresolved());
    let plan = go_on(&world, &plan);
    world.now += 60;
    let plan = go_on(&world, &plan);
    assert!(healthy(&plan, A), "until the thresholds say otherwise");
    assert_eq!(
        plan.probe_paths()[&(ip(A), crate::model::Delivery::Auto)],
        Err("nobody answers".to_owned())
    );
}

#[test]
fn what_nobody_has_looked_up_is_no_verdict() {
    let mut world = World::web(&[A, B]);
    world.next_hops.remove(&ip(A));
    let plan = world.compile(&Plan::default());
    world.now += 60;
    let plan = go_on(&world, &plan);
    assert!(healthy(&plan, A) && selected(&plan).contains(&ip(A)));
}

#[test]
fn undeliverable_counts_at_once_and_ends_at_once() {
    let mut world = World::web(&[A, B]);
    let mut plan = world.compile(&Plan::default());
    world.ways.insert(ip(A), closed());
    plan = go_on(&world, &plan);
    assert!(!healthy(&plan, A));
    assert_eq!((selected(&plan), record(&plan, A)), (BTreeSet::from([ip(B)]), 0));
    let members = &v4(&plan, "web").members;
    let member = members.values().find(|member| !member.healthy).expect("one");
    assert_eq!(member.delivery, "undeliverable");
    let obstacle = member.obstacle.as_ref().map(Obstacle::to_string);
    assert_eq!(obstacle.as_deref(), Some("undeliverable by br0: br0 is a bridge"));
    world.ways.clear();
    plan = go_on(&world, &plan);
    assert!(healthy(&plan, A) && record(&plan, A) != 0);
}

#[test]
fn it_counts_for_failover_and_for_the_last_resort_as_any_unhealthy_endpoint() {
    let mut world = World::web(&[A, B]);
    world.group("spare", &["10.0.0.9"]);
    world.attach("web", "spare", true);
    world.service("web").failover = Some(FailoverPolicy {
        ratio: Ratio {
            numerator: 1,
            denominator: 1,
        },
        drop_traffic_if_unhealthy: false,
        disable_connection_drain_on_failover: false,
    });
    world.ways.insert(ip(A), closed());
    let plan = world.compile(&Plan::default());
    assert_eq!(selected(&plan), BTreeSet::from([ip("10.0.0.9")]));
    for address in [B, "10.0.0.9"] {
        world.ways.insert(ip(address), closed());
    }
    let plan = go_on(&world, &plan);
    assert_eq!(
        selected(&plan),
        BTreeSet::from([ip(A), ip(B)]),
        "all of the primary pool"
    );
}

#[test]
fn a_way_through_another_interface_is_that_of_the_record() {
    let mut world = World::web(&[A]);
    world.ways.insert(
        ip(A),
        Way::Through {
            ifindex: 77,
            mtu: 1400,
        },
    );
    let plan = world.compile(&Plan::default());
    let record = &plan.contents.backends[&record(&plan, A)];
    assert_eq!((record.ifindex, record.mtu), (77, 1400));
    assert!(plan.contents.devices.contains(&77));
}
