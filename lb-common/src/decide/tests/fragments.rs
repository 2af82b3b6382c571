//! Semantics §8: later fragments go where the first one went.

use std::collections::BTreeSet;

use super::world::*;
use crate::frames::{SYN, frame, ipv4_with, ipv6, tcp, udp};
use crate::layout::{FRAGMENT_LIFETIME_SEC, FragmentRecord, Leader, RuleKey};
use crate::policy::SessionAffinity;
use crate::testing::MemoryTables;
use crate::verdict::{Action, Reason, Verdict};

/// One fragment of an IPv4 datagram; the first carries `header`.
fn piece(protocol: u8, identification: u16, offset: u16, header: &[u8]) -> Vec<u8> {
    let payload = if offset == 0 { header } else { &[0; 16] };
    let packet = ipv4_with(protocol, payload, |ip| {
        ip.identification = identification;
        ip.more_fragments = offset < 9;
        ip.fragment_offset = offset.try_into().expect("13 bits");
    });
    frame(0, &packet)
}

/// The same of IPv6.
fn piece6(protocol: u8, identification: u8, offset: u16, header: &[u8]) -> Vec<u8> {
    let payload = if offset == 0 { header } else { &[0; 16] };
    // By hand from RFC 8200 §4.5: etherparse 0.19 writes the M flag into the offset.
    let [high, low] = ((offset << 3) | u16::from(offset < 9)).to_be_bytes();
    let fragment = [protocol, 0, high, low, 0, 0, 0, identification];
    frame(0, &ipv6(44, &[&fragment, payload].concat()))
}

fn expect_follows(later: Verdict, first: &Verdict) {
    assert_eq!(
        (later.reason, later.member),
        (Reason::ForwardFragment, first.member)
    );
    assert_eq!((later.service, later.backend), (first.service, first.backend));
    assert!(later.unreportable, "no ICMP error about a later fragment");
}

/// A VIP whose only rules are for port 80 of TCP and port 53 of UDP.
fn with_ports(world: &World) -> MemoryTables {
    let mut tables = world.tables();
    let rules: Vec<_> = tables.rules.iter().map(|(key, rule)| (*key, *rule)).collect();
    tables.rules.clear();
    for (key, rule) in rules {
        tables.rules.insert(RuleKey::new(key.address, 6, 80, 0), rule);
        tables.rules.insert(RuleKey::new(key.address, 17, 53, 0), rule);
    }
    for vip in tables.vips.values_mut() {
        (vip.blocks, vip.flags) = ([1, 1, 0], 0);
    }
    tables
}

#[test]
fn later_fragments_follow_the_first_before_any_rule() {
    let tables = with_ports(&World::new());
    for port in 4000..4020 {
        let id = port;
        for (protocol, header) in [(6, tcp(port, 80, SYN)), (17, udp(port, 53))] {
            let first = judge(&tables, &piece(protocol, id, 0, &header));
            assert_eq!(first.reason.action(), Action::Forward);
            assert!(!first.unreportable);
            // In any order, repeated, and overlapping.
            for offset in [9, 2, 2, 1, 5] {
                expect_follows(judge(&tables, &piece(protocol, id, offset, &[])), &first);
            }
            let first = judge(&tables, &piece6(protocol, id as u8, 0, &header));
            for offset in [9, 1] {
                expect_follows(judge(&tables, &piece6(protocol, id as u8, offset, &[])), &first);
            }
        }
    }
}

#[test]
fn a_later_fragment_of_another_datagram_does_not_follow() {
    let tables = with_ports(&World::new());
    judge(&tables, &piece(17, 7, 0, &udp(4001, 53)));
    for packet in [piece(17, 8, 2, &[]), piece(6, 7, 2, &[]), piece6(17, 7, 2, &[])] {
        assert_eq!(judge(&tables, &packet).reason, Reason::DropFragment);
    }
}

#[test]
fn a_later_fragment_that_overtakes_its_first_is_dropped_where_only_ports_have_rules() {
    let tables = with_ports(&World::new());
    assert_eq!(judge(&tables, &piece(17, 7, 2, &[])).reason, Reason::DropFragment);
    assert!(entries(&tables).is_empty());
    let first = judge(&tables, &piece(17, 7, 0, &udp(4001, 53)));
    expect_follows(judge(&tables, &piece(17, 7, 2, &[])), &first);
}

/// Under allPorts or L3_DEFAULT the whole UDP datagram goes by its portless hash, whichever fragment comes first.
#[test]
fn where_all_ports_have_a_rule_overtaking_does_not_part_a_datagram() {
    for affinity in [SessionAffinity::None, SessionAffinity::ClientIp] {
        for (rule, protocol) in [(0, 17), (17, 17), (0, 50), (0, 1)] {
            let mut world = World::new();
            (world.policy.affinity, world.protocol) = (affinity, rule);
            let tables = world.tables();
            let later = judge(&tables, &piece(protocol, 7, 2, &[]));
            assert_eq!(later.reason, Reason::ForwardNew);
            for port in 4000..4040 {
                let first = judge(&tables, &piece(protocol, port, 0, &udp(port, 53)));
                assert_eq!(first.member, later.member, "protocol {protocol}");
            }
        }
    }
}

