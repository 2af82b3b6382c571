//! What the benchmark is at, on standard error.

use std::time::Instant;

pub(super) struct Progress {
    start: Instant,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Progress {
    pub(super) fn say(&mut self, what: &str) {
        let elapsed = self.start.elapsed().as_secs_f64();
        eprintln!("{elapsed:6.1} s  {what}");
    }
}
