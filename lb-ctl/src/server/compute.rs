//! The Compute API's methods that read, and the way to those that change.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query as UrlQuery, State};
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode};
use serde_json::{Map, Value, json};

use super::ApiState;
use super::error::{ApiError, ApiResult};
use super::query::Query;
use super::route::{Action, Place, route};
use super::{groups, health, mutate};
use crate::control::ResourceMap;
use crate::control::place::{Location, Parts, url};
use crate::model::ResourcePath;
use crate::resources::Kind;

const MAX_RESULTS: usize = 500;
const LIST: [&str; 2] = ["maxResults", "pageToken"];
const LIST_UNBUILT: [&str; 2] = ["filter", "orderBy"];

pub(super) async fn handle(
    State(state): State<Arc<ApiState>>,
    path: Result<Path<String>, PathRejection>,
    query: Result<UrlQuery<Vec<(String, String)>>, QueryRejection>,
    request: Request<Body>,
) -> Response {
    let answer = match (path, query) {
        (Ok(Path(path)), Ok(UrlQuery(query))) => answer(state, &path, query, request).await,
        (Err(error), _) => Err(ApiError::bad_request(error.body_text())),
        (_, Err(error)) => Err(ApiError::bad_request(error.body_text())),
    };
    match answer {
        Ok(Value::Null) => StatusCode::NO_CONTENT.into_response(),
        Ok(value) => Json(value).into_response(),
        Err(error) => error.into_response(),
    }
}

type Pairs = Vec<(String, String)>;

async fn answer(state: Arc<ApiState>, path: &str, query: Pairs, request: Request<Body>) -> ApiResult<Value> {
    let action = route(request.method(), path)
        .map_err(|error| ApiError::route(error, request.method(), request.uri().path()))?;
    match action {
        Action::List(place) => list(&state, &place, &Query::checked(query, &LIST, &LIST_UNBUILT)?),
        Action::Aggregated { project, kind } => {
            Query::checked(
                query,
                &["includeAllScopes"],
                &["filter", "orderBy", "maxResults", "pageToken"],
            )?;
            Ok(aggregated(&state.control.resources(), &project, kind))
        }
        Action::Get(place, name) => {
            plain(query)?;
            get(&state.control.resources(), &place.resource(&name)).map(api_shape)
        }
        Action::Insert(place) => {
            let query = Query::checked(query, &["requestId"], &[])?;
            mutate::insert(state, place, query.get("requestId"), request).await
        }
        Action::Edit(place, name, verb) => {
            let query = Query::checked(query, &["requestId"], &[])?;
            mutate::edit(state, place, &name, verb, query.get("requestId"), request).await
        }
        Action::Delete(place, name) => {
            let query = Query::checked(query, &["requestId"], &[])?;
            mutate::delete(state, place, &name, query.get("requestId")).await
        }
        Action::GetHealth(place, name) => {
            plain(query)?;
            health::get_health(&state, &place, &name, request).await
        }
        Action::ListNetworkEndpoints(place, name) => {
            let query = Query::checked(query, &LIST, &LIST_UNBUILT)?;
            groups::list_network_endpoints(&state, &place, &name, &query, request).await
        }
        Action::ListInstances(place, name) => {
            let query = Query::checked(query, &LIST, &LIST_UNBUILT)?;
            groups::list_instances(&state, &place, &name, &query, request).await
        }
        Action::ListOperations { project, location } => {
            let query = Query::checked(query, &LIST, &LIST_UNBUILT)?;
            operations(&state, &project, &location, &query)
        }
        Action::GetOperation {
            project,
            location,
            name,
        }
        | Action::WaitOperation {
            project,
            location,
            name,
        } => {
            plain(query)?;
            let operations = state.operations();
            let found = operations.get(&project, &location, &name).cloned();
            found.ok_or_else(|| operation_not_found(&project, &location, &name))
        }
        Action::DeleteOperation {
            project,
            location,
            name,
        } => {
            plain(query)?;
            match state.operations().delete(&project, &location, &name) {
                true => Ok(Value::Null),
                false => Err(operation_not_found(&project, &location, &name)),
            }
        }
    }
}

