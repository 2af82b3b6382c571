//! Semantics §6 as far as a packet chooses: the zone's table, the subset of a client; and what entries share.

use std::collections::{BTreeMap, BTreeSet};

use super::world::*;
use crate::clock::TICK_SECONDS;
use crate::frames::{ACK, CLIENT, CLIENT6, SYN, VIP, VIP6, frame, ipv4, ipv4_with, ipv6, tcp, udp, words};
use crate::layout::{Member, Pool, RuleKey, Selection, ZoneTables, ipv4_key, ipv6_prefix_key};
use crate::policy::{PolicyWord, SessionAffinity, TrackingMode};
use crate::testing::MemoryTables;
use crate::verdict::Reason;

/// A service of as many endpoints as there are slots, numbered from 1000 on.
fn large(world: &World, endpoints: u32) -> MemoryTables {
    let mut tables = world.tables();
    tables.slots = (1000..1000 + endpoints).collect();
    for number in &tables.slots {
        tables
            .members
            .insert(*number, Member::new(SERVICE, true, Pool::Primary, 5, None));
    }
    let selection = Selection {
        offset: 0,
        size: endpoints,
    };
    let service = tables.services.get_mut(&SERVICE).expect("it is there");
    service.selection = selection.to_word();
    tables
}

fn from(client: [u8; 4], port: u16) -> Vec<u8> {
    frame(
        0,
        &ipv4_with(6, &tcp(port, 80, SYN), |header| header.source = client),
    )
}

#[test]
fn with_subsetting_a_client_sees_at_most_25_backends() {
    for subsetting in [false, true] {
        let mut world = World::new();
        world.policy.subsetting = subsetting;
        let tables = large(&world, 1000);
        let mut of_all: BTreeSet<u32> = BTreeSet::new();
        for client in 0..20 {
            let seen = |port| judge(&tables, &from([198, 51, 100, client], port)).member;
            let seen: BTreeSet<u32> = (1000..1400).map(seen).collect();
            of_all.extend(&seen);
            if subsetting {
                assert!(seen.len() <= 25, "{}", seen.len());
                assert!(seen.len() > 20, "nearly as many as it may: {}", seen.len());
            } else {
                assert!(seen.len() > 200, "{}", seen.len());
            }
        }
        assert!(
            of_all.len() > 300,
            "clients differ in their subsets: {}",
            of_all.len()
        );
    }
}

#[test]
fn a_subset_spreads_a_clients_flows_evenly() {
    let mut world = World::new();
    world.policy.subsetting = true;
    let tables = large(&world, 1000);
    let mut share: BTreeMap<u32, u32> = BTreeMap::new();
    for port in 1000..6000 {
        *share
            .entry(judge(&tables, &from(CLIENT, port)).member)
            .or_default() += 1;
    }
    let most = share.values().max().expect("packets were sent");
    assert!(*most < 2 * 5000 / 20, "{share:?}");
}

/// A zone's word in the service's zone tables, and a table of one endpoint for it at the end of the slots.
fn in_zones(world: &World, words: &[u64]) -> MemoryTables {
    let mut tables = world.tables();
    let service = tables.services.get_mut(&SERVICE).expect("it is there");
    let zones = ZoneTables {
        first: 40,
        count: words.len() as u32,
    };
    service.zones = zones.to_word();
    tables.zone_tables.extend((40..).zip(words.iter().copied()));
    // Behind it lies another service's.
    let others = Selection { offset: 252, size: 1 };
    tables.zone_tables.insert(40 + zones.count, others.to_word());
    tables.slots.push(world.number(3));
    tables
}

fn client_zone(tables: &mut MemoryTables, bits: u32, zone: u32) {
    tables
        .zones
        .insert((ipv4_key(words(&CLIENT)[0]), 96 + bits), zone);
}

fn members(tables: &MemoryTables) -> BTreeSet<u32> {
    (4000..4100)
        .map(|port| judge(tables, &packet(port, SYN)).member)
        .collect()
}

