//! What the numbers in the flow table mean, of the services that are logged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lb_common::hash::{self, HashKeys};
use lb_common::layout::TupleRecord;
use tokio::sync::watch;

use super::event::Counters;
use super::sink::Destination;
use crate::dataplane::TrackedTuple;
use crate::model::{
    BackendService, Config, ConnectionLogging, ForwardingRule, Ports, Ratio, ResourcePath, RuleProtocol,
};
use crate::plan::{EndpointId, MemberPlan, MemberStatus, Plan, ServiceKey, ServicePlan};
use crate::views::ConnectionLogStatus;

/// A data-plane service that is logged.
#[derive(Debug, PartialEq)]
pub struct Service {
    pub path: ResourcePath,
    /// Part of the flow hash.
    pub number: u32,
    pub idle_seconds: u32,
    pub logging: ConnectionLogging,
    /// The forwarding rules that lead to it.
    pub rules: Vec<ForwardingRule>,
}

impl Service {
    /// The rule that the connection came by; none if what it is tracked by leaves that open.
    pub fn rule_of(&self, tuple: &TrackedTuple) -> Option<&ForwardingRule> {
        let mut fitting = self.rules.iter().filter(|rule| fits(rule, tuple));
        let best = fitting.clone().map(|rule| precedence(rule, tuple)).max()?;
        let rule = fitting.find(|rule| precedence(rule, tuple) == best)?;
        fitting
            .all(|other| precedence(other, tuple) < best)
            .then_some(rule)
    }
}

/// Whether a connection belongs to the sample: the same on every host that has the seed.
pub fn is_sampled(keys: &HashKeys, tuple: &TupleRecord, rate: Ratio) -> bool {
    // The service's number is each host's own, so it is left out.
    let place = u128::from(hash::finish(hash::flow_of_record(keys, 0, tuple)));
    place < (u128::from(rate.numerator) << 64) / u128::from(rate.denominator)
}

fn fits(rule: &ForwardingRule, tuple: &TrackedTuple) -> bool {
    let protocol_fits = |protocol| match rule.protocol {
        RuleProtocol::L3Default => true,
        RuleProtocol::Icmp => protocol == 1 || protocol == 58,
        other => protocol == other as u8,
    };
    let port_fits = |port| match &rule.ports {
        Ports::All => true,
        Ports::Ranges(ranges) => ranges
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&port)),
    };
    tuple
        .destination
        .is_none_or(|address| rule.vip.owned().contains(&address))
        && tuple.protocol.is_none_or(protocol_fits)
        && tuple.ports.is_none_or(|(_, port)| port_fits(port))
        && (rule.source_ranges.is_empty() || steered(rule, tuple).is_some())
}

fn steered(rule: &ForwardingRule, tuple: &TrackedTuple) -> Option<u8> {
    let ranges = rule.source_ranges.iter();
    ranges
        .filter(|range| range.contains(&tuple.source))
        .map(ipnet::IpNet::prefix_len)
        .max()
}

/// Of several rules that fit, the one of the address itself before that of the /96 around it, then the one that steers by the
/// longer prefix, then the one of the connection's own protocol.
fn precedence(rule: &ForwardingRule, tuple: &TrackedTuple) -> (u8, Option<u8>, bool) {
    let owned = rule.vip.owned().prefix_len();
    (
        owned,
        steered(rule, tuple),
        rule.protocol != RuleProtocol::L3Default,
    )
}

/// One endpoint of a service that is logged.
#[derive(Debug)]
pub struct Endpoint {
    pub service: Arc<Service>,
    pub id: EndpointId,
    pub zone: String,
    /// Why connections leave it, if they have a reason to.
    pub leaving: Option<MoveReason>,
}

impl Endpoint {
    /// The same endpoint of the same service, whatever has become of it.
    pub fn is(&self, other: &Self) -> bool {
        self.id == other.id && self.service.path == other.service.path
    }
}

/// Why a connection went to another endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveReason {
    Unhealthy,
    /// Removed, and its connection draining has ended.
    Drained,
    /// The other pool is active.
    Failover,
}

impl MoveReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unhealthy => "UNHEALTHY",
            Self::Drained => "DRAINED",
            Self::Failover => "FAILOVER",
        }
    }

    fn of(member: &MemberPlan, service: &ServicePlan) -> Option<Self> {
        if member.status != MemberStatus::Attached {
            Some(Self::Drained)
        } else if !member.healthy {
            Some(Self::Unhealthy)
        } else {
            (member.pool != service.active).then_some(Self::Failover)
        }
    }
}

