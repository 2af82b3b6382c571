//! Which service a packet gets (semantics §2): from forwarding rules, through the maps, by the decision itself.

use lb_common::verdict::Reason;

use super::maps::{FakeMaps, Kind, frame};
use super::world::{World, key, path};
use crate::model::{Ports, RuleProtocol};
use crate::plan::{IpFamily, Plan};

/// Services by name, each with one endpoint, and the rules that the test adds.
struct Site {
    world: World,
}

impl Site {
    fn new(services: &[&str]) -> Self {
        let mut world = World::new();
        for (index, name) in services.iter().enumerate() {
            world.service(name);
            world.group(&format!("group-{name}"), &[&format!("10.0.{index}.1")]);
            world.attach(name, &format!("group-{name}"), false);
        }
        Self { world }
    }

    /// The service that takes the packet, or why none does.
    fn expect(&self, rows: &[(&[u8], Result<&str, Reason>)]) {
        let plan = self.world.compile(&Plan::default());
        let mut maps = FakeMaps::new();
        maps.reach(&plan.contents);
        for (row, (frame, expected)) in rows.iter().enumerate() {
            let verdict = maps.decide(frame);
            match expected {
                Ok(name) => {
                    let family = if frame[12] == 0x08 {
                        IpFamily::V4
                    } else {
                        IpFamily::V6
                    };
                    let service = plan.services[&key(name, family)].number;
                    assert_eq!(verdict.service, service, "row {row}: {verdict:?}");
                }
                Err(reason) => assert_eq!(verdict.reason, *reason, "row {row}"),
            }
        }
    }
}

fn ports(ranges: &[(u16, u16)]) -> Ports {
    Ports::Ranges(ranges.to_vec())
}

fn tcp(vip: &str, port: u16) -> Vec<u8> {
    frame(Kind::Syn, 7, vip, port)
}

fn udp(vip: &str, port: u16) -> Vec<u8> {
    frame(Kind::Udp, 7, vip, port)
}

/// An IPv4 packet of a protocol that is only a number and a payload.
fn raw(protocol: u8, vip: &str) -> Vec<u8> {
    let std::net::IpAddr::V4(vip) = super::world::ip(vip) else {
        panic!("IPv4 only");
    };
    let mut bytes = Vec::new();
    etherparse::PacketBuilder::ethernet2([2; 6], super::world::OWN_MAC)
        .ipv4([198, 51, 0, 7], vip.octets(), 64)
        .write(&mut bytes, etherparse::IpNumber(protocol), &[0; 40])
        .expect("memory takes it");
    bytes
}

#[test]
fn exact_ports() {
    let mut site = Site::new(&["a", "b"]);
    let world = &mut site.world;
    world.rule(
        "web",
        "192.0.2.1",
        RuleProtocol::Tcp,
        ports(&[(80, 80), (443, 443)]),
        "a",
    );
    world.rule("dns", "192.0.2.1", RuleProtocol::Udp, ports(&[(53, 53)]), "b");
    site.expect(&[
        (&tcp("192.0.2.1", 80), Ok("a")),
        (&tcp("192.0.2.1", 443), Ok("a")),
        (&tcp("192.0.2.1", 81), Err(Reason::DropNoRule)),
        (&tcp("192.0.2.1", 53), Err(Reason::DropNoRule)),
        (&udp("192.0.2.1", 53), Ok("b")),
        (&udp("192.0.2.1", 80), Err(Reason::DropNoRule)),
        (&raw(50, "192.0.2.1"), Err(Reason::DropNoRule)),
        (&frame(Kind::Icmp, 7, "192.0.2.1", 0), Err(Reason::DropNoRule)),
        (&tcp("192.0.2.2", 80), Err(Reason::PassNoVip)),
    ]);
}

#[test]
fn every_port_of_every_range() {
    let mut site = Site::new(&["a", "b", "c"]);
    let world = &mut site.world;
    world.rule(
        "a",
        "192.0.2.1",
        RuleProtocol::Tcp,
        ports(&[(7, 23), (100, 100), (8000, 8010)]),
        "a",
    );
    world.rule(
        "b",
        "192.0.2.1",
        RuleProtocol::Tcp,
        ports(&[(24, 99), (8011, 65535)]),
        "b",
    );
    world.rule("c", "192.0.2.1", RuleProtocol::Udp, ports(&[(0, 65535)]), "c");
    let owner = |port| match port {
        7..=23 | 100 | 8000..=8010 => Ok("a"),
        24..=99 | 8011.. => Ok("b"),
        _ => Err(Reason::DropNoRule),
    };
    let checked = (0..=130)
        .chain(7990..=8200)
        .chain([8191, 8192, 32_767, 32_768, 65_534, 65_535]);
    let frames: Vec<_> = checked
        .map(|port| (port, tcp("192.0.2.1", port), udp("192.0.2.1", port)))
        .collect();
    let mut rows: Vec<(&[u8], _)> = Vec::new();
    for (port, tcp, udp) in &frames {
        rows.push((tcp, owner(*port)));
        rows.push((udp, Ok("c")));
    }
    site.expect(&rows);
}

