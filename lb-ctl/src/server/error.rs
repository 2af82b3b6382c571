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
use crate::resources::{Fault, nearest};

#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    reason: &'static str,
    message: String,
    faults: Vec<Fault>,
    /// What else is wrong, as `errors` tells it.
    others: Vec<(&'static str, String)>,
    /// For `WWW-Authenticate`.
    challenge: Option<&'static str>,
}

pub(super) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    fn new(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            message: message.into(),
            faults: Vec::new(),
            others: Vec::new(),
            challenge: None,
        }
    }

    /// One refusal for several reasons. Never of an empty list.
    pub(super) fn all(errors: Vec<Self>) -> Self {
        let mut errors = errors.into_iter();
        let Some(mut first) = errors.next() else {
            return Self::bad_request("The request is wrong");
        };
        for error in errors {
            first.others.push((error.reason, error.message));
            first.others.extend(error.others);
        }
        first
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

    pub(super) fn unknown_parameter(name: &str, known: &[&str]) -> Self {
        let hint = match nearest(name, known.iter().copied()) {
            Some(near) => format!(" Did you mean '{near}'?"),
            None => String::new(),
        };
        Self::bad_request(format!(
            "Invalid JSON payload received. Unknown name \"{name}\": Cannot bind query parameter.{hint}"
        ))
    }

    /// No credentials, or none that count.
    pub(super) fn unauthorized(given: bool, why: &str) -> Self {
        let (reason, challenge) = match given {
            true => ("authError", r#"Bearer realm="lb", error="invalid_token""#),
            false => ("required", r#"Bearer realm="lb""#),
        };
        Self {
            challenge: Some(challenge),
            ..Self::new(StatusCode::UNAUTHORIZED, reason, why)
        }
    }

    pub(super) fn forbidden(permission: &str, resource: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!("Required '{permission}' permission for '{resource}'"),
        )
    }

    /// A policy was changed since the client read it.
    pub(super) fn aborted() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "aborted",
            "There were concurrent policy changes. Please retry the whole read-modify-write: \
             the request's etag is not the current policy's.",
        )
    }

    pub(super) fn busy(why: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "backendError", why)
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
        errors.extend(
            self.others
                .iter()
                .map(|(reason, message)| detail(reason, message)),
        );
        if let (Some(first), true) = (errors.first_mut(), self.challenge.is_some()) {
            first["location"] = json!("Authorization");
            first["locationType"] = json!("header");
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
            ControlError::Unavailable(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "backendError", message)
            }
            ControlError::Internal(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internalError", message)
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(code = self.status.as_u16(), "{}", self.message);
        }
        let mut response = (self.status, Json(self.body())).into_response();
        if let Some(challenge) = self.challenge {
            let value = http::HeaderValue::from_static(challenge);
            response
                .headers_mut()
                .insert(http::header::WWW_AUTHENTICATE, value);
        }
        response
    }
}
