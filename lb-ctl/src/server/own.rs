//! Our own endpoints, under `/lb/v1/`: what Compute has no words for. `lb-ctl`'s verbs are their clients.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as UrlQuery, State};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use http::{Method, Request, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiState;
use super::body::{read_json, read_optional_json};
use super::error::{ApiError, ApiResult};
use super::query::Query;
use crate::control::place::canonical;
use crate::control::wire::ApplyRequest;
use crate::control::{ApplyReport, ControlError, ResourceMap};
use crate::model::ResourcePath;
use crate::views::{EndpointHealth, FlowCount, FlowList, Stats, Status, TableSlots, Verification};

/// Rows of a flow list when no limit is given, and the most that one may ask for.
const DEFAULT_FLOWS: usize = 1000;
const MAX_FLOWS: usize = 1_000_000;

type Shared = State<Arc<ApiState>>;
type RawQuery = Result<UrlQuery<Vec<(String, String)>>, QueryRejection>;

pub(super) fn routes() -> Router<Arc<ApiState>> {
    Router::new()
        .route("/lb/v1/status", or_405(get(status)))
        .route("/lb/v1/verify", or_405(get(verify)))
        .route("/lb/v1/stats", or_405(get(stats)))
        .route("/lb/v1/flows", or_405(get(flows)))
        .route("/lb/v1/flows/count", or_405(get(flow_count)))
        .route("/lb/v1/health", or_405(get(health)))
        .route(
            "/lb/v1/tableSlots",
            or_405(get(table_slots).post(set_table_slots)),
        )
        .route("/lb/v1/resources", or_405(get(resources)))
        .route("/lb/v1/apply", or_405(post(apply)))
        .route("/lb/v1/detach", or_405(post(detach)))
}

fn or_405(methods: MethodRouter<Arc<ApiState>>) -> MethodRouter<Arc<ApiState>> {
    methods
        .fallback(|method: Method, uri: Uri| async move { ApiError::method_not_allowed(&method, uri.path()) })
}

async fn status(State(state): Shared, query: RawQuery) -> ApiResult<Json<Status>> {
    take(query, &[])?;
    Ok(Json(state.control.status().await?))
}

async fn verify(State(state): Shared, query: RawQuery) -> ApiResult<Json<Verification>> {
    take(query, &[])?;
    Ok(Json(state.control.verify().await?))
}

async fn stats(State(state): Shared, query: RawQuery) -> ApiResult<Json<Stats>> {
    take(query, &[])?;
    Ok(Json(state.control.stats().await?))
}

async fn flows(State(state): Shared, query: RawQuery) -> ApiResult<Json<FlowList>> {
    let query = take(query, &["limit", "service"])?;
    let limit = query.number("limit", MAX_FLOWS)?.unwrap_or(DEFAULT_FLOWS);
    let service = path(&query, "service")?;
    Ok(Json(state.control.flows(limit, service).await?))
}

async fn flow_count(State(state): Shared, query: RawQuery) -> ApiResult<Json<FlowCount>> {
    take(query, &[])?;
    Ok(Json(state.control.flow_count().await?))
}

async fn health(State(state): Shared, query: RawQuery) -> ApiResult<Json<Vec<EndpointHealth>>> {
    let query = take(query, &["service", "group"])?;
    let service = path(&query, "service")?.ok_or_else(|| ApiError::required("service"))?;
    let group = path(&query, "group")?;
    if !state.control.resources().contains_key(&service) {
        return Err(ControlError::not_found(&service).into());
    }
    Ok(Json(state.control.endpoint_health(service, group).await?))
}

async fn table_slots(State(state): Shared, query: RawQuery) -> ApiResult<Json<TableSlots>> {
    let query = take(query, &["service"])?;
    let service = path(&query, "service")?.ok_or_else(|| ApiError::required("service"))?;
    Ok(Json(state.control.table_slots(service).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTableSlots {
    service: String,
    slots: u32,
}

async fn set_table_slots(
    State(state): Shared,
    query: RawQuery,
    request: Request<Body>,
) -> ApiResult<Json<Value>> {
    take(query, &[])?;
    let (parts, body) = request.into_parts();
    let NewTableSlots { service, slots } = read_json(&parts, body, state.limits).await?;
    let service = canonical(&service).ok_or_else(|| {
        ApiError::invalid(
            "service",
            &service,
            "Must be the URL of a resource, from projects/ on.",
        )
    })?;
    to_the_end(async move {
        let _only = state.mutation.lock().await;
        tracing::info!("{service}: tables of {slots} slots are asked for by the API");
        state.control.set_table_slots(service, slots).await
    })
    .await?;
    Ok(Json(json!({})))
}

async fn resources(State(state): Shared, query: RawQuery) -> ApiResult<Json<ResourceMap>> {
    take(query, &[])?;
    Ok(Json(ResourceMap::clone(&state.control.resources())))
}

async fn apply(
    State(state): Shared,
    query: RawQuery,
    request: Request<Body>,
) -> ApiResult<Json<ApplyReport>> {
    take(query, &[])?;
    let (parts, body) = request.into_parts();
    let ApplyRequest { documents, options } = read_json(&parts, body, state.limits).await?;
    let documents = documents.into_iter().map(Into::into).collect();
    let report = to_the_end(async move {
        let _only = state.mutation.lock().await;
        let report = state.control.apply(documents, options).await?;
        tracing::info!(changes = report.changes.len(), "applied by the API");
        Ok(report)
    });
    Ok(Json(report.await?))
}

async fn detach(State(state): Shared, query: RawQuery, request: Request<Body>) -> ApiResult<Json<Value>> {
    take(query, &[])?;
    let (parts, body) = request.into_parts();
    let _nothing: Option<Nothing> = read_optional_json(&parts, body, state.limits).await?;
    to_the_end(async move {
        let _only = state.mutation.lock().await;
        state.control.detach().await?;
        tracing::info!("detached by the API");
        Ok(())
    })
    .await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Also when the client goes away half-way.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, ControlError>> + Send + 'static,
) -> ApiResult<T> {
    match tokio::spawn(work).await {
        Ok(result) => result.map_err(ApiError::from),
        Err(error) => Err(ControlError::Internal(format!("the change did not finish: {error}")).into()),
    }
}

fn take(query: RawQuery, taken: &[&str]) -> ApiResult<Query> {
    let UrlQuery(pairs) = query.map_err(|error| ApiError::bad_request(error.body_text()))?;
    Query::exactly(pairs, taken)
}

fn path(query: &Query, name: &str) -> ApiResult<Option<ResourcePath>> {
    let Some(text) = query.get(name) else {
        return Ok(None);
    };
    let path = canonical(text)
        .ok_or_else(|| ApiError::invalid(name, text, "Must be the URL of a resource, from projects/ on."))?;
    Ok(Some(path))
}