#[test]
fn all_ports_and_l3_default() {
    let mut site = Site::new(&["a", "b", "c"]);
    let world = &mut site.world;
    world.rule("all", "192.0.2.1", RuleProtocol::Tcp, Ports::All, "a");
    world.rule("one", "192.0.2.2", RuleProtocol::Tcp, ports(&[(80, 81)]), "a");
    world.rule("esp", "192.0.2.2", RuleProtocol::Esp, Ports::All, "b");
    world.rule("l3", "192.0.2.2", RuleProtocol::L3Default, Ports::All, "c");
    world.rule("ping", "192.0.2.3", RuleProtocol::Icmp, Ports::All, "b");
    site.expect(&[
        (&tcp("192.0.2.1", 1), Ok("a")),
        (&tcp("192.0.2.1", 65_535), Ok("a")),
        (&udp("192.0.2.1", 1), Err(Reason::DropNoRule)),
        // A rule for the protocol wins; L3_DEFAULT takes everything else.
        (&tcp("192.0.2.2", 80), Ok("a")),
        (&tcp("192.0.2.2", 81), Ok("a")),
        (&tcp("192.0.2.2", 82), Ok("c")),
        (&udp("192.0.2.2", 80), Ok("c")),
        (&raw(50, "192.0.2.2"), Ok("b")),
        (&raw(51, "192.0.2.2"), Ok("c")),
        (&raw(47, "192.0.2.2"), Ok("c")),
        (&raw(132, "192.0.2.2"), Ok("c")),
        (&raw(200, "192.0.2.2"), Ok("c")),
        (&frame(Kind::Icmp, 7, "192.0.2.2", 0), Ok("c")),
        (&frame(Kind::Icmp, 7, "192.0.2.3", 0), Ok("b")),
        (&tcp("192.0.2.3", 80), Err(Reason::DropNoRule)),
    ]);
}

#[test]
fn an_ipv6_rule_owns_its_96_or_its_address() {
    let mut site = Site::new(&["a", "b"]);
    let world = &mut site.world;
    world.rule("six", "2001:db8:1::5", RuleProtocol::Tcp, Ports::All, "a");
    world.rule("more", "2001:db8:2::", RuleProtocol::Udp, ports(&[(53, 53)]), "b");
    world.rule("inner", "2001:db8:2::7", RuleProtocol::Tcp, Ports::All, "a");
    site.expect(&[
        (&tcp("2001:db8:1::5", 80), Ok("a")),
        (&udp("2001:db8:1::5", 80), Err(Reason::DropNoRule)),
        (&tcp("2001:db8:1::", 80), Err(Reason::PassNoVip)),
        (&tcp("2001:db8:1::6", 80), Err(Reason::PassNoVip)),
        (&udp("2001:db8:2::", 53), Ok("b")),
        (&udp("2001:db8:2::abcd", 53), Ok("b")),
        (&udp("2001:db8:2::ffff:ffff", 53), Ok("b")),
        (&udp("2001:db8:2::1:0:0", 53), Err(Reason::PassNoVip)),
        (&tcp("2001:db8:2::abcd", 53), Err(Reason::DropNoRule)),
        (&tcp("2001:db8:2::7", 53), Ok("a")),
        (&udp("2001:db8:2::7", 53), Err(Reason::DropNoRule)),
    ]);
}

#[test]
fn the_longest_source_prefix_steers() {
    let mut site = Site::new(&["base", "wide", "narrow", "other"]);
    let world = &mut site.world;
    let web = ports(&[(80, 82)]);
    world.rule("base", "192.0.2.1", RuleProtocol::Tcp, web.clone(), "base");
    world.steer("wide", "base", &["198.51.0.0/16", "203.0.113.0/24"], "wide");
    world.steer("narrow", "base", &["198.51.0.0/24"], "narrow");
    world.rule("other", "192.0.2.1", RuleProtocol::Udp, web, "other");
    world.rule("six", "2001:db8:1::", RuleProtocol::Tcp, Ports::All, "base");
    world.steer("six-narrow", "six", &["2001:db8::7/128"], "narrow");
    let from = |client, kind, vip| frame(kind, client, vip, 81);
    site.expect(&[
        (&from(0x0007, Kind::Syn, "192.0.2.1"), Ok("narrow")),
        (&from(0x0107, Kind::Syn, "192.0.2.1"), Ok("wide")),
        (&from(0x0007, Kind::Udp, "192.0.2.1"), Ok("other")),
        (&from(0x0007, Kind::Syn, "2001:db8:1::9"), Ok("narrow")),
        (&from(0x0008, Kind::Syn, "2001:db8:1::9"), Ok("base")),
    ]);
    site.world.config.rules.remove(&path("wide"));
    site.expect(&[
        (&from(0x0007, Kind::Syn, "192.0.2.1"), Ok("narrow")),
        (&from(0x0107, Kind::Syn, "192.0.2.1"), Ok("base")),
    ]);
}

#[test]
fn steering_sets_keep_their_number() {
    let mut site = Site::new(&["a", "b"]);
    let world = &mut site.world;
    for (name, vip) in [("one", "192.0.2.1"), ("two", "192.0.2.2")] {
        world.rule(name, vip, RuleProtocol::Tcp, Ports::All, "a");
    }
    world.steer("steer-two", "two", &["198.51.0.0/24"], "b");
    let plan = world.compile(&Plan::default());
    let set = |plan: &Plan, base: &str| plan.steering.get(&path(base)).copied();
    let two = set(&plan, "two").expect("a set");
    // A set that comes is another one; one that goes in the same step does not give its number away.
    world.steer("steer-one", "one", &["198.51.0.0/24"], "b");
    let both = world.compile(&plan);
    assert_eq!(set(&both, "two"), Some(two));
    assert_ne!(set(&both, "one"), Some(two));
    world.config.rules.remove(&path("steer-two"));
    let swapped = world.compile(&plan);
    assert_eq!(set(&swapped, "two"), None);
    assert_ne!(set(&swapped, "one"), Some(two));
}