fn plain(query: Pairs) -> ApiResult<()> {
    Query::checked(query, &[], &[]).map(drop)
}

fn operation_not_found(project: &str, location: &Location, name: &str) -> ApiError {
    ApiError::resource_not_found(format!(
        "projects/{project}/{}/operations/{name}",
        location.segment()
    ))
}

/// The stored resource.
pub(super) fn get(resources: &ResourceMap, path: &ResourcePath) -> ApiResult<Value> {
    resources
        .get(path)
        .cloned()
        .ok_or_else(|| ApiError::resource_not_found(path))
}

/// As the API shows it: members of groups have methods of their own.
fn api_shape(mut resource: Value) -> Value {
    if let Some(fields) = resource.as_object_mut() {
        fields.shift_remove("networkEndpoints");
        fields.shift_remove("instances");
    }
    resource
}

fn list(state: &ApiState, place: &Place, query: &Query) -> ApiResult<Value> {
    let prefix = format!("{}/", place.path());
    let resources = state.control.resources();
    let items = resources
        .range(ResourcePath::from_canonical(prefix.clone())..)
        .take_while(|(path, _)| path.as_str().starts_with(&prefix))
        .map(|(path, resource)| (path.name().to_owned(), api_shape(resource.clone())));
    let mut list = paged(items, query)?;
    describe_list(&mut list, &format!("{}List", place.kind.as_api()), &place.path());
    Ok(list)
}

fn operations(state: &ApiState, project: &str, location: &Location, query: &Query) -> ApiResult<Value> {
    let operations = state.operations().list(project, location);
    let items = operations
        .into_iter()
        .map(|o| (o["name"].as_str().unwrap_or_default().to_owned(), o));
    let mut list = paged(items, query)?;
    let path = format!("projects/{project}/{}/operations", location.segment());
    describe_list(&mut list, "compute#operationList", &path);
    Ok(list)
}

fn describe_list(list: &mut Value, kind: &str, path: &str) {
    list["kind"] = json!(kind);
    list["id"] = json!(path);
    list["selfLink"] = json!(url(path));
}

/// One page of named items, which come sorted by name: `{"items":[…],"nextPageToken":…}`. The token is the last name of
/// the page before, so what is inserted or deleted meanwhile makes no other item appear twice or not at all.
pub(super) fn paged(items: impl Iterator<Item = (String, Value)>, query: &Query) -> ApiResult<Value> {
    let max = match query.number("maxResults", MAX_RESULTS)? {
        None | Some(0) => MAX_RESULTS,
        Some(max) => max,
    };
    let after = query.get("pageToken").unwrap_or_default();
    let mut rest = items.skip_while(|(name, _)| !after.is_empty() && name.as_str() <= after);
    let page: Vec<(String, Value)> = rest.by_ref().take(max).collect();
    let token = page
        .last()
        .map(|(name, _)| name.clone())
        .filter(|_| rest.next().is_some());
    let mut list = json!({ "items": page.into_iter().map(|(_, item)| item).collect::<Vec<_>>() });
    if let Some(token) = token {
        list["nextPageToken"] = json!(token);
    }
    Ok(list)
}

fn aggregated(resources: &ResourceMap, project: &str, kind: Kind) -> Value {
    let mut places = Map::new();
    for (path, resource) in resources {
        let Some(parts) = Parts::of(path) else { continue };
        if parts.project == project && parts.noun == kind.collection() {
            let place = places
                .entry(parts.location.segment())
                .or_insert_with(|| json!({ (kind.collection()): [] }));
            if let Some(items) = place[kind.collection()].as_array_mut() {
                items.push(api_shape(resource.clone()));
            }
        }
    }
    let mut list = json!({ "items": places });
    let path = format!("projects/{project}/aggregated/{}", kind.collection());
    describe_list(&mut list, &format!("{}AggregatedList", kind.as_api()), &path);
    list
}
