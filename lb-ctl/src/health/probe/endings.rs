//! What the ends of probes' connections may take of this host: local ports and descriptors.
//!
//! Whoever sends the first FIN keeps the connection's port for a minute. Ports count for each destination: an endpoint's
//! own address never has many such connections, but thousands of endpoints are probed at one VIP. The kernel's room for
//! such connections is shared by all of them.

mod ports;

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use self::ports::{Limits, Ports, Shortage};

/// How long `status` tells of a connection that ended by RST, and the least time between two lines of the log.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// The ends of the connections of one prober.
#[derive(Debug)]
pub struct Endings {
    start: Instant,
    /// Connections that may wait for the endpoint's end at once.
    places: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ports: Ports,
    /// Connections that ended by RST since the start.
    resets: u64,
    last: Option<(Instant, SocketAddr, Shortage)>,
    told: Option<Instant>,
}

impl Endings {
    /// `places` connections at once may wait for the endpoint's end.
    pub fn new(places: usize) -> Self {
        Self::with_limits(places, Limits::of_this_host)
    }

    /// As if the host had `ports` ports for each destination.
    #[cfg(test)]
    pub(super) fn with_ports(places: usize, ports: u32) -> Self {
        Self::with_limits(places, move || Limits {
            one: ports,
            all: u32::MAX,
        })
    }

    fn with_limits(places: usize, limits: impl Fn() -> Limits + Send + 'static) -> Self {
        Self {
            start: Instant::now(),
            places: Semaphore::new(places.min(Semaphore::MAX_PERMITS)),
            state: Mutex::new(State {
                ports: Ports::new(limits),
                resets: 0,
                last: None,
                told: None,
            }),
        }
    }

    /// A place to wait in, if one is free.
    pub(super) fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.places.try_acquire().ok()
    }

    /// Whether a connection to `destination` may end by our FIN.
    pub(super) fn may_keep_port(&self, destination: SocketAddr) -> bool {
        let now = Instant::now();
        let mut state = self.lock();
        let Err(shortage) = state.ports.keep(destination, now - self.start) else {
            return true;
        };
        state.resets += 1;
        state.last = Some((now, destination, shortage));
        if state.told.is_none_or(|told| now - told >= TELL_INTERVAL) {
            state.told = Some(now);
            tracing::warn!("{}", sentence(&state, destination, shortage));
        }
        false
    }

    /// For those who look at the state of the daemon.
    pub(super) fn warning(&self) -> Option<String> {
        let state = self.lock();
        let (when, destination, shortage) = state.last?;
        let is_recent = when.elapsed() < TELL_INTERVAL;
        is_recent.then(|| sentence(&state, destination, shortage))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sentence(state: &State, destination: SocketAddr, shortage: Shortage) -> String {
    let State { resets, .. } = state;
    let (why, cure) = match shortage {
        Shortage::Ports(limit) => (
            format!("{limit} connections to {destination} already keep a local port for a minute each"),
            "net.ipv4.ip_local_port_range",
        ),
        Shortage::Room(limit) => (
            format!("{limit} connections that ended are already kept for a minute each"),
            "net.ipv4.tcp_max_tw_buckets",
        ),
    };
    format!(
        "health probes end by RST, which endpoints may log as errors ({resets} so far, the last one to {destination}): {why}; \
         a greater checkIntervalSec or {cure} helps"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_and_three() -> Limits {
        Limits { one: 1, all: 3 }
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_by_rst_is_counted_and_told_for_a_minute() {
        let endings = Endings::with_limits(1, one_and_three);
        let at = |port| SocketAddr::from(([192, 0, 2, 1], port));
        assert!(endings.may_keep_port(at(80)));
        assert_eq!(endings.warning(), None);
        assert!(!endings.may_keep_port(at(80)));
        let warning = endings.warning().expect("a warning");
        assert!(
            warning.contains("1 so far") && warning.contains("1 connections to 192.0.2.1:80"),
            "{warning}"
        );
        assert!(warning.contains("ip_local_port_range"), "{warning}");
        assert!(
            endings.may_keep_port(at(81)) && endings.may_keep_port(at(82)) && !endings.may_keep_port(at(83))
        );
        let warning = endings.warning().expect("a warning");
        assert!(
            warning.contains("2 so far") && warning.contains("tcp_max_tw_buckets"),
            "{warning}"
        );
        tokio::time::advance(TELL_INTERVAL).await;
        assert_eq!(endings.warning(), None);
        tokio::time::advance(TELL_INTERVAL).await;
        assert!(endings.may_keep_port(at(80)), "the port is free again");
    }

    #[test]
    fn places_to_wait_in_are_given_back() {
        let endings = Endings::with_limits(1, one_and_three);
        let place = endings.place();
        assert!(place.is_some() && endings.place().is_none());
        drop(place);
        assert!(endings.place().is_some());
    }
}
