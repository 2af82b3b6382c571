//! The IAM methods of resources. Policies are kept and told; what callers may do is `access`'s business alone.

mod policy;

use std::sync::Arc;

use axum::body::Body;
use http::Request;
use serde_json::{Map, Value, json};

use self::policy::{EMPTY_ETAG, etag, is_conditional};
use super::ApiState;
use super::access::Caller;
use super::body::read_resource;
use super::error::{ApiError, ApiResult};
use super::query::{Pairs, Query};
use super::route::Place;
use crate::control::ControlError;
use crate::model::ResourcePath;
use crate::resources::Fault;

/// What faults name as their source.
const SOURCE: &str = "request";

pub(super) async fn get_policy(
    state: &ApiState,
    place: &Place,
    name: &str,
    query: Pairs,
) -> ApiResult<Value> {
    let query = Query::checked(query, &["optionsRequestedPolicyVersion"])?;
    let requested = match query.get("optionsRequestedPolicyVersion") {
        None | Some("0") => 1,
        Some("1") => 1,
        Some("3") => 3,
        Some(other) => {
            return Err(ApiError::invalid(
                "optionsRequestedPolicyVersion",
                other,
                "Must be 0, 1 or 3.",
            ));
        }
    };
    let path = existing(state, place, name)?;
    let policy = state.control.iam_policy(path).await?;
    Ok(match policy {
        None => json!({ "etag": EMPTY_ETAG }),
        Some(policy) if requested < 3 && is_conditional(&policy) => policy::without_conditions(&told(policy)),
        Some(policy) => told(policy),
    })
}

pub(super) async fn set_policy(
    state: Arc<ApiState>,
    place: &Place,
    name: &str,
    query: Pairs,
    request: Request<Body>,
) -> ApiResult<Value> {
    Query::checked(query, &[])?;
    let (parts, body) = request.into_parts();
    let body = read_resource(&parts, body, state.limits, SOURCE).await?;
    let asked = policy::read(body).map_err(ApiError::faults)?;
    let path = existing(&state, place, name)?;
    let work = tokio::spawn(async move {
        let _only = state.mutation.lock().await;
        let current = state.control.iam_policy(path.clone()).await?;
        if let Some(etag_asked) = &asked.etag {
            if *etag_asked != current.as_ref().map_or(EMPTY_ETAG.to_owned(), etag) {
                return Err(ApiError::aborted());
            }
            let version = asked.policy.get("version").and_then(Value::as_i64);
            if current.is_some_and(|current| is_conditional(&current)) && version != Some(3) {
                let why = "must be 3: the current policy has conditions";
                let fault = policy::fault("policy.version", asked.policy.get("version"), why);
                return Err(ApiError::faults(vec![fault]));
            }
        }
        let policy = Value::Object(asked.policy);
        state.control.set_iam_policy(path.clone(), policy.clone()).await?;
        tracing::info!(resource = %path, "IAM policy set by the API");
        Ok(told(policy))
    });
    work.await.unwrap_or_else(|error| {
        Err(ControlError::Internal(format!("the change did not finish: {error}")).into())
    })
}

pub(super) async fn test_permissions(
    state: &ApiState,
    place: &Place,
    name: &str,
    query: Pairs,
    request: Request<Body>,
) -> ApiResult<Value> {
    Query::checked(query, &[])?;
    let caller = request.extensions().get::<Caller>().copied();
    let (parts, body) = request.into_parts();
    let mut body = read_resource(&parts, body, state.limits, SOURCE).await?;
    let asked = permissions(&mut body).map_err(ApiError::faults)?;
    existing(state, place, name)?;
    let held: Vec<String> = asked
        .into_iter()
        .filter(|permission| caller.is_some_and(|caller| caller.role.holds(permission)))
        .collect();
    Ok(match held.is_empty() {
        true => json!({}),
        false => json!({ "permissions": held }),
    })
}

fn permissions(body: &mut Map<String, Value>) -> Result<Vec<String>, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut permissions = Vec::new();
    match body.remove("permissions") {
        Some(Value::Array(items)) => {
            for (index, item) in items.into_iter().enumerate() {
                match item {
                    Value::String(text) if is_permission(&text) => permissions.push(text),
                    other => faults.push(policy::fault(
                        &format!("permissions[{index}]"),
                        Some(&other),
                        "is not a permission such as compute.backendServices.get; wildcards are not allowed",
                    )),
                }
            }
        }
        None => {}
        Some(other) => faults.push(policy::fault("permissions", Some(&other), "must be a list")),
    }
    for (name, value) in body.iter() {
        faults.push(policy::fault(name, Some(value), "is no field of the request"));
    }
    match faults.is_empty() {
        true => Ok(permissions),
        false => Err(faults),
    }
}

fn is_permission(text: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric());
    let words: Vec<&str> = text.split('.').collect();
    words.len() == 3 && words.into_iter().all(is_word)
}

fn existing(state: &ApiState, place: &Place, name: &str) -> ApiResult<ResourcePath> {
    let path = place.resource(name);
    match state.control.resources().contains_key(&path) {
        true => Ok(path),
        false => Err(ApiError::resource_not_found(path)),
    }
}

fn told(mut policy: Value) -> Value {
    policy["etag"] = json!(etag(&policy));
    policy
}