#[test]
fn a_first_fragment_is_remembered_for_half_a_minute() {
    let mut tables = with_ports(&World::new());
    let first = judge(&tables, &piece(17, 7, 0, &udp(4001, 53)));
    let FragmentRecord { member, deadline } = *tables
        .fragments
        .lock()
        .expect("no holder panics")
        .values()
        .next()
        .expect("it is remembered");
    assert_eq!(member, first.member);
    assert_eq!(
        deadline,
        NOW + FRAGMENT_LIFETIME_SEC + 1,
        "seen at the end of its second"
    );
    tables.now = deadline - 1;
    expect_follows(judge(&tables, &piece(17, 7, 2, &[])), &first);
    tables.now = deadline;
    assert_eq!(judge(&tables, &piece(17, 7, 2, &[])).reason, Reason::DropFragment);
}

#[test]
fn an_identification_that_comes_again_means_the_new_datagram() {
    let mut world = World::new();
    let mut tables = with_ports(&world);
    let old = judge(&tables, &piece(17, 7, 0, &udp(4001, 53)));
    world.select_all_but(old.member);
    let index = world.index(old.member);
    world.members[index].healthy = false;
    world.change(&mut tables);
    let new = judge(&tables, &piece(17, 7, 0, &udp(4001, 53)));
    assert_ne!(new.member, old.member);
    expect_follows(judge(&tables, &piece(17, 7, 2, &[])), &new);
}

#[test]
fn a_whole_packet_and_a_later_fragment_are_not_remembered() {
    let mut world = World::new();
    world.protocol = 0;
    let tables = world.tables();
    judge(&tables, &frame(0, &ipv4_with(17, &udp(4001, 53), |_| {})));
    judge(&tables, &piece(17, 7, 2, &[]));
    judge(&tables, &packet(4001, SYN));
    assert!(tables.fragments.lock().expect("no holder panics").is_empty());
}

#[test]
fn nobody_follows_to_an_endpoint_that_has_ended() {
    let mut world = World::new();
    let mut tables = with_ports(&world);
    let first = judge(&tables, &piece(17, 7, 0, &udp(4001, 53)));
    let index = world.index(first.member);
    world.members[index].drain = Some(NOW + 2);
    world.change(&mut tables);
    expect_follows(judge(&tables, &piece(17, 7, 2, &[])), &first);
    tables.now = NOW + 2;
    assert_eq!(
        judge(&tables, &piece(17, 7, 2, &[])).reason,
        Reason::DropFragment,
        "its drain is over"
    );
    tables.now = NOW;
    world.members[index].attached = false;
    world.change(&mut tables);
    assert_eq!(
        judge(&tables, &piece(17, 7, 2, &[])).reason,
        Reason::DropFragment,
        "it is gone"
    );
}

#[test]
fn a_dropped_first_fragment_leads_nowhere() {
    let mut world = World::new();
    world.selected.clear();
    let tables = with_ports(&world);
    assert_eq!(
        judge(&tables, &piece(17, 7, 0, &udp(4001, 53))).reason,
        Reason::DropNoBackend
    );
    assert_eq!(
        judge(&tables, &piece(17, 7, 0, &udp(4001, 54))).reason,
        Reason::DropNoRule
    );
    assert_eq!(
        judge(&tables, &piece(6, 7, 0, &tcp(4001, 80, SYN)[..8])).reason,
        Reason::DropTruncated
    );
    assert!(tables.fragments.lock().expect("no holder panics").is_empty());
}

#[test]
fn what_no_entry_hashes_spreads_over_paths_all_the_same() {
    let mut world = World::new();
    let tables = with_ports(&world);
    judge(&tables, &piece(17, 7, 0, &udp(4001, 53)));
    let later = judge(&tables, &piece(17, 7, 2, &[]));
    assert_ne!(later.entropy, 0);
    assert_eq!(
        judge(&tables, &piece(17, 7, 3, &[])).entropy,
        later.entropy,
        "a datagram stays on its path"
    );
    world.leader = Leader::new(world.number(1)).0;
    let tables = world.tables();
    let from = |client| {
        frame(
            0,
            &ipv4_with(6, &tcp(4001, 80, SYN), |ip| ip.source = [198, 51, 100, client]),
        )
    };
    let entropies: BTreeSet<u32> = (0..50)
        .map(|client| judge(&tables, &from(client)).entropy)
        .collect();
    assert_eq!(entropies.len(), 50, "clients of a leader differ");
}
