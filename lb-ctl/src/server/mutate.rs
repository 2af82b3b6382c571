//! The Compute API's methods that change something: insert and delete.

use std::sync::Arc;

use axum::body::Body;
use http::Request;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::ApiState;
use super::body::read_resource;
use super::error::{ApiError, ApiResult};
use super::operation::{Done, RequestKey};
use super::route::Place;
use crate::control::place::{Location, url};
use crate::control::{ApplyOptions, ControlError};
use crate::model::ResourcePath;
use crate::resources::{Document, Fault, FaultKind, Kind};

/// What faults name as the source of a resource that came by the API.
const SOURCE: &str = "request";

pub(super) async fn insert(
    state: Arc<ApiState>,
    place: Place,
    request_id: Option<&str>,
    request: Request<Body>,
) -> ApiResult<Value> {
    let (parts, body) = request.into_parts();
    let mut resource = read_resource(&parts, body, state.limits, SOURCE).await?;
    check_body(&resource, place.kind)?;
    let name = resource
        .get("name")
        .and_then(Value::as_str)
        .ok_or_else(|| ApiError::required("resource.name"))?;
    let target = place.resource(name);
    locate(&mut resource, &place, &target);
    let mutation = Mutation {
        place,
        target,
        verb: "insert",
        request_id: request_id.map(str::to_owned),
    };
    run(state, mutation, move |state, mutation| async move {
        if state.control.resources().contains_key(&mutation.target) {
            return Err(ControlError::already_exists(&mutation.target));
        }
        let document = Document {
            source: SOURCE.to_owned(),
            json_path: "$".to_owned(),
            value: Value::Object(resource),
        };
        let report = state
            .control
            .apply(vec![document], options(&mutation.place))
            .await?;
        Ok(report.warnings)
    })
    .await
}

pub(super) async fn delete(
    state: Arc<ApiState>,
    place: Place,
    name: &str,
    request_id: Option<&str>,
) -> ApiResult<Value> {
    let target = place.resource(name);
    let mutation = Mutation {
        place,
        target,
        verb: "delete",
        request_id: request_id.map(str::to_owned),
    };
    run(state, mutation, |state, mutation| async move {
        state.control.delete(mutation.target).await.map(|()| Vec::new())
    })
    .await
}

#[derive(Clone)]
struct Mutation {
    place: Place,
    target: ResourcePath,
    verb: &'static str,
    request_id: Option<String>,
}

/// Does the work, which returns warnings, as the only mutation at the time, and to its end even if the client goes
/// away; answers with its operation.
async fn run<W, F>(state: Arc<ApiState>, mutation: Mutation, work: W) -> ApiResult<Value>
where
    W: FnOnce(Arc<ApiState>, Mutation) -> F + Send + 'static,
    F: Future<Output = Result<Vec<String>, ControlError>> + Send,
{
    let task = tokio::spawn(async move {
        let _only = state.mutation.lock().await;
        if let Some(operation) = done_before(&state, &mutation) {
            return Ok(operation);
        }
        let started = Timestamp::now();
        let id_before = target_id(&state, &mutation.target);
        let warnings = work(state.clone(), mutation.clone()).await?;
        tracing::info!(resource = %mutation.target, "{} by the API", mutation.verb);
        let id = target_id(&state, &mutation.target).or(id_before);
        let done = Done {
            project: &mutation.place.project,
            location: &mutation.place.location,
            verb: mutation.verb,
            target: &mutation.target,
            target_id: id.as_deref(),
            warnings: &warnings,
            started,
            request_id: mutation.request_id.as_deref(),
        };
        Ok(state.operations().record(&done, Timestamp::now()))
    });
    match task.await {
        Ok(result) => result.map_err(|error: ControlError| error.into()),
        Err(error) => Err(ControlError::Internal(format!("the change did not finish: {error}")).into()),
    }
}

fn done_before(state: &ApiState, mutation: &Mutation) -> Option<Value> {
    let id = mutation.request_id.clone()?;
    let key = RequestKey {
        id,
        verb: mutation.verb,
        target: mutation.target.clone(),
    };
    state.operations().of_request(&key).cloned()
}

fn target_id(state: &ApiState, target: &ResourcePath) -> Option<String> {
    state.control.resources().get(target)?["id"]
        .as_str()
        .map(str::to_owned)
}

/// Of the fields that files may carry and the API may not.
fn check_body(resource: &Map<String, Value>, kind: Kind) -> ApiResult<()> {
    let mut faults = Vec::new();
    if let Some(given) = resource.get("kind")
        && given != kind.as_api()
    {
        faults.push(Fault {
            value: Some(text(given)),
            ..fault("kind", format!("must be '{}'", kind.as_api()))
        });
    }
    for (field, method) in [
        ("networkEndpoints", "attachNetworkEndpoints"),
        ("instances", "addInstances"),
    ] {
        if resource.contains_key(field) {
            let hint = Some(format!("the API's method is {method}"));
            faults.push(Fault {
                hint,
                ..fault(field, "only files have this field".to_owned())
            });
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(ApiError::faults(faults))
    }
}

fn fault(field: &str, reason: String) -> Fault {
    Fault {
        path: format!("$.{field}"),
        field: field.to_owned(),
        ..Fault::of_source(SOURCE, FaultKind::Invalid, reason)
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Says in the resource where the URL puts it.
fn locate(resource: &mut Map<String, Value>, place: &Place, target: &ResourcePath) {
    resource.insert("kind".to_owned(), json!(place.kind.as_api()));
    resource.insert("selfLink".to_owned(), json!(url(target.as_str())));
    let own = url(&format!(
        "projects/{}/{}",
        place.project,
        place.location.segment()
    ));
    for (field, here) in [
        ("region", matches!(place.location, Location::Region(_))),
        ("zone", matches!(place.location, Location::Zone(_))),
    ] {
        if here {
            resource.insert(field.to_owned(), json!(own));
        } else {
            resource.shift_remove(field);
        }
    }
}

fn options(place: &Place) -> ApplyOptions {
    let (region, zone) = match &place.location {
        Location::Global => (None, None),
        Location::Region(name) => (Some(name.clone()), None),
        Location::Zone(name) => (None, Some(name.clone())),
    };
    ApplyOptions {
        project: Some(place.project.clone()),
        region,
        zone,
        ..ApplyOptions::default()
    }
}
