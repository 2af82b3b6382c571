//! What the daemon tells about itself: the bodies of its own `/lb/v1/…` endpoints, read by `lb-ctl`'s verbs.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{EndpointWeight, ResourcePath};

/// `GET /lb/v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub version: String,
    pub layout_version: u32,
    pub pid: u32,
    pub uptime_sec: u64,
    pub state_dir: String,
    pub interfaces: Vec<InterfaceStatus>,
    /// Counts by kind, such as `backendServices`.
    pub resources: std::collections::BTreeMap<String, usize>,
    pub endpoints: usize,
    pub healthy_endpoints: usize,
    pub flow_slots: u64,
    #[serde(default)]
    pub tables: TableStatus,
    /// Where resources are that do not say it of themselves.
    pub default_place: DefaultPlace,
    pub config: ConfigStatus,
    pub connection_log: ConnectionLogStatus,
    /// What is not as it should be, and is tried again until it is.
    #[serde(default)]
    pub troubles: Vec<Trouble>,
    /// How packets for every VIP are made to come here.
    #[serde(default)]
    pub vips: Vec<VipStatus>,
    /// Map operations that mended what somebody else had changed in the maps, since the daemon's start.
    #[serde(default)]
    pub mended: u64,
    /// Endpoints that packets can't be delivered to now, and other standing conditions, a sentence each.
    pub warnings: Vec<String>,
}

/// What selection tables take up, in slots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TableStatus {
    /// Of all tables together.
    pub slots: u64,
    /// Those that successors are made of.
    pub reserve: u64,
    /// Of tables in force.
    pub in_use: u64,
    /// Of former ones, which packets may still read.
    pub retired: u64,
    /// What services wait for.
    pub wanted: u64,
    /// How many services have tables of a size.
    pub services: std::collections::BTreeMap<u32, usize>,
}

/// `GET /lb/v1/tableSlots?service=PATH`: what the cloud's resource has no field for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TableSlots {
    pub service: ResourcePath,
    /// Of each of its selection tables.
    pub slots: u32,
    /// Of tables of zones that an older version made with another size.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub zones: std::collections::BTreeMap<String, u32>,
    /// Of its larger pool.
    pub endpoints: usize,
    /// What follows of too few slots for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DefaultPlace {
    pub project: String,
    pub region: String,
    pub zone: String,
}

/// What became of the log that `logConfig` asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionLogStatus {
    /// `stderr`, or the path of a file.
    pub destination: String,
    /// Backend services that are logged.
    pub services: usize,
    /// Connections that are followed now.
    pub connections: u64,
    /// Lines written since the daemon's start, and those that were not because there were too many.
    pub lines: u64,
    pub dropped: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceStatus {
    pub name: String,
    pub index: u32,
    /// `native` or `generic`: what the kernel says, not what was asked for.
    pub xdp_mode: String,
    pub program_id: u32,
}

/// A VIP of the forwarding rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VipStatus {
    pub address: IpAddr,
    /// A clause, such as `answered for on eth0`.
    pub answering: String,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// A sentence.
    pub text: String,
    pub for_sec: u64,
}

/// The files of `--config`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigStatus {
    /// Of the version in force, by path, with the number of resources that each defines.
    pub files: std::collections::BTreeMap<String, usize>,
    /// When that version was loaded: RFC 3339. Absent without files.
    pub loaded_at: Option<String>,
    /// Why a newer version is not in force.
    pub refused: Option<RefusedConfig>,
}

/// A version of the files that was refused as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedConfig {
    /// RFC 3339.
    pub refused_at: String,
    /// A sentence each.
    pub faults: Vec<String>,
}

/// `GET /lb/v1/verify`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Services of the data plane, each address family counted.
    pub services: usize,
    pub members: usize,
    /// Map operations that would be needed, the first few; none when the kernel holds what it should.
    pub differences: Vec<String>,
}

/// `GET /lb/v1/stats`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// One row for each verdict that has a name, in the order of `lb_common::verdict`, zeros included.
    pub verdicts: Vec<VerdictStats>,
    /// Packets to VIPs by interfaces whose Ethernet addresses are not known: whom their frames were for was not judged. Each is
    /// counted by its verdict, too.
    #[serde(default)]
    pub not_judged: u64,
    pub services: Vec<ServiceStats>,
    /// What XDP could not send since the daemon's start, by interface and error.
    #[serde(default)]
    pub xdp_failures: Vec<XdpFailureStats>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct XdpFailureStats {
    /// Its name, or its number where it is gone.
    pub interface: String,
    /// `redirect`, `exception` or `transmit`.
    pub event: String,
    /// A clause, such as `Operation not supported (os error 95)`, where the kernel says why.
    pub error: Option<String>,
    pub frames: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerdictStats {
    pub name: String,
    /// `forward`, `drop`, `pass` or `reply`.
    pub action: String,
    pub packets: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStats {
    pub service: ResourcePath,
    /// `IPV4` or `IPV6`.
    pub ip_version: String,
    /// `primary` or `failover`.
    pub active_pool: String,
    pub backends: Vec<BackendStats>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendStats {
    pub group: ResourcePath,
    pub instance: Option<String>,
    pub ip_address: IpAddr,
    /// `primary` or `failover`.
    pub pool: String,
    pub healthy: bool,
    pub draining: bool,
    /// The weight in force, when the service is weighted.
    pub weight: Option<EndpointWeight>,
    /// `l2`, `ipip`, `gue`, `unresolved` or `undeliverable`.
    pub delivery: String,
    pub packets: u64,
    pub bytes: u64,
    /// Flows recorded for this backend since the daemon's maps were made.
    pub new_flows: u64,
    /// Packets that stayed on this backend although it was unhealthy.
    pub persisted_packets: u64,
    /// Live flows in the table now; absent when they were not counted.
    pub flows: Option<u64>,
}

/// A row of `GET /lb/v1/flows?limit=N&service=PATH`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowRow {
    pub service: ResourcePath,
    /// The tracked tuple: absent members are not part of the key (or, with `tupleKnown` false, unknown).
    pub source: Option<IpAddr>,
    pub destination: Option<IpAddr>,
    pub protocol: Option<u8>,
    pub source_port: Option<u16>,
    pub destination_port: Option<u16>,
    pub tuple_known: bool,
    pub group: ResourcePath,
    pub instance: Option<String>,
    pub ip_address: IpAddr,
    pub backend_healthy: bool,
    pub confirmed: bool,
    /// Seconds until the entry expires if no packet comes.
    pub expires_in_sec: u32,
}

/// `GET /lb/v1/flows`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowList {
    pub flows: Vec<FlowRow>,
    /// True when `limit` cut the list.
    pub truncated: bool,
}

/// `GET /lb/v1/flows/count`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowCount {
    pub slots: u64,
    pub live: u64,
    pub confirmed: u64,
    pub services: Vec<ServiceFlowCount>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceFlowCount {
    pub service: ResourcePath,
    pub live: u64,
}

/// An item of getHealth's `healthStatus[]` before it takes the API's shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointHealth {
    pub group: ResourcePath,
    pub instance: Option<String>,
    pub ip_address: IpAddr,
    pub port: Option<u16>,
    pub healthy: bool,
    pub weight: Option<EndpointWeight>,
    /// `MISSING_WEIGHT`, `INVALID_WEIGHT` or `UNAVAILABLE_WEIGHT`.
    pub weight_error: Option<String>,
    /// Why the last probe failed, in a sentence.
    pub detail: Option<String>,
}
