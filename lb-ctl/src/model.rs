//! The configuration after validation: typed, references resolved, defaults filled in.
//!
//! `resources` makes it out of Compute Engine JSON and is the only maker; `plan` and `health` read it. Whatever is
//! representable here has passed every rule, so readers need no checks of their own.

mod tables;
mod weight;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

pub use self::tables::{
    DEFAULT_SLOTS, HeldSizes, TABLE_CELLS, TableDemand, TableSlots, larger_pool, size_of_table, zones_in_use,
};
pub use self::weight::EndpointWeight;
use ipnet::{IpNet, Ipv6Net};
pub use lb_common::policy::{Persistence, RuleProtocol, Scheme, SessionAffinity, TrackingMode};

/// A resource's canonical partial URL from `projects/` on,
/// such as `projects/acme/regions/europe-west4/backendServices/web`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ResourcePath(Arc<str>);

/// Maps of thousands of endpoints compare the same few paths again and again: copies of one are known at a glance.
impl Ord for ResourcePath {
    fn cmp(&self, other: &Self) -> Ordering {
        match Arc::ptr_eq(&self.0, &other.0) {
            true => Ordering::Equal,
            false => self.0.cmp(&other.0),
        }
    }
}

impl PartialOrd for ResourcePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl ResourcePath {
    /// Wraps a text that is already canonical.
    pub fn from_canonical(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for ResourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything that the data plane and the health checks are derived from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    pub services: BTreeMap<ResourcePath, BackendService>,
    pub rules: BTreeMap<ResourcePath, ForwardingRule>,
    pub health_checks: BTreeMap<ResourcePath, HealthCheck>,
    pub groups: BTreeMap<ResourcePath, Group>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceProtocol {
    Tcp,
    Udp,
    Unspecified,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalityPolicy {
    Maglev,
    WeightedMaglev,
    Rendezvous,
    WeightedRendezvous,
}

impl LocalityPolicy {
    pub fn is_weighted(self) -> bool {
        matches!(self, Self::WeightedMaglev | Self::WeightedRendezvous)
    }

    pub fn is_maglev(self) -> bool {
        matches!(self, Self::Maglev | Self::WeightedMaglev)
    }
}

/// An exact ratio in 0..=1: the decimal as it was written, never a float.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    pub numerator: u64,
    /// A power of ten.
    pub denominator: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct BackendService {
    pub path: ResourcePath,
    pub protocol: ServiceProtocol,
    pub scheme: Scheme,
    pub affinity: SessionAffinity,
    pub tracking: TrackingMode,
    pub persistence: Persistence,
    /// Seconds, resolved: 60 external, 600 internal unless set.
    pub idle_timeout_sec: u32,
    pub failover: Option<FailoverPolicy>,
    /// Seconds, 0..=3600.
    pub draining_timeout_sec: u32,
    pub locality: LocalityPolicy,
    pub backends: Vec<Backend>,
    pub health_check: Option<ResourcePath>,
    /// `subsetting.policy: CONSISTENT_HASH_SUBSETTING`.
    pub subsetting: bool,
    pub zonal_affinity: Option<ZonalAffinity>,
    pub ha_policy: Option<HaPolicy>,
    /// `logConfig` when it is enabled.
    pub log: Option<ConnectionLogging>,
    /// Kept beside the resource.
    pub table_slots: TableSlots,
}

/// Which connections of a service are logged, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLogging {
    /// The share of connections.
    pub sample_rate: Ratio,
    /// The chosen parts of `serverInstance`; without any there is none.
    pub fields: BTreeSet<InstanceField>,
}

/// A part of `serverInstance`, the log's optional field about the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstanceField {
    ProjectId,
    Region,
    Vm,
    VmIp,
    Zone,
}

impl InstanceField {
    pub const ALL: [Self; 5] = [Self::ProjectId, Self::Region, Self::Vm, Self::VmIp, Self::Zone];

    /// Its name in a line of the log.
    pub fn as_log(self) -> &'static str {
        match self {
            Self::ProjectId => "projectId",
            Self::Region => "region",
            Self::Vm => "vm",
            Self::VmIp => "vmIp",
            Self::Zone => "zone",
        }
    }

    pub fn from_log(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.as_log() == name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailoverPolicy {
    pub ratio: Ratio,
    pub drop_traffic_if_unhealthy: bool,
    pub disable_connection_drain_on_failover: bool,
}

/// One entry of `backends[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    pub group: ResourcePath,
    pub failover: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZonalAffinity {
    StayWithinZone,
    SpillCrossZone(Ratio),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaPolicy {
    pub leader: Option<HaLeader>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaLeader {
    pub group: ResourcePath,
    pub instance: Option<String>,
}

/// A network endpoint group or an instance group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub path: ResourcePath,
    /// Zone name, such as `europe-west4-a`.
    pub zone: String,
    pub delivery: Delivery,
    /// In the order of the resource; no reader may depend on it.
    pub endpoints: Vec<Endpoint>,
}

/// The annotation `lb/delivery`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    #[default]
    Auto,
    L2,
    Ipip,
    Gue,
}

/// At least one address is present.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    pub instance: Option<String>,
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardingRule {
    pub path: ResourcePath,
    pub vip: Vip,
    pub protocol: RuleProtocol,
    pub ports: Ports,
    /// Empty unless this is a steering rule.
    pub source_ranges: Vec<IpNet>,
    pub scheme: Scheme,
    pub service: ResourcePath,
}

/// What a forwarding rule owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vip {
    /// As written in the rule: the address to announce and to probe.
    pub address: IpAddr,
}

impl Vip {
    /// An IPv6 address whose last 32 bits are zero owns its /96 (semantics §2), any other address itself alone.
    pub fn owned(self) -> IpNet {
        match self.address {
            IpAddr::V6(address) if address.octets()[12..] == [0; 4] => {
                Ipv6Net::new_assert(address, 96).into()
            }
            address => address.into(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ports {
    /// `allPorts`, and every rule of a protocol without ports.
    All,
    /// Inclusive ranges, sorted, not overlapping.
    Ranges(Vec<(u16, u16)>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    pub path: ResourcePath,
    /// Seconds, 1..=300.
    pub check_interval_sec: u32,
    /// Seconds, 1..=check_interval_sec.
    pub timeout_sec: u32,
    /// Consecutive probes, 1..=10.
    pub healthy_threshold: u32,
    pub unhealthy_threshold: u32,
    /// `logConfig.enable`: every change between healthy and unhealthy is logged.
    pub log: bool,
    pub probe: Probe,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// TCP, and SSL with `tls`.
    Tcp {
        tls: bool,
        port: u16,
        proxy_header: ProxyHeader,
        request: Vec<u8>,
        response: Vec<u8>,
    },
    /// HTTP, HTTPS and HTTP2.
    Http {
        version: HttpVersion,
        port: u16,
        proxy_header: ProxyHeader,
        host: String,
        request_path: String,
        response: Vec<u8>,
    },
    /// GRPC, and GRPC_WITH_TLS with `tls`.
    Grpc {
        tls: bool,
        port: u16,
        service_name: String,
    },
}

impl Probe {
    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp { port, .. } | Self::Http { port, .. } | Self::Grpc { port, .. } => *port,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 over TLS.
    Https,
    /// HTTP/2 over TLS.
    Http2,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyHeader {
    #[default]
    None,
    ProxyV1,
}