#[test]
fn a_clients_zone_chooses_the_table() {
    let world = World::new();
    let own = Selection { offset: 252, size: 1 };
    let everyone: BTreeSet<u32> = [10, 11, 12].into();
    let words = [0, own.to_word(), Selection { offset: 2, size: 0 }.to_word()];
    let zoned = |zone, bits| {
        let mut tables = in_zones(&world, &words);
        client_zone(&mut tables, bits, zone);
        tables
    };
    assert_eq!(
        members(&in_zones(&world, &words)),
        everyone,
        "a client in no zone"
    );
    assert_eq!(members(&zoned(0, 32)), everyone, "zone 0 is none");
    assert_eq!(
        members(&zoned(1, 32)),
        everyone,
        "a zone without a table of its own"
    );
    assert_eq!(members(&zoned(2, 32)), [world.number(3)].into());
    assert_eq!(
        members(&zoned(4, 32)),
        everyone,
        "a zone that the service does not know"
    );
    assert_eq!(members(&zoned(u32::MAX, 32)), everyone);
    assert_eq!(
        judge(&zoned(3, 24), &packet(4001, SYN)).reason,
        Reason::DropNoBackend,
        "an empty zone"
    );
    let mut nested = zoned(1, 24);
    client_zone(&mut nested, 32, 2);
    assert_eq!(
        members(&nested),
        [world.number(3)].into(),
        "the longest prefix counts"
    );
    // An error comes from a router in some other zone: the client is who the flow is with.
    let quote = ipv4_with(6, &tcp(80, 4001, ACK), |header| {
        (header.source, header.destination) = (VIP, CLIENT);
    });
    let message = [&[3, 4, 0, 0, 0, 0, 0, 0], &quote[..]].concat();
    let error = ipv4_with(1, &message, |header| header.source = [192, 0, 2, 1]);
    assert_eq!(judge(&zoned(2, 32), &frame(0, &error)).member, world.number(3));
}

#[test]
fn ipv6_clients_have_zones_too() {
    let world = World::new();
    let own = Selection { offset: 252, size: 1 };
    let mut tables = in_zones(&world, &[own.to_word()]);
    tables.zones.insert((words(&CLIENT6), 64), 1);
    for port in 4000..4040 {
        let verdict = judge(&tables, &frame(0, &ipv6(6, &tcp(port, 80, SYN))));
        assert_eq!(verdict.member, world.number(3));
    }
}

/// The second service's number and its only member.
const OTHER: u32 = 4;
const OTHER_MEMBER: u32 = 50;

/// TCP goes to one service, UDP of the same VIP to another.
fn two_services(world: &World) -> MemoryTables {
    let mut tables = world.tables();
    let mut record = tables.services[&SERVICE];
    record.policy = PolicyWord::new(&world.policy).0;
    record.selection = Selection {
        offset: tables.slots.len() as u32,
        size: 1,
    }
    .to_word();
    tables.slots.push(OTHER_MEMBER);
    tables.services.insert(OTHER, record);
    tables
        .members
        .insert(OTHER_MEMBER, Member::new(OTHER, true, Pool::Primary, 5, None));
    for address in [ipv4_key(words(&VIP)[0]), ipv6_prefix_key(words(&VIP6))] {
        let mut rule = tables.rules[&RuleKey::new(address, 6, 0, RuleKey::ALL_PORTS)];
        rule.service = OTHER;
        tables
            .rules
            .insert(RuleKey::new(address, 17, 0, RuleKey::ALL_PORTS), rule);
    }
    tables
}

#[test]
fn two_services_on_one_vip_share_no_entry() {
    // Sessions of the client alone: nothing but the service tells the two entries apart.
    let mut world = World::new();
    (world.policy.mode, world.policy.affinity) =
        (TrackingMode::PerSession, SessionAffinity::ClientIpNoDestination);
    let tables = two_services(&world);
    let datagram = frame(0, &ipv4(17, &udp(4001, 53)));
    let connection = judge(&tables, &packet(4001, SYN));
    assert_eq!(
        (connection.service, connection.reason),
        (SERVICE, Reason::ForwardNew)
    );
    let other = judge(&tables, &datagram);
    assert_eq!(
        (other.service, other.reason, other.member),
        (OTHER, Reason::ForwardNew, OTHER_MEMBER)
    );
    for _ in 0..2 {
        let again = judge(&tables, &packet(4001, ACK));
        assert_eq!(
            (again.reason, again.member),
            (Reason::ForwardTracked, connection.member)
        );
        let again = judge(&tables, &datagram);
        assert_eq!(
            (again.reason, again.member),
            (Reason::ForwardTracked, OTHER_MEMBER)
        );
    }
    assert_eq!(entries(&tables).len(), 2);
}

