//! From a change of configuration or health to what becomes of a connection: plan, maps and decision together.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lb_common::clock::TICK_SECONDS;
use lb_common::verdict::Reason;

use super::maps::{FakeMaps, Kind, frame};
use super::world::{World, failover, ip, v4};
use crate::health::machine::Weight;
use crate::model::{
    EndpointWeight, HaLeader, HaPolicy, LocalityPolicy, Persistence, Scheme, SessionAffinity, TrackingMode,
};
use crate::plan::Plan;

const VIP: &str = "192.0.2.1";

/// A daemon with its maps, and clients that it has seen.
struct Lab {
    world: World,
    plan: Plan,
    maps: FakeMaps,
}

impl Lab {
    fn new(world: World) -> Self {
        let mut lab = Self {
            plan: Plan::default(),
            maps: FakeMaps::new(),
            world,
        };
        lab.react();
        lab
    }

    fn react(&mut self) {
        self.maps.tables.now = self.world.now;
        self.plan = self.world.compile(&self.plan);
        self.maps.reach(&self.plan.contents);
    }

    fn change(&mut self, change: impl FnOnce(&mut World)) {
        change(&mut self.world);
        self.react();
    }

    /// Time passes for packets, and nobody compiles.
    fn wait(&mut self, seconds: u32) {
        self.world.now += seconds;
        self.maps.tables.now = self.world.now;
    }

    fn send(&self, kind: Kind, client: u16) -> (Reason, Option<IpAddr>) {
        let verdict = self.maps.decide(&frame(kind, client, VIP, 80));
        let members = &v4(&self.plan, "web").members;
        let found = members.iter().find(|(_, member)| member.number == verdict.member);
        (verdict.reason, found.map(|(id, _)| id.address))
    }

    /// Opens connections, and tells those that went to `address`.
    fn open(&self, kind: Kind, address: &str) -> Vec<u16> {
        let address = ip(address);
        let clients = (0..40).filter(|client| {
            let (reason, backend) = self.send(kind, *client);
            assert_eq!(reason, Reason::ForwardNew);
            backend == Some(address)
        });
        let clients: Vec<u16> = clients.collect();
        assert!(!clients.is_empty(), "no connection to {address}");
        clients
    }

    /// The next packet of each connection goes there, for that reason.
    fn expect(&self, kind: Kind, clients: &[u16], reason: Reason, address: &str) {
        for client in clients {
            assert_eq!(
                self.send(kind, *client),
                (reason, Some(ip(address))),
                "{kind:?} of {client}"
            );
        }
    }

    /// The next packet is moved, and from then on stays where it went.
    fn expect_moved(&self, kind: Kind, clients: &[u16], from: &str) {
        for client in clients {
            let (reason, backend) = self.send(kind, *client);
            assert_eq!(reason, Reason::ForwardDiverted, "{kind:?} of {client}");
            assert_ne!(backend, Some(ip(from)));
            assert_eq!(self.send(kind, *client), (Reason::ForwardTracked, backend));
        }
    }
}

const A: &str = "10.0.0.1";
const B: &str = "10.0.0.2";
const C: &str = "10.0.0.3";

fn web(persistence: Persistence) -> World {
    let mut world = World::web(&[A, B, C]);
    world.service("web").persistence = persistence;
    world
}

/// TCP and UDP connections to A when A becomes unhealthy; whether they stay.
#[test]
fn a_backend_becomes_unhealthy() {
    for (persistence, tcp_stays, udp_stays) in [
        (Persistence::DefaultForProtocol, true, false),
        (Persistence::NeverPersist, false, false),
        (Persistence::AlwaysPersist, true, true),
    ] {
        let mut lab = Lab::new(web(persistence));
        let tcp = lab.open(Kind::Syn, A);
        let udp = lab.open(Kind::Udp, A);
        lab.expect(Kind::Ack, &tcp, Reason::ForwardTracked, A);
        lab.change(|world| world.health(A, false));
        for (kind, clients, stays) in [(Kind::Ack, &tcp, tcp_stays), (Kind::Udp, &udp, udp_stays)] {
            if stays {
                lab.expect(kind, clients, Reason::ForwardPersisted, A);
            } else {
                lab.expect_moved(kind, clients, A);
            }
        }
        // A SYN is always new, and nothing new goes to A.
        for client in 0..40 {
            let (reason, backend) = lab.send(Kind::Syn, client);
            assert_eq!(reason, Reason::ForwardNew);
            assert_ne!(backend, Some(ip(A)));
        }
    }
}

