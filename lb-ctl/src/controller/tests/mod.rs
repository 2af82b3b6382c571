//! The controller over its seams in memory: what it does when they fail, and what goes on while they hang.

mod announcing;
mod faults;
mod interfaces;
mod random;
mod waiting;
mod ways;

use serde_json::{Value, json};

/// A service `name` with endpoints 10.0.0.x, its rule at 192.0.2.x, and its group.
pub(super) fn service(name: &str, vip: u8, hosts: &[u8]) -> Value {
    let endpoints: Vec<Value> = hosts
        .iter()
        .map(|host| json!({"ipAddress": format!("10.0.0.{host}")}))
        .collect();
    json!([
        {"kind": "compute#healthCheck", "name": "hc", "type": "TCP", "tcpHealthCheck": {"port": 80}},
        {"kind": "compute#networkEndpointGroup", "name": name, "networkEndpointType": "GCE_VM_IP",
         "networkEndpoints": endpoints},
        {"kind": "compute#backendService", "name": name, "loadBalancingScheme": "EXTERNAL", "protocol": "TCP",
         "healthChecks": ["hc"], "backends": [{"group": name}]},
        {"kind": "compute#forwardingRule", "name": name, "loadBalancingScheme": "EXTERNAL", "IPProtocol": "TCP",
         "IPAddress": format!("192.0.2.{vip}"), "ports": ["80"], "backendService": name},
    ])
}
