//! The way of a packet, step by step, on tables in memory.

mod arrivals;
mod entries;
mod errors;
mod fragments;
mod plain;
mod rules;
mod sources;
mod tables;
mod world;

use world::*;

use super::*;
use crate::frames::{ACK, FIN, RST, SYN, frame, ipv4, ipv4_with, ipv6, ipv6_with, tcp, udp};
use crate::layout::{BUCKET_SLOTS, Leader};
use crate::policy::{Persistence, SessionAffinity, TrackingMode};

#[test]
fn what_is_for_nobody_of_ours_passes() {
    let world = World::new();
    let mut tables = world.tables();
    tables.vips.clear();
    tables.rules.clear();
    for packet in [
        frame(0, &ipv4(6, &tcp(4001, 80, SYN))),
        frame(2, &ipv6(17, &udp(4001, 80))),
        frame(0, &ipv4(17, &udp(4001, 80)[..5])),
        frame(0, &ipv4(99, &[])),
    ] {
        assert_eq!(judge(&tables, &packet).reason, Reason::PassNoVip);
    }
    let mut malformed = frame(0, &ipv4(6, &tcp(4001, 80, SYN)));
    malformed[14] = 0x44;
    assert_eq!(judge(&tables, &malformed).reason, Reason::PassNoVip);
    let mut fragment = frame(0, &ipv4(17, &udp(4001, 80)));
    fragment[14 + 7] = 1;
    assert_eq!(judge(&tables, &fragment).reason, Reason::PassNoVip);
}

#[test]
fn what_is_for_a_vip_and_can_not_be_read_is_dropped() {
    let tables = World::new().tables();
    let reason = |packet: &[u8]| judge(&tables, packet).reason;
    assert_eq!(
        reason(&frame(0, &ipv4(17, &udp(4001, 80)[..5]))),
        Reason::DropTruncated
    );
    let mut malformed = frame(0, &ipv4(6, &tcp(4001, 80, SYN)));
    malformed[14] = 0x44;
    assert_eq!(reason(&malformed), Reason::DropMalformed);
    let later = ipv4_with(17, &[0; 8], |header| {
        header.fragment_offset = 1.try_into().expect("13 bits")
    });
    assert_eq!(reason(&frame(0, &later)), Reason::DropFragment);
    let chain: Vec<u8> = (0..9).flat_map(|_| [60, 0, 0, 0, 0, 0, 0, 0]).collect();
    assert_eq!(reason(&frame(0, &ipv6(60, &chain))), Reason::DropExtensionHeaders);
}

#[test]
fn neighbor_discovery_passes_even_to_a_vip() {
    let mut world = World::new();
    world.protocol = 0;
    let tables = world.tables();
    let message = |kind, hop_limit| {
        let packet = ipv6_with(58, &[kind, 0, 0, 0, 0, 0, 0, 0], |header| {
            header.hop_limit = hop_limit
        });
        judge(&tables, &frame(0, &packet)).reason
    };
    assert_eq!(message(135, 255), Reason::PassNeighborDiscovery);
    // Forged from beyond the link, it is ICMPv6 as any other.
    assert_eq!(message(135, 254).action(), crate::verdict::Action::Forward);
    assert_eq!(message(128, 255).action(), crate::verdict::Action::Forward);
}

#[test]
fn the_leader_takes_everything_whatever_its_health() {
    for healthy in [true, false] {
        let mut world = World::new();
        world.members[1].healthy = healthy;
        world.leader = Leader::new(world.number(1)).0;
        let tables = world.tables();
        for packet in [SYN, ACK].map(|flags| frame(0, &ipv4(6, &tcp(4001, 80, flags)))) {
            let verdict = judge(&tables, &packet);
            assert_eq!(
                (verdict.reason, verdict.member),
                (Reason::ForwardLeader, world.number(1))
            );
        }
        assert_eq!(entries(&tables), [], "nothing is tracked");
    }
}

#[test]
fn without_a_leader_ha_policy_drops() {
    let mut world = World::new();
    for leader in [0, 99] {
        world.leader = Leader::new(leader).0;
        let tables = world.tables();
        assert_eq!(judge(&tables, &packet(4001, SYN)).reason, Reason::DropNoLeader);
        assert_eq!(entries(&tables), []);
    }
}

#[test]
fn a_new_flow_is_recorded_with_its_tuple() {
    let world = World::new();
    let tables = world.tables();
    let verdict = judge(&tables, &packet(4001, SYN));
    assert_eq!(verdict.reason, Reason::ForwardNew);
    assert_eq!(verdict.service, SERVICE);
    assert_eq!(entries(&tables), [verdict.member]);
    let tuples = tables.tuples.lock().expect("no holder panics");
    let (index, tuple) = tuples.iter().next().expect("a tuple was kept");
    let slot =
        tables.buckets[(index / BUCKET_SLOTS) as usize].snapshot().slots[(index % BUCKET_SLOTS) as usize];
    assert_eq!(Slot(slot).member(), verdict.member);
    assert_eq!(tuple.source(), crate::frames::words(&crate::frames::CLIENT));
    assert_eq!(tuple.destination(), crate::frames::words(&crate::frames::VIP));
    assert_eq!(tuple.ports().to_ne_bytes(), [0x0f, 0xa1, 0, 80]);
    assert_eq!((tuple.protocol(), tuple.tuple()), (6, Tuple::Five as u32));
    assert!(!tuple.is_ipv6());
}

