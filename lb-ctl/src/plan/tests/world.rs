//! Inputs that are easy to write and to change.

use std::net::IpAddr;
use std::sync::Arc;

use crate::health::{HealthState, TargetId, machine::Weight};
use crate::model::{
    Backend, BackendService, Config, Delivery, Endpoint, EndpointWeight, FailoverPolicy, ForwardingRule,
    Group, LocalityPolicy, Persistence, Ports, Ratio, ResourcePath, RuleProtocol, Scheme, ServiceProtocol,
    SessionAffinity, TableSlots, TrackingMode, Vip,
};
use crate::net::{NextHop, NextHops};
use crate::plan::{
    Arrivals, BuiltTables, HealthMap, Inputs, IpFamily, Limits, Plan, PlanError, ProbeDestination, Scope,
    ServiceKey, ServicePlan, Ways, ZonePrefixes, compile,
};

pub(crate) const SEED: u128 = 0x0123_4567_89ab_cdef_1122_3344_5566_7788;

pub(crate) const LIMITS: Limits = Limits {
    services: 64,
    members: 256,
    backends: 256,
    table_slots: 1 << 18,
    table_reserve: 1 << 16,
    zone_tables: 64,
    zone_prefixes: 16,
    rules: 1024,
    vips: 64,
    steering: 64,
    devices: 64,
    probes: 256,
};

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) health: HealthMap,
    pub(crate) next_hops: NextHops,
    pub(crate) ways: Ways,
    pub(crate) arrivals: Arc<Arrivals>,
    pub(crate) zones: ZonePrefixes,
    pub(crate) gue_port: u16,
    pub(crate) probe_destination: ProbeDestination,
    pub(crate) seed: u128,
    pub(crate) limits: Limits,
    pub(crate) built: BuiltTables,
    pub(crate) inline_work: u64,
    pub(crate) now: u32,
}

/// The interface that packets come by.
pub(crate) const INGRESS: u32 = 2;
/// What frames are sent to.
pub(crate) const OWN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn arrivals() -> Arc<Arrivals> {
    let mut arrivals = Arrivals::default();
    arrivals.add(INGRESS, OWN_MAC, 1500, []);
    Arc::new(arrivals)
}

