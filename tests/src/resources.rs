//! Compute Engine JSON in numbers: one function for each kind, for tests that need many of them.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::traffic::HEALTH_PORT;

pub const REGION: &str = "projects/lab/regions/lab-1";
const ZONES: &str = "projects/lab/zones";

/// Where a group of this name is.
pub fn group_path(zone: &str, name: &str) -> String {
    format!("{ZONES}/{zone}/networkEndpointGroups/{name}")
}

pub fn service_path(name: &str) -> String {
    format!("{REGION}/backendServices/{name}")
}

/// By HTTP; one probe decides.
pub fn http_check(name: &str, interval_sec: u32) -> Value {
    json!({
        "kind": "compute#healthCheck", "name": name, "region": REGION, "type": "HTTP",
        "checkIntervalSec": interval_sec, "timeoutSec": interval_sec, "healthyThreshold": 1, "unhealthyThreshold": 1,
        "httpHealthCheck": {"port": HEALTH_PORT, "requestPath": "/"},
    })
}

/// By a TCP connection; one probe decides.
pub fn tcp_check(name: &str, interval_sec: u32) -> Value {
    json!({
        "kind": "compute#healthCheck", "name": name, "region": REGION, "type": "TCP",
        "checkIntervalSec": interval_sec, "timeoutSec": interval_sec, "healthyThreshold": 1, "unhealthyThreshold": 1,
        "tcpHealthCheck": {"port": HEALTH_PORT},
    })
}

/// As `networkEndpoints[]` has it.
pub fn endpoint(addresses: &[IpAddr]) -> Value {
    let mut endpoint = json!({});
    for address in addresses {
        let field = if address.is_ipv4() {
            "ipAddress"
        } else {
            "ipv6Address"
        };
        endpoint[field] = address.to_string().into();
    }
    endpoint
}

pub fn group(zone: &str, name: &str, endpoints: impl IntoIterator<Item = Value>) -> Value {
    json!({
        "kind": "compute#networkEndpointGroup", "name": name, "zone": format!("{ZONES}/{zone}"),
        "networkEndpointType": "GCE_VM_IP", "networkEndpoints": endpoints.into_iter().collect::<Vec<_>>(),
    })
}

/// Of TCP, with these groups (as [`group_path`] names them) and the fields of `more`.
pub fn service(name: &str, scheme: &str, groups: &[String], check: Option<&str>, more: Value) -> Value {
    let backends = groups
        .iter()
        .map(|group| json!({"group": group, "balancingMode": "CONNECTION"}));
    let mut service = json!({
        "kind": "compute#backendService", "name": name, "region": REGION, "protocol": "TCP",
        "loadBalancingScheme": scheme, "backends": backends.collect::<Vec<_>>(),
    });
    if let Some(check) = check {
        service["healthChecks"] = json!([format!("{REGION}/healthChecks/{check}")]);
    }
    if let Value::Object(more) = more {
        service.as_object_mut().expect("an object").extend(more);
    }
    service
}

/// TCP port 80 of a VIP to a service.
pub fn rule(name: &str, scheme: &str, vip: IpAddr, service: &str) -> Value {
    json!({
        "kind": "compute#forwardingRule", "name": name, "region": REGION, "IPAddress": vip,
        "ipVersion": if vip.is_ipv4() { "IPV4" } else { "IPV6" }, "IPProtocol": "TCP", "ports": ["80"],
        "loadBalancingScheme": scheme, "backendService": service_path(service),
    })
}