#[test]
fn a_packet_without_an_entry_is_hashed_recorded_and_forwarded() {
    for flags in [ACK, FIN | ACK, RST, SYN | ACK, 0] {
        let tables = World::new().tables();
        let first = judge(&tables, &packet(4001, flags));
        assert_eq!(first.reason, Reason::ForwardNew, "{flags}");
        let second = judge(&tables, &packet(4001, ACK));
        assert_eq!(second.reason, Reason::ForwardTracked);
        assert_eq!(second.member, first.member);
        assert_eq!(entries(&tables).len(), 1);
    }
}

#[test]
fn fin_and_rst_end_nothing() {
    let tables = World::new().tables();
    let member = judge(&tables, &packet(4001, SYN)).member;
    for flags in [FIN | ACK, RST, RST | ACK] {
        let verdict = judge(&tables, &packet(4001, flags));
        assert_eq!((verdict.reason, verdict.member), (Reason::ForwardTracked, member));
    }
}

#[test]
fn a_duplicate_syn_is_selected_anew_and_lands_where_it_was() {
    let tables = World::new().tables();
    let first = judge(&tables, &packet(4001, SYN));
    let again = judge(&tables, &packet(4001, SYN));
    assert_eq!(
        (first.reason, again.reason),
        (Reason::ForwardNew, Reason::ForwardNew)
    );
    assert_eq!(first.member, again.member);
    assert_eq!(entries(&tables).len(), 1, "the entry is written over");
}

/// Semantics §1, step 4, over every mode and affinity: after the eligible set has changed, does a SYN move?
#[test]
fn a_syn_is_always_new_only_where_the_policy_says_so() {
    use SessionAffinity::{ClientIp, ClientIpNoDestination, ClientIpPortProto, ClientIpProto};
    use TrackingMode::{PerConnection, PerSession};
    let cases = [
        (PerConnection, SessionAffinity::None, true),
        (PerConnection, ClientIpPortProto, true),
        (PerConnection, ClientIpProto, true),
        (PerConnection, ClientIp, true),
        (PerConnection, ClientIpNoDestination, true),
        (PerSession, SessionAffinity::None, true),
        (PerSession, ClientIpPortProto, true),
        (PerSession, ClientIpProto, false),
        (PerSession, ClientIp, false),
        (PerSession, ClientIpNoDestination, false),
    ];
    for (mode, affinity, moves) in cases {
        let mut world = World::new();
        (world.policy.mode, world.policy.affinity) = (mode, affinity);
        let mut tables = world.tables();
        let first = judge(&tables, &packet(4001, SYN));
        // The old backend stays usable; new flows go elsewhere.
        world.select_all_but(first.member);
        world.change(&mut tables);
        let syn = judge(&tables, &packet(4001, SYN));
        assert_eq!(syn.member != first.member, moves, "{mode:?} {affinity:?}");
        let expected = if moves {
            Reason::ForwardNew
        } else {
            Reason::ForwardTracked
        };
        assert_eq!(syn.reason, expected, "{mode:?} {affinity:?}");
        assert_eq!(entries(&tables), [syn.member]);
        // Any later packet follows it.
        assert_eq!(judge(&tables, &packet(4001, ACK)).member, syn.member);
    }
}

#[test]
fn what_is_not_tracked_is_stateless() {
    let mut world = World::new();
    world.scheme_external();
    world.protocol = 0;
    let tables = world.tables();
    // Affinity NONE: only TCP is tracked; ICMP never is.
    let datagram = frame(0, &ipv4(17, &udp(4001, 80)));
    let echo = frame(0, &ipv4(1, &[8, 0, 0, 0, 0, 0, 0, 0]));
    for packet in [&datagram, &echo] {
        let verdicts: Vec<_> = (0..3).map(|_| judge(&tables, packet)).collect();
        assert!(
            verdicts
                .iter()
                .all(|verdict| verdict.reason == Reason::ForwardUntracked)
        );
        assert!(
            verdicts
                .iter()
                .all(|verdict| verdict.member == verdicts[0].member)
        );
    }
    assert_eq!(entries(&tables), []);
    assert_eq!(judge(&tables, &packet(4001, SYN)).reason, Reason::ForwardNew);
    assert_eq!(entries(&tables).len(), 1);
}

