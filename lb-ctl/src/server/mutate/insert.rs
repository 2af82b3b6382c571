//! `insert` and `delete`, which all kinds have.

use std::sync::Arc;

use axum::body::Body;
use http::Request;
use serde_json::Value;

use super::request::Asked;
use super::write::{Written, write};
use super::{Mutation, Object, SOURCE, change, fault, required, run};
use crate::control::ControlError;
use crate::resources::Fault;
use crate::server::ApiState;
use crate::server::body::read_resource;
use crate::server::error::{ApiError, ApiResult};
use crate::server::route::Place;

pub(in crate::server) async fn insert(
    state: Arc<ApiState>,
    place: Place,
    request_id: Option<&str>,
    request: Request<Body>,
) -> ApiResult<Value> {
    let (parts, body) = request.into_parts();
    let mut resource = read_resource(&parts, body, state.limits, SOURCE).await?;
    let asked = Asked::new(request_id, &resource)?;
    let mut faults = change::kind_faults(&resource, place.kind);
    faults.extend(take_members(&mut resource));
    let Some(name) = resource.get("name").and_then(Value::as_str) else {
        return Err(nameless(&state, &place, resource, faults).await);
    };
    let mutation = Mutation {
        target: place.resource(name),
        place,
        verb: "insert",
        asked,
    };
    run(state, mutation, move |state, mutation| async move {
        let Mutation { place, target, .. } = &mutation;
        if state.control.resources().contains_key(target) {
            return Err(ControlError::already_exists(target).into());
        }
        write(&state, place, target, None, Written::new(resource, faults)).await
    })
    .await
}

/// Takes out the fields that files may carry and the API may not.
fn take_members(resource: &mut Object) -> Vec<Fault> {
    let fields = [
        ("networkEndpoints", "attachNetworkEndpoints"),
        ("instances", "addInstances"),
    ];
    let refuse = |(field, method): (&str, &str)| {
        resource.shift_remove(field)?;
        Some(Fault {
            hint: Some(format!("the API's method is {method}")),
            ..fault(field, None, "only files have this field")
        })
    };
    fields.into_iter().filter_map(refuse).collect()
}

/// The faults of a resource without a name, which can't be inserted.
async fn nameless(state: &ApiState, place: &Place, resource: Object, mut faults: Vec<Fault>) -> ApiError {
    faults.push(match resource.get("name") {
        None | Some(Value::Null) => required("name"),
        given => fault("name", given, "expected a string"),
    });
    let target = place.resource("unnamed");
    let written = write(state, place, &target, None, Written::new(resource, faults));
    written
        .await
        .err()
        .unwrap_or_else(|| ApiError::required("resource.name"))
}

pub(in crate::server) async fn delete(
    state: Arc<ApiState>,
    place: Place,
    name: &str,
    request_id: Option<&str>,
) -> ApiResult<Value> {
    let mutation = Mutation {
        target: place.resource(name),
        place,
        verb: "delete",
        asked: Asked::new(request_id, &Object::new())?,
    };
    run(state, mutation, |state, mutation| async move {
        state.control.delete(mutation.target).await?;
        Ok(Vec::new())
    })
    .await
}
