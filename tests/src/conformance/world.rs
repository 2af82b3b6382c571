//! A world on both sides: from documents by the whole road to maps, in memory and in the kernel.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::documents::{HEALTH_CHECK, address};
use super::packet::Ends;
use lb_common::decide::decide;
use lb_common::hash::HashKeys;
use lb_common::parse;
use lb_common::testing::{MemoryBucket, MemoryTables};
use lb_common::verdict::Action;
use lb_ctl::health::{HealthState, TargetId, Weight};
use lb_ctl::model::{Config, EndpointWeight, ResourcePath, TableSlots};
use lb_ctl::net::{NextHop, NextHops};
use lb_ctl::plan::{
    Arrivals, BuiltTables, HealthMap, Inputs, Limits, Plan, ProbeDestination, Scope, Ways, ZonePrefixes,
    compile,
};
use lb_ctl::resources;
use serde_json::Value;

use super::bench::{Bench, INGRESS, SEED, Seen, arrivals, backend_of_mac};

/// Health and weight by the name of the endpoint.
pub type Health = BTreeMap<char, (bool, u32)>;

/// What probes say of an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct State {
    pub healthy: bool,
    pub weight: Weight,
}

/// What every endpoint that a test names would be.
const NAMES: std::ops::RangeInclusive<char> = 'A'..='z';

pub fn validated(documents: &Value) -> Result<Config, Vec<resources::Fault>> {
    let documents = resources::parse("documents", &documents.to_string())?;
    let (config, _) = resources::validate(&documents, &resources::Scope::default())?;
    Ok(with_small_tables(config))
}

/// As large as the endpoints need, so that a test builds many.
pub fn with_small_tables(mut config: Config) -> Config {
    let sizes: Vec<TableSlots> = config
        .services
        .values()
        .map(|service| TableSlots::by_count(&config, service))
        .collect();
    for (service, size) in config.services.values_mut().zip(sizes) {
        service.table_slots = size;
    }
    config
}

pub struct World<'a> {
    bench: &'a mut Bench,
    plan: Plan,
    config: Config,
    health: HealthMap,
    next_hops: NextHops,
    zones: ZonePrefixes,
    arrivals: Arc<Arrivals>,
    tables: MemoryTables,
    next_client: u32,
}

impl<'a> World<'a> {
    /// Without services and flows.
    pub fn new(bench: &'a mut Bench, now: u32) -> Self {
        let buckets = bench.buckets() as usize;
        let mut tables = MemoryTables::new(HashKeys::from_seed(SEED), buckets);
        tables.now = now;
        tables.ingress = INGRESS;
        let plan = Plan::default();
        bench.at(now).enter(&plan.contents, &vec![[0; 8]; buckets]);
        Self {
            bench,
            plan,
            config: Config::default(),
            health: HealthMap::new(),
            next_hops: next_hops(true),
            zones: ZonePrefixes::new(),
            arrivals: Arc::new(arrivals()),
            tables,
            next_client: 1,
        }
    }

    /// Endpoints are behind a router from the next change on.
    pub fn move_behind_a_router(&mut self) {
        self.next_hops = next_hops(false);
    }

    /// Clients are in this zone from the next change on.
    pub fn clients_are_in(&mut self, zone: &str, prefixes: &[&str]) {
        let prefixes = prefixes.iter().map(|prefix| prefix.parse().expect("a prefix"));
        self.zones.insert(zone.to_owned(), prefixes.collect());
    }

    /// New resources or new health, now.
    pub fn set(&mut self, documents: &Value, health: &Health) {
        let state = |(name, (healthy, value)): (&char, &(bool, u32))| {
            let weight = Weight {
                value: EndpointWeight::whole(*value),
                error: None,
            };
            let healthy = *healthy;
            (*name, State { healthy, weight })
        };
        self.set_states(documents, &health.iter().map(state).collect());
    }

    pub fn set_states(&mut self, documents: &Value, states: &BTreeMap<char, State>) {
        self.config = validated(documents).unwrap_or_else(|faults| {
            let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
            panic!("{}", texts.join("\n"))
        });
        self.health = targets(states);
        self.compile();
        self.bench.at(self.tables.now).change(&self.plan.contents);
    }

