//! The program remembers what rules it found and which addresses are none of its: neither outlives a change.
//!
//! Needs root. Everything happens in a network namespace of its own.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use lb_common::layout::{FilterBit, ipv4_key};
use lb_common::verdict::Reason;
use lb_tests::conformance::bench::{Bench, SIZES, enter_namespace};
use lb_tests::conformance::documents::{self, ZONE};
use lb_tests::conformance::packet::{Ends, Position, frame};
use lb_tests::conformance::rows::{self, Policy};
use lb_tests::conformance::world::{Health, World};
use serde_json::{Value, json};

const TICK: u32 = 1000;

const POLICY: Policy = Policy {
    scheme: "EXTERNAL",
    affinity: "NONE",
    mode: "PER_CONNECTION",
    persistence: "DEFAULT_FOR_PROTOCOL",
};

fn bench() -> Bench {
    Bench::new(lb_ctl::dataplane::Sizes {
        flow_slots: 1 << 10,
        table_slots: 1 << 16,
        ..SIZES
    })
}

/// Service 0 with endpoint a, service 1 with endpoint b, and rules: service, address, ports (all if none).
fn documents(rules: &[(usize, Ipv4Addr, &[&str])]) -> Value {
    let group = |name: &str, member| documents::group(name, &BTreeSet::from([member]));
    let service = |index, name| {
        let path = format!("{ZONE}/networkEndpointGroups/{name}");
        Value::Object(documents::service(index, &POLICY, vec![json!({"group": path})]))
    };
    let mut all = vec![
        documents::health_check(),
        group("first", 'a'),
        group("second", 'b'),
        service(0, "first"),
        service(1, "second"),
    ];
    for (index, address, ports) in rules {
        let name = address.to_string().replace('.', "-");
        all.push(documents::rule(
            *index,
            &POLICY,
            &name,
            (*address).into(),
            "TCP",
            ports,
        ));
    }
    Value::Array(all)
}

fn health() -> Health {
    "ab".chars().map(|name| (name, (true, 1))).collect()
}

/// A TCP packet of a new client to this address and port.
fn packet(world: &mut World<'_>, to: Ipv4Addr, port: u16) -> Vec<u8> {
    let mut cases = rows::cases().into_iter();
    let tcp = cases.find(|case| case.protocol == 6 && !case.is_ipv6 && !case.is_syn);
    let ends = Ends {
        destination_port: port,
        ..world.client(IpAddr::V4(to))
    };
    frame(&tcp.expect("a case of TCP"), &ends, Position::First)
}

/// What happens to new clients' packets; twice, because the first look-up is remembered.
fn fate(world: &mut World<'_>, to: Ipv4Addr, port: u16) -> (Reason, Option<char>) {
    let [first, second] = [(); 2].map(|()| {
        let packet = packet(world, to, port);
        world.both(&packet)
    });
    assert_eq!((first.reason, first.backend), (second.reason, second.backend));
    (first.reason, first.backend)
}

#[test]
fn packets_follow_every_change_of_the_rules() {
    enter_namespace();
    let mut bench = bench();
    let mut world = World::new(&mut bench, TICK);
    let vip = Ipv4Addr::new(100, 64, 0, 1);
    let forwarded = |name| (Reason::ForwardNew, Some(name));
    let to_nobody = (Reason::PassNoVip, None);
    assert_eq!(fate(&mut world, vip, 80), to_nobody);
    for _ in 0..2 {
        world.set(&documents(&[(0, vip, &["80"])]), &health());
        assert_eq!(fate(&mut world, vip, 80), forwarded('a'));
        assert_eq!(fate(&mut world, vip, 81), (Reason::DropNoRule, None));
        world.set(&documents(&[(1, vip, &["80"])]), &health());
        assert_eq!(
            fate(&mut world, vip, 80),
            forwarded('b'),
            "the rule names another service"
        );
        world.set(&documents(&[(1, vip, &["81"])]), &health());
        assert_eq!(
            fate(&mut world, vip, 80),
            (Reason::DropNoRule, None),
            "the rule is for another port"
        );
        assert_eq!(fate(&mut world, vip, 81), forwarded('b'));
        world.set(&documents(&[(0, vip, &[])]), &health());
        assert_eq!(
            fate(&mut world, vip, 80),
            forwarded('a'),
            "the rule is for all ports"
        );
        assert_eq!(fate(&mut world, vip, 81), forwarded('a'));
        world.set(&documents(&[]), &health());
        assert_eq!(fate(&mut world, vip, 80), to_nobody, "the rule is gone");
        assert_eq!(fate(&mut world, vip, 81), to_nobody);
    }
}

#[test]
fn a_vip_stays_when_another_with_its_filter_bit_goes() {
    enter_namespace();
    let mut bench = bench();
    let mut world = World::new(&mut bench, TICK);
    let bit = |address: Ipv4Addr| FilterBit::of(&ipv4_key(u32::from_ne_bytes(address.octets())));
    let first = Ipv4Addr::new(100, 64, 0, 1);
    let mut others = (1..=u32::MAX).map(|number| Ipv4Addr::from(u32::from(first) + number));
    let other = others
        .find(|other| bit(*other) == bit(first))
        .expect("bits are few");
    let port: &[&str] = &["80"];
    world.set(&documents(&[(0, first, port), (1, other, port)]), &health());
    assert_eq!(fate(&mut world, first, 80), (Reason::ForwardNew, Some('a')));
    assert_eq!(fate(&mut world, other, 80), (Reason::ForwardNew, Some('b')));
    world.set(&documents(&[(1, other, port)]), &health());
    assert_eq!(fate(&mut world, first, 80), (Reason::PassNoVip, None));
    assert_eq!(fate(&mut world, other, 80), (Reason::ForwardNew, Some('b')));
    world.set(&documents(&[]), &health());
    assert_eq!(fate(&mut world, other, 80), (Reason::PassNoVip, None));
}
