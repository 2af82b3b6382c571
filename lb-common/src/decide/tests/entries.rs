//! Semantics §5 to §7 as far as an entry is concerned: which ones decide, which ones are a miss.

use super::world::*;
use crate::clock::TICK_SECONDS;
use crate::frames::{ACK, SYN, frame, ipv4, udp};
use crate::layout::Pool;
use crate::policy::{Persistence, SessionAffinity, TrackingMode};
use crate::testing::MemoryTables;
use crate::verdict::Reason;

fn datagram() -> Vec<u8> {
    frame(0, &ipv4(17, &udp(4001, 53)))
}

/// A world with a flow on one endpoint, whose index comes with it. The endpoint has left the eligible set.
fn started(packet: &[u8], change: impl FnOnce(&mut World)) -> (World, MemoryTables, usize) {
    let mut world = World::new();
    world.protocol = 0;
    change(&mut world);
    let mut tables = world.tables();
    let verdict = judge(&tables, packet);
    assert_eq!(verdict.reason, Reason::ForwardNew);
    let index = world.index(verdict.member);
    world.select_all_but(verdict.member);
    world.change(&mut tables);
    (world, tables, index)
}

/// Where the flow's next packet goes: the reason, and whether it stays.
fn next(world: &World, tables: &mut MemoryTables, packet: &[u8], index: usize) -> (Reason, bool) {
    world.change(tables);
    let verdict = judge(tables, packet);
    (verdict.reason, verdict.member == world.number(index))
}

const STAYS: (Reason, bool) = (Reason::ForwardTracked, true);
const PERSISTS: (Reason, bool) = (Reason::ForwardPersisted, true);
const MOVES: (Reason, bool) = (Reason::ForwardDiverted, false);

/// policy, mode, affinity; what TCP and UDP do after the backend became unhealthy.
#[test]
fn an_unhealthy_backend_keeps_what_the_policy_says() {
    use Persistence::{AlwaysPersist, DefaultForProtocol, NeverPersist};
    use SessionAffinity::{ClientIp, ClientIpPortProto, ClientIpProto, None};
    use TrackingMode::{PerConnection, PerSession};
    let cases = [
        (DefaultForProtocol, PerConnection, None, PERSISTS, MOVES),
        (DefaultForProtocol, PerConnection, ClientIp, PERSISTS, MOVES),
        (DefaultForProtocol, PerSession, ClientIpPortProto, PERSISTS, MOVES),
        (DefaultForProtocol, PerSession, ClientIpProto, MOVES, MOVES),
        (DefaultForProtocol, PerSession, ClientIp, MOVES, MOVES),
        (NeverPersist, PerConnection, None, MOVES, MOVES),
        (NeverPersist, PerSession, ClientIp, MOVES, MOVES),
        (AlwaysPersist, PerConnection, None, PERSISTS, PERSISTS),
        (AlwaysPersist, PerConnection, ClientIp, PERSISTS, PERSISTS),
    ];
    for (persistence, mode, affinity, tcp, udp) in cases {
        for (first, later, expected) in [
            (packet(4001, SYN), packet(4001, ACK), tcp),
            (datagram(), datagram(), udp),
        ] {
            let (mut world, mut tables, index) = started(&first, |world| {
                world.policy.persistence = persistence;
                (world.policy.mode, world.policy.affinity) = (mode, affinity);
            });
            assert_eq!(next(&world, &mut tables, &later, index), STAYS, "while healthy");
            world.members[index].healthy = false;
            let actual = next(&world, &mut tables, &later, index);
            assert_eq!(actual, expected, "{persistence:?} {mode:?} {affinity:?}");
            assert_eq!(entries(&tables).len(), 1);
        }
    }
}

#[test]
fn with_nothing_healthy_nothing_is_diverted() {
    for drops in [false, true] {
        let (mut world, mut tables, index) = started(&datagram(), |world| {
            world.policy.persistence = Persistence::NeverPersist;
        });
        world.members.iter_mut().for_each(|member| member.healthy = false);
        world.nothing_healthy = true;
        world.drops = drops;
        world.selected = if drops { vec![] } else { vec![0, 1, 2] };
        assert_eq!(next(&world, &mut tables, &datagram(), index), PERSISTS);
        // dropTrafficIfUnhealthy is for new connections only.
        let fresh = judge(&tables, &packet(777, SYN)).reason;
        let expected = if drops {
            Reason::DropNoHealthyBackend
        } else {
            Reason::ForwardNew
        };
        assert_eq!(fresh, expected);
    }
}