    /// Time passes; flows stay.
    pub fn pass_to(&mut self, now: u32) {
        if now == self.tables.now {
            return;
        }
        let program = self.bench.at(self.tables.now);
        program.check_counters();
        let flows = program.flows();
        self.tables.now = now;
        if self.plan.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.compile();
        }
        self.bench.at(now).enter(&self.plan.contents, &flows);
    }

    fn compile(&mut self) {
        // The tests' packets are done.
        self.plan.note_applied(self.tables.now);
        self.plan.forget_readers(self.plan.table_mark());
        let inputs = Inputs {
            config: &self.config,
            health: &self.health,
            next_hops: &self.next_hops,
            ways: &Ways::new(),
            arrivals: &self.arrivals,
            zones: &self.zones,
            gue_port: lb_ctl::settings::GUE_PORT,
            probe_destination: ProbeDestination::OwnAddress,
            seed: SEED,
            limits: Limits::from(&self.bench.sizes),
            built: &BuiltTables::default(),
            inline_work: u64::MAX,
        };
        let plan = compile(&inputs, &self.plan, Scope::All, self.tables.now);
        self.plan = plan.unwrap_or_else(|error| panic!("compiling: {error}"));
        self.fill_tables();
    }

    fn fill_tables(&mut self) {
        let contents = &self.plan.contents;
        let tables = &mut self.tables;
        tables.rules = contents.rules.rules.clone();
        tables.vips = contents.rules.vips.clone();
        tables.steering = contents.rules.steering.clone();
        tables.slots = vec![0; self.bench.sizes.table_slots as usize];
        tables.services.clear();
        tables.members.clear();
        tables.zones = (*contents.zones).clone();
        tables.zone_tables.clear();
        tables.interfaces = contents.arrivals.interfaces.clone();
        tables.own_macs = contents.arrivals.own_macs.clone();
        for (number, service) in &contents.services {
            tables.services.insert(*number, service.record);
            tables.members.extend(service.members.iter());
            let own = service.table.iter().map(|(offset, slots)| (offset, slots));
            for (offset, slots) in own.chain(&service.zone_tables) {
                let offset = *offset as usize;
                tables.slots[offset..offset + slots.len()].copy_from_slice(slots);
            }
            let first = service.record.zones().first;
            let words = service.zone_words.iter().copied();
            tables.zone_tables.extend((first..).zip(words));
        }
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Through both sides: host, kernel.
    pub fn send(&mut self, frame: &[u8]) -> (Seen, Seen) {
        let host = self.decide(frame);
        let kernel = self.bench.at(self.tables.now).send(frame, host.reason);
        (host, kernel)
    }

    /// Through both sides, which must agree.
    pub fn both(&mut self, frame: &[u8]) -> Seen {
        let (host, kernel) = self.send(frame);
        assert_eq!(host, kernel, "host and kernel, of {frame:02x?}");
        kernel
    }

    /// What the loaded program makes of the frame, whatever it counts.
    pub fn run(&mut self, frame: &[u8]) -> (u32, Vec<u8>) {
        let program = self.bench.at(self.tables.now);
        let result = program.run(frame);
        program.forget_counters();
        result
    }

    /// Every bucket of the kernel's flow table.
    pub fn flows(&mut self) -> Vec<[u64; 8]> {
        self.bench.at(self.tables.now).flows()
    }

    /// Where the frame would go if no flow was known.
    pub fn without_flows(&mut self, frame: &[u8]) -> Seen {
        let flows = std::mem::replace(&mut self.tables.buckets, vec![MemoryBucket::default()]);
        let fragments = std::mem::take(&mut self.tables.fragments);
        let seen = self.decide(frame);
        self.tables.buckets = flows;
        self.tables.fragments = fragments;
        seen
    }

    fn decide(&self, frame: &[u8]) -> Seen {
        let network = match parse::network(&frame) {
            Ok(network) => network,
            Err(reason) => {
                return Seen {
                    reason,
                    backend: None,
                };
            }
        };
        let verdict = decide(&self.tables, &frame, &network);
        let record = self.plan.contents.backends.get(&verdict.backend);
        let backend = match verdict.reason.action() {
            Action::Forward => record.map(|record| backend_of_mac(&record.ethernet)),
            _ => None,
        };
        Seen {
            reason: verdict.reason,
            backend,
        }
    }

    /// A client that nothing was sent from yet.
    pub fn client(&mut self, destination: IpAddr) -> Ends {
        let number = self.next_client;
        self.next_client += 1;
        let source = if destination.is_ipv6() {
            let [high, low] = [(number >> 16) as u16, number as u16];
            Ipv6Addr::new(0x2001, 0xdb8, 0xc11, 0, 0, 0, high, low).into()
        } else {
            Ipv4Addr::from(0x0a00_0000 | number).into()
        };
        Ends {
            source,
            destination,
            source_port: 20_000 + (number % 20_000) as u16,
            destination_port: 443,
        }
    }
}

fn next_hops(on_link: bool) -> NextHops {
    let hop = |name, is_ipv6| NextHop::Resolved {
        ifindex: INGRESS,
        source_mac: [2, 0, 0, 0, 0, 9],
        destination_mac: [2, 0, 0, 0, 0, name as u8],
        on_link,
        mtu: 1500,
        source_address: Some(address('.', is_ipv6)),
    };
    NAMES
        .flat_map(|name| [false, true].map(|is_ipv6| (address(name, is_ipv6), hop(name, is_ipv6))))
        .collect()
}

fn targets(states: &BTreeMap<char, State>) -> HealthMap {
    let check = ResourcePath::from_canonical(HEALTH_CHECK);
    let mut targets = HealthMap::new();
    for (name, State { healthy, weight }) in states {
        for is_ipv6 in [false, true] {
            let target = TargetId {
                check: check.clone(),
                address: address(*name, is_ipv6),
                via: None,
            };
            let state = HealthState {
                healthy: *healthy,
                weight: *weight,
                detail: None,
            };
            targets.insert(target, state);
        }
    }
    targets
}
