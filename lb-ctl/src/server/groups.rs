//! The members of groups: `listNetworkEndpoints` and `listInstances`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::body::Body;
use http::Request;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::ApiState;
use super::body::read_optional_json;
use super::compute::{get, paged};
use super::error::{ApiError, ApiResult};
use super::health::{groups_of, instance_url, state_name};
use super::query::Query;
use super::route::Place;
use crate::control::place::url;
use crate::model::ResourcePath;
use crate::resources::Kind;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EndpointsRequest {
    health_status: Option<String>,
    endpoint_filters: Option<Vec<Value>>,
}

pub(super) async fn list_network_endpoints(
    state: &ApiState,
    place: &Place,
    name: &str,
    query: &Query,
    request: Request<Body>,
) -> ApiResult<Value> {
    let (parts, body) = request.into_parts();
    let asked: EndpointsRequest = read_optional_json(&parts, body, state.limits)
        .await?
        .unwrap_or_default();
    if asked.endpoint_filters.is_some_and(|filters| !filters.is_empty()) {
        return Err(ApiError::not_supported_yet("The field 'endpointFilters'"));
    }
    let group = place.resource(name);
    let stored = get(&state.control.resources(), &group)?;
    let healths = match asked.health_status.as_deref() {
        Some("SHOW") => Some(healths(state, &group).await?),
        None | Some("SKIP") => None,
        Some(other) => {
            return Err(ApiError::invalid(
                "healthStatus",
                other,
                "Must be one of [SHOW, SKIP].",
            ));
        }
    };
    let items = members(&stored, "networkEndpoints").map(|(key, endpoint)| {
        let mut item = json!({ "networkEndpoint": endpoint });
        if let Some(healths) = &healths {
            item["healths"] = json!(healths_of(endpoint, healths));
        }
        (key, item)
    });
    let mut list = paged(items, query)?;
    list["kind"] = json!("compute#networkEndpointGroupsListNetworkEndpoints");
    list["id"] = json!(format!("{group}/listNetworkEndpoints"));
    Ok(list)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InstancesRequest {
    instance_state: Option<String>,
}

/// Every instance counts as running: whether it serves is the health check's business.
pub(super) async fn list_instances(
    state: &ApiState,
    place: &Place,
    name: &str,
    query: &Query,
    request: Request<Body>,
) -> ApiResult<Value> {
    let (parts, body) = request.into_parts();
    let asked: InstancesRequest = read_optional_json(&parts, body, state.limits)
        .await?
        .unwrap_or_default();
    if let Some(other) = asked
        .instance_state
        .filter(|s| !matches!(s.as_str(), "ALL" | "RUNNING"))
    {
        return Err(ApiError::invalid(
            "instanceState",
            other,
            "Must be one of [ALL, RUNNING].",
        ));
    }
    let group = place.resource(name);
    let stored = get(&state.control.resources(), &group)?;
    let items = members(&stored, "instances").filter_map(|(key, member)| {
        let instance = member["instance"].as_str().or(member["name"].as_str())?;
        Some((
            key,
            json!({ "instance": instance_url(instance, &group), "status": "RUNNING" }),
        ))
    });
    let mut list = paged(items, query)?;
    list["kind"] = json!("compute#instanceGroupsListInstances");
    list["id"] = json!(format!("{group}/listInstances"));
    list["selfLink"] = json!(url(&format!("{group}/listInstances")));
    Ok(list)
}

/// The group's members by a key that orders them, so that a page token can name a position.
fn members<'a>(group: &'a Value, field: &str) -> impl Iterator<Item = (String, &'a Value)> {
    let members = group[field].as_array().into_iter().flatten();
    let sorted: BTreeMap<String, &Value> = members.map(|member| (member_key(member), member)).collect();
    sorted.into_iter()
}

fn member_key(member: &Value) -> String {
    let field = |name: &str| member[name].as_str().unwrap_or_default();
    let instance = field("instance").rsplit('/').next().unwrap_or_default();
    [instance, field("name"), field("ipAddress"), field("ipv6Address")]
        .join(" ")
        .trim()
        .to_owned()
}

type Healths = Vec<(ResourcePath, IpAddr, Option<String>, bool)>;

/// What every service that uses the group says of its endpoints.
async fn healths(state: &ApiState, group: &ResourcePath) -> ApiResult<Healths> {
    let resources = state.control.resources();
    let mut all = Healths::new();
    for (path, service) in resources.iter() {
        let is_service = Kind::of(path) == Some(Kind::BackendService);
        if !is_service || !groups_of(service).any(|g| g == *group) {
            continue;
        }
        for health in state
            .control
            .endpoint_health(path.clone(), Some(group.clone()))
            .await?
        {
            all.push((path.clone(), health.ip_address, health.instance, health.healthy));
        }
    }
    Ok(all)
}

/// The endpoint's part, in the shape of `HealthStatusForNetworkEndpoint`: one entry for each service.
fn healths_of(endpoint: &Value, healths: &Healths) -> Vec<Value> {
    let address = |field: &str| {
        endpoint[field]
            .as_str()
            .and_then(|text| text.parse::<IpAddr>().ok())
    };
    let (ipv4, ipv6) = (address("ipAddress"), address("ipv6Address"));
    let instance = endpoint["instance"].as_str().map(base_name);
    let mut by_service: BTreeMap<&ResourcePath, Map<String, Value>> = BTreeMap::new();
    for (service, ip, of_instance, healthy) in healths {
        let same_instance = match (of_instance.as_deref().map(base_name), instance) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        if same_instance && (ipv4 == Some(*ip) || ipv6 == Some(*ip)) {
            let field = if ip.is_ipv4() {
                "healthState"
            } else {
                "ipv6HealthState"
            };
            by_service
                .entry(service)
                .or_default()
                .insert(field.to_owned(), json!(state_name(*healthy)));
        }
    }
    let entry = |(service, mut entry): (&ResourcePath, Map<String, Value>)| {
        entry.insert(
            "backendService".to_owned(),
            json!({ "backendService": url(service.as_str()) }),
        );
        Value::Object(entry)
    };
    by_service.into_iter().map(entry).collect()
}

fn base_name(instance: &str) -> &str {
    instance.rsplit('/').next().unwrap_or(instance)
}
