//! Services whose compilation takes long rest between two: what is known of them meanwhile is joined, and the loop has time
//! for everybody else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::ResourcePath;

/// What is quicker never adds up: probes of one service don't come in as often.
const WORTH_A_REST: Duration = Duration::from_millis(1);
/// A service is compiled a quarter of the time at most.
const TIMES_AS_LONG: u32 = 3;
const LONGEST: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
pub(super) struct Rests(BTreeMap<ResourcePath, Instant>);

impl Rests {
    /// These were compiled just now, and that took so long.
    pub(super) fn note(&mut self, services: &BTreeSet<ResourcePath>, took: Duration) {
        let Some(each) = took.checked_div(services.len() as u32) else {
            return;
        };
        if each >= WORTH_A_REST {
            let end = Instant::now() + (each * TIMES_AS_LONG).min(LONGEST);
            self.0
                .extend(services.iter().map(|service| (service.clone(), end)));
        }
    }

    pub(super) fn is_for(&self, service: &ResourcePath) -> bool {
        self.0.get(service).is_some_and(|end| Instant::now() < *end)
    }

    pub(super) fn forget_ended(&mut self) {
        let now = Instant::now();
        self.0.retain(|_, end| now < *end);
    }

    /// When the first one is over.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rests_follow_what_a_compilation_took() {
        let (slow, quick) = (
            ResourcePath::from_canonical("slow"),
            ResourcePath::from_canonical("quick"),
        );
        let mut rests = Rests::default();
        let only = |service: &ResourcePath| BTreeSet::from([service.clone()]);
        rests.note(&only(&quick), Duration::from_micros(900));
        rests.note(&only(&slow), Duration::from_millis(10));
        assert!(rests.is_for(&slow) && !rests.is_for(&quick));
        let end = rests.next_end().expect("one rests");
        assert_eq!(end - Instant::now(), Duration::from_millis(30));
        tokio::time::sleep_until(end).await;
        assert!(!rests.is_for(&slow));
        rests.forget_ended();
        assert_eq!(rests.next_end(), None);
        rests.note(&BTreeSet::new(), Duration::from_secs(10));
        assert_eq!(rests.next_end(), None, "everything was compiled");
        rests.note(&only(&slow), Duration::from_secs(10));
        assert_eq!(rests.next_end(), Some(Instant::now() + LONGEST));
    }
}
