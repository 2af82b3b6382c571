//! When the watcher looks: soon after news, not too often while they keep coming, and now and then without any.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

/// How long a first notification waits for others.
const SETTLE: Duration = Duration::from_millis(20);
/// The least time between two rounds while notifications keep coming.
const LEAST_PAUSE: Duration = Duration::from_millis(200);
/// A round that took long is followed by a pause this many times as long.
const PAUSE_FACTOR: u32 = 4;
/// Links are looked at again this often, or, where there are so many that it takes long, less often: the kernel says
/// nothing of a program that leaves one.
const REFRESH_LINKS: Duration = Duration::from_secs(1);
const REFRESH_FACTOR: u32 = 200;
/// Everything is looked at again this often: route exceptions expire, and next-hop objects change, without a word.
const REFRESH: Duration = Duration::from_secs(10);
/// How often it is seen whether a neighbour must be asked for.
pub(super) const ASK: Duration = Duration::from_secs(1);
/// After a failure; doubled by each one that follows.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Timing {
    /// When the next round is due, if one is.
    due: Option<Instant>,
    earliest: Instant,
    refresh_links: Instant,
    refresh_all: Instant,
    link_pause: Duration,
    /// The pause after the next failure.
    retry: Duration,
    /// Nothing is looked at before.
    retry_at: Option<Instant>,
}

impl Default for Timing {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            due: None,
            earliest: now,
            refresh_links: now + REFRESH_LINKS,
            refresh_all: now + REFRESH,
            link_pause: REFRESH_LINKS,
            retry: FIRST_RETRY,
            retry_at: None,
        }
    }
}

impl Timing {
    pub(super) fn due(&self) -> Option<Instant> {
        match (self.due, self.retry_at) {
            (Some(due), Some(retry)) => Some(due.max(retry)),
            (due, retry) => due.or(retry),
        }
    }

    pub(super) fn now(&mut self) {
        self.due = Some(Instant::now());
    }

    pub(super) fn soon(&mut self) {
        let due = (Instant::now() + SETTLE).max(self.earliest);
        self.due = Some(self.due.map_or(due, |already| already.min(due)));
    }

    /// When links are looked at again.
    pub(super) fn refresh(&self) -> Instant {
        self.refresh_links
    }

    /// Begins the next period. True when the routes are to be looked at again, too.
    pub(super) fn refreshed(&mut self) -> bool {
        let now = Instant::now();
        self.refresh_links = now + self.link_pause;
        let all = now >= self.refresh_all;
        if all {
            self.refresh_all = now + REFRESH;
        }
        all
    }

    pub(super) fn links_took(&mut self, duration: Duration) {
        self.link_pause = (duration * REFRESH_FACTOR).clamp(REFRESH_LINKS, REFRESH);
    }

    pub(super) fn ended(&mut self, started: Instant) {
        let now = Instant::now();
        self.due = None;
        self.earliest = now + LEAST_PAUSE.max((now - started) * PAUSE_FACTOR);
    }

    pub(super) fn succeeded(&mut self) {
        self.retry = FIRST_RETRY;
        self.retry_at = None;
    }

    pub(super) fn failed(&mut self) {
        self.retry_at = Some(Instant::now() + self.retry);
        self.retry = (self.retry * 2).min(LAST_RETRY);
    }
}

pub(super) fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

pub(super) async fn sleep_until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
