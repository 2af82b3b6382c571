//! Compute Engine JSON for the laboratory's hosts.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::topology::{Lab, VIP4, VIP6};
use crate::traffic::{HEALTH_PORT, TCP_PORT, UDP_PORT};

pub const REGION: &str = "projects/lab/regions/lab-1";
const ZONE: &str = "projects/lab/zones/lab-1-a";
const HEALTH_CHECK: &str = "lab-hc";
const PRIMARY_GROUP: &str = "primary";
const FAILOVER_GROUP: &str = "standby";
const HAVE_ALL_PORTS: [&str; 4] = ["TCP", "UDP", "SCTP", "L3_DEFAULT"];

/// Which of a host's addresses its endpoint has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    Both,
    Ipv4,
    Ipv6,
}

/// One file for `--config` or `apply`.
#[derive(Clone, Debug)]
pub struct Documents {
    resources: Vec<Value>,
    has_failover: bool,
}

impl Documents {
    /// A health check that notices at once, and a group of these primary backends.
    pub fn new(lab: &Lab, primaries: &[&str]) -> Self {
        Self::with_families(lab, primaries, Families::Both)
    }

    pub fn with_families(lab: &Lab, primaries: &[&str], families: Families) -> Self {
        let resources = vec![health_check(), group(lab, PRIMARY_GROUP, primaries, families)];
        Self {
            resources,
            has_failover: false,
        }
    }

    /// Exactly these.
    pub fn of(resources: Vec<Value>) -> Self {
        Self {
            resources,
            has_failover: false,
        }
    }

    /// A group of failover backends, for the services that follow.
    pub fn failover(mut self, lab: &Lab, names: &[&str]) -> Self {
        self.resources
            .push(group(lab, FAILOVER_GROUP, names, Families::Both));
        self.has_failover = true;
        self
    }

    /// An annotation of every group that was made so far, such as (`lb/delivery`, `gue`).
    pub fn annotate(mut self, key: &str, value: &str) -> Self {
        let groups = self
            .resources
            .iter_mut()
            .filter(|resource| resource["kind"] == "compute#networkEndpointGroup");
        for group in groups {
            group["annotations"][key] = value.into();
        }
        self
    }

    /// Any resource, as it is.
    pub fn resource(mut self, resource: Value) -> Self {
        self.resources.push(resource);
        self
    }

    /// The service and its forwarding rules.
    pub fn service(mut self, service: Service) -> Self {
        self.resources.extend(service.resources(self.has_failover));
        self
    }

    /// A TCP service and a UDP service of the same character.
    pub fn both_protocols(self, character: impl Fn(Service) -> Service) -> Self {
        self.service(character(Service::tcp()))
            .service(character(Service::udp()))
    }

    pub fn json(&self) -> String {
        serde_json::to_string_pretty(&self.resources).expect("JSON values are printable")
    }
}

/// What a forwarding rule takes: a protocol, one port of it or all.
#[derive(Clone, Debug)]
struct Take {
    protocol: &'static str,
    port: Option<u16>,
}

/// An internal service of both families with rules on the laboratory's VIPs.
#[derive(Clone, Debug)]
pub struct Service {
    name: &'static str,
    takes: Vec<Take>,
    vips: Vec<IpAddr>,
    fields: Map<String, Value>,
}

impl Service {
    pub fn tcp() -> Self {
        Self::new("web", "TCP", TCP_PORT)
    }

    pub fn udp() -> Self {
        Self::new("dns", "UDP", UDP_PORT)
    }

    /// Takes whatever comes to the VIPs.
    pub fn of_everything() -> Self {
        Self::bare("everything", "UNSPECIFIED").rule("L3_DEFAULT", None)
    }

    /// Takes nothing until it has rules.
    pub fn unspecified(name: &'static str) -> Self {
        Self::bare(name, "UNSPECIFIED")
    }

    fn new(name: &'static str, protocol: &'static str, port: u16) -> Self {
        Self::bare(name, protocol).rule(protocol, Some(port))
    }

    fn bare(name: &'static str, protocol: &str) -> Self {
        let service = Self {
            name,
            takes: Vec::new(),
            vips: vec![VIP4.into(), VIP6.into()],
            fields: Map::new(),
        };
        service
            .set("protocol", protocol.into())
            .set("loadBalancingScheme", "INTERNAL".into())
    }

