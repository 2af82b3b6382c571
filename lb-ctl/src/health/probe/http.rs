//! The HTTP, HTTPS and HTTP2 probes: one GET on a connection of its own; status 200 and, when asked for, a text early in
//! the body.
//!
//! HTTP and HTTPS speak HTTP/1.1; HTTP2 is HTTP/2 over TLS. Redirects are answers with the wrong status, not something
//! to follow.

use std::net::SocketAddr;

use bytes::Bytes;
use http::uri::{PathAndQuery, Scheme};
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;

use super::connect::{Destination, open};
use super::error::{ProbeError, excerpt};
use super::tls::{Alpn, Tls};
use super::weight::weight_of;
use super::{Progress, Step};
use super::{http1, http2};
use crate::model::{HttpVersion, ProxyHeader};

/// The expected text must lie within this many first bytes of the body.
pub const BODY_LIMIT: usize = 1024;
/// Bytes of a body that are read to its end.
const READ_LIMIT: usize = 64 * 1024;
/// Bytes of a reply's head.
pub(super) const HEAD_LIMIT: usize = 64 * 1024;

const USER_AGENT: &str = concat!("lb-health-check/", env!("CARGO_PKG_VERSION"));

/// What is asked and expected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange<'a> {
    pub(super) version: HttpVersion,
    pub(super) proxy_header: ProxyHeader,
    /// The Host header, in HTTP/2 the authority; empty means the destination address.
    pub(super) host: &'a str,
    pub(super) request_path: &'a str,
    /// Empty means that the body does not matter.
    pub(super) response: &'a [u8],
}

type Ask = Request<Empty<Bytes>>;

pub(super) async fn talk(
    destination: &Destination,
    exchange: Exchange<'_>,
    progress: &mut Progress,
) -> Result<(), ProbeError> {
    let request = request(destination, exchange)?;
    let tls = |alpn| Tls {
        alpn,
        host: exchange.host,
    };
    let tls = match exchange.version {
        HttpVersion::Http => None,
        HttpVersion::Https => Some(tls(Alpn::Http1)),
        HttpVersion::Http2 => Some(tls(Alpn::Http2)),
    };
    let stream = open(destination, exchange.proxy_header, tls, progress).await?;
    progress.step = Step::Reply;
    if exchange.version == HttpVersion::Http2 {
        let mut connection = http2::Connection::open(stream).await?;
        let response = connection.sender().send_request(request).await;
        let (outcome, body) = judge("HTTP/2", response, exchange.response, progress).await;
        progress.leave(connection.end(body));
        return outcome;
    }
    let mut connection = http1::Connection::open(stream).await?;
    let http1::Connection { sender, run } = &mut connection;
    let reply = async {
        let response = sender.send_request(request).await;
        judge("HTTP/1.1", response, exchange.response, progress).await
    };
    let (outcome, body) = run.during(reply).await;
    if let Some(line) = progress.line.clone() {
        progress.leave(connection.end(body, line, progress.deadline));
    }
    outcome
}

/// The verdict, and what is left of the reply.
async fn judge(
    protocol: &str,
    response: hyper::Result<Response<Incoming>>,
    expected: &[u8],
    progress: &mut Progress,
) -> (Result<(), ProbeError>, Option<Incoming>) {
    let response = match response {
        Ok(response) => response,
        Err(error) => return (Err(ProbeError::from_hyper(protocol, &error)), None),
    };
    progress.weight = weight_of(response.headers());
    let status = response.status();
    let mut body = response.into_body();
    let outcome = match status {
        StatusCode::OK => expect(protocol, &mut body, expected).await,
        _ => Err(ProbeError::Endpoint(format!(
            "HTTP status {}, expected 200",
            status.as_u16()
        ))),
    };
    (outcome, Some(body))
}

/// Reads the rest of a body, so that the endpoint is not cut off in it. False if it is longer than a probe reads.
pub(super) async fn read_out(mut body: Incoming) -> bool {
    let mut left = READ_LIMIT;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return false,
        }
    }
    true
}

fn request(destination: &Destination, exchange: Exchange<'_>) -> Result<Ask, ProbeError> {
    let unmade = |error: http::Error| {
        let (host, path) = (exchange.host.as_bytes(), exchange.request_path.as_bytes());
        let (host, path) = (excerpt(host), excerpt(path));
        ProbeError::Host(format!(
            "can't make a request for host {host}, path {path}: {error}"
        ))
    };
    let path: PathAndQuery = match exchange.request_path {
        "" => PathAndQuery::from_static("/"),
        path => path.parse().map_err(|error| unmade(http::Error::from(error)))?,
    };
    let host = match exchange.host {
        "" => address(destination.address),
        host => host.to_owned(),
    };
    let request = Request::get("/")
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "*/*");
    let request = if exchange.version == HttpVersion::Http2 {
        request.uri(
            Uri::builder()
                .scheme(Scheme::HTTPS)
                .authority(host)
                .path_and_query(path)
                .build()
                .map_err(unmade)?,
        )
    } else {
        request
            .uri(Uri::from(path))
            .header(header::HOST, host)
            .header(header::CONNECTION, "close")
    };
    request.body(Empty::new()).map_err(unmade)
}

/// Without the port, as the reference says.
fn address(destination: SocketAddr) -> String {
    match destination {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

async fn expect(protocol: &str, body: &mut Incoming, expected: &[u8]) -> Result<(), ProbeError> {
    if expected.is_empty() {
        return Ok(());
    }
    let mut seen = Vec::with_capacity(BODY_LIMIT);
    while seen.len() < BODY_LIMIT {
        let Some(frame) = body.frame().await else { break };
        let frame = frame.map_err(|error| ProbeError::from_hyper(protocol, &error))?;
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
