//! The Compute API's methods that change something.
//!
//! Each reads the resource, makes of it what it shall be, and hands that to the controller, as the only change by HTTP
//! at the time. What another road changes meanwhile the controller notices: it is told what was read.

mod change;
mod endpoints;
mod insert;
mod instances;
mod labels;
mod members;
mod refused;
mod request;
mod write;

use std::sync::Arc;

use axum::body::Body;
use http::Request;
use jiff::Timestamp;
use serde_json::{Map, Value};

pub(super) use self::insert::{delete, insert};

use self::request::Asked;
use self::write::{Written, write};
use super::ApiState;
use super::body::read_resource;
use super::compute::get;
use super::error::ApiResult;
use super::operation::Done;
use super::route::{Place, Verb};
use crate::control::ControlError;
use crate::model::ResourcePath;
use crate::resources::{Fault, FaultKind, nearest};

/// What faults name as the source of a resource that came by the API.
const SOURCE: &str = "request";

type Object = Map<String, Value>;

/// A method that makes something else of a resource that exists.
pub(super) async fn edit(
    state: Arc<ApiState>,
    place: Place,
    name: &str,
    verb: Verb,
    request_id: Option<&str>,
    request: Request<Body>,
) -> ApiResult<Value> {
    let (parts, body) = request.into_parts();
    let body = read_resource(&parts, body, state.limits, SOURCE).await?;
    let mutation = Mutation {
        target: place.resource(name),
        place,
        verb: verb.operation_type(),
        asked: Asked::new(request_id, &body)?,
    };
    run(state, mutation, move |state, mutation| async move {
        let before = get(&state.control.resources(), &mutation.target)?;
        let stored = before.as_object().cloned().unwrap_or_default();
        match make(verb, &mutation, &stored, body)? {
            Some(mut written) => {
                let Mutation { place, target, .. } = &mutation;
                written.resource.insert("name".to_owned(), target.name().into());
                write(&state, place, target, Some(before), written).await
            }
            None => Ok(Vec::new()),
        }
    })
    .await
}

/// What the method makes of the stored resource; nothing when it leaves it as it is.
fn make(verb: Verb, mutation: &Mutation, stored: &Object, body: Object) -> ApiResult<Option<Written>> {
    match verb {
        Verb::Patch => change::patch(mutation, stored, body).map(Some),
        Verb::Update => change::update(mutation, stored, body).map(Some),
        Verb::SetLabels => labels::set_labels(stored, body).map(Some),
        Verb::AttachNetworkEndpoints => endpoints::attach(mutation, stored, &body).map(Some),
        Verb::DetachNetworkEndpoints => endpoints::detach(stored, &body).map(Some),
        Verb::AddInstances => instances::add(mutation, stored, &body).map(Some),
        Verb::RemoveInstances => instances::remove(mutation, stored, &body).map(Some),
        Verb::SetSecurityPolicy => refused::set_security_policy(&body).map(|()| None),
        Verb::SetTarget => Err(refused::set_target(&body)),
        Verb::SetNamedPorts => Err(refused::set_named_ports(&body)),
    }
}

#[derive(Clone)]
struct Mutation {
    place: Place,
    target: ResourcePath,
    /// As the operation names it.
    verb: &'static str,
    asked: Asked,
}

/// Does the work, which returns warnings, as the only mutation at the time, and to its end even if the client goes
/// away; answers with its operation.
async fn run<W, F>(state: Arc<ApiState>, mutation: Mutation, work: W) -> ApiResult<Value>
where
    W: FnOnce(Arc<ApiState>, Mutation) -> F + Send + 'static,
    F: Future<Output = ApiResult<Vec<String>>> + Send,
{
    let task = tokio::spawn(async move {
        let _only = state.mutation.lock().await;
        if let Some(operation) = mutation.done_before(&state)? {
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
            request: mutation.request_key(),
        };
        Ok(state.operations().record(&done, Timestamp::now()))
    });
    match task.await {
        Ok(result) => result,
        Err(error) => Err(ControlError::Internal(format!("the change did not finish: {error}")).into()),
    }
}

fn target_id(state: &ApiState, target: &ResourcePath) -> Option<String> {
    state.control.resources().get(target)?["id"]
        .as_str()
        .map(str::to_owned)
}

/// A fault of a field of the request.
fn fault(field: &str, value: Option<&Value>, reason: impl Into<String>) -> Fault {
    Fault {
        path: format!("$.{field}"),
        field: field.to_owned(),
        value: value.map(text),
        ..Fault::of_source(SOURCE, FaultKind::Invalid, reason)
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn required(field: &str) -> Fault {
    Fault {
        kind: FaultKind::Required,
        ..fault(field, None, "is required and missing")
    }
}

/// Refuses what is no field of a method's own request.
fn only_fields(body: &Object, known: &[&str]) -> Vec<Fault> {
    let unknown = body.iter().filter(|(field, _)| !known.contains(&field.as_str()));
    let refuse = |(field, value): (&String, &Value)| Fault {
        kind: FaultKind::UnknownField,
        hint: nearest(field, known.iter().copied()).map(|near| format!("did you mean {near}?")),
        ..fault(field, Some(value), "is no field of this request")
    };
    unknown.map(refuse).collect()
}
