//! Probes endpoints over the host's sockets: at the VIP, on the path that leads to that endpoint, or at their own
//! addresses.

#[cfg(test)]
mod tests;

use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::TargetId;
use super::machine::ProbeResult;
use super::path::{PathId, PathsReceiver, ProbePath, Via};
use super::probe::{Delivered, Destination, Probed, Prober, SocketProber, probe, without_reply};
use crate::model::HealthCheck;
use crate::net::ProbeWay;

/// Probes in the network namespace of the runtime's threads.
#[derive(Clone, Debug)]
pub struct EndpointProber {
    mark: u32,
    paths: PathsReceiver,
    /// Absent: nobody tells, and probes leave.
    way: Option<watch::Receiver<ProbeWay>>,
    sockets: SocketProber,
}

impl EndpointProber {
    /// `mark` is what leads the packets of a socket to the probe device, which delivers them on one of `paths`.
    pub fn new(mark: u32, paths: PathsReceiver) -> Self {
        Self {
            mark,
            paths,
            way: None,
            sockets: SocketProber::default(),
        }
    }

    /// What becomes of the probe device: while probes can't leave by it, they say nothing about endpoints.
    #[must_use]
    pub fn through(self, way: watch::Receiver<ProbeWay>) -> Self {
        Self {
            way: Some(way),
            ..self
        }
    }

    async fn probe_vip(&self, endpoint: IpAddr, via: Via, check: &HealthCheck) -> Probed {
        let breaks = match self.breaks() {
            Ok(breaks) => breaks,
            Err(reason) => return no_way(&reason).into(),
        };
        let mut probed = self.probe_on_path(endpoint, via, check).await;
        match self.breaks() {
            Ok(after) if after == breaks => {}
            Ok(_) => probed.result = no_way("it was broken meanwhile"),
            Err(reason) => probed.result = no_way(&reason),
        }
        probed
    }

    /// How often the way was broken, or why it is now.
    fn breaks(&self) -> Result<u64, String> {
        let Some(way) = &self.way else { return Ok(0) };
        let way = way.borrow();
        way.trouble().map_or(Ok(way.breaks), Err)
    }

    /// Waits, as long as the probe may, for a path that is not known yet: at a start neighbours are still being asked.
    async fn probe_on_path(&self, endpoint: IpAddr, via: Via, check: &HealthCheck) -> Probed {
        let timeout = timeout_of(check);
        let deadline = Instant::now() + timeout;
        let path = match self.path((endpoint, via.delivery), deadline).await {
            Ok(path) => path,
            Err(Some(reason)) => {
                return ProbeResult::Failure {
                    reason: format!("{endpoint} can't be delivered to: {reason}"),
                    weight: without_reply(&check.probe),
                }
                .into();
            }
            // Nobody has looked: that is no verdict.
            Err(None) => {
                return ProbeResult::Inconclusive {
                    reason: format!("the way to {endpoint} was not looked up yet"),
                }
                .into();
            }
        };
        let left = deadline.duration_since(Instant::now());
        let destination = Destination {
            address: SocketAddr::new(via.vip, check.probe.port()),
            delivered: Some(Delivered {
                endpoint,
                path,
                mark: self.mark,
                timeout: left,
            }),
        };
        probe(&destination, &check.probe, left, &self.sockets.endings).await
    }

    /// An error says why nothing can be delivered, if anybody knows.
    async fn path(&self, id: PathId, deadline: Instant) -> Result<ProbePath, Option<String>> {
        let mut paths = self.paths.clone();
        let mut reason = None;
        let known = async {
            loop {
                match paths
                    .borrow_and_update()
                    .as_ref()
                    .and_then(|paths| paths.get(&id))
                {
                    Some(Ok(path)) => return *path,
                    Some(Err(unresolved)) => reason = Some(unresolved.clone()),
                    None => {}
                }
                if paths.changed().await.is_err() {
                    pending::<()>().await;
                }
            }
        };
        let found = timeout_at(deadline, known).await;
        found.map_err(|_elapsed| reason)
    }
}

impl Prober for EndpointProber {
    async fn probe(&self, target: &TargetId, check: &HealthCheck) -> Probed {
        let probed = match target.via {
            Some(via) => self.probe_vip(target.address, via, check).await,
            None => self.sockets.probe(target, check).await,
        };
        // What fails because the paths were taken away says nothing about the endpoint.
        if target.via.is_some() && self.paths.borrow().is_none() {
            pending::<()>().await;
        }
        probed
    }

    /// A probe that gets no answer looks at the endpoint's own address too.
    fn concurrency(&self) -> usize {
        self.sockets.concurrency() / 2
    }

    fn warning(&self) -> Option<String> {
        self.sockets.warning()
    }
}

fn no_way(reason: &str) -> ProbeResult {
    ProbeResult::Inconclusive {
        reason: format!("probes can't leave this host: {reason}"),
    }
}

fn timeout_of(check: &HealthCheck) -> Duration {
    Duration::from_secs(check.timeout_sec.into())
}
