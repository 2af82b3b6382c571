//! When what failed is tried again: soon at first, then ever later.

use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Backoff {
    delay: Option<Duration>,
    due: Option<Instant>,
}

impl Backoff {
    pub(super) fn failed(&mut self) {
        let delay = self.delay.map_or(FIRST, |delay| (delay * 2).min(LONGEST));
        self.delay = Some(delay);
        self.due = Some(Instant::now() + delay);
    }

    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Whether it is too early.
    pub(super) fn waits(&self) -> bool {
        self.due.is_some_and(|due| Instant::now() < due)
    }

    /// The next try; nothing while nothing has failed.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_waits_longer_and_longer_up_to_a_bound() {
        let mut backoff = Backoff::default();
        assert!(!backoff.waits() && backoff.due().is_none());
        let mut delays = Vec::new();
        for _ in 0..10 {
            backoff.failed();
            assert!(backoff.waits());
            let due = backoff.due().expect("a next try");
            delays.push(due.duration_since(Instant::now()));
            tokio::time::sleep_until(due).await;
            assert!(!backoff.waits());
        }
        assert_eq!(delays[..3], [FIRST, 2 * FIRST, 4 * FIRST]);
        assert_eq!(delays[9], LONGEST);
        backoff.succeeded();
        assert!(backoff.due().is_none());
    }
}
