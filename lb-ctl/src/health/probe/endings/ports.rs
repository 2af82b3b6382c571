//! How many local ports connections that have ended still keep.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

/// The kernel keeps a port for 60 s; counting in spans makes that up to 70.
const SPAN_SEC: u64 = 10;
const SPANS: usize = 7;

/// Connections that may be kept at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// To one destination.
    pub(super) one: u32,
    /// To all of them.
    pub(super) all: u32,
}

impl Limits {
    /// Less than half of the ports, because the kernel looks among every second one first, which gets slow when all of
    /// those are in use. Of the room, what leaves enough for whoever else is on this host.
    pub(super) fn of_this_host() -> Self {
        let numbers = |name: &str| {
            let text = fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap_or_default();
            let numbers = text.split_whitespace().map(str::parse);
            numbers.collect::<Result<Vec<u32>, _>>().unwrap_or_default()
        };
        // Where they can't be read, the kernel's defaults.
        let ports = match numbers("ip_local_port_range")[..] {
            [first, last] => (last + 1).saturating_sub(first),
            _ => 28_232,
        };
        let room = numbers("tcp_max_tw_buckets").first().copied().unwrap_or(4_096);
        Self {
            one: ports / 5 * 2,
            all: room / 10 * 9,
        }
    }
}

/// What is used up, and its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shortage {
    /// Ports for one destination.
    Ports(u32),
    /// The kernel's room for connections that have ended.
    Room(u32),
}

pub(super) struct Ports {
    read_limits: Box<dyn Fn() -> Limits + Send>,
    limits: Limits,
    span: u64,
    all: Kept,
    of: HashMap<SocketAddr, Kept>,
}

impl Ports {
    pub(super) fn new(read_limits: impl Fn() -> Limits + Send + 'static) -> Self {
        Self {
            limits: read_limits(),
            read_limits: Box::new(read_limits),
            span: 0,
            all: Kept::default(),
            of: HashMap::new(),
        }
    }

    /// Counts a connection to `destination` that ends at `now`, if there is room for it.
    pub(super) fn keep(&mut self, destination: SocketAddr, now: Duration) -> Result<(), Shortage> {
        let span = now.as_secs() / SPAN_SEC;
        if span != self.span {
            self.span = span;
            self.limits = (self.read_limits)();
            self.of.retain(|_, kept| kept.count(span) > 0);
        }
        if self.all.count(span) >= self.limits.all {
            return Err(Shortage::Room(self.limits.all));
        }
        let kept = self.of.entry(destination).or_default();
        if kept.count(span) >= self.limits.one {
            return Err(Shortage::Ports(self.limits.one));
        }
        kept.add(span);
        self.all.add(span);
        Ok(())
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports")
            .field("limits", &self.limits)
            .field("all", &self.all)
            .finish_non_exhaustive()
    }
}

/// Connections by the span in which they ended.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    /// The last span that was looked at.
    span: u64,
    counts: [u32; SPANS],
}

impl Kept {
    fn count(&mut self, span: u64) -> u32 {
        let passed = span.saturating_sub(self.span).min(SPANS as u64);
        for step in 1..=passed {
            self.counts[place(self.span + step)] = 0;
        }
        // A long silence empties all places, wherever it ends.
        self.span = self.span.max(span);
        self.counts.iter().sum()
    }

    fn add(&mut self, span: u64) {
        self.counts[place(span)] += 1;
    }
}

fn place(span: u64) -> usize {
    (span % SPANS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn ports_are_kept_for_a_minute_for_each_destination() {
        let mut ports = Ports::new(|| Limits { one: 2, all: 100 });
        let mut keep = |port, second| ports.keep(at(port), Duration::from_secs(second));
        assert_eq!(keep(80, 1), Ok(()));
        assert_eq!(keep(80, 35), Ok(()));
        assert_eq!(keep(80, 36), Err(Shortage::Ports(2)));
        assert_eq!(keep(81, 36), Ok(()), "another destination");
        assert_eq!(keep(80, 61), Err(Shortage::Ports(2)));
        assert_eq!(keep(80, 70), Ok(()), "the first is free");
        assert_eq!(keep(80, 94), Err(Shortage::Ports(2)));
        assert_eq!(keep(80, 100), Ok(()), "the second is free");
        assert_eq!(keep(80, 1_000_003), Ok(()));
        assert_eq!(keep(80, 1_000_003), Ok(()));
        assert_eq!(keep(80, 1_000_003), Err(Shortage::Ports(2)));
    }

    #[test]
    fn the_room_is_shared_by_all_destinations() {
        let mut ports = Ports::new(|| Limits { one: 2, all: 3 });
        let mut keep = |port, second| ports.keep(at(port), Duration::from_secs(second));
        for port in 1..=3 {
            assert_eq!(keep(port, 5), Ok(()));
        }
        assert_eq!(keep(4, 64), Err(Shortage::Room(3)));
        assert_eq!(keep(4, 75), Ok(()));
    }

    #[test]
    fn destinations_that_keep_nothing_are_forgotten() {
        let mut ports = Ports::new(|| Limits { one: 9, all: 99 });
        for port in 1..=50 {
            assert_eq!(ports.keep(at(port), Duration::from_secs(3)), Ok(()));
        }
        assert_eq!(ports.keep(at(1), Duration::from_secs(80)), Ok(()));
        assert_eq!(ports.of.len(), 1);
    }

    #[test]
    fn this_host_has_room() {
        let limits = Limits::of_this_host();
        assert!(limits.one > 0 && limits.all > 0, "{limits:?}");
    }
}
