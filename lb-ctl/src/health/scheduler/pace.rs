//! Whether the host keeps up with its probes.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Seconds between two warnings that probes are late.
const WARNING_INTERVAL: u64 = 60;

/// What the probes of one checker did since it was asked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaceReport {
    /// Probes started.
    pub probes: u64,
    /// The most probes that were in flight at once.
    pub most_in_flight: usize,
    /// The longest that a probe started after its moment.
    pub max_lateness: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Pace {
    probes: AtomicU64,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    /// Microseconds.
    max_lateness: AtomicU64,
    /// When the last warning was given, seconds since boot.
    warned: AtomicU64,
}

impl Pace {
    /// Counts a probe that starts `now`, was due at `due` and is due again an `interval` later.
    pub(super) fn start(&self, due: Duration, now: Duration, interval: Duration) -> InFlight<'_> {
        let lateness = now.saturating_sub(due);
        self.probes.fetch_add(1, Ordering::Relaxed);
        let in_flight = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_in_flight.fetch_max(in_flight, Ordering::Relaxed);
        let micros = u64::try_from(lateness.as_micros()).unwrap_or(u64::MAX);
        self.max_lateness.fetch_max(micros, Ordering::Relaxed);
        if lateness >= interval && self.may_warn(now) {
            tracing::warn!(
                late_sec = lateness.as_secs_f64(),
                in_flight,
                "health probes start later than a whole check interval: this host has too little processor time or \
                 too few file descriptors for its health checks"
            );
        }
        InFlight(self)
    }

    pub(super) fn take(&self) -> PaceReport {
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        PaceReport {
            probes: self.probes.swap(0, Ordering::Relaxed),
            most_in_flight: self.most_in_flight.swap(in_flight, Ordering::Relaxed),
            max_lateness: Duration::from_micros(self.max_lateness.swap(0, Ordering::Relaxed)),
        }
    }

    fn may_warn(&self, now: Duration) -> bool {
        let (last, now) = (self.warned.load(Ordering::Relaxed), now.as_secs());
        let due = last == 0 || now >= last + WARNING_INTERVAL;
        due && self
            .warned
            .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}

/// A probe in flight, until it is dropped.
pub(super) struct InFlight<'a>(&'a Pace);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_of_the_time_since_the_last() {
        let pace = Pace::default();
        let at = Duration::from_millis;
        let interval = Duration::from_secs(5);
        let first = pace.start(at(10), at(12), interval);
        drop(pace.start(at(10), at(17), interval));
        let report = PaceReport {
            probes: 2,
            most_in_flight: 2,
            max_lateness: at(7),
        };
        assert_eq!(pace.take(), report);
        let still = PaceReport {
            most_in_flight: 1,
            ..PaceReport::default()
        };
        assert_eq!(pace.take(), still);
        drop(first);
        pace.take();
        assert_eq!(pace.take(), PaceReport::default());
    }

    #[test]
    fn warnings_are_a_minute_apart() {
        let pace = Pace::default();
        let told: Vec<bool> = [100, 101, 159, 160, 161, 300]
            .map(|second| pace.may_warn(Duration::from_secs(second)))
            .into();
        assert_eq!(told, [true, false, false, true, false, true]);
    }
}
