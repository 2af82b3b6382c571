//! Tests of the resource side as its callers see it: documents in; faults, resources and the model out.

mod apply;
mod backend_service;
mod config;
mod documents;
mod fields;
mod forwarding_rule;
mod group;
mod health_check;
mod properties;
mod references;
mod store;
mod store_faults;
mod tables;

use serde_json::{Value, json};

use super::{Applied, Document, Fault, FaultKind, Mode, Resources, Scope, parse};

/// Documents by position: 0 health check, 1 and 2 groups, 3 service, 4 rule; all of it right.
fn internal() -> Value {
    json!([
        {"kind": "compute#healthCheck", "name": "probe", "type": "HTTP", "httpHealthCheck": {"port": 8080}},
        {"kind": "compute#networkEndpointGroup", "name": "one", "networkEndpointType": "GCE_VM_IP", "networkEndpoints": [
            {"instance": "a", "ipAddress": "10.0.0.1"},
            {"instance": "b", "ipAddress": "10.0.0.2", "ipv6Address": "fd00::2"}
        ]},
        {"kind": "compute#networkEndpointGroup", "name": "two", "networkEndpointType": "GCE_VM_IP", "networkEndpoints": [
            {"instance": "c", "ipAddress": "10.0.1.1"}
        ]},
        {"kind": "compute#backendService", "name": "shop", "loadBalancingScheme": "INTERNAL", "protocol": "TCP",
            "healthChecks": ["probe"],
            "backends": [{"group": "one"}, {"group": "two", "failover": true}]},
        {"kind": "compute#forwardingRule", "name": "front", "loadBalancingScheme": "INTERNAL", "IPAddress": "10.0.9.9",
            "IPProtocol": "TCP", "ports": ["80"], "backendService": "shop"}
    ])
}

/// As `internal`, and 5 another rule.
fn external() -> Value {
    let mut documents = internal();
    documents[3]["loadBalancingScheme"] = json!("EXTERNAL");
    documents[3]["protocol"] = json!("UNSPECIFIED");
    documents[4]["loadBalancingScheme"] = json!("EXTERNAL");
    documents[4]["IPAddress"] = json!("192.0.2.1");
    documents.as_array_mut().unwrap().push(json!(
        {"kind": "compute#forwardingRule", "name": "side", "IPAddress": "2001:db8:1::/96",
            "IPProtocol": "UDP", "ports": ["53"], "backendService": "shop"}
    ));
    documents
}

/// Two virtual machines in an instance group: 0 and 1 instances, 2 the group.
fn instances() -> Value {
    json!([
        {"kind": "compute#instance", "name": "vm-1", "networkInterfaces": [{"networkIP": "10.0.5.1"}]},
        {"kind": "compute#instance", "name": "vm-2", "networkInterfaces": [{"networkIP": "10.0.5.2"}]},
        {"kind": "compute#instanceGroup", "name": "vms", "instances": [{"instance": "vm-1"}, {"instance": "vm-2"}]}
    ])
}

/// Sets members by JSON pointer, making objects on the way and appending at `-`.
fn edit(documents: &mut Value, edits: &[(&str, Value)]) {
    for (pointer, value) in edits {
        let mut at = &mut *documents;
        for step in pointer.split('/').skip(1) {
            if step == "-" {
                let items = at.as_array_mut().unwrap();
                items.push(Value::Null);
                at = items.last_mut().unwrap();
            } else if let (true, Ok(index)) = (at.is_array(), step.parse::<usize>()) {
                at = &mut at[index];
            } else {
                at = &mut at[step];
            }
        }
        *at = value.clone();
    }
}

fn documents(value: &Value) -> Vec<Document> {
    parse("test.json", &value.to_string()).unwrap()
}

fn apply_to(resources: &Resources, value: &Value, mode: Mode) -> Result<Applied, Vec<Fault>> {
    let now = "2026-02-03T04:05:06Z".parse().unwrap();
    resources.apply(&documents(value), &Scope::default(), mode, now)
}

fn apply(value: &Value) -> Result<Applied, Vec<Fault>> {
    apply_to(&Resources::default(), value, Mode::Additive)
}

fn faults(value: &Value) -> Vec<Fault> {
    apply(value).err().unwrap_or_default()
}

/// Demands exactly these faults, by path, after the edits.
#[track_caller]
fn expect(mut value: Value, edits: &[(&str, Value)], paths: &[&str]) -> Vec<Fault> {
    edit(&mut value, edits);
    let faults = faults(&value);
    let mut wanted: Vec<&str> = paths.to_vec();
    let mut found: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
    wanted.sort_unstable();
    found.sort_unstable();
    let told: Vec<String> = faults.iter().map(Fault::to_string).collect();
    assert_eq!(found, wanted, "edits {edits:?} told {told:#?}");
    faults
}

#[track_caller]
fn expect_one(value: Value, edits: &[(&str, Value)], path: &str, reason: &str) -> Fault {
    let fault = expect(value, edits, &[path]).remove(0);
    assert!(fault.reason.contains(reason), "{fault}");
    fault
}

fn kinds(faults: &[Fault]) -> Vec<FaultKind> {
    faults.iter().map(|fault| fault.kind).collect()
}
