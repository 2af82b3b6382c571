//! Semantics §2: which rule takes a packet.

use super::world::{judge, packet};
use crate::frames::{CLIENT, CLIENT6, SYN, VIP, VIP6, frame, ipv4, ipv6, ipv6_with, tcp, udp, words};
use crate::hash::HashKeys;
use crate::layout::{
    AddressKey, Leader, Member, Pool, Rule, RuleKey, Service, SteeringKey, ipv4_key, ipv6_prefix_key,
};
use crate::policy::{Persistence, Policy, PolicyWord, Scheme, SessionAffinity, TrackingMode};
use crate::testing::MemoryTables;
use crate::verdict::Reason;

fn vip4() -> AddressKey {
    ipv4_key(words(&VIP)[0])
}

fn vip6() -> AddressKey {
    ipv6_prefix_key(words(&VIP6))
}

/// Twenty services that each forward to a leader of their own, so that the member says which one matched.
fn services() -> MemoryTables {
    let mut tables = MemoryTables::new(HashKeys::from_seed(1), 1);
    let policy = Policy {
        scheme: Scheme::External,
        affinity: SessionAffinity::None,
        mode: TrackingMode::PerConnection,
        persistence: Persistence::DefaultForProtocol,
        subsetting: false,
        idle_seconds: 60,
    };
    for number in 1..=20 {
        let record = Service {
            policy: PolicyWord::new(&policy).0,
            leader: Leader::new(100 + number).0,
            ..Service::default()
        };
        tables.services.insert(number, record);
        tables
            .members
            .insert(100 + number, Member::new(number, true, Pool::Primary, 1, None));
    }
    tables
}

fn put(tables: &mut MemoryTables, address: AddressKey, protocol: u8, port: u16, bits: u8, rule: Rule) {
    let vip = tables.vips.entry(address).or_default();
    match protocol {
        6 => vip.blocks[0] |= 1 << bits,
        17 => vip.blocks[1] |= 1 << bits,
        132 => vip.blocks[2] |= 1 << bits,
        0 => vip.flags = 1,
        _ => {}
    }
    tables
        .rules
        .insert(RuleKey::new(address, protocol, port, bits), rule);
}

fn service(number: u32) -> Rule {
    Rule {
        service: number,
        steering: 0,
    }
}

/// The service that a packet matched, or why none.
fn matched(tables: &MemoryTables, packet: &[u8]) -> Result<u32, Reason> {
    let verdict = judge(tables, packet);
    match verdict.reason {
        Reason::ForwardLeader => Ok(verdict.service),
        other => Err(other),
    }
}

fn to_port(port: u16) -> Vec<u8> {
    frame(0, &ipv4(6, &tcp(4001, port, SYN)))
}

#[test]
fn a_vip_without_a_matching_rule_drops() {
    let mut tables = services();
    put(&mut tables, vip4(), 6, 80, 0, service(1));
    assert_eq!(matched(&tables, &to_port(80)), Ok(1));
    assert_eq!(matched(&tables, &to_port(81)), Err(Reason::DropNoRule));
    assert_eq!(
        matched(&tables, &frame(0, &ipv4(17, &udp(1, 80)))),
        Err(Reason::DropNoRule)
    );
    assert_eq!(
        matched(&tables, &frame(0, &ipv4(50, &[0; 8]))),
        Err(Reason::DropNoRule)
    );
    assert_eq!(
        matched(&tables, &frame(0, &ipv6(6, &tcp(1, 80, SYN)))),
        Err(Reason::PassNoVip),
        "the other family's VIP"
    );
}

#[test]
fn a_range_takes_its_ports_and_no_other() {
    let mut tables = services();
    // 8000-8010: blocks of 8, 2 and 1.
    put(&mut tables, vip4(), 6, 8000, 3, service(2));
    put(&mut tables, vip4(), 6, 8008, 1, service(2));
    put(&mut tables, vip4(), 6, 8010, 0, service(2));
    for port in 0..=u16::MAX {
        let expected = if (8000..=8010).contains(&port) {
            Ok(2)
        } else {
            Err(Reason::DropNoRule)
        };
        assert_eq!(matched(&tables, &to_port(port)), expected, "{port}");
    }
}

#[test]
fn blocks_of_every_size_take_their_first_and_last_port() {
    for bits in 0..=16u8 {
        let size = 1u32 << bits;
        let mut tables = services();
        let first = if bits == 16 {
            0
        } else {
            (0xa5a5u32 / size * size) as u16
        };
        let last = (u32::from(first) + size - 1) as u16;
        put(&mut tables, vip4(), 6, first, bits, service(2));
        assert_eq!(matched(&tables, &to_port(first)), Ok(2), "{bits}");
        assert_eq!(matched(&tables, &to_port(last)), Ok(2), "{bits}");
        for outside in [first.checked_sub(1), last.checked_add(1)].into_iter().flatten() {
            assert_eq!(
                matched(&tables, &to_port(outside)),
                Err(Reason::DropNoRule),
                "{bits}"
            );
        }
    }
}

