//! Lists of resources, with gcloud's columns.

use std::io::{self, Write};

use serde_json::Value;

use super::table::table;
use crate::control::ResourceMap;
use crate::control::place::{Location, Parts, canonical};
use crate::model::ResourcePath;
use crate::resources::Kind;

type Row = fn(&ResourcePath, &Value) -> Vec<String>;

/// The resources, all of the one kind.
pub fn render_resource_list(out: &mut dyn Write, kind: Kind, resources: &ResourceMap) -> io::Result<()> {
    let (header, row): (&[&str], Row) = match kind {
        Kind::BackendService => (
            &[
                "NAME",
                "BACKENDS",
                "PROTOCOL",
                "LOAD_BALANCING_SCHEME",
                "HEALTH_CHECKS",
            ],
            backend_service,
        ),
        Kind::ForwardingRule => (
            &["NAME", "REGION", "IP_ADDRESS", "IP_PROTOCOL", "TARGET"],
            forwarding_rule,
        ),
        Kind::HealthCheck => (&["NAME", "REGION", "PROTOCOL"], health_check),
        Kind::NetworkEndpointGroup => (
            &["NAME", "LOCATION", "ENDPOINT_TYPE", "SIZE"],
            network_endpoint_group,
        ),
        Kind::InstanceGroup => (
            &["NAME", "LOCATION", "SCOPE", "NETWORK", "MANAGED", "INSTANCES"],
            instance_group,
        ),
        Kind::Instance => (&["NAME", "ZONE", "INTERNAL_IP"], instance),
    };
    table(
        out,
        header,
        resources.iter().map(|(path, resource)| row(path, resource)),
    )
}

fn backend_service(path: &ResourcePath, service: &Value) -> Vec<String> {
    let backends = service["backends"].as_array().into_iter().flatten();
    let backends: Vec<String> = backends.filter_map(|b| b["group"].as_str()).map(short).collect();
    let checks = service["healthChecks"].as_array().into_iter().flatten();
    let checks: Vec<&str> = checks.filter_map(Value::as_str).map(base_name).collect();
    vec![
        path.name().to_owned(),
        backends.join(","),
        text(service, "protocol").to_owned(),
        text(service, "loadBalancingScheme").to_owned(),
        checks.join(","),
    ]
}

fn forwarding_rule(path: &ResourcePath, rule: &Value) -> Vec<String> {
    vec![
        path.name().to_owned(),
        location_name(path),
        text(rule, "IPAddress").to_owned(),
        text(rule, "IPProtocol").to_owned(),
        short(text(rule, "backendService")),
    ]
}

fn health_check(path: &ResourcePath, check: &Value) -> Vec<String> {
    let region = match Parts::of(path).map(|parts| parts.location) {
        Some(Location::Region(name)) => name,
        _ => String::new(),
    };
    vec![path.name().to_owned(), region, text(check, "type").to_owned()]
}

fn network_endpoint_group(path: &ResourcePath, group: &Value) -> Vec<String> {
    vec![
        path.name().to_owned(),
        location_name(path),
        text(group, "networkEndpointType").to_owned(),
        size(group, "networkEndpoints"),
    ]
}

fn instance_group(path: &ResourcePath, group: &Value) -> Vec<String> {
    vec![
        path.name().to_owned(),
        location_name(path),
        "zone".to_owned(),
        base_name(text(group, "network")).to_owned(),
        "No".to_owned(),
        size(group, "instances"),
    ]
}

fn instance(path: &ResourcePath, instance: &Value) -> Vec<String> {
    let interfaces = instance["networkInterfaces"].as_array().into_iter().flatten();
    let addresses = interfaces.flat_map(|interface| [&interface["networkIP"], &interface["ipv6Address"]]);
    let addresses: Vec<&str> = addresses.filter_map(Value::as_str).collect();
    vec![path.name().to_owned(), location_name(path), addresses.join(",")]
}

/// The members of a network endpoint group or an instance group, as the API lists them.
pub fn render_members(out: &mut dyn Write, kind: Kind, items: &[Value]) -> io::Result<()> {
    match kind {
        Kind::InstanceGroup => {
            let row = |item: &Value| {
                vec![
                    base_name(text(item, "instance")).to_owned(),
                    text(item, "status").to_owned(),
                ]
            };
            table(out, &["NAME", "STATUS"], items.iter().map(row))
        }
        _ => {
            let row = |item: &Value| {
                let endpoint = &item["networkEndpoint"];
                let port = endpoint["port"].as_u64().map(|port| port.to_string());
                vec![
                    base_name(text(endpoint, "instance")).to_owned(),
                    text(endpoint, "ipAddress").to_owned(),
                    text(endpoint, "ipv6Address").to_owned(),
                    port.unwrap_or_default(),
                ]
            };
            table(
                out,
                &["INSTANCE", "IP_ADDRESS", "IPV6_ADDRESS", "PORT"],
                items.iter().map(row),
            )
        }
    }
}

fn size(group: &Value, members: &str) -> String {
    let members = group[members].as_array().map(|members| members.len() as u64);
    members.or(group["size"].as_u64()).unwrap_or(0).to_string()
}

fn text<'a>(resource: &'a Value, field: &str) -> &'a str {
    resource[field].as_str().unwrap_or_default()
}

fn base_name(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or(reference)
}

fn location_name(path: &ResourcePath) -> String {
    Parts::of(path)
        .map(|parts| parts.location.name().to_owned())
        .unwrap_or_default()
}

/// `europe-west4-a/networkEndpointGroups/web`, as gcloud shortens a reference.
fn short(reference: &str) -> String {
    let path = canonical(reference);
    match path.as_ref().and_then(Parts::of) {
        Some(parts) => format!("{}/{}/{}", parts.location.name(), parts.noun, parts.name),
        None => reference.to_owned(),
    }
}
