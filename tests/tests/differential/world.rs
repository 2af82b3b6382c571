//! A random state of the balancer: services, endpoints, rules, next hops and flows, some of it broken on purpose.

use std::collections::BTreeMap;
use std::sync::Arc;

use lb_common::clock;
use lb_common::hash::HashKeys;
use lb_common::layout::{
    AddressKey, Backend, Bucket, DeliveryMode, Leader, Member, Pool, Pools, Rule, RuleKey, Selection,
    Service, SteeringKey, Vip, ZoneTables, ipv4_key,
};
use lb_common::maglev::{self, Candidate};
use lb_common::policy::{Persistence, Policy, PolicyWord, Scheme, SessionAffinity, TrackingMode};
use lb_common::rendezvous;
use lb_common::rewrite::ipv4_sum;
use lb_common::testing::MemoryTables;
use lb_ctl::dataplane::Sizes;
use lb_ctl::plan::Arrivals;
use lb_ctl::plan::contents::{Contents, RuleContents, ServiceContents, ZonePrefix};

use super::random::Random;

pub(crate) const SIZES: Sizes = Sizes {
    flow_slots: 512,
    table_slots: 16_384,
    services: 16,
    members: 128,
    backends: 64,
    zone_tables: 64,
    zone_prefixes: 64,
};

pub(crate) const BUCKETS: u32 = SIZES.flow_slots / 8;

/// The interface that test runs pretend packets come from: the namespace's loopback.
pub(crate) const INGRESS: u32 = 1;

/// What frames to this host are sent to there: the interface's own address, and that of a device on it.
pub(crate) const OWN_MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 3]];

/// One of the VIPs that packets are sent to, and protocol and port of what its rules take.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: Address,
    pub(crate) claims: Vec<(u8, u16)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    V4([u8; 4]),
    V6([u8; 16]),
}

impl Address {
    pub(crate) fn words(self) -> [u32; 4] {
        match self {
            Self::V4(bytes) => [u32::from_ne_bytes(bytes), 0, 0, 0],
            Self::V6(bytes) => std::array::from_fn(|word| {
                u32::from_ne_bytes(std::array::from_fn(|byte| bytes[4 * word + byte]))
            }),
        }
    }

    /// Of a VIP, or of a source.
    fn key(self) -> AddressKey {
        match self {
            Self::V4(_) => ipv4_key(self.words()[0]),
            Self::V6(_) => self.words(),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) contents: Contents,
    pub(crate) targets: Vec<Target>,
    pub(crate) sources: Vec<Address>,
    /// Where flow-table slots start.
    pub(crate) flows: Vec<Bucket>,
    now: u32,
}

impl World {
    /// A world to be judged at `now` and a little later; `devices` are interfaces that can be redirected to.
    pub(crate) fn random(random: &mut Random, now: u32, devices: &[u32]) -> Self {
        let sources = sources(random);
        let mut contents = Contents {
            devices: devices.iter().copied().collect(),
            backends: (1..=24u32)
                .map(|number| (number, backend(random, devices)))
                .collect(),
            ..Contents::default()
        };
        let numbers: Vec<u32> = (1..SIZES.services).filter(|_| random.chance(60)).collect();
        let mut free = Free::default();
        for number in &numbers {
            let service = service(random, *number, now, &mut free);
            contents.services.insert(*number, Arc::new(service));
        }
        let (rules, targets) = rules(random, &numbers, &sources);
        contents.rules = Arc::new(rules);
        contents.zones = Arc::new(zone_prefixes(random, &sources));
        if random.chance(90) {
            let [mac, other] = OWN_MACS;
            let mut arrivals = Arrivals::default();
            arrivals.add(INGRESS, mac, 1500, [other]);
            contents.arrivals = Arc::new(arrivals);
        }
        let mut world = Self {
            contents,
            targets,
            sources,
            flows: Vec::new(),
            now,
        };
        world.flows = flows(random, now);
        world
    }

    /// Something happens to the services: health, next hops, draining, pools.
    pub(crate) fn change(&mut self, random: &mut Random) {
        let now = self.now;
        for (number, service) in &self.contents.services.clone() {
            if random.chance(50) {
                continue;
            }
            let mut service = ServiceContents::clone(service);
            for member in service.members.values_mut() {
                if random.chance(40) {
                    *member = random_member(random, *number, now);
                }
            }
            service.record.pools = pools(random, now);
            self.contents.services.insert(*number, Arc::new(service));
        }
        let number = random.between(1, 24) as u32;
        let devices: Vec<u32> = self.contents.devices.iter().copied().collect();
        let replaced = backend(random, &devices);
        self.contents.backends.insert(number, replaced);
    }

