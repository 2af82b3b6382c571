//! The full comparison: now and then everything that the maps hold is read, beside the loop, and what somebody else has
//! changed is mended.

use std::time::Duration;

use tokio::time::Instant;

use super::Controller;
use super::verify::MOST_TOLD;
use super::work::Held;
use crate::plan::contents::Contents;
use crate::plan::diff::{Operation, diff};

/// How often a comparison is begun anew because the maps were written meanwhile, and how long it then waits.
const MOST_TRIES: u32 = 40;
const TRY_AGAIN: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Comparison {
    due: Instant,
    running: bool,
    tries: u32,
    /// What others did to the maps since the start, in map operations that mended it.
    pub(super) mended: u64,
}

impl Comparison {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            due: Instant::now() + interval,
            running: false,
            tries: 0,
            mended: 0,
        }
    }
}

impl Controller {
    pub(super) fn compare_now_and_then(&mut self) {
        let comparison = &mut self.comparison;
        if comparison.running || self.reading || Instant::now() < comparison.due || self.is_behind() {
            return;
        }
        if self.frozen().is_some() {
            return;
        }
        self.comparison.running = true;
        self.work.read(self.maps.reader(), self.generation);
    }

    pub(super) fn on_held(&mut self, held: Held) {
        if self.reading && held.generation == self.generation {
            return self.on_read_back(held);
        }
        if !self.comparison.running {
            return;
        }
        self.comparison.running = false;
        let is_current = held.generation == self.generation && !self.is_behind();
        if !is_current && self.comparison.tries < MOST_TRIES {
            self.comparison.tries += 1;
            self.comparison.due = Instant::now() + TRY_AGAIN;
            return;
        }
        self.comparison.tries = 0;
        self.comparison.due = Instant::now() + self.settings.compare_interval;
        match held.contents {
            Ok(contents) if is_current => self.mend(contents),
            Ok(_) => {
                tracing::warn!("the maps were written without a pause, so they were not compared this time")
            }
            Err(error) => tracing::warn!("the kernel's maps can't be read to compare them: {error:#}"),
        }
    }

    fn mend(&mut self, held: Contents) {
        let mut operations = diff(&held, &self.plan.contents);
        operations.retain(|operation| self.can_be_done(operation));
        if operations.is_empty() {
            return;
        }
        self.comparison.mended += operations.len() as u64;
        tracing::warn!(
            "somebody else changed the kernel's maps; mended by {} operations: {}",
            operations.len(),
            told(&operations).join(", ")
        );
        self.actual = Some(held);
        self.behind = true;
    }
}

fn told(operations: &[Operation]) -> Vec<String> {
    let first = operations.iter().take(MOST_TOLD);
    first.map(|operation| format!("{operation:.200?}")).collect()
}
