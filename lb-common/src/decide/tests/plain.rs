//! The short road decides as the general one does, whatever the packet, the policy and what came before.

use proptest::prelude::*;

use super::*;
use crate::frames::{VIP, VIP6, words};
use crate::layout::{Pool, Rule, RuleKey, ZoneTables, ipv4_key, ipv6_prefix_key};
use crate::policy::{Policy, Scheme};
use crate::testing::MemoryTables;

const PORT: u16 = 80;

/// A packet to the VIP, or next to it: some plain, some not.
#[derive(Clone, Debug)]
struct Sent {
    v6: bool,
    protocol: u8,
    client_port: u16,
    port: u16,
    flags: u8,
    tags: usize,
    /// Of IPv4: options, a fragment's offset, more fragments.
    options: bool,
    offset: u16,
    more: bool,
    /// Changed bytes of the frame, and how much of its end is missing.
    flips: Vec<(usize, u8)>,
    missing: usize,
}

impl Sent {
    fn frame(&self) -> Vec<u8> {
        let payload = match self.protocol {
            6 => tcp(self.client_port, self.port, self.flags),
            _ => [udp(self.client_port, self.port), vec![0; 8]].concat(),
        };
        let packet = if self.v6 {
            ipv6(self.protocol, &payload)
        } else {
            ipv4_with(self.protocol, &payload, |header| {
                if self.options {
                    header.options = [1; 4].into();
                }
                header.fragment_offset = self.offset.try_into().expect("13 bits");
                header.more_fragments = self.more;
            })
        };
        let mut bytes = frame(self.tags, &packet);
        for (at, bits) in &self.flips {
            let at = at % bytes.len();
            bytes[at] ^= bits;
        }
        bytes.truncate(bytes.len() - self.missing);
        bytes
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let whole = || prop_oneof![9 => Just(0u16), 1 => 1..100u16];
    let rarely = || prop::bool::weighted(0.05);
    let flips = prop_oneof![
        4 => Just(vec![]),
        1 => prop::collection::vec((any::<usize>(), any::<u8>()), 1..3),
    ];
    (
        (any::<bool>(), prop_oneof![Just(6), Just(17), Just(47)], 1..6u16),
        (
            prop_oneof![4 => Just(PORT), 1 => Just(PORT + 1)],
            prop_oneof![Just(SYN), Just(ACK), Just(SYN | ACK)],
        ),
        (
            prop_oneof![8 => Just(0usize), 1 => 1..3usize],
            rarely(),
            whole(),
            rarely(),
        ),
        (flips, prop_oneof![8 => Just(0usize), 1 => 1..30usize]),
    )
        .prop_map(
            |(
                (v6, protocol, client_port),
                (port, flags),
                (tags, options, offset, more),
                (flips, missing),
            )| Sent {
                v6,
                protocol,
                client_port,
                port,
                flags,
                tags,
                options,
                offset,
                more,
                flips,
                missing,
            },
        )
}

fn one_of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(all)
}

fn policies() -> impl Strategy<Value = Policy> {
    (
        one_of(Scheme::ALL),
        one_of(SessionAffinity::ALL),
        one_of(TrackingMode::ALL),
        one_of(Persistence::ALL),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(scheme, affinity, mode, persistence, subsetting)| Policy {
            scheme,
            affinity,
            mode,
            persistence,
            subsetting,
            idle_seconds: IDLE as u16,
        })
}

/// What changes between packets.
#[derive(Clone, Debug)]
enum Step {
    Packet(Sent),
    Later(u32),
    Health(usize, bool),
    Failover(bool),
    Empty(bool),
    Unresolved(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => sent().prop_map(Step::Packet),
        1 => (1..100u32).prop_map(Step::Later),
        1 => (0..4usize, any::<bool>()).prop_map(|(index, healthy)| Step::Health(index, healthy)),
        1 => any::<bool>().prop_map(Step::Failover),
        1 => any::<bool>().prop_map(Step::Empty),
        1 => (0..4usize).prop_map(Step::Unresolved),
    ];
    prop::collection::vec(step, 1..60)
}

