//! One probe of one address: connect, ask, judge the answer, in the check's timeout.
//!
//! A connection serves one probe and is never kept: a pooled connection would prove that an old process still lives,
//! not that a new client would be served.

pub mod http;
pub mod tcp;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::machine::{ProbeResult, WeightReport};
use crate::model::{HealthCheck, HttpVersion, Probe, ProxyHeader};

/// Makes probes. The scheduler's only way to the outside.
pub trait Prober: Send + Sync + 'static {
    /// Probes `address` once, within the check's timeout.
    fn probe(&self, address: IpAddr, check: &HealthCheck) -> impl Future<Output = ProbeResult> + Send;
}

/// Probes over the host's own sockets, in the network namespace of the runtime's threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketProber;

impl Prober for SocketProber {
    async fn probe(&self, address: IpAddr, check: &HealthCheck) -> ProbeResult {
        let timeout = Duration::from_secs(check.timeout_sec.into());
        match &check.probe {
            Probe::Tcp {
                tls: false,
                port,
                proxy_header,
                request,
                response,
            } => {
                let exchange = tcp::Exchange {
                    proxy_header: *proxy_header,
                    request,
                    response,
                };
                tcp::probe(SocketAddr::new(address, *port), exchange, timeout).await
            }
            Probe::Http {
                version: HttpVersion::Http,
                port,
                proxy_header,
                host,
                request_path,
                response,
            } => {
                let exchange = http::Exchange {
                    proxy_header: *proxy_header,
                    host,
                    request_path,
                    response,
                };
                http::probe(SocketAddr::new(address, *port), exchange, timeout).await
            }
            Probe::Tcp { tls: true, .. } => unsupported("SSL"),
            Probe::Http {
                version: HttpVersion::Https,
                ..
            } => unsupported("HTTPS"),
            Probe::Http {
                version: HttpVersion::Http2,
                ..
            } => unsupported("HTTP2"),
            Probe::Grpc { tls: false, .. } => unsupported("GRPC"),
            Probe::Grpc { tls: true, .. } => unsupported("GRPC_WITH_TLS"),
        }
    }
}

/// A configuration with such a check is refused before it gets here.
fn unsupported(kind: &str) -> ProbeResult {
    tracing::error!(
        kind,
        "internal error: asked for an unsupported kind of health check"
    );
    ProbeResult::Inconclusive {
        reason: format!("internal error: {kind} health checks are unsupported"),
    }
}

/// Why a probe did not succeed.
#[derive(Debug)]
enum ProbeError {
    /// The endpoint failed, a sentence.
    Endpoint(String),
    /// This host failed, a sentence.
    Host(String),
}

impl ProbeError {
    /// `doing` names the step, such as `connect`.
    fn from_io(doing: &str, error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(
                libc::EMFILE
                | libc::ENFILE
                | libc::ENOBUFS
                | libc::ENOMEM
                | libc::EADDRNOTAVAIL
                | libc::EAGAIN,
            ) => Self::Host(format!("can't {doing} on this host: {error}")),
            _ => Self::Endpoint(sentence(doing, error)),
        }
    }

    fn into_result(self, weight: WeightReport) -> ProbeResult {
        match self {
            Self::Endpoint(reason) => ProbeResult::Failure { reason, weight },
            Self::Host(reason) => ProbeResult::Inconclusive { reason },
        }
    }
}

fn sentence(doing: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset by the endpoint".to_owned(),
        io::ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        io::ErrorKind::TimedOut => format!("{doing} timed out"),
        _ => format!("{doing} failed: {error}"),
    }
}

/// Connects, and sends the PROXY header when there is one.
async fn connect(destination: SocketAddr, proxy_header: ProxyHeader) -> Result<TcpStream, ProbeError> {
    let mut stream = TcpStream::connect(destination)
        .await
        .map_err(|error| ProbeError::from_io("connect", &error))?;
    match proxy_header {
        ProxyHeader::None => {}
        ProxyHeader::ProxyV1 => send(&mut stream, b"PROXY UNKNOWN\r\n").await?,
    }
    Ok(stream)
}

async fn send(stream: &mut TcpStream, bytes: &[u8]) -> Result<(), ProbeError> {
    stream
        .write_all(bytes)
        .await
        .map_err(|error| ProbeError::from_io("send", &error))
}

fn timed_out(timeout: Duration) -> ProbeError {
    ProbeError::Endpoint(format!("timed out after {} s", timeout.as_secs_f64()))
}

/// Bytes for a human: escaped, and cut after 32.
fn excerpt(bytes: &[u8]) -> String {
    const SHOWN: usize = 32;
    let dots = if bytes.len() > SHOWN { "…" } else { "" };
    format!("'{}{dots}'", bytes[..bytes.len().min(SHOWN)].escape_ascii())
}