    /// The same state in ordinary memory. Buckets are those of the world's start.
    pub(crate) fn tables(&self, keys: HashKeys) -> MemoryTables {
        let mut tables = MemoryTables::new(keys, BUCKETS as usize);
        for (bucket, content) in tables.buckets.iter().zip(&self.flows) {
            bucket.store(content);
        }
        self.copy_to(&mut tables);
        tables
    }

    pub(crate) fn copy_to(&self, tables: &mut MemoryTables) {
        tables.rules = self.contents.rules.rules.clone();
        tables.vips = self.contents.rules.vips.clone();
        tables.steering = self.contents.rules.steering.clone();
        tables.slots = vec![0; SIZES.table_slots as usize];
        tables.services.clear();
        tables.members.clear();
        tables.zones = (*self.contents.zones).clone();
        tables.zone_tables.clear();
        tables.ingress = INGRESS;
        tables.interfaces = self.contents.arrivals.interfaces.clone();
        tables.own_macs = self.contents.arrivals.own_macs.clone();
        for (number, service) in &self.contents.services {
            tables.services.insert(*number, service.record);
            tables.members.extend(service.members.iter());
            let table = service.table.iter().map(|(offset, slots)| (offset, slots));
            for (offset, slots) in table.chain(&service.zone_tables) {
                let offset = *offset as usize;
                tables.slots[offset..offset + slots.len()].copy_from_slice(slots);
            }
            let first = service.record.zones().first;
            tables
                .zone_tables
                .extend((first..).zip(service.zone_words.iter().copied()));
        }
    }
}

fn sources(random: &mut Random) -> Vec<Address> {
    (0..24)
        .map(|index| {
            if index % 2 == 0 {
                Address::V4([198, 51, 100, random.below(16) as u8])
            } else {
                let mut bytes = [0; 16];
                bytes[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
                bytes[4 + random.below(12) as usize] = random.below(8) as u8;
                Address::V6(bytes)
            }
        })
        .collect()
}

fn backend(random: &mut Random, devices: &[u32]) -> Backend {
    let mut ethernet = [0; 12];
    random.fill(&mut ethernet);
    let mut words = || std::array::from_fn(|_| random.next() as u32);
    let (outer_source, outer_destination): ([u32; 4], [u32; 4]) = (words(), words());
    let mode = match random.below(40) {
        0 => 9,
        1..=11 => DeliveryMode::L2 as u32,
        12..=18 => DeliveryMode::Ipv4 as u32,
        19..=25 => DeliveryMode::Ipv6 as u32,
        26..=32 => DeliveryMode::GueIpv4 as u32,
        _ => DeliveryMode::GueIpv6 as u32,
    };
    let redirects = random.chance(30);
    Backend {
        mode,
        ifindex: match redirects {
            false => INGRESS,
            true if random.chance(10) => 4711,
            true => random.pick(devices),
        },
        mtu: random.pick(&[1500, 1500, 1500, 1500, 1280, 1000, 590, 64, 10]),
        ethernet,
        outer_source,
        outer_destination,
        port: random.pick(&[6080, 6080, 1, 65_535]),
        tag: 0,
        outer_sum: ipv4_sum(outer_source[0], outer_destination[0]),
    }
}

fn service(random: &mut Random, number: u32, now: u32, free: &mut Free) -> ServiceContents {
    let members: BTreeMap<u32, Member> = (0..random.pick(&[0, 1, 3, 5, 8]))
        .map(|_| {
            free.member += 1;
            (free.member, random_member(random, number, now))
        })
        .collect();
    let (selection, slots) = free.place(table(random, &members));
    let policy = Policy {
        scheme: random.pick(Scheme::ALL),
        affinity: random.pick(SessionAffinity::ALL),
        mode: random.pick(TrackingMode::ALL),
        persistence: random.pick(Persistence::ALL),
        subsetting: random.chance(25),
        idle_seconds: random.pick(&[1, 7, 60, 60, 61, 62, 63, 600, 57_600]),
    };
    let (zones, zone_words, zone_tables) = zones(random, &members, free);
    let some_member = members.keys().next().copied().unwrap_or(0);
    let record = Service {
        // A record that is being cleared.
        policy: if random.chance(3) {
            0
        } else {
            PolicyWord::new(&policy).0
        },
        selection: selection.to_word(),
        pools: pools(random, now),
        leader: match random.below(20) {
            0 if random.chance(40) => Leader::new(0).0,
            0 => Leader::new(some_member).0,
            _ => 0,
        },
        zones: zones.to_word(),
    };
    let table = (!slots.is_empty()).then_some((selection.offset, slots));
    ServiceContents {
        record,
        members,
        table,
        zone_words,
        zone_tables,
    }
}

/// What numbers and places are not given yet. Number 0 is none.
#[derive(Debug, Default)]
struct Free {
    member: u32,
    slot: u32,
    zone_table: u32,
}

impl Free {
    /// Gives a selection table its place.
    fn place(&mut self, slots: Vec<u32>) -> (Selection, Arc<[u32]>) {
        let selection = Selection {
            offset: self.slot,
            size: slots.len() as u32,
        };
        self.slot += selection.size.next_multiple_of(2);
        assert!(self.slot <= SIZES.table_slots, "the tables fit");
        (selection, slots.into())
    }
}

/// Zonal affinity: some zones with a table of their own, some with the service's, some with nobody.
fn zones(
    random: &mut Random,
    members: &BTreeMap<u32, Member>,
    free: &mut Free,
) -> (ZoneTables, Vec<u64>, BTreeMap<u32, Arc<[u32]>>) {
    let count = if random.chance(40) {
        random.between(1, 4) as u32
    } else {
        0
    };
    let first = free.zone_table;
    free.zone_table += count;
    assert!(free.zone_table <= SIZES.zone_tables, "the zones fit");
    let mut tables = BTreeMap::new();
    let words = (0..count)
        .map(|_| match random.below(10) {
            0 | 1 => 0,
            // Nobody of the zone is eligible, and nobody else is asked.
            2 => Selection { offset: 2, size: 0 }.to_word(),
            _ => {
                let mut some = members.clone();
                some.retain(|_, _| random.chance(60));
                let slots = table(random, &some);
                let (selection, slots) = free.place(slots);
                if selection.size != 0 {
                    tables.insert(selection.offset, slots);
                }
                selection.to_word()
            }
        })
        .collect();
    (ZoneTables { first, count }, words, tables)
}

/// Prefixes of clients, nested at times, in zones of which a service knows some.
fn zone_prefixes(random: &mut Random, sources: &[Address]) -> BTreeMap<ZonePrefix, u32> {
    (0..random.below(12))
        .map(|_| (source_prefix(random, sources), random.below(6) as u32))
        .collect()
}

/// A prefix that some source is in. Bits behind it are 0, as a canonical prefix has them.
fn source_prefix(random: &mut Random, sources: &[Address]) -> (AddressKey, u32) {
    let source = random.pick(sources);
    let bits = match source {
        Address::V4(_) => 96 + random.between(0, 32) as u32,
        Address::V6(_) => random.between(0, 128) as u32,
    };
    let number = source.key().iter().fold(0u128, |number, word| {
        (number << 32) | u128::from(u32::from_be(*word))
    });
    let kept = if bits == 0 {
        0
    } else {
        number >> (128 - bits) << (128 - bits)
    };
    let words = std::array::from_fn(|word| ((kept >> (96 - 32 * word)) as u32).to_be());
    (words, bits)
}

fn pools(random: &mut Random, now: u32) -> u64 {
    let active = if random.chance(70) {
        Pool::Primary
    } else {
        Pool::Failover
    };
    let deadline = near(random, now);
    Pools::new(active, random.chance(15), random.chance(50), deadline).0
}

/// A second that some of the world's are before and some behind.
fn near(random: &mut Random, now: u32) -> u32 {
    now.saturating_add(random.below(96) as u32).saturating_sub(8)
}

fn random_member(random: &mut Random, service: u32, now: u32) -> Member {
    let backend = match random.below(60) {
        0 => 0,
        1 => 40,
        2 => 1_000_000,
        _ => random.between(1, 24) as u32,
    };
    let pool = if random.chance(70) {
        Pool::Primary
    } else {
        Pool::Failover
    };
    let drain = random.chance(20).then(|| near(random, now));
    if random.chance(3) {
        // A member whose endpoint has gone while entries still name it.
        return Member::default();
    }
    Member::new(service, random.chance(65), pool, backend, drain)
}

fn table(random: &mut Random, members: &BTreeMap<u32, Member>) -> Vec<u32> {
    let mut candidates: Vec<Candidate> = members
        .iter()
        .filter(|(_, member)| member.healthy())
        .map(|(number, _)| Candidate {
            identity: random.next(),
            weight: random.between(1, 5) as u32,
            member: *number,
        })
        .collect();
    candidates.sort();
    let mut slots = vec![0; random.pick(&[0, 1, 64, 64, 64, 64, 64, 251, 251, 251, 251, 251])];
    match random.below(40) {
        // Broken: no member, one that is not there.
        0 => slots.iter_mut().for_each(|slot| *slot = random.below(3) as u32),
        1 => slots
            .iter_mut()
            .for_each(|slot| *slot = 120 + random.below(20) as u32),
        _ if slots.len() == 251 => {
            let mut walks = vec![maglev::Walk::default(); candidates.len()];
            maglev::build(&candidates, &mut slots, &mut walks);
        }
        _ => rendezvous::build(&candidates, &mut slots),
    }
    if candidates.is_empty() && random.chance(70) {
        slots.clear();
    }
    slots
}

fn rules(random: &mut Random, services: &[u32], sources: &[Address]) -> (RuleContents, Vec<Target>) {
    let mut contents = RuleContents::default();
    let mut targets = Vec::new();
    let mut next_steering = 1;
    for index in 0..8u8 {
        let address = if index % 2 == 0 {
            Address::V4([203, 0, 113, index])
        } else {
            let mut bytes = [0; 16];
            // A VIP of each kind in one /96, and others.
            bytes[..6].copy_from_slice(&[0x20, 1, 0x0d, 0xb8, 0xff, index / 4]);
            bytes[15] = index % 4 / 2;
            Address::V6(bytes)
        };
        let mut vip = Vip {
            flags: random.pick(&[0, Vip::WHOLE_PREFIX]),
            ..Vip::default()
        };
        let mut claims = Vec::new();
        for _ in 0..random.between(1, 8) {
            let service = if random.chance(4) || services.is_empty() {
                15
            } else {
                random.pick(services)
            };
            let mut rule = Rule { service, steering: 0 };
            if random.chance(25) {
                rule.steering = next_steering;
                next_steering += 1;
                steering(random, rule.steering, services, sources, &mut contents);
            }
            let port = random.pick(&[80, 443, 8000, 65_535, 0]);
            let bits = random.pick(&[0, 0, 0, 1, 4, 10, 16]);
            let protocol = match random.below(20) {
                0..=8 => 6,
                9..=13 => 17,
                14 | 15 => 132,
                16 | 17 => random.pick(&[1, 50, 51]),
                _ => 0,
            };
            let key = match protocol {
                6 | 17 | 132 => {
                    vip.blocks[[6, 17, 132]
                        .iter()
                        .position(|p| *p == protocol)
                        .expect("one of them")] |= 1 << bits;
                    RuleKey::new(address.key(), protocol, port, bits)
                }
                _ => {
                    if protocol == 0 {
                        vip.flags |= Vip::L3_DEFAULT;
                    }
                    RuleKey::new(address.key(), protocol, 0, 16)
                }
            };
            claims.push((protocol, port));
            // Inside the block or behind its end.
            claims.push((
                protocol,
                port.saturating_add(random.below(1 << (bits + 1).min(15)) as u16),
            ));
            contents.rules.insert(key, rule);
        }
        if !random.chance(5) {
            contents.vips.insert(address.key(), vip);
        }
        targets.push(Target { address, claims });
    }
    (contents, targets)
}

fn steering(
    random: &mut Random,
    set: u32,
    services: &[u32],
    sources: &[Address],
    contents: &mut RuleContents,
) {
    for _ in 0..random.below(4) {
        let service = if services.is_empty() {
            15
        } else {
            random.pick(services)
        };
        let (source, bits) = source_prefix(random, sources);
        let key = SteeringKey {
            steering: set,
            source,
        };
        contents.steering.insert((key, bits), service);
    }
}

/// Empty, sparse, or crowded with flows of which some have expired and some are confirmed.
fn flows(random: &mut Random, now: u32) -> Vec<Bucket> {
    let (filled, confirmed) = random.pick(&[(0, 0), (20, 30), (50, 50), (95, 50), (100, 90)]);
    (0..BUCKETS)
        .map(|_| {
            let full = random.chance(30);
            let slots = std::array::from_fn(|_| {
                if filled == 0 || (!full && !random.chance(filled)) {
                    return 0;
                }
                let tag = random.next() as u32 & 0x0fff_ffff;
                let expiry =
                    clock::tick(now).wrapping_add(random.pick(&[0, 1, 2, 3, 9, 16, 30, 300, 40_000]));
                let slot = lb_common::flow::Slot::new(tag, random.between(1, 60) as u32, expiry);
                slot.0 | u64::from(random.chance(confirmed))
            });
            Bucket { slots }
        })
        .collect()
}
