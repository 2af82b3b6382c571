//! Random lives of a configuration: the events that a daemon sees, in any order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::world::{World, failover, ip, path, resolved, target};
use crate::health::{WeightError, machine::Weight};
use crate::model::{EndpointWeight, LocalityPolicy, Ports, Ratio, RuleProtocol, Scheme, ZonalAffinity};
use crate::net::NextHop;

/// Services, groups and endpoints a group, at most.
const SERVICES: u8 = 3;
const GROUPS: u8 = 3;
const ENDPOINTS: u8 = 4;
const RULES: u8 = 7;

#[derive(Clone, Debug)]
pub(super) enum Event {
    Service(u8),
    Group(u8, u8),
    Failover(u8, u8),
    Endpoint(u8, u8),
    Rule(u8, u8),
    Health(u8, u8, bool),
    Weight(u8, u8, EndpointWeight, Option<WeightError>),
    DrainingTimeout(u8, u32),
    IdleTimeout(u8, u32),
    Policy(u8, Option<(u64, bool, bool)>),
    NextHop(u8, u8, Option<u8>),
    Zonal(Option<ZonalAffinity>),
    Zone(u8, u8),
    Time(u32),
}

pub(super) fn any_health() -> impl Strategy<Value = Event> {
    (0..GROUPS, 0..ENDPOINTS, any::<bool>())
        .prop_map(|(group, endpoint, healthy)| Event::Health(group, endpoint, healthy))
}

pub(super) fn any_event() -> impl Strategy<Value = Event> {
    let error = prop_oneof![
        6 => Just(None),
        1 => Just(Some(WeightError::MissingWeight)),
        1 => Just(Some(WeightError::UnavailableWeight)),
    ];
    prop_oneof![
        1 => (0..SERVICES).prop_map(Event::Service),
        2 => (0..SERVICES, 0..GROUPS).prop_map(|(s, g)| Event::Group(s, g)),
        1 => (0..SERVICES, 0..GROUPS).prop_map(|(s, g)| Event::Failover(s, g)),
        5 => (0..GROUPS, 0..ENDPOINTS).prop_map(|(g, e)| Event::Endpoint(g, e)),
        3 => (0..RULES, 0..=SERVICES).prop_map(|(r, s)| Event::Rule(r, s)),
        5 => any_health(),
        1 => (0..GROUPS, 0..ENDPOINTS, (0..4u32).prop_map(EndpointWeight::whole), error).prop_map(|(g, e, w, error)| Event::Weight(g, e, w, error)),
        2 => (0..SERVICES, prop_oneof![Just(0), Just(7), Just(20), Just(300)])
            .prop_map(|(s, t)| Event::DrainingTimeout(s, t)),
        1 => (0..SERVICES, prop_oneof![Just(60), 61..64u32, Just(600)]).prop_map(|(s, t)| Event::IdleTimeout(s, t)),
        1 => (0..SERVICES, proptest::option::of((0..=100u64, any::<bool>(), any::<bool>())))
            .prop_map(|(s, policy)| Event::Policy(s, policy)),
        2 => (0..GROUPS, 0..ENDPOINTS, proptest::option::of(1..8u8)).prop_map(|(g, e, mac)| Event::NextHop(g, e, mac)),
        2 => prop_oneof![Just(None), any_affinity().prop_map(Some)].prop_map(Event::Zonal),
        1 => (0..GROUPS, 0..GROUPS).prop_map(|(g, z)| Event::Zone(g, z)),
        4 => prop_oneof![Just(0), 1..16u32, 40..120u32, 400..800u32].prop_map(Event::Time),
    ]
}

fn any_affinity() -> impl Strategy<Value = ZonalAffinity> {
    prop_oneof![
        Just(ZonalAffinity::StayWithinZone),
        (0..=4u64).prop_map(|numerator| {
            ZonalAffinity::SpillCrossZone(Ratio {
                numerator,
                denominator: 4,
            })
        }),
    ]
}

