//! Sources that can't be a client's (semantics §1, step 1c).

use super::*;
use crate::decide::plain;
use crate::frames::{VIP, VIP6};
use crate::layout::{Vip, ipv6_prefix_key};
use crate::verdict::Action;

/// As RFC 1122 §3.2.1.3 and RFC 6890 have them, and what is beside each.
const SOURCES4: [([u8; 4], bool); 16] = [
    ([0, 0, 0, 0], false),
    ([0, 255, 255, 255], false),
    ([1, 0, 0, 0], true),
    ([10, 0, 0, 1], true),
    ([126, 255, 255, 255], true),
    ([127, 0, 0, 1], false),
    ([127, 255, 255, 255], false),
    ([128, 0, 0, 0], true),
    ([169, 254, 3, 4], true),
    ([223, 255, 255, 255], true),
    ([224, 0, 0, 5], false),
    ([239, 255, 255, 255], false),
    ([240, 0, 0, 0], true),
    ([255, 255, 255, 254], true),
    ([255, 255, 255, 255], false),
    (VIP, false),
];

fn of_groups(groups: [u16; 8]) -> [u8; 16] {
    std::net::Ipv6Addr::from(groups).octets()
}

fn sources6() -> Vec<([u8; 16], bool)> {
    vec![
        (of_groups([0; 8]), false),
        (of_groups([0, 0, 0, 0, 0, 0, 0, 1]), false),
        (of_groups([0, 0, 0, 0, 0, 0, 0, 2]), true),
        (of_groups([0, 0, 0, 0, 0, 0xffff, 0x0a00, 1]), false),
        (of_groups([0, 0, 0, 0, 0xffff, 0, 0x0a00, 1]), true),
        (of_groups([0x64, 0xff9b, 0, 0, 0, 0, 0x0a00, 1]), true),
        (of_groups([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]), true),
        (of_groups([0xfe80, 0, 0, 0, 0, 0, 0, 7]), true),
        (of_groups([0xff02, 0, 0, 0, 0, 0, 0, 1]), false),
        (of_groups([0xffff; 8]), false),
        (VIP6, false),
    ]
}

/// Packets of each kind from a source, with the same transport.
fn from4(source: [u8; 4]) -> Vec<Vec<u8>> {
    let of = |protocol, payload: &[u8], tags| {
        frame(
            tags,
            &ipv4_with(protocol, payload, |header| header.source = source),
        )
    };
    vec![
        of(6, &tcp(4001, 80, SYN), 0),
        of(6, &tcp(4001, 80, ACK), 0),
        of(17, &udp(4001, 80), 0),
        of(6, &tcp(4001, 80, SYN), 1),
        of(50, &[0; 16], 0),
        of(1, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0], 0),
    ]
}

fn from6(source: [u8; 16]) -> Vec<Vec<u8>> {
    let of =
        |protocol, payload: &[u8]| frame(0, &ipv6_with(protocol, payload, |header| header.source = source));
    vec![
        of(6, &tcp(4001, 80, SYN)),
        of(17, &udp(4001, 80)),
        of(50, &[0; 16]),
    ]
}

fn assert_judged(tables: &crate::testing::MemoryTables, frames: Vec<Vec<u8>>, is_client: bool) {
    for frame in frames {
        let verdict = judge(tables, &frame);
        let short = plain(tables, &frame.as_slice()).map(|plain| plain.verdict.reason);
        match is_client {
            true => assert_eq!(verdict.reason.action(), Action::Forward, "{verdict:?}"),
            false => assert_eq!(verdict.reason, Reason::DropMartianSource),
        }
        let is_martian = |reason| reason == Reason::DropMartianSource;
        assert!(
            short.is_none_or(|short| is_martian(short) != is_client),
            "{short:?}"
        );
    }
}

/// A service with tracking, one without, and one with a leader.
fn all_tables() -> Vec<crate::testing::MemoryTables> {
    let mut tracking = World::new();
    tracking.protocol = 0;
    let mut stateless = tracking.clone();
    stateless.scheme_external();
    let mut led = tracking.clone();
    led.leader = Leader::new(led.number(1)).0;
    [tracking, stateless, led].iter().map(World::tables).collect()
}

#[test]
fn what_no_client_has_as_its_address_is_dropped_and_recorded_nowhere() {
    for tables in all_tables() {
        for (source, is_client) in SOURCES4 {
            let before = entries(&tables).len();
            assert_judged(&tables, from4(source), is_client);
            assert!(is_client || entries(&tables).len() == before, "{source:?}");
        }
        for (source, is_client) in sources6() {
            assert_judged(&tables, from6(source), is_client);
        }
    }
}

#[test]
fn the_vips_own_addresses_are_all_of_its_96_or_just_its_own() {
    let mut world = World::new();
    world.protocol = 0;
    let mut tables = world.tables();
    let mut beside = VIP6;
    beside[15] ^= 0x40;
    assert_judged(&tables, from6(beside), true);
    tables = world.tables();
    let key = ipv6_prefix_key(crate::frames::words(&VIP6));
    let vip = tables.vips.get_mut(&key).expect("a VIP");
    vip.flags |= Vip::WHOLE_PREFIX;
    assert_judged(&tables, from6(beside), false);
    assert_judged(&tables, from6(VIP6), false);
    beside[11] ^= 1;
    assert_judged(&tables, from6(beside), true);
}

#[test]
fn no_martian_is_answered_nor_does_its_error_arrive() {
    let mut world = World::new();
    world.protocol = 17;
    let mut tables = world.tables();
    tables.answers_echo = true;
    tables.vips.values_mut().for_each(|vip| vip.flags = 0);
    let echo = |source| {
        let request = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
        let packet = ipv4_with(1, &request, |header| header.source = source);
        judge(&tables, &frame(0, &packet)).reason
    };
    assert_eq!(echo([198, 51, 100, 7]), Reason::ReplyEcho);
    for source in [[224, 0, 0, 5], [255; 4], [127, 0, 0, 1], VIP] {
        assert_eq!(echo(source), Reason::DropMartianSource);
    }
    // What a group is told to say about an answer of ours.
    let tables = World::new().tables();
    let quote = ipv4_with(6, &tcp(80, 4001, ACK), |header| {
        std::mem::swap(&mut header.source, &mut header.destination);
    });
    let error = |source| {
        let message = [&[3, 4, 0, 0, 0, 0, 5, 0x78], &quote[..28]].concat();
        let packet = ipv4_with(1, &message, |header| header.source = source);
        judge(&tables, &frame(0, &packet)).reason
    };
    assert_eq!(error([192, 0, 2, 1]), Reason::ForwardIcmpError);
    assert_eq!(error([224, 0, 0, 5]), Reason::DropMartianSource);
}
