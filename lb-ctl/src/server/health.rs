//! `backendServices.getHealth`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::body::Body;
use http::Request;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiState;
use super::body::read_json;
use super::compute::get;
use super::error::{ApiError, ApiResult};
use super::route::Place;
use crate::control::ResourceMap;
use crate::control::place::{Parts, canonical, resolve, url};
use crate::model::ResourcePath;
use crate::resources::Kind;
use crate::views::EndpointHealth;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupReference {
    group: String,
}

pub(super) async fn get_health(
    state: &ApiState,
    place: &Place,
    name: &str,
    request: Request<Body>,
) -> ApiResult<Value> {
    let (parts, body) = request.into_parts();
    let GroupReference { group: reference } = read_json(&parts, body, state.limits).await?;
    let service = place.resource(name);
    let resources = state.control.resources();
    let stored = get(&resources, &service)?;
    let group = resolve(&reference, &place.project)
        .filter(|group| groups_of(stored).any(|g| g == *group))
        .ok_or_else(|| {
            ApiError::invalid(
                "resource.group",
                &reference,
                "The backend service has no such group.",
            )
        })?;
    let rules = rules_of(&resources, &service);
    let members = resources.get(&group).map(Annotations::of).unwrap_or_default();
    let healths = state.control.endpoint_health(service, Some(group)).await?;
    let status: Vec<Value> = healths
        .iter()
        .flat_map(|health| statuses(health, &rules, &members))
        .collect();
    let mut answer = json!({ "kind": "compute#backendServiceGroupHealth", "healthStatus": status });
    if let Some(annotations) = members.group {
        answer["annotations"] = annotations.clone();
    }
    Ok(answer)
}

/// Of a network endpoint group and of its endpoints, those that have any.
#[derive(Default)]
struct Annotations<'a> {
    group: Option<&'a Value>,
    endpoints: BTreeMap<IpAddr, &'a Value>,
}

impl<'a> Annotations<'a> {
    fn of(group: &'a Value) -> Self {
        let endpoints = group["networkEndpoints"].as_array().into_iter().flatten();
        let by_address = endpoints.flat_map(|endpoint| {
            let addresses = ["ipAddress", "ipv6Address"].map(|field| endpoint[field].as_str());
            let annotations = endpoint.get("annotations");
            addresses
                .into_iter()
                .filter_map(move |address| Some((address?.parse().ok()?, annotations?)))
        });
        Self {
            group: group.get("annotations"),
            endpoints: by_address.collect(),
        }
    }
}

/// The groups that a stored backend service names.
pub(super) fn groups_of(service: &Value) -> impl Iterator<Item = ResourcePath> {
    let backends = service["backends"].as_array().into_iter().flatten();
    backends.filter_map(|backend| canonical(backend["group"].as_str()?))
}

struct Rule {
    path: ResourcePath,
    address: String,
    is_ipv4: bool,
}

fn rules_of(resources: &ResourceMap, service: &ResourcePath) -> Vec<Rule> {
    let rules = resources.iter().filter(|(path, rule)| {
        Kind::of(path) == Some(Kind::ForwardingRule)
            && rule["backendService"].as_str().and_then(canonical).as_ref() == Some(service)
    });
    rules
        .filter_map(|(path, rule)| {
            let address = rule["IPAddress"].as_str()?;
            let ip: IpAddr = address.split('/').next()?.parse().ok()?;
            Some(Rule {
                path: path.clone(),
                address: address.to_owned(),
                is_ipv4: ip.is_ipv4(),
            })
        })
        .collect()
}

/// One for each rule of the endpoint's address family, as the cloud reports; one without a rule when there is none.
fn statuses(health: &EndpointHealth, rules: &[Rule], members: &Annotations<'_>) -> Vec<Value> {
    let mut of_family = rules
        .iter()
        .filter(|rule| rule.is_ipv4 == health.ip_address.is_ipv4())
        .peekable();
    if of_family.peek().is_none() {
        return vec![status(health, members)];
    }
    of_family
        .map(|rule| {
            let mut status = status(health, members);
            status["forwardingRule"] = json!(url(rule.path.as_str()));
            status["forwardingRuleIp"] = json!(rule.address);
            status
        })
        .collect()
}

fn status(health: &EndpointHealth, members: &Annotations<'_>) -> Value {
    let state = state_name(health.healthy);
    let mut status = json!({ "healthState": state, "ipAddress": health.ip_address });
    if health.ip_address.is_ipv6() {
        status["ipv6Address"] = json!(health.ip_address);
        status["ipv6HealthState"] = json!(state);
    }
    if let Some(annotations) = members.endpoints.get(&health.ip_address) {
        status["annotations"] = (*annotations).clone();
    }
    if let Some(instance) = &health.instance {
        status["instance"] = json!(instance_url(instance, &health.group));
    }
    if let Some(port) = health.port {
        status["port"] = json!(port);
    }
    if let Some(weight) = health.weight {
        status["weight"] = json!(weight.to_string());
    }
    if let Some(error) = &health.weight_error {
        status["weightError"] = json!(error);
    }
    status
}

pub(super) fn state_name(healthy: bool) -> &'static str {
    if healthy { "HEALTHY" } else { "UNHEALTHY" }
}

/// Groups name their instances by URL or by bare name; the API always answers with a URL.
pub(super) fn instance_url(instance: &str, group: &ResourcePath) -> String {
    match Parts::of(group) {
        Some(parts) if !instance.contains('/') => url(&format!(
            "projects/{}/{}/instances/{instance}",
            parts.project,
            parts.location.segment()
        )),
        _ => instance.to_owned(),
    }
}
