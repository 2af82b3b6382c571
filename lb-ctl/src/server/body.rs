//! Reading a request's JSON within bounds of size and time.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::{ApiError, ApiResult};
use crate::resources::{self, Document};

#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    pub(super) bytes: usize,
    pub(super) time: Duration,
}

pub(super) async fn read_json<T: DeserializeOwned>(
    parts: &Parts,
    body: Body,
    limits: BodyLimits,
) -> ApiResult<T> {
    require_json(parts)?;
    parse(&read(body, limits).await?)
}

/// One resource, read as strictly as one in a file.
pub(super) async fn read_resource(
    parts: &Parts,
    body: Body,
    limits: BodyLimits,
    source: &str,
) -> ApiResult<Map<String, Value>> {
    require_json(parts)?;
    let bytes = read(body, limits).await?;
    let text = std::str::from_utf8(&bytes).map_err(invalid_json)?;
    let mut documents = resources::parse(source, text).map_err(ApiError::faults)?;
    match (documents.pop(), documents.is_empty()) {
        (
            Some(Document {
                json_path,
                value: Value::Object(resource),
                ..
            }),
            true,
        ) if json_path == "$" => Ok(resource),
        _ => Err(invalid_json("Expected one resource, which is an object.")),
    }
}

/// As `read_json`, but an empty body, whatever it calls itself, is `None`.
pub(super) async fn read_optional_json<T: DeserializeOwned>(
    parts: &Parts,
    body: Body,
    limits: BodyLimits,
) -> ApiResult<Option<T>> {
    let bytes = read(body, limits).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    require_json(parts)?;
    parse(&bytes).map(Some)
}

/// A browser sends JSON to a foreign origin only after asking, and we do not answer that question. So this check is
/// also what keeps web pages from changing a balancer on loopback.
fn require_json(parts: &Parts) -> ApiResult<()> {
    let found = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = found.and_then(|value| value.split(';').next()).map(str::trim);
    match essence {
        Some(essence) if essence.eq_ignore_ascii_case("application/json") => Ok(()),
        _ => Err(ApiError::media_type(found)),
    }
}

pub(super) async fn read(body: Body, limits: BodyLimits) -> ApiResult<Bytes> {
    let collect = Limited::new(body, limits.bytes).collect();
    match tokio::time::timeout(limits.time, collect).await {
        Err(_elapsed) => Err(ApiError::body_timeout()),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::too_large(limits.bytes)),
        Ok(Err(error)) => Err(ApiError::bad_request(format!(
            "The request body can't be read: {error}"
        ))),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> ApiResult<T> {
    serde_json::from_slice(bytes).map_err(invalid_json)
}

fn invalid_json(why: impl std::fmt::Display) -> ApiError {
    ApiError::bad_request(format!("Invalid JSON payload received. {why}"))
}
