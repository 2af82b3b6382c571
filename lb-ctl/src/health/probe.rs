//! One probe of one destination: connect, ask, judge the answer, in the check's timeout.
//!
//! A connection serves one probe and is never kept: a pooled connection would prove that an old process still lives,
//! not that a new client would be served. What an endpoint sends is read with bounded memory, and nothing that it does
//! keeps a probe, or a descriptor, beyond the timeout. The verdict is told as soon as it is known; then the connection is
//! ended in order, in what is left of the timeout.

mod connect;
mod delivered;
mod endings;
mod error;
mod farewell;
mod grpc;
mod http;
mod http1;
mod http2;
mod line;
mod stream;
mod tls;
mod weight;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

pub use self::connect::Destination;
pub use self::delivered::Delivered;
pub use self::endings::Endings;
use self::error::ProbeError;
use self::farewell::LastWords;
pub use self::farewell::{Farewell, Probed};
pub use self::http::BODY_LIMIT;
use self::line::Line;
pub use self::weight::WEIGHT_HEADER;
use super::TargetId;
use super::machine::{ProbeResult, WeightReport};
use crate::model::{HealthCheck, Probe};

/// Makes probes. The scheduler's only way to the outside.
pub trait Prober: Send + Sync + 'static {
    /// Probes `target` once, within the check's timeout.
    fn probe(&self, target: &TargetId, check: &HealthCheck) -> impl Future<Output = Probed> + Send;

    /// How many probes may be in flight at once; the others wait for their turn.
    fn concurrency(&self) -> usize {
        Semaphore::MAX_PERMITS
    }

    /// What probes can't be to endpoints what they should be, a sentence.
    fn warning(&self) -> Option<String> {
        None
    }
}

/// Probes endpoints at their own addresses, over the host's own sockets, in the network namespace of the runtime's threads.
#[derive(Clone, Debug)]
pub struct SocketProber {
    pub(super) endings: Arc<Endings>,
}

impl Default for SocketProber {
    /// A quarter of the descriptors is for connections that wait for the endpoint's end.
    fn default() -> Self {
        let endings = Arc::new(Endings::new(descriptors() / 4));
        Self { endings }
    }
}

impl Prober for SocketProber {
    async fn probe(&self, target: &TargetId, check: &HealthCheck) -> Probed {
        let destination = SocketAddr::new(target.address, check.probe.port()).into();
        let timeout = Duration::from_secs(check.timeout_sec.into());
        probe(&destination, &check.probe, timeout, &self.endings).await
    }

    /// As many as there are descriptors, but for those that wait, and those that the rest of the process needs.
    fn concurrency(&self) -> usize {
        descriptors() / 4 * 3
    }

    fn warning(&self) -> Option<String> {
        self.endings.warning()
    }
}

/// That probes may use.
fn descriptors() -> usize {
    const RESERVED: u64 = 256;
    const LEAST: u64 = 64;
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((LEAST, LEAST));
    let usable = soft.saturating_sub(RESERVED).max(LEAST);
    usize::try_from(usable)
        .unwrap_or(Semaphore::MAX_PERMITS)
        .min(Semaphore::MAX_PERMITS)
}

/// Probes `destination` once; `timeout` covers everything, from the connection to its end.
pub async fn probe(
    destination: &Destination,
    probe: &Probe,
    timeout: Duration,
    endings: &Arc<Endings>,
) -> Probed {
    let mut progress = Progress {
        step: Step::Connect,
        weight: without_reply(probe),
        deadline: Instant::now() + timeout,
        endings: Arc::clone(endings),
        line: None,
        last_words: None,
    };
    let outcome = timeout_at(progress.deadline, talk(destination, probe, &mut progress)).await;
    let outcome = outcome.unwrap_or_else(|_elapsed| Err(progress.step.timed_out(timeout)));
    let weight = progress.weight;
    let result = match outcome {
        Ok(()) => ProbeResult::Success { weight },
        Err(ProbeError::Endpoint(reason)) => ProbeResult::Failure { reason, weight },
        Err(ProbeError::Host(reason)) => ProbeResult::Inconclusive { reason },
    };
    Probed {
        result,
        farewell: progress.farewell(),
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
struct Progress {
    step: Step,
    /// Written as soon as the reply's head is there, so that it counts even when the body disappoints.
    weight: WeightReport,
    deadline: Instant,
    endings: Arc<Endings>,
    /// The connection, once there is one.
    line: Option<Line>,
    last_words: Option<LastWords>,
}

impl Progress {
    /// There is a connection, which will be ended in order.
    fn begin(&mut self, stream: TcpStream, peer: SocketAddr) -> Line {
        let line = Line::new(stream, peer, Arc::clone(&self.endings));
        self.line.insert(line).clone()
    }

    /// What the protocol has left to say when the verdict is told.
    fn leave(&mut self, last_words: impl Future<Output = ()> + Send + 'static) {
        self.last_words = Some(Box::pin(last_words));
    }

    fn farewell(self) -> Farewell {
        Farewell::new(self.endings, self.line, self.last_words, self.deadline)
    }
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