pub(crate) fn path(name: &str) -> ResourcePath {
    ResourcePath::from_canonical(name)
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) fn resolved(address: IpAddr, mac: u8) -> NextHop {
    NextHop::Resolved {
        ifindex: 2 + u32::from(mac % 2),
        source_mac: [2, 0, 0, 0, 0, 1],
        destination_mac: [2, 0, 0, 0, 1, mac],
        on_link: mac % 4 != 3,
        mtu: 1500,
        source_address: Some(match address {
            IpAddr::V4(_) => ip("10.255.0.1"),
            IpAddr::V6(_) => ip("fd00:ffff::1"),
        }),
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            config: Config::default(),
            health: HealthMap::new(),
            next_hops: NextHops::new(),
            ways: Ways::new(),
            arrivals: arrivals(),
            zones: ZonePrefixes::new(),
            gue_port: 6080,
            probe_destination: ProbeDestination::OwnAddress,
            seed: SEED,
            limits: LIMITS,
            built: BuiltTables::default(),
            inline_work: u64::MAX,
            now: 4003,
        }
    }

    /// A service `web` on 192.0.2.1, TCP and UDP port 80, with one group of healthy endpoints.
    pub(crate) fn web(addresses: &[&str]) -> Self {
        let mut world = Self::new();
        world.service("web");
        world.group("main", addresses);
        world.attach("web", "main", false);
        world.rule(
            "web-tcp",
            "192.0.2.1",
            RuleProtocol::Tcp,
            Ports::Ranges(vec![(80, 80)]),
            "web",
        );
        world.rule(
            "web-udp",
            "192.0.2.1",
            RuleProtocol::Udp,
            Ports::Ranges(vec![(80, 80)]),
            "web",
        );
        world
    }

    pub(crate) fn service(&mut self, name: &str) -> &mut BackendService {
        self.config
            .services
            .entry(path(name))
            .or_insert_with(|| BackendService {
                path: path(name),
                protocol: ServiceProtocol::Unspecified,
                scheme: Scheme::External,
                affinity: SessionAffinity::ClientIpPortProto,
                tracking: TrackingMode::PerConnection,
                persistence: Persistence::DefaultForProtocol,
                idle_timeout_sec: 60,
                failover: None,
                draining_timeout_sec: 0,
                locality: LocalityPolicy::Maglev,
                backends: Vec::new(),
                health_check: Some(path("check")),
                subsetting: false,
                zonal_affinity: None,
                ha_policy: None,
                log: None,
                table_slots: TableSlots::all(4096),
            })
    }

    /// Sets a group's endpoints, which become healthy and resolved if they are new.
    pub(crate) fn group(&mut self, name: &str, addresses: &[&str]) {
        let endpoints: Vec<Endpoint> = addresses.iter().map(|address| endpoint(ip(address))).collect();
        for address in addresses {
            self.know(ip(address));
        }
        let group = Group {
            path: path(name),
            zone: "europe-west4-a".to_owned(),
            delivery: Delivery::Auto,
            endpoints,
        };
        self.config.groups.insert(path(name), group);
    }

    fn know(&mut self, address: IpAddr) {
        let last = match address {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[15],
        };
        self.next_hops
            .entry(address)
            .or_insert_with(|| resolved(address, last));
        self.health.entry(target(address)).or_insert_with(|| state(true));
    }

    pub(crate) fn place(&mut self, group: &str, zone: &str) {
        let group = self.config.groups.get_mut(&path(group)).expect("a group");
        zone.clone_into(&mut group.zone);
    }

    /// Clients of a zone.
    pub(crate) fn clients(&mut self, zone: &str, prefixes: &[&str]) {
        let prefixes = prefixes.iter().map(|prefix| prefix.parse().expect("a prefix"));
        self.zones.insert(zone.to_owned(), prefixes.collect());
    }

    pub(crate) fn attach(&mut self, service: &str, group: &str, failover: bool) {
        let group = path(group);
        self.service(service).backends.push(Backend { group, failover });
    }

    pub(crate) fn detach(&mut self, service: &str, group: &str) {
        let group = path(group);
        self.service(service)
            .backends
            .retain(|backend| backend.group != group);
    }

    pub(crate) fn rule(
        &mut self,
        name: &str,
        vip: &str,
        protocol: RuleProtocol,
        ports: Ports,
        service: &str,
    ) {
        let rule = ForwardingRule {
            path: path(name),
            vip: Vip { address: ip(vip) },
            protocol,
            ports,
            source_ranges: Vec::new(),
            scheme: Scheme::External,
            service: path(service),
        };
        self.config.rules.insert(path(name), rule);
    }

    pub(crate) fn steer(&mut self, name: &str, base: &str, ranges: &[&str], service: &str) {
        let rule = ForwardingRule {
            path: path(name),
            source_ranges: ranges
                .iter()
                .map(|range| range.parse().expect("a prefix"))
                .collect(),
            service: path(service),
            ..self.config.rules[&path(base)].clone()
        };
        self.config.rules.insert(path(name), rule);
    }

    pub(crate) fn remove_service(&mut self, name: &str) {
        let name = path(name);
        self.config.services.remove(&name);
        self.config.rules.retain(|_, rule| rule.service != name);
    }

    pub(crate) fn health(&mut self, address: &str, healthy: bool) {
        let state = self
            .health
            .get_mut(&target(ip(address)))
            .expect("a known address");
        state.healthy = healthy;
    }

    pub(crate) fn weight(&mut self, address: &str, weight: Weight) {
        let state = self
            .health
            .get_mut(&target(ip(address)))
            .expect("a known address");
        state.weight = weight;
    }

    /// Of every endpoint, by its position in the order of addresses.
    pub(crate) fn set_weights(&mut self, weight: impl Fn(usize) -> EndpointWeight) {
        let targets: Vec<TargetId> = self.health.keys().cloned().collect();
        for (position, target) in targets.iter().enumerate() {
            let state = self.health.get_mut(target).expect("a known target");
            state.weight.value = weight(position);
        }
    }

    pub(crate) fn inputs(&self) -> Inputs<'_> {
        Inputs {
            config: &self.config,
            health: &self.health,
            next_hops: &self.next_hops,
            ways: &self.ways,
            arrivals: &self.arrivals,
            zones: &self.zones,
            gue_port: self.gue_port,
            probe_destination: self.probe_destination,
            seed: self.seed,
            limits: self.limits,
            built: &self.built,
            inline_work: self.inline_work,
        }
    }

    /// Packets are quick: what an earlier plan replaced is not read any more.
    pub(crate) fn try_compile(&self, previous: &Plan) -> Result<Plan, PlanError> {
        compile(&self.inputs(), &applied(previous, self.now), Scope::All, self.now)
    }

    pub(crate) fn compile(&self, previous: &Plan) -> Plan {
        self.try_compile(previous).expect("it fits")
    }
}

pub(crate) fn endpoint(address: IpAddr) -> Endpoint {
    match address {
        IpAddr::V4(address) => Endpoint {
            instance: None,
            ipv4: Some(address),
            ipv6: None,
        },
        IpAddr::V6(address) => Endpoint {
            instance: None,
            ipv4: None,
            ipv6: Some(address),
        },
    }
}

pub(crate) fn target(address: IpAddr) -> TargetId {
    TargetId {
        check: path("check"),
        address,
        via: None,
    }
}

pub(crate) fn state(healthy: bool) -> HealthState {
    HealthState {
        healthy,
        ..HealthState::initial()
    }
}

pub(crate) fn failover(ratio_percent: u64) -> FailoverPolicy {
    FailoverPolicy {
        ratio: Ratio {
            numerator: ratio_percent,
            denominator: 100,
        },
        drop_traffic_if_unhealthy: false,
        disable_connection_drain_on_failover: false,
    }
}

pub(crate) fn key(service: &str, family: IpFamily) -> ServiceKey {
    ServiceKey {
        service: path(service),
        family,
    }
}

/// The IPv4 side of a service.
pub(crate) fn v4<'a>(plan: &'a Plan, service: &str) -> &'a ServicePlan {
    &plan.services[&key(service, IpFamily::V4)]
}

/// The number of the endpoint with this address.
pub(crate) fn number(plan: &Plan, service: &str, address: &str) -> u32 {
    let members = &v4(plan, service).members;
    let found = members.iter().find(|(id, _)| id.address == ip(address));
    found.unwrap_or_else(|| panic!("{address} is no member")).1.number
}

/// The plan when the maps hold it, and no packet reads what they held before.
pub(crate) fn applied(plan: &Plan, now: u32) -> Plan {
    let mut plan = plan.clone();
    plan.note_applied(now);
    plan.forget_readers(plan.table_mark());
    plan
}
