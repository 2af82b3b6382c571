//! The HTTP/1.1 probe: one GET on a connection of its own; status 200 and, when asked for, a text early in the body.
//!
//! Redirects are answers with the wrong status, not something to follow.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::{ProbeError, connect, excerpt, timed_out};
use crate::health::machine::{MAX_WEIGHT, ProbeResult, WeightReport};
use crate::model::ProxyHeader;

/// The response header by which an endpoint reports its weight.
pub const WEIGHT_HEADER: &str = "x-load-balancing-endpoint-weight";
/// The expected text must lie within this many first bytes of the body.
pub const BODY_LIMIT: usize = 1024;

const USER_AGENT: &str = concat!("lb-health-check/", env!("CARGO_PKG_VERSION"));

/// What is asked and expected.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    pub proxy_header: ProxyHeader,
    /// The Host header; empty means the destination address.
    pub host: &'a str,
    pub request_path: &'a str,
    /// Empty means that the body does not matter.
    pub response: &'a [u8],
}

/// Probes `destination` once; `timeout` covers everything.
pub async fn probe(destination: SocketAddr, exchange: Exchange<'_>, timeout: Duration) -> ProbeResult {
    let mut weight = WeightReport::Unavailable;
    let outcome = tokio::time::timeout(timeout, talk(destination, exchange, &mut weight))
        .await
        .unwrap_or_else(|_elapsed| Err(timed_out(timeout)));
    match outcome {
        Ok(()) => ProbeResult::Success { weight },
        Err(error) => error.into_result(weight),
    }
}

/// `weight` is written as soon as the reply's head is there, so that it counts even when the body disappoints.
async fn talk(
    destination: SocketAddr,
    exchange: Exchange<'_>,
    weight: &mut WeightReport,
) -> Result<(), ProbeError> {
    let request = request(destination.ip(), exchange)?;
    let stream = connect(destination, exchange.proxy_header).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| from_hyper(&error))?;
    let reply = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| from_hyper(&error))?;
        *weight = weight_of(response.headers());
        if response.status() != StatusCode::OK {
            let status = response.status().as_u16();
            return Err(ProbeError::Endpoint(format!(
                "HTTP status {status}, expected 200"
            )));
        }
        expect(response.into_body(), exchange.response).await
    };
    tokio::select! {
        outcome = reply => outcome,
        never = drive(connection) => match never {},
    }
}

/// Runs the connection and never ends: its errors reach the exchange, which may outlive it by what is buffered.
async fn drive(connection: impl Future<Output = hyper::Result<()>>) -> Infallible {
    if let Err(error) = connection.await {
        tracing::trace!(%error, "probe connection ended");
    }
    std::future::pending().await
}

fn request(destination: IpAddr, exchange: Exchange<'_>) -> Result<Request<Empty<Bytes>>, ProbeError> {
    let host = match (exchange.host, destination) {
        ("", IpAddr::V4(address)) => address.to_string(),
        ("", IpAddr::V6(address)) => format!("[{address}]"),
        (host, _) => host.to_owned(),
    };
    let path = if exchange.request_path.is_empty() {
        "/"
    } else {
        exchange.request_path
    };
    Request::get(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| {
            ProbeError::Host(format!(
                "can't make the request for {}: {error}",
                excerpt(path.as_bytes())
            ))
        })
}

async fn expect(mut body: Incoming, expected: &[u8]) -> Result<(), ProbeError> {
    if expected.is_empty() {
        return Ok(());
    }
    let mut seen = Vec::with_capacity(BODY_LIMIT);
    while seen.len() < BODY_LIMIT {
        let Some(frame) = body.frame().await else { break };
        let frame = frame.map_err(|error| from_hyper(&error))?;
        if let Some(data) = frame.data_ref() {
            let room = BODY_LIMIT - seen.len();
            seen.extend_from_slice(&data[..data.len().min(room)]);
        }
        if contains(&seen, expected) {
            return Ok(());
        }
    }
    let wanted = excerpt(expected);
    Err(ProbeError::Endpoint(format!(
        "{wanted} is not within the first {BODY_LIMIT} bytes of the body"
    )))
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// A decimal number in 0..=1000, once.
pub(super) fn weight_of(headers: &HeaderMap) -> WeightReport {
    let mut values = headers.get_all(WEIGHT_HEADER).iter();
    let Some(value) = values.next() else {
        return WeightReport::Missing;
    };
    let weight = value
        .to_str()
        .ok()
        .map(|text| text.trim_matches([' ', '\t']))
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .filter(|weight| *weight <= MAX_WEIGHT);
    match (weight, values.next()) {
        (Some(weight), None) => WeightReport::Reported(weight),
        _ => WeightReport::Invalid,
    }
}

fn from_hyper(error: &hyper::Error) -> ProbeError {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    if let Some(cause) = cause {
        return ProbeError::from_io("exchange", cause);
    }
    let text = if error.is_incomplete_message() {
        "connection closed before the reply was complete".to_owned()
    } else if error.is_parse() {
        format!("not an HTTP/1 reply: {error}")
    } else {
        format!("HTTP exchange failed: {error}")
    };
    ProbeError::Endpoint(text)
}
