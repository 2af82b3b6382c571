//! Semantics §8: ICMP errors about flows, and echo requests.

use super::world::*;
use crate::clock::TICK_SECONDS;
use crate::frames::{
    ACK, CLIENT, CLIENT6, SYN, VIP, VIP6, frame, ipv4, ipv4_with, ipv6, ipv6_with, tcp, udp,
};
use crate::layout::{Leader, RuleKey};
use crate::policy::{Scheme, SessionAffinity};
use crate::testing::MemoryTables;
use crate::verdict::{Action, Reason};

const ROUTER: [u8; 4] = [192, 0, 2, 1];
const ROUTER6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// An error from a router, to `to`, about an IPv4 packet that `from` sent to the client.
fn error4(kind: u8, from: [u8; 4], to: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let quote = ipv4_with(protocol, payload, |header| {
        (header.source, header.destination) = (from, CLIENT);
    });
    // As little as a router may quote.
    let message = [&[kind, 4, 0, 0, 0, 0, 5, 0x78], &quote[..28.min(quote.len())]].concat();
    let packet = ipv4_with(1, &message, |header| {
        (header.source, header.destination) = (ROUTER, to)
    });
    frame(0, &packet)
}

/// The same about an IPv6 packet.
fn error6(kind: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let quote = ipv6_with(protocol, payload, |header| {
        (header.source, header.destination) = (VIP6, CLIENT6);
    });
    let message = [&[kind, 0, 0, 0, 0, 0, 5, 0], &quote[..48.min(quote.len())]].concat();
    frame(0, &ipv6_with(58, &message, |header| header.source = ROUTER6))
}

/// About what the VIP answered to `packet(port, _)`.
fn about(port: u16) -> Vec<u8> {
    error4(3, VIP, VIP, 6, &tcp(80, port, ACK))
}

/// All that a decision can write.
fn state(tables: &MemoryTables) -> impl PartialEq + std::fmt::Debug + use<> {
    let slots: Vec<_> = tables.buckets.iter().map(|bucket| bucket.snapshot()).collect();
    let fragments = tables.fragments.lock().expect("no holder panics").clone();
    let tuples = tables.tuples.lock().expect("no holder panics").clone();
    (slots, fragments, tuples)
}

/// Forty flows, and a table that no longer holds the endpoint that half of them are on.
fn moved_on() -> (MemoryTables, Vec<(u16, u32)>) {
    let mut world = World::new();
    let mut tables = world.tables();
    let flows = (4000..4040).map(|port| (port, judge(&tables, &packet(port, SYN)).member));
    let flows: Vec<_> = flows.collect();
    world.select_all_but(flows[0].1);
    world.change(&mut tables);
    (tables, flows)
}

#[test]
fn an_error_goes_to_the_backend_that_its_flow_is_on() {
    let (tables, flows) = moved_on();
    let before = state(&tables);
    for (port, member) in flows {
        for kind in [3, 11, 12] {
            let verdict = judge(&tables, &error4(kind, VIP, VIP, 6, &tcp(80, port, ACK)));
            assert_eq!(
                (verdict.reason, verdict.member),
                (Reason::ForwardIcmpError, member)
            );
            assert!(verdict.unreportable, "no error about an error");
        }
    }
    assert_eq!(
        state(&tables),
        before,
        "no entry is created, refreshed or changed"
    );
}

#[test]
fn an_error_refreshes_nothing() {
    let mut tables = World::new().tables();
    let first = judge(&tables, &packet(4001, SYN));
    tables.now += 7;
    let before = state(&tables);
    assert_eq!(judge(&tables, &about(4001)).member, first.member);
    assert_eq!(state(&tables), before);
    tables.now = NOW + IDLE + TICK_SECONDS;
    assert_eq!(
        judge(&tables, &packet(4001, ACK)).reason,
        Reason::ForwardNew,
        "it idled out on time"
    );
}