#[test]
fn an_empty_set_drops_for_the_right_reason() {
    for (drops, reason) in [
        (true, Reason::DropNoHealthyBackend),
        (false, Reason::DropNoBackend),
    ] {
        let mut world = World::new();
        world.selected = vec![];
        world.drops = drops;
        let tables = world.tables();
        let verdict = judge(&tables, &packet(4001, SYN));
        assert_eq!(
            (verdict.reason, verdict.service, verdict.member),
            (reason, SERVICE, 0)
        );
        assert_eq!(entries(&tables), []);
    }
}

#[test]
fn a_backend_without_next_hop_is_a_drop_of_its_own() {
    let mut world = World::new();
    world.members.iter_mut().for_each(|member| member.backend = 0);
    let tables = world.tables();
    let verdict = judge(&tables, &packet(4001, SYN));
    assert_eq!((verdict.reason, verdict.backend), (Reason::DropUnresolved, 0));
    assert!(world.numbers().contains(&verdict.member));
    // The choice stands: when the next hop is found, the flow goes there.
    world.members.iter_mut().for_each(|member| member.backend = 7);
    let mut tables = tables;
    world.change(&mut tables);
    let next = judge(&tables, &packet(4001, ACK));
    assert_eq!(
        (next.reason, next.member, next.backend),
        (Reason::ForwardTracked, verdict.member, 7)
    );
}

#[test]
fn a_full_bucket_forwards_unrecorded() {
    let world = World::new();
    let tables = world.tables();
    let full = crate::layout::Bucket {
        slots: std::array::from_fn(|slot| Slot::new(slot as u32, 900, clock::tick(tables.now) + 5).0 | 1),
    };
    tables.buckets.iter().for_each(|bucket| bucket.store(&full));
    let verdict = judge(&tables, &packet(4001, SYN));
    assert_eq!(verdict.reason, Reason::ForwardBucketFull);
    assert_eq!(
        judge(&tables, &packet(4001, ACK)).member,
        verdict.member,
        "the hash carries it"
    );
    assert!(tables.buckets.iter().all(|bucket| bucket.snapshot() == full));
    assert!(tables.tuples.lock().expect("no holder panics").is_empty());
}

#[test]
fn broken_records_are_named() {
    let reason = |break_it: &dyn Fn(&mut crate::testing::MemoryTables)| {
        let mut tables = World::new().tables();
        break_it(&mut tables);
        judge(&tables, &packet(4001, SYN)).reason
    };
    assert_eq!(reason(&|tables| tables.services.clear()), Reason::DropBadService);
    assert_eq!(
        reason(&|tables| tables
            .services
            .values_mut()
            .for_each(|service| service.policy = 0)),
        Reason::DropBadService
    );
    assert_eq!(reason(&|tables| tables.members.clear()), Reason::DropBadMember);
    assert_eq!(reason(&|tables| tables.slots.fill(0)), Reason::DropBadTable);
    assert_eq!(reason(&|tables| tables.slots.clear()), Reason::DropBadTable);
}

#[test]
fn affinity_binds_what_it_names_and_nothing_else() {
    use SessionAffinity::{ClientIp, ClientIpPortProto, ClientIpProto};
    let members = |affinity, protocol_matters: bool| {
        let mut world = World::new();
        world.policy.affinity = affinity;
        world.protocol = 0;
        let tables = world.tables();
        let ports: std::collections::BTreeSet<u32> = (4000..4200)
            .map(|port| judge(&tables, &packet(port, SYN)).member)
            .collect();
        let udp = judge(&tables, &frame(0, &ipv4(17, &udp(4000, 80)))).member;
        if !protocol_matters {
            assert_eq!(ports.iter().collect::<Vec<_>>(), [&udp]);
        }
        ports.len()
    };
    assert_eq!(members(ClientIp, false), 1);
    assert_eq!(members(ClientIpProto, true), 1);
    assert_eq!(members(ClientIpPortProto, true), 3);
    assert_eq!(members(SessionAffinity::None, true), 3);
}

#[test]
fn one_session_holds_every_protocol_of_a_client() {
    let mut world = World::new();
    world.policy.affinity = SessionAffinity::ClientIp;
    world.policy.mode = TrackingMode::PerSession;
    world.policy.persistence = Persistence::NeverPersist;
    world.protocol = 0;
    let mut tables = world.tables();
    let first = judge(&tables, &packet(4001, SYN));
    world.select_all_but(first.member);
    world.change(&mut tables);
    let others = [
        packet(9999, SYN),
        frame(0, &ipv4(17, &udp(1, 2))),
        frame(0, &ipv4(50, &[0; 16])),
        frame(0, &ipv4(1, &[8, 0, 0, 0, 0, 0, 0, 0])),
    ];
    for other in others {
        let verdict = judge(&tables, &other);
        assert_eq!(
            (verdict.reason, verdict.member),
            (Reason::ForwardTracked, first.member)
        );
    }
    assert_eq!(entries(&tables).len(), 1);
}