#[test]
fn it_comes_back_and_pulls_nothing_back() {
    let mut lab = Lab::new(web(Persistence::DefaultForProtocol));
    let tcp = lab.open(Kind::Syn, A);
    let udp = lab.open(Kind::Udp, A);
    lab.change(|world| world.health(A, false));
    lab.expect_moved(Kind::Udp, &udp, A);
    lab.change(|world| world.health(A, true));
    lab.expect(Kind::Ack, &tcp, Reason::ForwardTracked, A);
    for client in &udp {
        let (reason, backend) = lab.send(Kind::Udp, *client);
        assert_eq!(reason, Reason::ForwardTracked);
        assert_ne!(backend, Some(ip(A)));
    }
}

#[test]
fn with_everything_unhealthy_nothing_is_diverted() {
    for persistence in [Persistence::NeverPersist, Persistence::DefaultForProtocol] {
        let mut lab = Lab::new(web(persistence));
        let clients = lab.open(Kind::Udp, A);
        lab.change(|world| [A, B, C].iter().for_each(|address| world.health(address, false)));
        lab.expect(Kind::Udp, &clients, Reason::ForwardPersisted, A);
        // New ones go to all of P.
        let fresh: std::collections::BTreeSet<_> =
            (100..160).map(|client| lab.send(Kind::Udp, client).1).collect();
        assert_eq!(fresh.len(), 3);
    }
}

#[test]
fn drop_traffic_if_unhealthy_drops_new_ones_only() {
    let mut world = web(Persistence::DefaultForProtocol);
    let mut policy = failover(0);
    policy.drop_traffic_if_unhealthy = true;
    world.service("web").failover = Some(policy);
    let mut lab = Lab::new(world);
    let tcp = lab.open(Kind::Syn, A);
    lab.change(|world| [A, B, C].iter().for_each(|address| world.health(address, false)));
    lab.expect(Kind::Ack, &tcp, Reason::ForwardPersisted, A);
    assert_eq!(lab.send(Kind::Syn, 200).0, Reason::DropNoHealthyBackend);
    lab.change(|world| world.health(B, true));
    assert_eq!(lab.send(Kind::Syn, 200), (Reason::ForwardNew, Some(ip(B))));
    lab.expect(Kind::Ack, &tcp, Reason::ForwardPersisted, A);
}

#[test]
fn an_endpoint_is_removed() {
    let mut lab = Lab::new(web(Persistence::DefaultForProtocol));
    let tcp = lab.open(Kind::Syn, A);
    lab.change(|world| world.group("main", &[B, C]));
    lab.expect_moved(Kind::Ack, &tcp, A);
}

#[test]
fn an_endpoint_is_removed_with_drain() {
    let mut world = web(Persistence::DefaultForProtocol);
    world.service("web").draining_timeout_sec = 40;
    let mut lab = Lab::new(world);
    let tcp = lab.open(Kind::Syn, A);
    lab.change(|world| world.group("main", &[B, C]));
    assert!((100..160).all(|client| lab.send(Kind::Syn, client).1 != Some(ip(A))));
    lab.wait(40);
    lab.expect(Kind::Ack, &tcp, Reason::ForwardTracked, A);
    // It ends by time alone, before anyone compiles.
    lab.wait(1);
    lab.expect_moved(Kind::Ack, &tcp, A);
    lab.react();
}

#[test]
fn a_draining_endpoint_that_is_unhealthy_follows_the_policy() {
    for (persistence, stays) in [
        (Persistence::DefaultForProtocol, true),
        (Persistence::NeverPersist, false),
    ] {
        let mut world = web(persistence);
        world.service("web").draining_timeout_sec = 400;
        let mut lab = Lab::new(world);
        let tcp = lab.open(Kind::Syn, A);
        lab.change(|world| world.group("main", &[B, C]));
        lab.change(|world| world.health(A, false));
        if stays {
            lab.expect(Kind::Ack, &tcp, Reason::ForwardPersisted, A);
        } else {
            lab.expect_moved(Kind::Ack, &tcp, A);
        }
    }
}