#[test]
fn without_an_entry_an_error_goes_where_the_hash_selects() {
    for scheme in [Scheme::External, Scheme::Internal] {
        for affinity in [
            SessionAffinity::None,
            SessionAffinity::ClientIp,
            SessionAffinity::ClientIpProto,
        ] {
            let mut world = World::new();
            (world.policy.scheme, world.policy.affinity) = (scheme, affinity);
            world.protocol = 0;
            let tables = world.tables();
            let empty = state(&tables);
            for port in 4000..4040 {
                let error = judge(&tables, &about(port));
                assert_eq!(error.reason, Reason::ForwardIcmpError);
                assert_eq!(state(&tables), empty, "an error records nothing");
                // A balancer that has seen the flow says the same.
                let elsewhere = world.tables();
                assert_eq!(judge(&elsewhere, &packet(port, SYN)).member, error.member);
                let error = judge(&tables, &error4(3, VIP, VIP, 17, &udp(53, port)));
                let datagram = frame(0, &ipv4(17, &udp(port, 53)));
                assert_eq!(judge(&elsewhere, &datagram).member, error.member);
            }
        }
    }
}

#[test]
fn packet_too_big_of_ipv6_follows_its_flow() {
    let mut world = World::new();
    world.protocol = 0;
    let mut tables = world.tables();
    let flow = |port| frame(0, &ipv6(6, &tcp(port, 80, SYN)));
    let members: Vec<u32> = (4000..4040)
        .map(|port| judge(&tables, &flow(port)).member)
        .collect();
    world.select_all_but(members[0]);
    world.change(&mut tables);
    for (port, member) in (4000..4040).zip(members) {
        for kind in 1..=4 {
            let verdict = judge(&tables, &error6(kind, 6, &tcp(80, port, ACK)));
            assert_eq!(
                (verdict.reason, verdict.member),
                (Reason::ForwardIcmpError, member)
            );
        }
    }
}

/// An extension header of 8 bytes (RFC 8200 §4.2): options that mean nothing.
fn options(next: u8) -> Vec<u8> {
    vec![next, 0, 1, 4, 0, 0, 0, 0]
}

#[test]
fn extension_headers_hide_neither_an_error_nor_what_it_quotes() {
    let mut world = World::new();
    world.protocol = 0;
    let mut tables = world.tables();
    let flow = |port| frame(0, &ipv6(6, &tcp(port, 80, SYN)));
    let members: Vec<u32> = (4000..4040)
        .map(|port| judge(&tables, &flow(port)).member)
        .collect();
    world.select_all_but(members[0]);
    world.change(&mut tables);
    let before = state(&tables);
    for (port, member) in (4000..4040).zip(members) {
        for (inside, outside) in [(0, 1), (1, 0), (3, 3)] {
            let chain = |length: usize, next: u8| {
                let headers = (0..length).map(|index| options(if index + 1 == length { next } else { 60 }));
                (
                    if length == 0 { next } else { 60 },
                    headers.collect::<Vec<_>>().concat(),
                )
            };
            let (next, headers) = chain(inside, 6);
            let answer = ipv6_with(next, &[&headers[..], &tcp(80, port, ACK)].concat(), |header| {
                (header.source, header.destination) = (VIP6, CLIENT6);
            });
            let (next, headers) = chain(outside, 58);
            let message = [&headers[..], &[2, 0, 0, 0, 0, 0, 5, 0], &answer].concat();
            let error = frame(0, &ipv6_with(next, &message, |header| header.source = ROUTER6));
            let verdict = judge(&tables, &error);
            assert_eq!(
                (verdict.reason, verdict.member),
                (Reason::ForwardIcmpError, member),
                "{inside} inside, {outside} outside"
            );
            assert!(verdict.unreportable, "no error about an error");
        }
    }
    assert_eq!(state(&tables), before, "an error records nothing");
    let endless = [[&options(60)[..]; 7].concat(), vec![0; 20]].concat();
    let answer = ipv6_with(60, &endless, |header| {
        (header.source, header.destination) = (VIP6, CLIENT6);
    });
    let message = [&options(58)[..], &[2, 0, 0, 0, 0, 0, 5, 0], &answer].concat();
    let about_nothing = judge(&tables, &frame(0, &ipv6(60, &message)));
    assert_eq!(about_nothing.reason, Reason::DropIcmpError);
}

