//! One probe of one destination: connect, ask, judge the answer, in the check's timeout.
//!
//! A connection serves one probe and is never kept: a pooled connection would prove that an old process still lives,
//! not that a new client would be served. What an endpoint sends is read with bounded memory, and nothing that it does
//! keeps a probe, or a descriptor, beyond the timeout.

mod connect;
mod delivered;
mod error;
mod grpc;
mod http;
mod http2;
mod stream;
mod tls;
mod weight;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use tokio::sync::Semaphore;

pub use self::connect::Destination;
pub use self::delivered::Delivered;
use self::error::ProbeError;
pub use self::http::BODY_LIMIT;
pub use self::weight::WEIGHT_HEADER;
use super::TargetId;
use super::machine::{ProbeResult, WeightReport};
use crate::model::{HealthCheck, Probe};

/// Makes probes. The scheduler's only way to the outside.
pub trait Prober: Send + Sync + 'static {
    /// Probes `target` once, within the check's timeout.
    fn probe(&self, target: &TargetId, check: &HealthCheck) -> impl Future<Output = ProbeResult> + Send;

    /// How many probes may be in flight at once; the others wait for their turn.
    fn concurrency(&self) -> usize {
        Semaphore::MAX_PERMITS
    }
}

/// Probes endpoints at their own addresses, over the host's own sockets, in the network namespace of the runtime's threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketProber;

impl Prober for SocketProber {
    async fn probe(&self, target: &TargetId, check: &HealthCheck) -> ProbeResult {
        let destination = SocketAddr::new(target.address, check.probe.port()).into();
        let timeout = Duration::from_secs(check.timeout_sec.into());
        probe(&destination, &check.probe, timeout).await
    }

    /// As many as there are descriptors, but for those that the rest of the process needs.
    fn concurrency(&self) -> usize {
        const RESERVED: u64 = 256;
        const LEAST: u64 = 64;
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((LEAST, LEAST));
        let usable = soft.saturating_sub(RESERVED).max(LEAST);
        usize::try_from(usable)
            .unwrap_or(Semaphore::MAX_PERMITS)
            .min(Semaphore::MAX_PERMITS)
    }
}

/// Probes `destination` once; `timeout` covers everything, from the connection to the last byte that matters.
pub async fn probe(destination: &Destination, probe: &Probe, timeout: Duration) -> ProbeResult {
    let mut progress = Progress {
        step: Step::Connect,
        weight: without_reply(probe),
    };
    let outcome = tokio::time::timeout(timeout, talk(destination, probe, &mut progress)).await;
    let weight = progress.weight;
    match outcome.unwrap_or_else(|_elapsed| Err(progress.step.timed_out(timeout))) {
        Ok(()) => ProbeResult::Success { weight },
        Err(ProbeError::Endpoint(reason)) => ProbeResult::Failure { reason, weight },
        Err(ProbeError::Host(reason)) => ProbeResult::Inconclusive { reason },
    }
}

/// The weight that no reply brings.
pub(super) fn without_reply(probe: &Probe) -> WeightReport {
    match probe {
        Probe::Http { .. } => WeightReport::Unavailable,
        Probe::Tcp { .. } | Probe::Grpc { .. } => WeightReport::NotCarried,
    }
}

/// The exchanges over HTTP are large futures: boxed, they cost only their own probes memory.
async fn talk(destination: &Destination, probe: &Probe, progress: &mut Progress) -> Result<(), ProbeError> {
    match probe {
        Probe::Tcp {
            tls,
            proxy_header,
            request,
            response,
            ..
        } => {
            let exchange = stream::Exchange {
                tls: *tls,
                proxy_header: *proxy_header,
                request,
                response,
            };
            stream::talk(destination, exchange, progress).await
        }
        Probe::Http {
            version,
            proxy_header,
            host,
            request_path,
            response,
            ..
        } => {
            let exchange = http::Exchange {
                version: *version,
                proxy_header: *proxy_header,
                host,
                request_path,
                response,
            };
            Box::pin(http::talk(destination, exchange, progress)).await
        }
        Probe::Grpc {
            tls, service_name, ..
        } => Box::pin(grpc::talk(destination, *tls, service_name, progress)).await,
    }
}

/// How far a probe got, which outlives one that runs out of time.
#[derive(Debug)]
struct Progress {
    step: Step,
    /// Written as soon as the reply's head is there, so that it counts even when the body disappoints.
    weight: WeightReport,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Connect,
    Tls,
    Request,
    Reply,
}

impl Step {
    fn timed_out(self, timeout: Duration) -> ProbeError {
        let doing = match self {
            Self::Connect => "connecting",
            Self::Tls => "in the TLS handshake",
            Self::Request => "sending the request",
            Self::Reply => "waiting for the reply",
        };
        ProbeError::Endpoint(format!("timed out after {} s {doing}", timeout.as_secs_f64()))
    }
}
