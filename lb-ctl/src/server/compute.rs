//! The Compute API's methods: from a request to the one that answers it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{Request, Uri};
use serde_json::{Value, json};

use super::ApiState;
use super::collections::{self, api_shape};
use super::error::{ApiError, ApiResult};
use super::query::{Pairs, Query};
use super::representation::Representation;
use super::route::{Action, route};
use super::{groups, health, iam, mutate, path, scopes};
use crate::control::ResourceMap;
use crate::control::place::Location;
use crate::model::ResourcePath;

const BASE: &str = "/compute/v1/projects/";

pub(super) async fn handle(State(state): State<Arc<ApiState>>, request: Request<Body>) -> Response {
    let read = |uri: &Uri| {
        let path = path::decode(uri.path().strip_prefix(BASE).unwrap_or_default())?;
        let query = Query::pairs(uri)?;
        let representation = Representation::read(&query)?;
        Ok((path, query, representation))
    };
    let (path, query, representation) = match read(request.uri()) {
        Ok(read) => read,
        Err(refusal) => return ApiError::into_response(refusal),
    };
    match answer(state, &path, query, request).await {
        Ok(value) => representation.write(value),
        Err(refusal) => refusal.into_response(),
    }
}

async fn answer(state: Arc<ApiState>, path: &str, query: Pairs, request: Request<Body>) -> ApiResult<Value> {
    let action = route(request.method(), path)
        .map_err(|error| ApiError::route(error, request.method(), request.uri().path()))?;
    match action {
        Action::List(place) => collections::list(&state, &place, query),
        Action::ListUsable(place) => collections::list_usable(&place, query),
        Action::ListInstanceGroupManagers(place) => collections::list_instance_group_managers(&place, query),
        Action::Aggregated { project, kind } => collections::aggregated(&state, &project, kind, query),
        Action::AggregatedOperations(project) => collections::aggregated_operations(&state, &project, query),
        Action::GetProject(project) => {
            plain(query)?;
            Ok(scopes::project(&project))
        }
        Action::ListScopes(project, kind) => scopes::list(&state, &project, kind, query),
        Action::GetScope(project, location) => {
            plain(query)?;
            scopes::get(&state, &project, &location)
        }
        Action::Get(place, name) => {
            plain(query)?;
            let resources = state.control.resources();
            get(&resources, &place.resource(&name)).map(api_shape)
        }
        Action::GetIamPolicy(place, name) => iam::get_policy(&state, &place, &name, query).await,
        Action::SetIamPolicy(place, name) => iam::set_policy(state, &place, &name, query, request).await,
        Action::TestIamPermissions(place, name) => {
            iam::test_permissions(&state, &place, &name, query, request).await
        }
        Action::Insert(place) => {
            let query = Query::checked(query, &["requestId"])?;
            mutate::insert(state, place, query.get("requestId"), request).await
        }
        Action::Edit(place, name, verb) => {
            let query = Query::checked(query, &["requestId"])?;
            mutate::edit(state, place, &name, verb, query.get("requestId"), request).await
        }
        Action::Delete(place, name) => {
            let query = Query::checked(query, &["requestId"])?;
            mutate::delete(state, place, &name, query.get("requestId")).await
        }
        Action::GetHealth(place, name) => {
            plain(query)?;
            health::get_health(&state, &place, &name, request).await
        }
        Action::ListNetworkEndpoints(place, name) => {
            groups::list_network_endpoints(&state, &place, &name, query, request).await
        }
        Action::ListInstances(place, name) => {
            groups::list_instances(&state, &place, &name, query, request).await
        }
        Action::ListOperations { project, location } => {
            collections::operations(&state, &project, &location, query)
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
                // The reference has no body here; the official clients read one.
                true => Ok(json!({})),
                false => Err(operation_not_found(&project, &location, &name)),
            }
        }
    }
}

fn plain(query: Pairs) -> ApiResult<()> {
    Query::checked(query, &[]).map(drop)
}

fn operation_not_found(project: &str, location: &Location, name: &str) -> ApiError {
    ApiError::resource_not_found(format!(
        "projects/{project}/{}/operations/{name}",
        location.segment()
    ))
}

/// The stored resource.
pub(super) fn get<'a>(resources: &'a ResourceMap, path: &ResourcePath) -> ApiResult<&'a Value> {
    resources
        .get(path)
        .ok_or_else(|| ApiError::resource_not_found(path))
}
