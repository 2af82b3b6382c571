//! What requests are refused for whatever they ask: whom they say they talk to, and how much they bring.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Version};
use tokio::sync::Semaphore;

use super::error::{ApiError, ApiResult};

/// A web page whose name an attacker points at loopback is a page of the same origin to its browser; only the `Host`
/// that the browser sends gives it away.
pub(super) async fn refuse_foreign_host(request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(HOST)
        .map(|value| value.to_str().unwrap_or("?").to_owned());
    match host {
        Some(host) if !is_local_name(&host) => ApiError::foreign_host(&host).into_response(),
        _ => next.run(request).await,
    }
}

fn is_local_name(host: &str) -> bool {
    let Ok(authority) = host.parse::<http::uri::Authority>() else {
        return false;
    };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

/// RFC 9112, 3.2: since HTTP/1.1 a request names one host.
pub(super) async fn require_one_host(request: Request, next: Next) -> Response {
    let hosts = request.headers().get_all(HOST).iter().count();
    let is_old = request.version() < Version::HTTP_11;
    match hosts {
        1 => next.run(request).await,
        0 if is_old => next.run(request).await,
        0 => ApiError::bad_request("The request has no Host header").into_response(),
        _ => ApiError::bad_request("The request has more than one Host header").into_response(),
    }
}

/// Bodies up to this size are held as they come: their number is bounded by that of the connections.
const SMALL_BODY: usize = 64 << 10;

/// How much of large bodies there may be at a time.
#[derive(Clone)]
pub(super) struct LargeBodies {
    largest: usize,
    at_once: usize,
    /// In KiB.
    room: Arc<Semaphore>,
}

impl LargeBodies {
    pub(super) fn new(largest: usize, at_once: usize) -> Self {
        Self {
            largest,
            at_once: at_once.max(largest),
            room: Arc::new(Semaphore::new(at_once.max(largest).div_ceil(1024))),
        }
    }

    /// How much the request may bring: what it says, or as much as may be when it does not say.
    fn claim(&self, headers: &HeaderMap) -> ApiResult<usize> {
        if let Some(length) = headers.get(CONTENT_LENGTH) {
            let length = length.to_str().ok().and_then(|text| text.parse().ok());
            return match length {
                Some(length) if length <= self.largest => Ok(length),
                _ => Err(ApiError::too_large(self.largest)),
            };
        }
        match headers.contains_key(TRANSFER_ENCODING) {
            true => Ok(self.largest),
            false => Ok(0),
        }
    }
}

/// Holds the room of a large body until the answer is made.
pub(super) async fn limit_large_bodies(
    State(bodies): State<LargeBodies>,
    request: Request,
    next: Next,
) -> Response {
    let claim = match bodies.claim(request.headers()) {
        Ok(claim) if claim <= SMALL_BODY => return next.run(request).await,
        Ok(claim) => claim,
        Err(refusal) => return refusal.into_response(),
    };
    let kibibytes = u32::try_from(claim.div_ceil(1024)).unwrap_or(u32::MAX);
    match bodies.room.try_acquire_many(kibibytes) {
        Ok(_room) => next.run(request).await,
        Err(_) => ApiError::busy(&format!(
            "Large requests under way have {} bytes together, which is all that may be at a time; try again",
            bodies.at_once
        ))
        .into_response(),
    }
}
