//! The members of groups: `listNetworkEndpoints` and `listInstances`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::body::Body;
use http::Request;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::ApiState;
use super::body::read_optional_json;
use super::compute::get;
use super::error::{ApiError, ApiResult};
use super::health::{groups_of, instance_url, state_name};
use super::list::{Item, ListQuery, PARAMETERS, Page};
use super::query::{Pairs, Query};
use super::route::Place;
use crate::control::place::{Parts, resolve, url};
use crate::model::ResourcePath;
use crate::resources::{FieldShape, Kind, field_shape};

/// Of `HealthStatusForNetworkEndpoint`.
const HEALTH_FIELDS: [&str; 6] = [
    "backendService",
    "forwardingRule",
    "healthCheck",
    "healthCheckService",
    "healthState",
    "ipv6HealthState",
];

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EndpointsRequest {
    health_status: Option<String>,
}

pub(super) async fn list_network_endpoints(
    state: &ApiState,
    place: &Place,
    name: &str,
    query: Pairs,
    request: Request<Body>,
) -> ApiResult<Value> {
    let (parts, body) = request.into_parts();
    let asked: EndpointsRequest = read_optional_json(&parts, body, state.limits)
        .await?
        .unwrap_or_default();
    let group = place.resource(name);
    let path = format!("{group}/listNetworkEndpoints");
    let query = Query::checked(query, &PARAMETERS)?;
    let query = ListQuery::read(&query, &path, &endpoint_shape)?;
    let resources = state.control.resources();
    let stored = get(&resources, &group)?;
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
    let items: Vec<(String, Value)> = members(stored, "networkEndpoints")
        .map(|(key, endpoint)| {
            let mut item = json!({ "networkEndpoint": endpoint });
            if let Some(healths) = &healths {
                item["healths"] = json!(healths_of(endpoint, healths));
            }
            (key, item)
        })
        .collect();
    let mut list = page(
        &query,
        &items,
        "compute#networkEndpointGroupsListNetworkEndpoints",
        &path,
    );
    // The reference has no selfLink here.
    if let Some(fields) = list.as_object_mut() {
        fields.shift_remove("selfLink");
    }
    Ok(list)
}

fn page(query: &ListQuery, items: &[(String, Value)], kind: &str, path: &str) -> Value {
    let items = items.iter().map(|(key, value)| Item { key, value });
    let page = query.page(items, |value| value);
    let page = Page {
        items: page.items.into_iter().cloned().collect(),
        next: page.next,
    };
    page.into_list(kind, path)
}

fn endpoint_shape(path: &[String]) -> Option<FieldShape> {
    match path {
        [first] if first == "networkEndpoint" || first == "healths" => Some(FieldShape::Object),
        [first, rest @ ..] if first == "networkEndpoint" => {
            let path = [&["networkEndpoints".to_owned()], rest].concat();
            field_shape(Kind::NetworkEndpointGroup, &path)
        }
        [first, field, ..] if first == "healths" && HEALTH_FIELDS.contains(&field.as_str()) => {
            Some(FieldShape::Open)
        }
        _ => None,
    }
}

fn instance_shape(path: &[String]) -> Option<FieldShape> {
    match path {
        [field] if ["instance", "status"].contains(&field.as_str()) => Some(FieldShape::Text),
        [first, ..] if first == "namedPorts" => Some(FieldShape::Open),
        _ => None,
    }
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
    query: Pairs,
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
    let path = format!("{group}/listInstances");
    let query = Query::checked(query, &PARAMETERS)?;
    let query = ListQuery::read(&query, &path, &instance_shape)?;
    let resources = state.control.resources();
    let stored = get(&resources, &group)?;
    let items: Vec<(String, Value)> = members(stored, "instances")
        .filter_map(|(key, member)| {
            let instance = member["instance"].as_str().or(member["name"].as_str())?;
            let url = instance_url(instance, &group);
            Some((key, json!({ "instance": url, "status": "RUNNING" })))
        })
        .collect();
    Ok(page(&query, &items, "compute#instanceGroupsListInstances", &path))
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

/// What services say of an address.
type Healths = BTreeMap<IpAddr, Vec<EndpointOf>>;

struct EndpointOf {
    service: ResourcePath,
    health_check: String,
    instance: Option<String>,
    healthy: bool,
}

/// What every service that uses the group and probes it says of its endpoints.
async fn healths(state: &ApiState, group: &ResourcePath) -> ApiResult<Healths> {
    let resources = state.control.resources();
    let mut all = Healths::new();
    for (path, service) in resources.iter() {
        let is_service = Kind::of(path) == Some(Kind::BackendService);
        let check = service["healthChecks"][0].as_str();
        let Some(check) = check.filter(|_| is_service && groups_of(service).any(|g| g == *group)) else {
            continue;
        };
        let health_check = resolve(check, Parts::of(path).map_or("", |parts| parts.project))
            .map_or_else(|| check.to_owned(), |check| url(check.as_str()));
        let endpoints = state.control.endpoint_health(path.clone(), Some(group.clone()));
        for health in endpoints.await? {
            all.entry(health.ip_address).or_default().push(EndpointOf {
                service: path.clone(),
                health_check: health_check.clone(),
                instance: health.instance,
                healthy: health.healthy,
            });
        }
    }
    Ok(all)
}

/// The endpoint's part, in the shape of `HealthStatusForNetworkEndpoint`: one entry for each service.
fn healths_of(endpoint: &Value, healths: &Healths) -> Vec<Value> {
    let instance = endpoint["instance"].as_str().map(base_name);
    let mut by_service: BTreeMap<&ResourcePath, Map<String, Value>> = BTreeMap::new();
    for (field, state_field) in [("ipAddress", "healthState"), ("ipv6Address", "ipv6HealthState")] {
        let address = endpoint[field].as_str().and_then(|text| text.parse().ok());
        let known = address.and_then(|address: IpAddr| healths.get(&address));
        for health in known.into_iter().flatten() {
            let same_instance = match (health.instance.as_deref().map(base_name), instance) {
                (Some(a), Some(b)) => a == b,
                _ => true,
            };
            if same_instance {
                let entry = by_service.entry(&health.service).or_default();
                entry.insert(state_field.to_owned(), json!(state_name(health.healthy)));
                let check = json!({ "healthCheck": health.health_check });
                entry.insert("healthCheck".to_owned(), check);
            }
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