#[test]
fn the_udp_trap_springs_at_the_next_packet_and_does_not_swing_back() {
    let (mut world, mut tables, index) = started(&datagram(), |_| {});
    for _ in 0..50 {
        tables.now += 1;
        assert_eq!(next(&world, &mut tables, &datagram(), index), STAYS, "kept fresh");
    }
    world.members[index].healthy = false;
    assert_eq!(next(&world, &mut tables, &datagram(), index), MOVES);
    let moved = judge(&tables, &datagram());
    // Healthy again: nothing is pulled back.
    world.members[index].healthy = true;
    world.selected = vec![0, 1, 2];
    world.change(&mut tables);
    let later = judge(&tables, &datagram());
    assert_eq!(
        (later.reason, later.member),
        (Reason::ForwardTracked, moved.member)
    );
}

#[test]
fn a_connection_that_persisted_is_not_lost_when_its_backend_recovers() {
    let (mut world, mut tables, index) = started(&packet(4001, SYN), |_| {});
    world.members[index].healthy = false;
    assert_eq!(next(&world, &mut tables, &packet(4001, ACK), index), PERSISTS);
    world.members[index].healthy = true;
    assert_eq!(next(&world, &mut tables, &packet(4001, ACK), index), STAYS);
}

#[test]
fn an_entry_lives_for_the_idle_time_after_its_last_packet() {
    for idle in [60, 61, 62, 63, 600, 57_597, 57_600] {
        for start in NOW..NOW + 4 {
            for gap in [1, idle - 1, idle] {
                let mut world = World::new();
                world.policy.idle_seconds = idle as u16;
                let mut tables = world.tables();
                tables.now = start;
                judge(&tables, &packet(4001, SYN));
                for _ in 0..4 {
                    tables.now += gap;
                    let kept = judge(&tables, &packet(4001, ACK)).reason;
                    assert_eq!(kept, Reason::ForwardTracked, "{idle} s from {start}, after {gap}");
                }
                tables.now += idle + TICK_SECONDS;
                let expired = judge(&tables, &packet(4001, ACK)).reason;
                assert_eq!(expired, Reason::ForwardNew, "a miss, not a diversion");
            }
        }
    }
}

#[test]
fn a_draining_endpoint_keeps_its_flows_until_the_end() {
    let (mut world, mut tables, index) = started(&packet(4001, SYN), |_| {});
    world.members[index].drain = Some(NOW + 10);
    for now in NOW..NOW + 10 {
        tables.now = now;
        assert_eq!(
            next(&world, &mut tables, &packet(4001, ACK), index),
            STAYS,
            "{now}"
        );
    }
    tables.now = NOW + 10;
    assert_eq!(next(&world, &mut tables, &packet(4001, ACK), index), MOVES);
}

#[test]
fn a_drain_without_a_timeout_has_ended() {
    let (mut world, mut tables, index) = started(&packet(4001, SYN), |_| {});
    world.members[index].drain = Some(crate::clock::deadline(NOW, 0));
    assert_eq!(next(&world, &mut tables, &packet(4001, ACK), index), MOVES);
}

#[test]
fn a_cancelled_drain_never_was() {
    let (mut world, mut tables, index) = started(&packet(4001, SYN), |_| {});
    world.members[index].drain = Some(NOW + 10);
    assert_eq!(next(&world, &mut tables, &packet(4001, ACK), index), STAYS);
    world.members[index].drain = None;
    // Kept alive across the former deadline.
    for now in (NOW..NOW + 30).step_by(10) {
        tables.now = now;
        assert_eq!(next(&world, &mut tables, &packet(4001, ACK), index), STAYS);
    }
}

