//! When a target is probed: at its own moment of the interval, the same in every run.
//!
//! Moments are counted from the boot of this host, so that a restarted daemon goes on where the last one ended instead
//! of probing everything at once.

use std::time::Duration;

use lb_common::hash::identity;
use nix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use crate::health::TargetId;

/// How long new targets wait at most for their first probe while they are few: a fresh start is soon in service.
pub(super) const SHORT_START: Duration = Duration::from_millis(250);
/// What each new target adds to that wait while they are many: 5,000 first probes a second.
const START_PACE: Duration = Duration::from_micros(200);

/// How long `count` new targets with this interval may wait for their first probe.
pub(super) fn start_window(count: usize, interval: Duration) -> Duration {
    let few = SHORT_START.min(interval / 4);
    let many = START_PACE.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
    many.clamp(few, interval)
}

/// The time since the boot of this host, as the runtime's timers measure it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
    start_since_boot: Duration,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            // Every kernel has this clock; zero would only give this run moments of its own.
            start_since_boot: clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.start_since_boot + self.start.elapsed()
    }

    pub(super) async fn sleep_until(&self, moment: Duration) {
        let ahead = moment.saturating_sub(self.start_since_boot);
        tokio::time::sleep_until(self.start + ahead).await;
    }
}

/// The moments of one target: `phase` after every whole interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rhythm {
    interval: Duration,
    phase: Duration,
    /// Where the target lies in a window that it shares with others, of 2^32.
    place: u32,
}

impl Rhythm {
    /// `interval` is not zero.
    pub(super) fn new(target: &TargetId, interval: Duration) -> Self {
        let name = format!("{} {}", target.check, target.address);
        let hash = identity(0, name.as_bytes());
        Self {
            interval,
            phase: share(interval, hash as u32),
            place: (hash >> 32) as u32,
        }
    }

    /// Where the target's first probe lies in a window of `length`.
    pub(super) fn start(&self, length: Duration) -> Duration {
        share(length, self.place)
    }

    /// The first moment at or after `time`.
    pub(super) fn at_or_after(&self, time: Duration) -> Duration {
        let (interval, phase) = (self.interval.as_nanos(), self.phase.as_nanos());
        let rounds = (time.as_nanos().saturating_sub(phase)).div_ceil(interval);
        let moment = phase + rounds * interval;
        Duration::from_nanos(u64::try_from(moment).unwrap_or(u64::MAX))
    }

    /// The moment after a probe that was due at `due` and has ended by `now`. The first moment may follow a probe out
    /// of turn by half an interval to one and a half; what was missed by a whole interval is left out.
    pub(super) fn after(&self, due: Duration, now: Duration) -> Duration {
        let next = self.at_or_after(due + self.interval / 2);
        if now >= next + self.interval {
            self.at_or_after(now)
        } else {
            next
        }
    }
}

fn share(length: Duration, of: u32) -> Duration {
    length.mul_f64(f64::from(of) / (f64::from(u32::MAX) + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ResourcePath;

    const INTERVAL: Duration = Duration::from_secs(5);

    fn rhythm(last: u8) -> Rhythm {
        let target = TargetId {
            check: ResourcePath::from_canonical("projects/p/regions/r/healthChecks/h"),
            address: std::net::IpAddr::from([192, 0, 2, last]),
            via: None,
        };
        Rhythm::new(&target, INTERVAL)
    }

    #[test]
    fn moments_are_an_interval_apart_and_the_same_in_every_run() {
        let rhythm = rhythm(1);
        assert_eq!(rhythm.phase, self::rhythm(1).phase);
        assert_ne!(rhythm.phase, self::rhythm(2).phase);
        assert!(rhythm.phase < INTERVAL);
        for time in [0, 1, 4_999, 5_000, 5_001, 86_400_000] {
            let time = Duration::from_millis(time);
            let moment = rhythm.at_or_after(time);
            assert!(moment >= time && moment < time + INTERVAL, "{time:?} {moment:?}");
            assert_eq!(rhythm.at_or_after(moment), moment);
            assert_eq!(rhythm.after(moment, moment), moment + INTERVAL);
        }
    }

    #[test]
    fn a_probe_out_of_turn_is_followed_by_no_burst() {
        let rhythm = rhythm(1);
        for time in (0..20_000).step_by(37) {
            let due = Duration::from_millis(time);
            let gap = rhythm.after(due, due) - due;
            assert!(gap >= INTERVAL / 2 && gap <= INTERVAL * 3 / 2, "{time}: {gap:?}");
        }
    }

    #[test]
    fn what_was_missed_is_left_out() {
        let rhythm = rhythm(1);
        let due = rhythm.at_or_after(INTERVAL);
        let soon = |late: Duration| rhythm.after(due, due + INTERVAL + late);
        assert_eq!(soon(Duration::ZERO), due + INTERVAL);
        assert_eq!(
            soon(Duration::from_secs(4)),
            due + INTERVAL,
            "late, and done at once"
        );
        assert_eq!(soon(Duration::from_secs(5)), due + 2 * INTERVAL);
        assert_eq!(soon(Duration::from_secs(21)), due + 6 * INTERVAL);
    }

    #[test]
    fn many_new_targets_take_longer_to_start() {
        for (count, interval, window) in [
            (1, 5, 250),
            (1, 1, 250),
            (1_000, 5, 250),
            (10_000, 5, 2_000),
            (10_000, 1, 1_000),
            (1_000_000, 5, 5_000),
        ] {
            let interval = Duration::from_secs(interval);
            assert_eq!(
                start_window(count, interval),
                Duration::from_millis(window),
                "{count}"
            );
        }
    }
}
