//! Refusals in the shape of the Compute API: `{"error":{"code":…,"message":…,"errors":[…]}}`.
//!
//! Faults of a configuration appear twice: each as an entry of `errors`, which every client of the API reads, and, with
//! all its members, in `faults`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::route::RouteError;
use crate::control::ControlError;
use crate::control::wire::WireFault;
use crate::resources::Fault;

#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    reason: &'static str,
    message: String,
    faults: Vec<Fault>,
}

pub(super) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    fn new(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            message: message.into(),
            faults: Vec::new(),
        }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "badRequest", message)
    }

    /// A query parameter's or a request's own field's value is wrong.
    pub(super) fn invalid(field: &str, value: impl std::fmt::Display, why: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid",
            format!("Invalid value for field '{field}': '{value}'. {why}"),
        )
    }

    pub(super) fn required(field: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "required",
            format!("Required field '{field}' not specified"),
        )
    }

    /// Never of an empty list.
    pub(super) fn faults(faults: Vec<Fault>) -> Self {
        let status = faults
            .first()
            .and_then(|fault| StatusCode::from_u16(fault.kind.http_code()).ok());
        let reason = faults.first().map_or("invalid", |fault| fault.kind.reason());
        let message = faults.first().map(Fault::message).unwrap_or_default();
        Self {
            faults,
            ..Self::new(status.unwrap_or(StatusCode::BAD_REQUEST), reason, message)
        }
    }

    pub(super) fn resource_not_found(path: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "notFound",
            format!("The resource '{path}' was not found"),
        )
    }

    pub(super) fn url_not_found(path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "notFound",
            format!("The requested URL {path} was not found on this server"),
        )
    }

    pub(super) fn method_not_allowed(method: &http::Method, path: &str) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "httpMethodNotAllowed",
            format!("{path} has no method {method}"),
        )
    }

    pub(super) fn not_supported_yet(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "notImplemented",
            format!("{what} is not supported yet"),
        )
    }

    pub(super) fn media_type(found: Option<&str>) -> Self {
        let found = found.map_or("none was given".to_owned(), |f| format!("not '{f}'"));
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupportedMediaType",
            format!("The content type of the request must be application/json, {found}"),
        )
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "uploadTooLarge",
            format!("The request body is larger than {limit} bytes"),
        )
    }

    pub(super) fn body_timeout() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "requestTimeout",
            "The request body did not arrive in time",
        )
    }

    pub(super) fn foreign_host(host: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!("The Host header must be an IP address or localhost, not '{host}'"),
        )
    }

    pub(super) fn route(error: RouteError, method: &http::Method, path: &str) -> Self {
        match error {
            RouteError::NotFound => Self::url_not_found(path),
            RouteError::MethodNotAllowed => Self::method_not_allowed(method, path),
            RouteError::NotSupportedYet(name) => Self::not_supported_yet(&name),
        }
    }

    fn body(&self) -> Value {
        let mut errors: Vec<Value> = self
            .faults
            .iter()
            .map(|fault| detail(fault.kind.reason(), &fault.message()))
            .collect();
        if errors.is_empty() {
            errors.push(detail(self.reason, &self.message));
        }
        let mut error = json!({ "code": self.status.as_u16(), "message": self.message, "errors": errors });
        if !self.faults.is_empty() {
            error["faults"] = json!(self.faults.iter().map(WireFault::from).collect::<Vec<_>>());
        }
        json!({ "error": error })
    }
}

fn detail(reason: &str, message: &str) -> Value {
    json!({ "domain": "global", "reason": reason, "message": message })
}

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        let message = error.to_string();
        match error {
            ControlError::Faults(faults) => Self::faults(faults),
            ControlError::NotAttached => Self::new(StatusCode::BAD_REQUEST, "resourceNotReady", message),
            ControlError::Internal(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internalError", message)
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status.is_server_error() && self.status != StatusCode::NOT_IMPLEMENTED {
            tracing::error!(code = self.status.as_u16(), "{}", self.message);
        }
        (self.status, Json(self.body())).into_response()
    }
}