/// What events toggle; the configuration is made of it, so it is always one that validation would let pass.
#[derive(Clone)]
pub(super) struct Life {
    pub(super) world: World,
    services: BTreeSet<u8>,
    /// Whether the group is a failover group, by service and group.
    attached: BTreeMap<(u8, u8), bool>,
    endpoints: BTreeSet<(u8, u8)>,
    rules: BTreeMap<u8, u8>,
    draining: BTreeMap<u8, u32>,
    idle: BTreeMap<u8, u32>,
    policies: BTreeMap<u8, (u64, bool, bool)>,
    /// Of the internal service.
    zonal: Option<ZonalAffinity>,
    /// Where groups are.
    zones: BTreeMap<u8, u8>,
}

impl Life {
    pub(super) fn new() -> Self {
        let mut life = Self {
            world: World::new(),
            services: (0..SERVICES).collect(),
            attached: (0..SERVICES)
                .flat_map(|s| [((s, s), false), ((s, (s + 1) % GROUPS), s == 1)])
                .collect(),
            endpoints: (0..GROUPS).flat_map(|group| [(group, 0), (group, 1)]).collect(),
            rules: (0..RULES).map(|rule| (rule, rule % SERVICES)).collect(),
            draining: BTreeMap::from([(0, 20)]),
            idle: BTreeMap::new(),
            policies: BTreeMap::new(),
            zonal: None,
            zones: (0..GROUPS).map(|group| (group, group)).collect(),
        };
        // There are no clients in zone 2.
        life.world.clients("zone-0", &["198.51.0.0/17", "2001:db8::/112"]);
        life.world
            .clients("zone-1", &["198.51.128.0/17", "198.51.4.0/24"]);
        life.configure();
        life
    }

    pub(super) fn on(&mut self, event: &Event) {
        match *event {
            Event::Service(service) => toggle(&mut self.services, service),
            Event::Group(service, group) => {
                if self.attached.remove(&(service, group)).is_none() {
                    self.attached.insert((service, group), false);
                }
            }
            Event::Failover(service, group) => {
                if let Some(failover) = self.attached.get_mut(&(service, group)) {
                    *failover = !*failover;
                }
            }
            Event::Endpoint(group, endpoint) => toggle(&mut self.endpoints, (group, endpoint)),
            Event::Rule(rule, service) if service == SERVICES => drop(self.rules.remove(&rule)),
            Event::Rule(rule, service) => drop(self.rules.insert(rule, service)),
            Event::Health(group, endpoint, healthy) => {
                if let Some(state) = self.world.health.get_mut(&target(ip(&address(group, endpoint)))) {
                    state.healthy = healthy;
                }
            }
            Event::Weight(group, endpoint, value, error) => {
                if let Some(state) = self.world.health.get_mut(&target(ip(&address(group, endpoint)))) {
                    state.weight = Weight { value, error };
                }
            }
            Event::DrainingTimeout(service, seconds) => drop(self.draining.insert(service, seconds)),
            Event::IdleTimeout(service, seconds) => drop(self.idle.insert(service, seconds)),
            Event::Policy(service, Some(policy)) => drop(self.policies.insert(service, policy)),
            Event::Policy(service, None) => drop(self.policies.remove(&service)),
            Event::NextHop(group, endpoint, mac) => self.next_hop(&address(group, endpoint), mac),
            Event::Zonal(affinity) => self.zonal = affinity,
            Event::Zone(group, zone) => drop(self.zones.insert(group, zone)),
            Event::Time(seconds) => self.world.now += seconds,
        }
        self.configure();
    }

    fn next_hop(&mut self, address: &str, mac: Option<u8>) {
        let address = ip(address);
        let next_hop = match mac {
            Some(mac) => resolved(address, mac),
            None => NextHop::Unresolved {
                reason: "waiting".to_owned(),
            },
        };
        self.world.next_hops.insert(address, next_hop);
    }