#[test]
fn an_error_about_an_unusable_entry_goes_where_the_next_packet_will() {
    let (mut tables, flows) = moved_on();
    tables.members.remove(&flows[0].1);
    for (port, _) in flows {
        let error = judge(&tables, &about(port)).member;
        assert_eq!(judge(&tables, &packet(port, ACK)).member, error);
    }
}

#[test]
fn an_error_about_nothing_that_the_vip_sent_is_dropped() {
    let tables = World::new().tables();
    let reason = |packet: &[u8]| judge(&tables, packet).reason;
    let ack = tcp(80, 4001, ACK);
    assert_eq!(
        reason(&error4(3, [192, 0, 2, 7], VIP, 6, &ack)),
        Reason::DropIcmpError,
        "wrong source"
    );
    assert_eq!(
        reason(&error4(3, VIP, VIP, 17, &udp(53, 4001))),
        Reason::DropIcmpError,
        "no rule"
    );
    assert_eq!(
        reason(&error4(3, VIP, VIP, 6, &ack[..3])),
        Reason::DropIcmpError,
        "no ports"
    );
    let unreadable = ipv4(1, &[3, 0, 0, 0, 0, 0, 0, 0, 0x45, 0]);
    assert_eq!(reason(&frame(0, &unreadable)), Reason::DropIcmpError);
    let later = ipv4_with(6, &[0; 8], |header| {
        (header.source, header.destination) = (VIP, CLIENT);
        header.fragment_offset = 3.try_into().expect("13 bits");
    });
    let message = [&[11, 1, 0, 0, 0, 0, 0, 0], &later[..]].concat();
    let about_later = judge(&tables, &frame(0, &ipv4(1, &message)));
    assert_eq!(
        about_later.reason,
        Reason::ForwardIcmpError,
        "a rule on all ports takes it by its portless hash"
    );
}

#[test]
fn errors_for_the_host_pass_whatever_they_are_about() {
    let tables = World::new().tables();
    let host = [192, 0, 2, 200];
    let ack = tcp(80, 4001, ACK);
    for packet in [
        error4(3, host, host, 6, &ack),
        error4(3, VIP, host, 6, &ack),
        error4(3, host, host, 6, &ack[..2]),
    ] {
        assert_eq!(judge(&tables, &packet).reason, Reason::PassNoVip);
    }
}

#[test]
fn an_error_that_quotes_a_fragment_leaves_the_fragment_memory_alone() {
    let mut world = World::new();
    world.protocol = 0;
    let tables = world.tables();
    let before = state(&tables);
    for protocol in [6, 17] {
        let quote = ipv4_with(protocol, &tcp(80, 4001, ACK), |header| {
            (header.source, header.destination) = (VIP, CLIENT);
            header.more_fragments = true;
        });
        let message = [&[3, 4, 0, 0, 0, 0, 0, 0], &quote[..]].concat();
        let verdict = judge(&tables, &frame(0, &ipv4(1, &message)));
        assert_eq!(verdict.reason, Reason::ForwardIcmpError);
    }
    assert_eq!(state(&tables), before);
}

#[test]
fn errors_follow_the_leader_and_stop_with_nobody() {
    let mut world = World::new();
    world.leader = Leader::new(world.number(2)).0;
    assert_eq!(judge(&world.tables(), &about(4001)).member, world.number(2));
    world.leader = Leader::new(0).0;
    assert_eq!(judge(&world.tables(), &about(4001)).reason, Reason::DropNoLeader);
    world.leader = 0;
    world.selected.clear();
    assert_eq!(judge(&world.tables(), &about(4001)).reason, Reason::DropNoBackend);
    world.drops = true;
    assert_eq!(
        judge(&world.tables(), &about(4001)).reason,
        Reason::DropNoHealthyBackend
    );
}