    /// A forwarding rule on each VIP; no port is all of them, where the protocol has any.
    pub fn rule(mut self, protocol: &'static str, port: Option<u16>) -> Self {
        self.takes.push(Take { protocol, port });
        self
    }

    /// Any field of the resource.
    pub fn set(mut self, field: &str, value: Value) -> Self {
        self.fields.insert(field.to_owned(), value);
        self
    }

    pub fn persistence(self, value: &str) -> Self {
        let policy =
            json!({"trackingMode": "PER_CONNECTION", "connectionPersistenceOnUnhealthyBackends": value});
        self.set("connectionTrackingPolicy", policy)
    }

    pub fn failover_ratio(self, ratio: f64) -> Self {
        self.set("failoverPolicy", json!({"failoverRatio": ratio}))
    }

    pub fn vips(mut self, vips: &[IpAddr]) -> Self {
        self.vips = vips.to_vec();
        self
    }

    fn resources(mut self, has_failover: bool) -> Vec<Value> {
        let backend = |group: &str, failover: bool| {
            let group = format!("{ZONE}/networkEndpointGroups/{group}");
            json!({"group": group, "balancingMode": "CONNECTION", "failover": failover})
        };
        let mut backends = vec![backend(PRIMARY_GROUP, false)];
        if has_failover {
            backends.push(backend(FAILOVER_GROUP, true));
        }
        let defaults = json!({
            "kind": "compute#backendService",
            "name": self.name,
            "region": REGION,
            "backends": backends,
            "healthChecks": [format!("{REGION}/healthChecks/{HEALTH_CHECK}")],
        });
        let Value::Object(mut service) = defaults else {
            unreachable!("an object was written above")
        };
        service.append(&mut self.fields);
        let scheme = service["loadBalancingScheme"].clone();
        let rules = self
            .takes
            .iter()
            .flat_map(|take| self.vips.iter().map(|vip| self.rule_of(take, *vip, &scheme)));
        let rules: Vec<Value> = rules.collect();
        std::iter::once(Value::Object(service)).chain(rules).collect()
    }

    fn rule_of(&self, take: &Take, vip: IpAddr, scheme: &Value) -> Value {
        let version = if vip.is_ipv4() { "IPV4" } else { "IPV6" };
        let several = self.takes.len() > 1;
        let protocol = take.protocol.to_lowercase().replace('_', "-");
        let suffix = if several {
            format!("-{protocol}")
        } else {
            String::new()
        };
        let mut rule = json!({
            "kind": "compute#forwardingRule",
            "name": format!("{}-{}{suffix}", self.name, version.to_lowercase()),
            "region": REGION,
            "IPAddress": vip,
            "ipVersion": version,
            "IPProtocol": take.protocol,
            "loadBalancingScheme": scheme,
            "backendService": format!("{REGION}/backendServices/{}", self.name),
        });
        match take.port {
            Some(port) => rule["ports"] = json!([port.to_string()]),
            None if HAVE_ALL_PORTS.contains(&take.protocol) => rule["allPorts"] = true.into(),
            None => {}
        }
        rule
    }
}

fn health_check() -> Value {
    json!({
        "kind": "compute#healthCheck",
        "name": HEALTH_CHECK,
        "region": REGION,
        "type": "HTTP",
        "checkIntervalSec": 1,
        "timeoutSec": 1,
        "healthyThreshold": 1,
        "unhealthyThreshold": 1,
        "httpHealthCheck": {"port": HEALTH_PORT, "requestPath": "/healthz"},
    })
}

fn group(lab: &Lab, name: &str, hosts: &[&str], families: Families) -> Value {
    let endpoint = |name: &&str| {
        let host = lab.host(name);
        let mut endpoint = json!({"instance": name});
        if families != Families::Ipv6 {
            endpoint["ipAddress"] = json!(host.ipv4);
        }
        if families != Families::Ipv4 {
            endpoint["ipv6Address"] = json!(host.ipv6);
        }
        endpoint
    };
    json!({
        "kind": "compute#networkEndpointGroup",
        "name": name,
        "zone": ZONE,
        "networkEndpointType": "GCE_VM_IP",
        "networkEndpoints": hosts.iter().map(endpoint).collect::<Vec<_>>(),
    })
}
