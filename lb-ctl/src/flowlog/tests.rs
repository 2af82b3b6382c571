//! The log over plans and decisions in memory, with a clock of its own.

mod histories;
mod lines;
mod moves;
mod sampling;
mod scanning;
mod sink;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lb_common::hash::HashKeys;
use lb_common::layout::TupleRecord;
use lb_common::testing::MemoryTables;

use super::event::{Counters, Event, EventKind, Limits, Slots};
use super::scan::Scanner;
use super::snapshot::{MoveReason, Snapshot};
use crate::dataplane::TrackedTuple;
use crate::model::{ConnectionLogging, Ratio};
use crate::plan::Plan;
use crate::plan::tests::maps::{FakeMaps, Kind, frame};
use crate::plan::tests::world::{SEED, World, ip};

const VIP: &str = "192.0.2.1";
const A: &str = "10.0.0.1";
const B: &str = "10.0.0.2";

impl Slots for MemoryTables {
    fn bucket_count(&self) -> u32 {
        self.buckets.len() as u32
    }

    fn bucket(&self, index: u32) -> [u64; 8] {
        self.buckets[index as usize].snapshot().slots
    }

    fn tuple(&self, index: u32) -> TupleRecord {
        let tuples = self.tuples.lock().expect("no test panics with it");
        tuples.get(&index).copied().unwrap_or_default()
    }
}

/// An event without what it borrows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Begin {
        client: u16,
        at: IpAddr,
    },
    End {
        client: u16,
        at: IpAddr,
        start: Option<u32>,
        last: u32,
    },
    Moved {
        client: u16,
        from: IpAddr,
        to: IpAddr,
        reason: Option<MoveReason>,
    },
}

impl Told {
    fn of(event: &Event<'_>) -> Self {
        let client = match TrackedTuple::from(event.tuple).source {
            IpAddr::V4(source) => u16::from_be_bytes([source.octets()[2], source.octets()[3]]),
            IpAddr::V6(source) => source.segments()[7],
        };
        let at = event.endpoint.id.address;
        match event.kind {
            EventKind::Begin => Self::Begin { client, at },
            EventKind::End => Self::End {
                client,
                at,
                start: event.start,
                last: event.last,
            },
            EventKind::Moved { from, reason } => Self::Moved {
                client,
                from: from.id.address,
                to: at,
                reason,
            },
        }
    }

    fn client(&self) -> u16 {
        match self {
            Self::Begin { client, .. } | Self::End { client, .. } | Self::Moved { client, .. } => *client,
        }
    }
}

/// A daemon with its maps and its log.
struct Lab {
    world: World,
    plan: Plan,
    maps: FakeMaps,
    snapshot: Arc<Snapshot>,
    scanner: Scanner,
    counters: Arc<Counters>,
}

fn logging(percent: u64) -> ConnectionLogging {
    ConnectionLogging {
        sample_rate: Ratio {
            numerator: percent,
            denominator: 100,
        },
        fields: BTreeSet::new(),
    }
}

/// A service on two endpoints whose every connection is logged.
fn web() -> World {
    let mut world = World::web(&[A, B]);
    world.service("web").log = Some(logging(100));
    world
}

impl Lab {
    fn new(world: World) -> Self {
        Self::sized(world, Limits::default(), 512)
    }

    /// Nothing has happened yet, and the log knows it.
    fn sized(world: World, limits: Limits, buckets: usize) -> Self {
        let counters = Arc::<Counters>::default();
        let mut lab = Self {
            plan: Plan::default(),
            maps: FakeMaps::new(),
            snapshot: Arc::default(),
            scanner: Scanner::new(HashKeys::from_seed(SEED), limits, counters.clone()),
            counters,
            world,
        };
        lab.maps.tables.buckets = MemoryTables::new(HashKeys::from_seed(SEED), buckets).buckets;
        lab.react();
        assert_eq!(lab.scan(), []);
        lab
    }

    fn react(&mut self) {
        self.maps.tables.now = self.world.now;
        self.plan = self.world.compile(&self.plan);
        self.snapshot = Arc::new(self.snapshot.next(&self.world.config, &self.plan));
        self.maps.reach(&self.plan.contents);
    }

    fn change(&mut self, change: impl FnOnce(&mut World)) {
        change(&mut self.world);
        self.react();
    }

    fn wait(&mut self, seconds: u32) {
        self.world.now += seconds;
        self.maps.tables.now = self.world.now;
    }

    /// Where the packet went.
    fn send(&self, kind: Kind, client: u16) -> IpAddr {
        let verdict = self.maps.decide(&frame(kind, client, VIP, 80));
        let services = self.plan.services.values();
        let mut members = services.flat_map(|service| &service.members);
        let found = members.find(|(_, member)| member.number == verdict.member);
        found
            .unwrap_or_else(|| panic!("{kind:?} of {client}: {verdict:?}"))
            .0
            .address
    }

    fn send_all(&self, clients: std::ops::Range<u16>) {
        for client in clients {
            self.send(Kind::Udp, client);
        }
    }

    fn scan(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        let now = self.world.now;
        self.scanner
            .scan(&self.maps.tables, &self.snapshot, now, &mut |event| {
                told.push(Told::of(event));
            });
        told.sort_by_key(Told::client);
        told
    }

    /// A daemon anew, on the same maps.
    fn restart(&mut self) {
        self.scanner = Scanner::new(
            HashKeys::from_seed(SEED),
            Limits::default(),
            self.counters.clone(),
        );
    }

    fn dropped(&self) -> u64 {
        self.counters.dropped.load(Ordering::Relaxed)
    }

    fn followed(&self) -> u64 {
        self.counters.connections.load(Ordering::Relaxed)
    }
}

/// Up to a tick before.
#[track_caller]
fn assert_about(told: Option<u32>, second: u32) {
    let told = told.expect("a known time");
    assert!(told <= second && second - told < 4, "{told} for {second}");
}