/// The services that are logged, and their members by number.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(super) services: BTreeMap<ServiceKey, Arc<Logged>>,
}

#[derive(Debug)]
pub(super) struct Logged {
    pub(super) service: Arc<Service>,
    /// By number.
    pub(super) members: BTreeMap<u32, Arc<Endpoint>>,
    plan: Arc<ServicePlan>,
}

impl Snapshot {
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// The next one: what did not change is shared with `self`, and endpoints that have gone are known from it.
    pub fn next(&self, config: &Config, plan: &Plan) -> Self {
        let logging: BTreeMap<&ResourcePath, &BackendService> = config
            .services
            .iter()
            .filter(|(_, service)| {
                service
                    .log
                    .as_ref()
                    .is_some_and(|log| log.sample_rate.numerator > 0)
            })
            .collect();
        // Mostly nothing is logged; then a change of one service's health looks at no other service's plan.
        if logging.is_empty() {
            return Self::default();
        }
        let mut rules: BTreeMap<&ResourcePath, Vec<&ForwardingRule>> = BTreeMap::new();
        for rule in config.rules.values() {
            rules.entry(&rule.service).or_default().push(rule);
        }
        let mut services = BTreeMap::new();
        for (key, planned) in &plan.services {
            let Some(configured) = logging.get(&key.service) else {
                continue;
            };
            let Some(logging) = configured.log.clone() else {
                continue;
            };
            let of_service = rules.get(&key.service).into_iter().flatten();
            let service = Service {
                path: key.service.clone(),
                number: planned.number,
                idle_seconds: configured.idle_timeout_sec,
                logging,
                rules: of_service.map(|rule| (*rule).clone()).collect(),
            };
            let logged = match self.services.get(key) {
                Some(known) if Arc::ptr_eq(&known.plan, planned) && *known.service == service => {
                    known.clone()
                }
                known => Arc::new(Logged::new(config, planned, service, known)),
            };
            services.insert(key.clone(), logged);
        }
        Self { services }
    }
}

impl Logged {
    fn new(config: &Config, plan: &Arc<ServicePlan>, service: Service, known: Option<&Arc<Self>>) -> Self {
        let service = Arc::new(service);
        let member = |(id, member): (&EndpointId, &MemberPlan)| {
            let group = config.groups.get(&id.group);
            let endpoint = Endpoint {
                service: service.clone(),
                id: id.clone(),
                zone: group.map(|group| group.zone.clone()).unwrap_or_default(),
                leaving: MoveReason::of(member, plan),
            };
            (member.number, Arc::new(endpoint))
        };
        let gone = |number: u32| {
            let endpoint = known?.members.get(&number)?;
            let endpoint = Endpoint {
                service: service.clone(),
                id: endpoint.id.clone(),
                zone: endpoint.zone.clone(),
                leaving: Some(MoveReason::Drained),
            };
            Some((number, Arc::new(endpoint)))
        };
        let members = plan.members.iter().map(member);
        Self {
            members: members.chain(plan.ended_numbers().filter_map(gone)).collect(),
            plan: plan.clone(),
            service: service.clone(),
        }
    }
}

/// The controller's end: tells what numbers mean before the maps hold them.
#[derive(Debug)]
pub struct Publisher {
    pub(super) snapshots: watch::Sender<Arc<Snapshot>>,
    pub(super) counters: Arc<Counters>,
    pub(super) destination: Destination,
}

impl Publisher {
    /// One that nobody listens to.
    #[cfg(test)]
    pub(crate) fn unread() -> Self {
        Self {
            snapshots: watch::channel(Arc::default()).0,
            counters: Arc::default(),
            destination: Destination::default(),
        }
    }

    pub fn publish(&self, config: &Config, plan: &Plan) {
        let next = self.snapshots.borrow().next(config, plan);
        self.snapshots.send_if_modified(|current| {
            let is_same = next.services.len() == current.services.len()
                && next
                    .services
                    .iter()
                    .zip(&current.services)
                    .all(|((key, next), (other, current))| key == other && Arc::ptr_eq(next, current));
            if !is_same {
                *current = Arc::new(next);
            }
            !is_same
        });
    }

    pub fn status(&self) -> ConnectionLogStatus {
        let snapshot = self.snapshots.borrow();
        let services: BTreeSet<&ResourcePath> = snapshot.services.keys().map(|key| &key.service).collect();
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        ConnectionLogStatus {
            destination: self.destination.to_string(),
            services: services.len(),
            connections: count(&self.counters.connections),
            lines: count(&self.counters.lines),
            dropped: count(&self.counters.dropped),
        }
    }
}
