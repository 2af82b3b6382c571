//! Compute Engine JSON for the services of the table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value, json};

use super::events::{Does, Event};
use super::rows::Policy;

pub const REGION: &str = "projects/lab/regions/lab-1";
pub const ZONE: &str = "projects/lab/zones/lab-1-a";
pub const HEALTH_CHECK: &str = "projects/lab/regions/lab-1/healthChecks/probe";

/// The address of an endpoint.
pub fn address(backend: char, is_ipv6: bool) -> IpAddr {
    let number = backend as u8;
    if is_ipv6 {
        Ipv6Addr::new(0x2001, 0xdb8, 0xbac, 0, 0, 0, 0, u16::from(number)).into()
    } else {
        Ipv4Addr::new(192, 0, 2, number).into()
    }
}

/// The VIPs of a service: two, so that a client can reach it by another destination. Over IPv6 they are of one /96, which its
/// rule owns.
pub fn vip(service: usize, second: bool, is_ipv6: bool) -> IpAddr {
    let service = u16::try_from(service).expect("few services");
    if is_ipv6 {
        let last = if second { 0xfffe } else { 1 };
        Ipv6Addr::new(0x2001, 0xdb8, 0xf00, service, 0, 0, 0, last).into()
    } else {
        let [high, low] = service.to_be_bytes();
        Ipv4Addr::new(100, 64 + 2 * high + u8::from(second), low, 1).into()
    }
}

/// The groups, their endpoints and the services' backends, while an event goes on.
#[derive(Clone, Debug)]
pub struct Inventory {
    groups: BTreeMap<&'static str, BTreeSet<char>>,
    attached: BTreeSet<&'static str>,
    /// Health and weight by endpoint.
    pub health: BTreeMap<char, (bool, u32)>,
}

/// Endpoint a is alone in its group, so that the group can be detached without the others.
const GROUPS: [(&str, &str); 3] = [("first", "a"), ("second", "bcd"), ("standby", "fg")];

fn group_of(backend: char) -> &'static str {
    let mut groups = GROUPS.iter().filter(|(_, members)| members.contains(backend));
    groups.next().expect("every endpoint has a group").0
}

impl Inventory {
    pub fn new(event: &Event) -> Self {
        let present = if event.has_failover { "abcfg" } else { "abc" };
        let members = |text: &str| text.chars().filter(|name| present.contains(*name)).collect();
        let mut inventory = Self {
            groups: GROUPS.iter().map(|(name, text)| (*name, members(text))).collect(),
            attached: ["first", "second"].into(),
            health: "abcdfg".chars().map(|name| (name, (true, 10))).collect(),
        };
        if event.has_failover {
            inventory.attached.insert("standby");
        }
        inventory.apply(event.first);
        inventory
    }

    pub fn apply(&mut self, does: &[Does]) {
        for action in does {
            match action {
                Does::Fails(names) => names.chars().for_each(|name| self.set_health(name, false)),
                Does::Recovers(names) => names.chars().for_each(|name| self.set_health(name, true)),
                Does::Weight(name, weight) => {
                    self.health.entry(*name).and_modify(|state| state.1 = *weight);
                }
                Does::Removes(name) => drop(self.members(*name).remove(name)),
                Does::Adds(name) => drop(self.members(*name).insert(*name)),
                Does::Detaches(name) => drop(self.attached.remove(group_of(*name))),
            }
        }
    }

    fn set_health(&mut self, name: char, healthy: bool) {
        self.health.entry(name).and_modify(|state| state.0 = healthy);
    }

    fn members(&mut self, name: char) -> &mut BTreeSet<char> {
        self.groups.get_mut(group_of(name)).expect("every group is there")
    }

    /// One document that holds every service of the event.
    pub fn documents(&self, event: &Event, policies: &[Policy]) -> Value {
        let mut all = vec![health_check()];
        all.extend(self.groups.iter().map(|(name, members)| group(name, members)));
        for (index, policy) in policies.iter().enumerate() {
            all.push(self.service(index, event, policy));
            all.extend(rules(index, policy));
        }
        Value::Array(all)
    }

    fn service(&self, index: usize, event: &Event, policy: &Policy) -> Value {
        let backends = self.attached.iter().map(|name| {
            json!({"group": format!("{ZONE}/networkEndpointGroups/{name}"), "failover": *name == "standby"})
        });
        let mut service = service(index, policy, backends.collect());
        if event.is_weighted {
            let weighted = if policy.is_internal() {
                "WEIGHTED_GCP_RENDEZVOUS"
            } else {
                "WEIGHTED_MAGLEV"
            };
            service.insert("localityLbPolicy".into(), weighted.into());
        }
        let fields: Map<String, Value> =
            serde_json::from_str(event.fields).expect("an event's fields are JSON");
        service.extend(fields);
        Value::Object(service)
    }
}

/// A service of the policy, with these `backends[]`.
pub fn service(index: usize, policy: &Policy, backends: Vec<Value>) -> Map<String, Value> {
    let value = json!({
        "kind": "compute#backendService",
        "name": format!("s{index}"),
        "region": REGION,
        "protocol": "UNSPECIFIED",
        "loadBalancingScheme": policy.scheme,
        "sessionAffinity": policy.affinity,
        "connectionTrackingPolicy": {
            "trackingMode": policy.mode,
            "connectionPersistenceOnUnhealthyBackends": policy.persistence,
        },
        "healthChecks": [HEALTH_CHECK],
        "backends": backends,
    });
    let Value::Object(fields) = value else {
        unreachable!("an object was written above")
    };
    fields
}

fn whole_96(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 32 << 32).into(),
    }
}

/// Rules for every protocol on the service's VIPs.
pub fn rules(index: usize, policy: &Policy) -> [Value; 3] {
    let every = |name: &str, address: IpAddr| rule(index, policy, name, address, "L3_DEFAULT", &[]);
    [
        every("v4", vip(index, false, false)),
        every("v4-second", vip(index, true, false)),
        every("v6", whole_96(vip(index, false, true))),
    ]
}

/// A rule of a service; for all ports where none are named.
pub fn rule(
    index: usize,
    policy: &Policy,
    name: &str,
    address: IpAddr,
    protocol: &str,
    ports: &[&str],
) -> Value {
    let mut rule = json!({
        "kind": "compute#forwardingRule",
        "name": format!("s{index}-{name}"),
        "region": REGION,
        "IPAddress": address,
        "IPProtocol": protocol,
        "loadBalancingScheme": policy.scheme,
        "backendService": format!("{REGION}/backendServices/s{index}"),
    });
    if ports.is_empty() {
        rule["allPorts"] = true.into();
    } else {
        rule["ports"] = ports.into();
    }
    rule
}

pub fn health_check() -> Value {
    json!({
        "kind": "compute#healthCheck",
        "name": "probe",
        "region": REGION,
        "type": "HTTP",
        "httpHealthCheck": {"port": 80},
    })
}

pub fn group(name: &str, members: &BTreeSet<char>) -> Value {
    let endpoint = |member: &char| {
        json!({
            "instance": member.to_string(),
            "ipAddress": address(*member, false),
            "ipv6Address": address(*member, true),
        })
    };
    json!({
        "kind": "compute#networkEndpointGroup",
        "name": name,
        "zone": ZONE,
        "networkEndpointType": "GCE_VM_IP",
        "networkEndpoints": members.iter().map(endpoint).collect::<Vec<_>>(),
    })
}