/// A key is scoped by the service and not by the rule that led to it.
#[test]
fn several_rules_of_one_service_share_its_entries() {
    for (affinity, shared) in [
        (SessionAffinity::ClientIpNoDestination, true),
        (SessionAffinity::ClientIp, false),
    ] {
        let mut world = World::new();
        (world.policy.mode, world.policy.affinity) = (TrackingMode::PerSession, affinity);
        let mut tables = world.tables();
        let second = [203, 0, 113, 77];
        let address = ipv4_key(words(&second)[0]);
        tables
            .vips
            .insert(address, tables.vips[&ipv4_key(words(&VIP)[0])]);
        let rule = tables.rules[&RuleKey::new(ipv4_key(words(&VIP)[0]), 6, 0, RuleKey::ALL_PORTS)];
        tables
            .rules
            .insert(RuleKey::new(address, 6, 0, RuleKey::ALL_PORTS), rule);
        let first = judge(&tables, &packet(4001, SYN));
        assert_eq!(first.reason, Reason::ForwardNew);
        let to_second = ipv4_with(6, &tcp(4002, 80, SYN), |header| header.destination = second);
        let other = judge(&tables, &frame(0, &to_second));
        assert_eq!(other.service, SERVICE);
        let expected = if shared {
            Reason::ForwardTracked
        } else {
            Reason::ForwardNew
        };
        assert_eq!(other.reason, expected, "{affinity:?}");
        assert!(!shared || other.member == first.member);
    }
}

/// An endpoint is gone and its number waits: an entry that still names it is a miss, and selects once.
#[test]
fn an_id_waiting_for_reuse_serves_nobody() {
    let world = World::new();
    let mut tables = world.tables();
    let first = judge(&tables, &packet(4001, SYN));
    tables.members.insert(first.member, Member::default());
    let waiting = world.numbers().into_iter().find(|number| *number != first.member);
    let left = waiting.expect("there are others");
    tables
        .slots
        .iter_mut()
        .filter(|slot| **slot == first.member)
        .for_each(|slot| *slot = left);
    let next = judge(&tables, &packet(4001, ACK));
    assert_ne!(next.member, first.member);
    assert_eq!(judge(&tables, &packet(4001, ACK)).reason, Reason::ForwardTracked);
    assert_eq!(entries(&tables), [next.member], "its slot was written over");
}

/// What the number's next owner would get, were it given away too early: an entry of the same service is believed.
/// So the plan keeps it until no entry can name it; another service's entry is not believed at all.
#[test]
fn an_id_that_another_service_got_is_no_hit() {
    let world = World::new();
    let mut tables = world.tables();
    let first = judge(&tables, &packet(4001, SYN));
    tables
        .members
        .insert(first.member, Member::new(OTHER, true, Pool::Primary, 6, None));
    tables.slots.iter_mut().for_each(|slot| *slot = 13);
    let next = judge(&tables, &packet(4001, ACK));
    assert_eq!((next.reason, next.member), (Reason::ForwardDiverted, 13));
}

#[test]
fn a_clock_that_wraps_ends_entries_on_time() {
    // The flow table keeps 15 bits of a tick.
    for start in [0x1_ffff - 80, 0x1_ffff, 0x2_0000, 0x3_ffff, 0x3fff_ffff] {
        for offset in 0..80 {
            let mut tables = World::new().tables();
            tables.now = start + offset;
            assert_eq!(judge(&tables, &packet(4001, SYN)).reason, Reason::ForwardNew);
            tables.now += IDLE;
            assert_eq!(judge(&tables, &packet(4001, ACK)).reason, Reason::ForwardTracked);
            tables.now += IDLE + TICK_SECONDS;
            assert_eq!(
                judge(&tables, &packet(4001, ACK)).reason,
                Reason::ForwardNew,
                "{start} + {offset}"
            );
            let expired = tables.now;
            // Up to half a round later it is still known to have expired; the sweep comes before that.
            tables.now = expired + 0x3fff * TICK_SECONDS - IDLE;
            assert_eq!(
                judge(&tables, &packet(4001, ACK)).reason,
                Reason::ForwardNew,
                "{start} + {offset}"
            );
        }
    }
}
