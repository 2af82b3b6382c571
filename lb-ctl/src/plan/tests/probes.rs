//! Where probes go, and on which paths.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::maps::FakeMaps;
use super::world::{World, applied, ip, path, resolved, state, v4};
use crate::health::{ProbePath, TargetId, Via};
use crate::model::{Delivery, Ports, RuleProtocol};
use crate::net::NextHop;
use crate::plan::{IpFamily, Plan, ProbeDestination, ProbedVips, Probing, Scope, compile};

const A: &str = "10.0.0.1";
const B: &str = "10.0.0.2";

fn world(addresses: &[&str]) -> World {
    World {
        probe_destination: ProbeDestination::Vip,
        ..World::web(addresses)
    }
}

fn at_vip(address: &str, vip: &str) -> TargetId {
    TargetId {
        check: path("check"),
        address: ip(address),
        via: Some(Via {
            vip: ip(vip),
            delivery: Delivery::Auto,
        }),
    }
}

fn target_of(world: &World, service: &str, family: IpFamily, address: &str) -> Option<TargetId> {
    let service = &world.config.services[&path(service)];
    let probing = Probing::of(
        &ProbedVips::of(&world.config, world.probe_destination),
        service,
        family,
    )?;
    Some(probing.target(ip(address), Delivery::Auto))
}

fn own(address: &str) -> TargetId {
    TargetId {
        via: None,
        ..at_vip(address, A)
    }
}

fn probe_path(plan: &Plan, address: &str, delivery: Delivery) -> Result<ProbePath, String> {
    plan.probe_paths()[&(ip(address), delivery)].clone()
}

/// The destination MAC address that probes of the path get.
fn mac(plan: &Plan, number: u32) -> Option<u8> {
    let record = plan.contents.probes.get(&number)?;
    Some(plan.contents.backends[record].ethernet[5])
}

#[test]
fn the_vip_is_that_of_the_first_rule_of_the_family() {
    let mut world = world(&[A]);
    let any = || Ports::Ranges(vec![(443, 443)]);
    world.rule("zz", "192.0.2.9", RuleProtocol::Tcp, any(), "web");
    world.rule("six", "2001:db8::100", RuleProtocol::Tcp, any(), "web");
    world.service("other");
    world.rule("aa", "192.0.2.3", RuleProtocol::Tcp, any(), "other");
    assert_eq!(
        target_of(&world, "web", IpFamily::V4, A),
        Some(at_vip(A, "192.0.2.1"))
    );
    assert_eq!(
        target_of(&world, "web", IpFamily::V6, A),
        Some(at_vip(A, "2001:db8::100"))
    );
    world.rule("ab", "192.0.2.8", RuleProtocol::Tcp, any(), "web");
    assert_eq!(
        target_of(&world, "web", IpFamily::V4, A),
        Some(at_vip(A, "192.0.2.8"))
    );
}

#[test]
fn endpoints_are_probed_at_their_own_address_without_a_rule_or_by_the_setting() {
    let mut world = world(&[A]);
    assert_eq!(target_of(&world, "web", IpFamily::V6, A), Some(own(A)));
    world.probe_destination = ProbeDestination::OwnAddress;
    assert_eq!(target_of(&world, "web", IpFamily::V4, A), Some(own(A)));
    let plan = world.compile(&Plan::default());
    assert!(plan.probe_paths().is_empty() && plan.contents.probes.is_empty());
    world.service("web").health_check = None;
    assert_eq!(target_of(&world, "web", IpFamily::V4, A), None);
}

#[test]
fn the_health_that_counts_is_that_at_the_vip() {
    let mut world = world(&[A, B]);
    world.health.insert(at_vip(A, "192.0.2.1"), state(true));
    let plan = world.compile(&Plan::default());
    let health: BTreeMap<IpAddr, bool> = v4(&plan, "web")
        .members
        .iter()
        .map(|(id, member)| (id.address, member.healthy))
        .collect();
    assert_eq!(health, BTreeMap::from([(ip(A), true), (ip(B), false)]));
}

#[test]
fn a_path_leads_where_packets_of_clients_go() {
    let world = world(&[A, "10.0.0.3"]);
    let plan = world.compile(&Plan::default());
    FakeMaps::new().reach(&plan.contents);
    for (address, mode, last) in [(A, "l2", 1), ("10.0.0.3", "ipip", 3)] {
        let path = probe_path(&plan, address, Delivery::Auto).expect("a path");
        assert_eq!((path.mode, path.source), (mode, Some(ip("10.255.0.1"))));
        assert_eq!(mac(&plan, path.number), Some(last));
    }
}

#[test]
fn a_path_keeps_its_number_while_its_next_hop_comes_and_goes() {
    let mut world = world(&[A, B]);
    let mut maps = FakeMaps::new();
    let mut plan = world.compile(&Plan::default());
    maps.reach(&plan.contents);
    let first = probe_path(&plan, A, Delivery::Auto).expect("a path");
    let services = [path("web")].into();
    let mut go_on = |world: &mut World, hop: NextHop| {
        world.next_hops.insert(ip(A), hop);
        world.now += 1;
        plan = compile(
            &world.inputs(),
            &applied(&plan, world.now),
            Scope::Services(&services),
            world.now,
        )
        .expect("it fits");
        maps.reach(&plan.contents);
        plan.clone()
    };

    let moved = go_on(&mut world, resolved(ip(A), 9));
    assert_eq!(probe_path(&moved, A, Delivery::Auto), Ok(first));
    assert_eq!(mac(&moved, first.number), Some(9));

    let reason = "neighbour does not answer".to_owned();
    let lost = go_on(
        &mut world,
        NextHop::Unresolved {
            reason: reason.clone(),
        },
    );
    assert_eq!(probe_path(&lost, A, Delivery::Auto), Err(reason));
    assert_eq!(mac(&lost, first.number), None, "nothing is delivered on it");

    let back = go_on(&mut world, resolved(ip(A), 1));
    assert_eq!(probe_path(&back, A, Delivery::Auto), Ok(first));
    assert_eq!(mac(&back, first.number), Some(1));
}