/// What makes a service or a rule take the general road.
#[derive(Clone, Copy, Debug)]
enum Special {
    Nothing,
    Leader,
    Zones,
    Steering,
}

fn tables(world: &World, special: Special) -> MemoryTables {
    let mut tables = world.tables();
    let steering = u32::from(matches!(special, Special::Steering));
    for address in [ipv4_key(words(&VIP)[0]), ipv6_prefix_key(words(&VIP6))] {
        for protocol in [6, 17] {
            // What is remembered of a port is what a rule for just this port says.
            let rule = Rule {
                service: SERVICE,
                steering,
            };
            tables
                .rules
                .insert(RuleKey::new(address, protocol, PORT, 0), rule);
        }
        let vip = tables.vips.get_mut(&address).expect("both VIPs are there");
        vip.blocks = [1 | 1 << 16, 1 | 1 << 16, 1 << 16];
    }
    specialize(&mut tables, special);
    tables
}

/// Again after each change of the world, which writes the service anew.
fn specialize(tables: &mut MemoryTables, special: Special) {
    let service = tables.services.get_mut(&SERVICE).expect("the service is there");
    match special {
        Special::Leader => service.leader = Leader::new(10).0,
        Special::Zones => service.zones = ZoneTables { first: 1, count: 2 }.to_word(),
        Special::Nothing | Special::Steering => {}
    }
}

fn general(tables: &MemoryTables, packet: &[u8]) -> Option<Verdict> {
    let network = crate::parse::network(&packet).ok()?;
    Some(decide(tables, &packet, &network))
}

#[test]
fn what_nearly_all_packets_are_takes_the_short_road() {
    let tables = tables(&World::new(), Special::Nothing);
    for v6 in [false, true] {
        for (protocol, flags) in [(6, SYN), (6, ACK), (17, 0)] {
            let sent = Sent {
                v6,
                protocol,
                client_port: 4001,
                port: PORT,
                flags,
                tags: 0,
                options: false,
                offset: 0,
                more: false,
                flips: vec![],
                missing: 0,
            };
            let frame = sent.frame();
            let plain = plain(&tables, &frame.as_slice()).expect("a plain packet");
            assert!(plain.verdict.member != 0);
            let tagged = Sent { tags: 1, ..sent }.frame();
            assert!(super::plain(&tables, &tagged.as_slice()).is_none());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn both_roads_decide_and_record_alike(
        policy in policies(),
        special in prop_oneof![
            5 => Just(Special::Nothing),
            1 => Just(Special::Leader),
            1 => Just(Special::Zones),
            1 => Just(Special::Steering),
        ],
        steps in steps(),
    ) {
        let mut world = World { policy, ..World::new() };
        let mut short = tables(&world, special);
        let mut long = tables(&world, special);
        for step in steps {
            match step {
                Step::Packet(sent) => {
                    let packet = sent.frame();
                    let expected = general(&long, &packet);
                    let Some(found) = plain(&short, &packet.as_slice()) else {
                        general(&short, &packet);
                        continue;
                    };
                    prop_assert_eq!(Some(found.verdict), expected);
                    let network = crate::parse::network(&packet.as_slice()).expect("an IP packet");
                    prop_assert_eq!(found.inner, network.inner());
                }
                Step::Later(seconds) => {
                    short.now += seconds;
                    long.now += seconds;
                }
                Step::Health(index, healthy) => world.members[index].healthy = healthy,
                Step::Failover(over) => world.active = if over { Pool::Failover } else { Pool::Primary },
                Step::Empty(empty) => world.selected = if empty { vec![] } else { vec![0, 1, 2] },
                Step::Unresolved(index) => world.members[index].backend = 0,
            }
            for tables in [&mut short, &mut long] {
                world.change(tables);
                specialize(tables, special);
            }
            let slots = |tables: &MemoryTables| tables.buckets.iter().map(|bucket| bucket.snapshot()).collect::<Vec<_>>();
            prop_assert_eq!(slots(&short), slots(&long));
            let tuples = |tables: &MemoryTables| tables.tuples.lock().expect("no holder panics").clone();
            prop_assert_eq!(tuples(&short), tuples(&long));
        }
    }
}
