//! What is to be sent and when: announcements of what is new, questions whether anybody else has it, and neither in
//! bursts that a segment or a switch would drop.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lb_common::hash;
use tokio::time::Instant;

use super::VipRange;

/// How often a new address is announced, and how far apart (RFC 4861 MAX_NEIGHBOR_ADVERTISEMENT, RETRANS_TIMER).
pub(super) const ANNOUNCEMENTS: u32 = 3;
const ANNOUNCEMENT_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is asked whether another host has one of ours.
pub(super) const ASK_INTERVAL: Duration = Duration::from_secs(60);
/// At most so many addresses at once, and then a pause: 300 addresses a second, in up to 1,000 frames.
const BATCH: usize = 3;
const BATCH_PAUSE: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Job {
    /// Say that it is here; before that, ask whether it is elsewhere.
    Begin,
    /// Ask whether it is elsewhere.
    Ask,
    /// Say that it is here.
    Repeat,
}

#[derive(Debug)]
pub(super) struct Schedule {
    queue: BTreeSet<(Instant, Job, VipRange)>,
    moments: BTreeMap<(VipRange, Job), Instant>,
    /// Announcements that a range still gets.
    left: BTreeMap<VipRange, u32>,
    /// Nothing is sent before.
    open_at: Instant,
    repeat: Option<Duration>,
}

impl Schedule {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            queue: BTreeSet::new(),
            moments: BTreeMap::new(),
            left: BTreeMap::new(),
            open_at: now,
            repeat: None,
        }
    }

    /// From now on every range is announced again this long after its last announcement.
    pub(super) fn set_repeat(&mut self, repeat: Option<Duration>, ranges: &BTreeSet<VipRange>, now: Instant) {
        if self.repeat == repeat {
            return;
        }
        self.repeat = repeat;
        for range in ranges {
            self.plan_repeat(*range, now);
        }
    }

    /// Announces a range now and a few times more, and asks for it from now on.
    pub(super) fn begin(&mut self, range: VipRange, now: Instant) {
        self.left.insert(range, ANNOUNCEMENTS);
        self.put(Job::Begin, range, now);
        // At a moment of its own in each interval, so that thousands are spread over it.
        let share = hash::identity(0, format!("{range:?}").as_bytes()) as u32;
        let wait = ASK_INTERVAL.mul_f64(0.5 + f64::from(share) / f64::from(u32::MAX) / 2.0);
        self.put(Job::Ask, range, now + wait);
        self.plan_repeat(range, now);
    }

    /// Announces a range once more.
    pub(super) fn announce_once(&mut self, range: VipRange, now: Instant) {
        self.put(Job::Repeat, range, now);
    }

    /// A job that could not be done is done a little later.
    pub(super) fn again(&mut self, job: Job, range: VipRange, now: Instant) {
        if job == Job::Begin {
            *self.left.entry(range).or_insert(0) += 1;
        }
        self.put(job, range, now + ANNOUNCEMENT_INTERVAL);
    }

    /// Forgets everything about other ranges.
    pub(super) fn retain(&mut self, ranges: &BTreeSet<VipRange>) {
        self.queue.retain(|(_, _, range)| ranges.contains(range));
        self.moments.retain(|(range, _), _| ranges.contains(range));
        self.left.retain(|range, _| ranges.contains(range));
    }

    /// When there is something to do again.
    pub(super) fn next(&self) -> Option<Instant> {
        let (first, _, _) = self.queue.first()?;
        Some((*first).max(self.open_at))
    }

    /// What is to be done at this moment; the next moment comes after a pause.
    pub(super) fn take(&mut self, now: Instant) -> Vec<(Job, VipRange)> {
        let mut jobs = Vec::new();
        while now >= self.open_at && jobs.len() < BATCH {
            let Some((moment, job, range)) = self.queue.first().copied().filter(|(at, ..)| *at <= now) else {
                break;
            };
            self.queue.remove(&(moment, job, range));
            self.moments.remove(&(range, job));
            self.plan_next(job, range, moment, now);
            jobs.push((job, range));
        }
        if !jobs.is_empty() {
            self.open_at = now + BATCH_PAUSE;
        }
        jobs
    }

    fn plan_next(&mut self, job: Job, range: VipRange, moment: Instant, now: Instant) {
        match job {
            Job::Begin => {
                let left = self.left.remove(&range).unwrap_or(1).saturating_sub(1);
                if left > 0 {
                    self.left.insert(range, left);
                    self.put(Job::Begin, range, now + ANNOUNCEMENT_INTERVAL);
                }
            }
            // What was held up does not come in a burst afterwards.
            Job::Ask => self.put(
                Job::Ask,
                range,
                (moment + ASK_INTERVAL).max(now + ASK_INTERVAL / 2),
            ),
            Job::Repeat => self.plan_repeat(range, now),
        }
    }

    fn plan_repeat(&mut self, range: VipRange, now: Instant) {
        match self.repeat {
            Some(repeat) => self.put(Job::Repeat, range, now + repeat),
            None => self.drop(Job::Repeat, range),
        }
    }

    fn put(&mut self, job: Job, range: VipRange, at: Instant) {
        self.drop(job, range);
        self.moments.insert((range, job), at);
        self.queue.insert((at, job, range));
    }

    fn drop(&mut self, job: Job, range: VipRange) {
        if let Some(at) = self.moments.remove(&(range, job)) {
            self.queue.remove(&(at, job, range));
        }
    }
}