#[test]
fn services_share_the_path_to_an_endpoint_that_both_deliver_to_alike() {
    let mut world = world(&[A]);
    for (service, group, vip) in [("two", "main", "192.0.2.2"), ("three", "tunnelled", "192.0.2.3")] {
        if group == "tunnelled" {
            world.group(group, &[A]);
            world
                .config
                .groups
                .get_mut(&path(group))
                .expect("a group")
                .delivery = Delivery::Ipip;
        }
        world.service(service);
        world.attach(service, group, false);
        world.rule(service, vip, RuleProtocol::Tcp, Ports::All, service);
    }
    let plan = world.compile(&Plan::default());
    assert_eq!(plan.probe_paths().len(), 2);
    let [direct, tunnelled] =
        [Delivery::Auto, Delivery::Ipip].map(|delivery| probe_path(&plan, A, delivery).expect("a path"));
    assert_eq!((direct.mode, tunnelled.mode), ("l2", "ipip"));
    assert_ne!(direct.number, tunnelled.number);
}

#[test]
fn a_path_stays_for_a_draining_endpoint_and_goes_with_it() {
    let mut world = world(&[A, B]);
    world.service("web").draining_timeout_sec = 60;
    let mut maps = FakeMaps::new();
    let first = world.compile(&Plan::default());
    maps.reach(&first.contents);
    let of_a = probe_path(&first, A, Delivery::Auto).expect("a path");

    world.group("main", &[B]);
    let draining = world.compile(&first);
    maps.reach(&draining.contents);
    assert_eq!(probe_path(&draining, A, Delivery::Auto), Ok(of_a));

    world.now += 100;
    let ended = world.compile(&draining);
    maps.reach(&ended.contents);
    assert_eq!(
        ended.probe_paths().keys().collect::<Vec<_>>(),
        [&(ip(B), Delivery::Auto)]
    );
    assert_eq!(mac(&ended, of_a.number), None);

    world.group("main", &[B, "10.0.0.5"]);
    let reused = world.compile(&ended);
    maps.reach(&reused.contents);
    let new = probe_path(&reused, "10.0.0.5", Delivery::Auto).expect("a path");
    assert_eq!(new.number, of_a.number, "the lowest free one");
}

#[test]
fn a_new_daemon_clears_the_paths_of_the_former() {
    let mut world = world(&[A, B]);
    let mut maps = FakeMaps::new();
    let former = world.compile(&Plan::default());
    maps.reach(&former.contents);
    world.group("main", &[B]);
    let adopted = Plan::adopt(former.save(), &maps.contents());
    let plan = world.compile(&adopted);
    maps.reach(&plan.contents);
    assert_eq!(plan.contents.probes.len(), 1);
    let path = probe_path(&plan, B, Delivery::Auto).expect("a path");
    assert_eq!(mac(&plan, path.number), Some(2));
}

#[test]
fn without_room_for_its_number_a_path_says_so() {
    let mut world = world(&[A]);
    world.limits.members = 2;
    let plan = world.compile(&Plan::default());
    assert!(probe_path(&plan, A, Delivery::Auto).is_ok());
    world.limits.backends = 1;
    world.next_hops.insert(ip(A), resolved(ip(A), 5));
    let full = world.compile(&plan);
    let error = probe_path(&full, A, Delivery::Auto).expect_err("no record");
    assert!(error.contains("don't fit"), "{error}");
}

#[test]
fn the_end_of_a_drain_gives_up_the_path_without_a_look_at_other_services() {
    let mut world = world(&[A, B]);
    world.service("web").draining_timeout_sec = 60;
    world.group("others", &["10.0.0.5"]);
    world.service("other");
    world.attach("other", "others", false);
    world.rule("other", "192.0.2.2", RuleProtocol::Tcp, Ports::All, "other");
    let mut maps = FakeMaps::new();
    let first = world.compile(&Plan::default());
    world.group("main", &[B]);
    let draining = world.compile(&first);
    maps.reach(&draining.contents);
    let of_a = probe_path(&draining, A, Delivery::Auto).expect("a path");
    assert_eq!(draining.probe_paths().len(), 3);

    world.now += 100;
    let ended = compile(&world.inputs(), &draining, Scope::Due, world.now).expect("it fits");
    maps.reach(&ended.contents);
    assert!(!ended.probe_paths().contains_key(&(ip(A), Delivery::Auto)));
    assert_eq!(mac(&ended, of_a.number), None);
    assert_eq!(ended.probe_paths().len(), 2);

    world.remove_service("other");
    let removed = world.compile(&ended);
    maps.reach(&removed.contents);
    assert_eq!(
        removed.probe_paths().keys().collect::<Vec<_>>(),
        [&(ip(B), Delivery::Auto)]
    );
}

#[test]
fn a_change_of_health_leaves_the_paths_as_they_are() {
    let mut world = world(&[A, B]);
    let plan = world.compile(&Plan::default());
    world.health.insert(at_vip(A, "192.0.2.1"), state(true));
    let services = [path("web")].into();
    let next = compile(&world.inputs(), &plan, Scope::Services(&services), world.now).expect("it fits");
    assert!(std::sync::Arc::ptr_eq(plan.probe_paths(), next.probe_paths()));
    assert!(v4(&next, "web").members.iter().any(|(_, member)| member.healthy));
}