#[test]
fn a_draining_endpoint_that_is_unhealthy_follows_the_policy() {
    for (persistence, expected) in [
        (Persistence::DefaultForProtocol, PERSISTS),
        (Persistence::NeverPersist, MOVES),
    ] {
        let (mut world, mut tables, index) = started(&packet(4001, SYN), |world| {
            world.policy.persistence = persistence;
        });
        world.members[index].drain = Some(NOW + 10);
        world.members[index].healthy = false;
        assert_eq!(next(&world, &mut tables, &packet(4001, ACK), index), expected);
    }
}

#[test]
fn an_endpoint_that_is_gone_loses_its_flows_once() {
    let (mut world, mut tables, index) = started(&packet(4001, SYN), |_| {});
    world.members[index].attached = false;
    assert_eq!(next(&world, &mut tables, &packet(4001, ACK), index), MOVES);
    for _ in 0..5 {
        assert_eq!(judge(&tables, &packet(4001, ACK)).reason, Reason::ForwardTracked);
    }
    assert_eq!(entries(&tables).len(), 1);
}

#[test]
fn a_pool_flip_drains_the_old_pool() {
    let (mut world, mut tables, index) = started(&packet(4001, SYN), |_| {});
    world.active = Pool::Failover;
    world.selected = vec![3];
    world.pool_deadline = NOW + 12;
    for now in [NOW, NOW + 5, NOW + 11] {
        tables.now = now;
        assert_eq!(
            next(&world, &mut tables, &packet(4001, ACK), index),
            STAYS,
            "{now}"
        );
    }
    let fresh = judge(&tables, &packet(777, SYN));
    assert_eq!(fresh.member, world.number(3));
    tables.now = NOW + 12;
    assert_eq!(next(&world, &mut tables, &packet(4001, ACK), index), MOVES);
    assert_eq!(judge(&tables, &packet(777, ACK)).reason, Reason::ForwardTracked);
}

#[test]
fn without_failover_drain_a_flip_ends_at_once() {
    let (mut world, mut tables, index) = started(&packet(4001, SYN), |_| {});
    world.active = Pool::Failover;
    world.selected = vec![3];
    world.pool_deadline = 0;
    assert_eq!(next(&world, &mut tables, &packet(4001, ACK), index), MOVES);
}

#[test]
fn persistence_does_not_outlive_the_pool_nor_the_drain() {
    for nothing_healthy in [false, true] {
        let unhealthy = |change: &dyn Fn(&mut World, usize)| {
            let (mut world, mut tables, index) = started(&packet(4001, SYN), |world| {
                world.policy.persistence = Persistence::AlwaysPersist;
            });
            world.members[index].healthy = false;
            world.nothing_healthy = nothing_healthy;
            change(&mut world, index);
            next(&world, &mut tables, &packet(4001, ACK), index)
        };
        assert_eq!(unhealthy(&|_, _| {}), PERSISTS);
        let flipped = unhealthy(&|world, _| {
            world.active = Pool::Failover;
            world.selected = vec![3];
        });
        assert_eq!(flipped, MOVES);
        assert_eq!(
            unhealthy(&|world, index| world.members[index].drain = Some(NOW)),
            MOVES
        );
    }
}

#[test]
fn a_weight_or_zone_change_moves_only_new_flows() {
    // `started` has taken the endpoint out of the table already: what is left is that it is healthy and attached.
    let (world, mut tables, index) = started(&packet(4001, SYN), |_| {});
    assert_eq!(next(&world, &mut tables, &packet(4001, ACK), index), STAYS);
    for port in 0..100 {
        let fresh = judge(&tables, &packet(5000 + port, SYN));
        assert_ne!(fresh.member, world.number(index));
    }
}

#[test]
fn a_diverted_flow_that_finds_nobody_keeps_its_entry() {
    let (mut world, mut tables, index) = started(&packet(4001, SYN), |world| {
        world.policy.persistence = Persistence::NeverPersist;
    });
    world.members[index].healthy = false;
    world.selected = vec![];
    world.change(&mut tables);
    assert_eq!(judge(&tables, &packet(4001, ACK)).reason, Reason::DropNoBackend);
    world.members[index].healthy = true;
    assert_eq!(next(&world, &mut tables, &packet(4001, ACK), index), STAYS);
}