#[test]
fn added_again_its_connections_are_as_before() {
    let mut world = web(Persistence::DefaultForProtocol);
    world.service("web").draining_timeout_sec = 40;
    let mut lab = Lab::new(world);
    let tcp = lab.open(Kind::Syn, A);
    lab.change(|world| world.group("main", &[B, C]));
    lab.wait(40);
    lab.expect(Kind::Ack, &tcp, Reason::ForwardTracked, A);
    lab.change(|world| world.group("main", &[A, B, C]));
    lab.wait(40);
    lab.expect(Kind::Ack, &tcp, Reason::ForwardTracked, A);
}

#[test]
fn a_group_is_detached() {
    let mut world = web(Persistence::AlwaysPersist);
    world.service("web").draining_timeout_sec = 3600;
    world.group("more", &["10.0.1.1"]);
    world.attach("web", "more", false);
    let mut lab = Lab::new(world);
    let tcp = lab.open(Kind::Syn, A);
    lab.change(|world| world.detach("web", "main"));
    for client in tcp {
        assert_eq!(
            lab.send(Kind::Ack, client),
            (Reason::ForwardDiverted, Some(ip("10.0.1.1")))
        );
    }
    lab.change(|world| world.detach("web", "more"));
    assert_eq!(lab.send(Kind::Ack, 3).0, Reason::DropNoBackend);
}

const SPARE: &str = "10.0.1.1";

fn with_spare(disables_drain: bool) -> World {
    let mut world = World::web(&[A]);
    world.group("spare", &[SPARE]);
    world.attach("web", "spare", true);
    let mut policy = failover(0);
    policy.disable_connection_drain_on_failover = disables_drain;
    world.service("web").failover = Some(policy);
    world
}

#[test]
fn failover_and_failback_drain() {
    let mut lab = Lab::new(with_spare(false));
    let tcp = lab.open(Kind::Syn, A);
    lab.change(|world| world.health(A, false));
    assert_eq!(lab.send(Kind::Syn, 500), (Reason::ForwardNew, Some(ip(SPARE))));
    lab.expect(Kind::Ack, &tcp, Reason::ForwardPersisted, A);
    lab.change(|world| world.health(A, true));
    assert_eq!(lab.send(Kind::Syn, 501), (Reason::ForwardNew, Some(ip(A))));
    // Kept alive, both last; the one to the spare pool until the drain's end.
    for _ in 0..15 {
        lab.wait(40);
        lab.expect(Kind::Ack, &[500], Reason::ForwardTracked, SPARE);
        lab.expect(Kind::Ack, &tcp, Reason::ForwardTracked, A);
    }
    lab.wait(1);
    lab.expect(Kind::Ack, &[500], Reason::ForwardDiverted, A);
    lab.expect(Kind::Ack, &tcp, Reason::ForwardTracked, A);
}

#[test]
fn failover_without_drain() {
    let mut lab = Lab::new(with_spare(true));
    let tcp = lab.open(Kind::Syn, A);
    lab.change(|world| world.health(A, false));
    lab.expect(Kind::Ack, &tcp, Reason::ForwardDiverted, SPARE);
    lab.change(|world| world.health(A, true));
    lab.expect(Kind::Ack, &tcp, Reason::ForwardDiverted, A);
}

#[test]
fn weight_to_zero_moves_new_connections_only() {
    let mut world = web(Persistence::NeverPersist);
    world.service("web").locality = LocalityPolicy::WeightedMaglev;
    let mut lab = Lab::new(world);
    let udp = lab.open(Kind::Udp, A);
    let weight = Weight {
        value: EndpointWeight::ZERO,
        error: None,
    };
    lab.change(|world| world.weight(A, weight));
    lab.expect(Kind::Udp, &udp, Reason::ForwardTracked, A);
    assert!((100..160).all(|client| lab.send(Kind::Udp, client).1 != Some(ip(A))));
}

#[test]
fn a_session_sticks_across_connections() {
    let mut world = web(Persistence::DefaultForProtocol);
    let service = world.service("web");
    service.scheme = Scheme::Internal;
    service.locality = LocalityPolicy::Rendezvous;
    service.affinity = SessionAffinity::ClientIp;
    service.tracking = TrackingMode::PerSession;
    service.idle_timeout_sec = 600;
    let mut lab = Lab::new(world);
    let clients = lab.open(Kind::Udp, A);
    // TCP of the same client is the same session, even a SYN.
    lab.expect(Kind::Syn, &clients, Reason::ForwardTracked, A);
    lab.change(|world| world.health(A, false));
    lab.expect_moved(Kind::Ack, &clients, A);
}