#[test]
fn a_protocol_s_own_rule_wins_over_l3_default() {
    let mut tables = services();
    put(&mut tables, vip4(), 0, 0, 16, service(9));
    put(&mut tables, vip4(), 6, 80, 0, service(1));
    put(&mut tables, vip4(), 17, 0, 16, service(2));
    put(&mut tables, vip4(), 50, 0, 16, service(3));
    put(&mut tables, vip4(), 132, 0, 16, service(4));
    let sctp = [&udp(1, 80)[..4], &[0; 8]].concat();
    let cases = [
        (to_port(80), 1),
        (to_port(81), 9),
        (frame(0, &ipv4(17, &udp(1, 80))), 2),
        (frame(0, &ipv4(50, &[0; 8])), 3),
        (frame(0, &ipv4(132, &sctp)), 4),
        (frame(0, &ipv4(51, &[0; 12])), 9),
        (frame(0, &ipv4(47, &[0; 8])), 9),
        (frame(0, &ipv4(1, &[8, 0, 0, 0, 0, 0, 0, 0])), 9),
        // Any other protocol, and the one whose number L3_DEFAULT borrows.
        (frame(0, &ipv4(253, &[])), 9),
        (frame(0, &ipv4(0, &[])), 9),
    ];
    for (packet, expected) in cases {
        assert_eq!(matched(&tables, &packet), Ok(expected));
    }
}

#[test]
fn an_ipv6_address_is_that_address_alone_and_comes_before_its_96() {
    let mut tables = services();
    let to = |tables: &MemoryTables, last: u8, port: u16| {
        let packet = ipv6_with(6, &tcp(4001, port, SYN), |header| header.destination[15] = last);
        matched(tables, &frame(1, &packet))
    };
    put(&mut tables, words(&VIP6), 6, 80, 0, service(1));
    assert_eq!(to(&tables, 9, 80), Ok(1));
    assert_eq!(to(&tables, 9, 81), Err(Reason::DropNoRule));
    assert_eq!(to(&tables, 8, 80), Err(Reason::PassNoVip), "a neighbour");
    put(&mut tables, vip6(), 6, 81, 0, service(2));
    assert_eq!(to(&tables, 8, 81), Ok(2));
    assert_eq!(to(&tables, 8, 80), Err(Reason::DropNoRule));
    assert_eq!(to(&tables, 9, 80), Ok(1));
    assert_eq!(to(&tables, 9, 81), Err(Reason::DropNoRule), "a VIP by itself");
}

#[test]
fn an_ipv6_rule_owns_its_whole_96() {
    let mut tables = services();
    put(&mut tables, vip6(), 6, 80, 0, service(1));
    let to = |change: fn(&mut [u8; 16])| {
        let packet = ipv6_with(6, &tcp(4001, 80, SYN), |header| change(&mut header.destination));
        matched(&tables, &frame(1, &packet))
    };
    assert_eq!(to(|_| {}), Ok(1));
    assert_eq!(to(|address| address[12..].fill(0xff)), Ok(1));
    assert_eq!(to(|address| address[12..].fill(0)), Ok(1));
    assert_eq!(to(|address| address[11] ^= 1), Err(Reason::PassNoVip));
    assert_eq!(to(|address| address[0] ^= 0x80), Err(Reason::PassNoVip));
}

#[test]
fn the_longest_source_prefix_steers() {
    for v6 in [false, true] {
        let mut tables = services();
        let (vip, source, packet) = if v6 {
            (vip6(), words(&CLIENT6), frame(0, &ipv6(6, &tcp(4001, 80, SYN))))
        } else {
            (vip4(), ipv4_key(words(&CLIENT)[0]), packet(4001, SYN))
        };
        let base = Rule {
            service: 1,
            steering: 5,
        };
        put(&mut tables, vip, 6, 80, 0, base);
        assert_eq!(
            matched(&tables, &packet),
            Ok(1),
            "no prefix matches: the base rule"
        );
        let mut expected = 1;
        for (bits, number) in [(96, 2), (104, 3), (127, 4), (128, 6)] {
            let key = SteeringKey { steering: 5, source };
            tables.steering.insert((key, bits), number);
            // Another set's longer prefix does not count.
            let other = SteeringKey { steering: 6, source };
            tables.steering.insert((other, 128), 7);
            assert_eq!(matched(&tables, &packet), Ok(number), "/{bits}");
            expected = number;
        }
        // A prefix that differs in its last bit.
        let mut near = source;
        near[3] ^= 1u32.to_be();
        let key = SteeringKey {
            steering: 5,
            source: near,
        };
        tables.steering.insert((key, 128), 8);
        assert_eq!(matched(&tables, &packet), Ok(expected));
    }
}

#[test]
fn a_rule_of_a_missing_service_is_a_broken_invariant() {
    let mut tables = services();
    put(&mut tables, vip4(), 6, 80, 0, service(77));
    assert_eq!(matched(&tables, &to_port(80)), Err(Reason::DropBadService));
}

#[test]
fn a_first_fragment_is_matched_by_its_ports() {
    let mut tables = services();
    put(&mut tables, vip4(), 17, 53, 0, service(1));
    let first = crate::frames::ipv4_with(17, &udp(4001, 53), |header| header.more_fragments = true);
    assert_eq!(matched(&tables, &frame(0, &first)), Ok(1));
}