#[test]
fn echo_is_balanced_by_l3_default_else_dropped_or_answered() {
    let request6 = [128, 0, 0, 0, 0, 1, 0, 1];
    let requests = [
        (34, frame(0, &ipv4(1, &[8, 0, 0, 0, 0, 1, 0, 1]))),
        (54, frame(0, &ipv6(58, &request6))),
        (62, frame(0, &ipv6(60, &[&options(58)[..], &request6].concat()))),
    ];
    for answers in [false, true] {
        for (message, request) in &requests {
            let mut world = World::new();
            let mut tables = world.tables();
            tables.vips.values_mut().for_each(|vip| vip.flags = 0);
            tables.answers_echo = answers;
            let expected = if answers {
                Reason::ReplyEcho
            } else {
                Reason::DropNoRule
            };
            assert_eq!(judge(&tables, request).reason, expected);
            let mut reply = request.clone();
            reply[*message] += 1;
            assert_eq!(judge(&tables, &reply).reason, Reason::DropNoRule, "no request");
            world.protocol = 0;
            let mut balanced = world.tables();
            balanced.answers_echo = answers;
            assert_eq!(judge(&balanced, request).reason.action(), Action::Forward);
            balanced.vips.clear();
            balanced.rules.clear();
            assert_eq!(
                judge(&balanced, request).reason,
                Reason::PassNoVip,
                "not ours to answer"
            );
        }
    }
}

#[test]
fn a_vip_of_ports_takes_an_error_by_the_quoted_port() {
    let world = World::new();
    let mut tables = world.tables();
    tables
        .vips
        .values_mut()
        .for_each(|vip| (vip.blocks[0], vip.flags) = (1, 0));
    let rules: Vec<_> = tables.rules.iter().map(|(key, rule)| (*key, *rule)).collect();
    tables.rules.clear();
    for (key, rule) in rules {
        tables.rules.insert(RuleKey::new(key.address, 6, 80, 0), rule);
    }
    assert_eq!(judge(&tables, &about(4001)).reason, Reason::ForwardIcmpError);
    let other_port = error4(3, VIP, VIP, 6, &tcp(81, 4001, ACK));
    assert_eq!(judge(&tables, &other_port).reason, Reason::DropIcmpError);
}

/// Large answers to small questions, over IPv6 above all: routers quote the answer's first fragment.
#[test]
fn an_error_about_an_answer_in_fragments_goes_to_the_backend_that_gave_it() {
    let mut world = World::new();
    world.protocol = 0;
    let mut tables = world.tables();
    let questions = (4000..4040).map(|port| (port, frame(0, &ipv6(17, &udp(port, 53)))));
    let flows: Vec<(u16, u32)> = questions
        .map(|(port, question)| (port, judge(&tables, &question).member))
        .collect();
    world.select_all_but(flows[0].1);
    world.change(&mut tables);
    for (port, member) in flows {
        // By hand from RFC 8200 §4.5: a first fragment.
        let fragment = [&[17, 0, 0, 1, 0, 0, 0, 9], &udp(53, port)[..]].concat();
        let verdict = judge(&tables, &error6(2, 44, &[&fragment[..], &[0; 16]].concat()));
        assert_eq!(
            verdict.reason,
            Reason::DropIcmpError,
            "8 bytes hold only the fragment header"
        );
        let quote = ipv6_with(44, &fragment, |header| {
            (header.source, header.destination) = (VIP6, CLIENT6);
        });
        let message = [&[2, 0, 0, 0, 0, 0, 5, 0], &quote[..]].concat();
        let error = frame(0, &ipv6_with(58, &message, |header| header.source = ROUTER6));
        let verdict = judge(&tables, &error);
        assert_eq!(
            (verdict.reason, verdict.member),
            (Reason::ForwardIcmpError, member)
        );
    }
}