/// An entry lives at most a tick longer than it should, wherever in a tick it was seen.
#[test]
fn an_idle_timeout_is_the_services_own() {
    for seconds in [60, 61, 62, 63, 600, 57_600] {
        let mut world = web(Persistence::DefaultForProtocol);
        world.service("web").idle_timeout_sec = seconds;
        let mut lab = Lab::new(world);
        let tcp = lab.open(Kind::Syn, A);
        for _ in 0..3 {
            lab.wait(seconds);
            lab.expect(Kind::Ack, &tcp, Reason::ForwardTracked, A);
        }
        lab.wait(seconds + TICK_SECONDS);
        lab.expect(Kind::Ack, &tcp, Reason::ForwardNew, A);
    }
}

#[test]
fn an_untracked_packet_follows_the_table() {
    let mut world = web(Persistence::DefaultForProtocol);
    world.service("web").affinity = SessionAffinity::None;
    let mut lab = Lab::new(world);
    let to_a: Vec<u16> = (0..40)
        .filter(|client| lab.send(Kind::Udp, *client).1 == Some(ip(A)))
        .collect();
    lab.expect(Kind::Udp, &to_a, Reason::ForwardUntracked, A);
    lab.change(|world| world.health(A, false));
    assert!(
        to_a.iter()
            .all(|client| lab.send(Kind::Udp, *client).1 != Some(ip(A)))
    );
}

#[test]
fn a_lost_next_hop_drops_and_does_not_move() {
    let mut lab = Lab::new(web(Persistence::DefaultForProtocol));
    let tcp = lab.open(Kind::Syn, A);
    let hop = lab.world.next_hops[&ip(A)].clone();
    lab.change(|world| drop(world.next_hops.remove(&ip(A))));
    lab.expect(Kind::Ack, &tcp, Reason::DropUnresolved, A);
    lab.change(|world| drop(world.next_hops.insert(ip(A), hop)));
    lab.expect(Kind::Ack, &tcp, Reason::ForwardTracked, A);
}

#[test]
fn a_leader_takes_everything() {
    let mut world = web(Persistence::DefaultForProtocol);
    let leader = HaLeader {
        group: super::world::path("main"),
        instance: Some("vm-2".to_owned()),
    };
    let group = world.config.groups.values_mut().next().expect("a group");
    group.endpoints[1].instance = Some("vm-2".to_owned());
    world.service("web").ha_policy = Some(HaPolicy { leader: Some(leader) });
    world.health(B, false);
    let mut lab = Lab::new(world);
    for kind in [Kind::Syn, Kind::Ack, Kind::Udp] {
        lab.expect(kind, &[1, 2, 3, 4], Reason::ForwardLeader, B);
    }
    lab.change(|world| world.service("web").ha_policy = Some(HaPolicy { leader: None }));
    assert_eq!(lab.send(Kind::Syn, 1).0, Reason::DropNoLeader);
}

/// A rule that moves takes its packets along; entries of the service that it left say nothing there.
#[test]
fn a_rule_moves_and_its_old_service_goes() {
    let mut lab = Lab::new(web(Persistence::AlwaysPersist));
    lab.open(Kind::Syn, A);
    let old = v4(&lab.plan, "web").number;
    lab.change(|world| {
        world.remove_service("web");
        world.service("next");
        world.group("next-group", &["10.0.2.1"]);
        world.attach("next", "next-group", false);
        let all = crate::model::Ports::All;
        world.rule("web-tcp", VIP, crate::model::RuleProtocol::Tcp, all, "next");
    });
    let next = v4(&lab.plan, "next");
    assert_ne!(next.number, old);
    let numbers: BTreeMap<u32, IpAddr> = next
        .members
        .iter()
        .map(|(id, member)| (member.number, id.address))
        .collect();
    for client in 0..40 {
        let verdict = lab.maps.decide(&frame(Kind::Ack, client, VIP, 80));
        assert_eq!(
            (verdict.reason, verdict.service),
            (Reason::ForwardNew, next.number)
        );
        assert_eq!(numbers[&verdict.member], ip("10.0.2.1"));
    }
}