    fn configure(&mut self) {
        let world = &mut self.world;
        world.config = Default::default();
        for group in 0..GROUPS {
            let of_group = self.endpoints.iter().filter(|(of, _)| *of == group);
            let addresses: Vec<String> = of_group
                .map(|(group, endpoint)| address(*group, *endpoint))
                .collect();
            let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
            let name = format!("group-{group}");
            world.group(&name, &addresses);
            world.place(&name, &format!("zone-{}", self.zones[&group]));
        }
        for number in &self.services {
            let name = service_name(*number);
            let service = world.service(&name);
            if *number == 1 {
                service.scheme = Scheme::Internal;
                service.locality = LocalityPolicy::Rendezvous;
                service.zonal_affinity = self.zonal;
            }
            if *number == 2 {
                service.locality = LocalityPolicy::WeightedMaglev;
            }
            service.draining_timeout_sec = self.draining.get(number).copied().unwrap_or(0);
            service.idle_timeout_sec = self.idle.get(number).copied().unwrap_or(60);
            service.failover = self.policies.get(number).map(|(ratio, drops, disables)| {
                let mut policy = failover(*ratio);
                policy.drop_traffic_if_unhealthy = *drops;
                policy.disable_connection_drain_on_failover = *disables;
                policy
            });
            for ((of, group), is_failover) in &self.attached {
                if of == number {
                    world.attach(&name, &format!("group-{group}"), *is_failover);
                }
            }
        }
        self.add_rules();
    }

    fn add_rules(&mut self) {
        for (rule, service) in &self.rules {
            if !self.services.contains(service) {
                continue;
            }
            let name = format!("rule-{rule}");
            let service = service_name(*service);
            let base = path("rule-0");
            match rule {
                0 => self
                    .world
                    .rule(&name, "192.0.2.1", RuleProtocol::Tcp, ports(80, 80), &service),
                1 => self
                    .world
                    .rule(&name, "192.0.2.1", RuleProtocol::Udp, ports(80, 90), &service),
                2 => self
                    .world
                    .rule(&name, "192.0.2.2", RuleProtocol::L3Default, Ports::All, &service),
                3 => self
                    .world
                    .rule(&name, "192.0.2.2", RuleProtocol::Tcp, ports(80, 83), &service),
                4 => self
                    .world
                    .rule(&name, "2001:db8:1::", RuleProtocol::Tcp, Ports::All, &service),
                _ if !self.world.config.rules.contains_key(&base) => {}
                5 => self.world.steer(&name, "rule-0", &["198.51.0.0/18"], &service),
                _ => self
                    .world
                    .steer(&name, "rule-0", &["198.51.0.0/20", "198.51.128.0/17"], &service),
            }
        }
    }
}

/// Names of the services that a group is attached to.
impl Life {
    pub(super) fn touched(&self, event: &Event) -> BTreeSet<crate::model::ResourcePath> {
        let Event::Health(group, ..) = event else {
            panic!("not a health event: {event:?}");
        };
        let services = self.attached.keys().filter(|(_, of)| of == group);
        services
            .map(|(service, _)| path(&service_name(*service)))
            .collect()
    }
}

fn ports(first: u16, last: u16) -> Ports {
    Ports::Ranges(vec![(first, last)])
}

fn service_name(number: u8) -> String {
    format!("service-{number}")
}

/// The last endpoint of a group has an IPv6 address.
fn address(group: u8, endpoint: u8) -> String {
    if endpoint + 1 == ENDPOINTS {
        format!("fd00::{group}:{endpoint}")
    } else {
        format!("10.0.{group}.{}", endpoint + 1)
    }
}

fn toggle<T: Ord>(set: &mut BTreeSet<T>, value: T) {
    if !set.remove(&value) {
        set.insert(value);
    }
}
