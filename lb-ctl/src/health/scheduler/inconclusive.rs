//! Probes that this host could not make: they say nothing about endpoints, but somebody has to hear of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// The least time between two lines of the log.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// Probes of one checker that could not be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InconclusiveReport {
    /// Since the start.
    pub probes: u64,
    /// Targets whose last probe was one: their health is what it was before.
    pub targets: usize,
    /// Since when there are such targets.
    pub since: Option<Timestamp>,
    /// Why the last one could not be made, a clause.
    pub reason: Option<String>,
}

impl InconclusiveReport {
    /// For those who look at the state of the daemon.
    pub fn warning(&self) -> Option<String> {
        let reason = self.reason.as_ref().filter(|_| self.targets > 0)?;
        let whose = match self.targets {
            1 => "1 endpoint".to_owned(),
            count => format!("{count} endpoints"),
        };
        Some(format!(
            "this host can't make the health probes of {whose}, whose health stays what it was: {reason}"
        ))
    }
}

/// Shared by the tasks of one checker.
#[derive(Clone, Debug, Default)]
pub(super) struct Inconclusive(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    report: InconclusiveReport,
    told: Option<Instant>,
}

impl Inconclusive {
    pub(super) fn report(&self) -> InconclusiveReport {
        self.lock().report.clone()
    }

    /// Counts the targets while they have one.
    pub(super) fn target(&self) -> Unjudged {
        Unjudged {
            all: self.clone(),
            is_counted: false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the last probe of one target could not be made.
#[derive(Debug)]
pub(super) struct Unjudged {
    all: Inconclusive,
    is_counted: bool,
}

impl Unjudged {
    pub(super) fn probe_was_not_made(&mut self, reason: &str) {
        let mut state = self.all.lock();
        let report = &mut state.report;
        report.probes += 1;
        report.reason = Some(reason.to_owned());
        if !std::mem::replace(&mut self.is_counted, true) {
            report.targets += 1;
            report.since.get_or_insert_with(Timestamp::now);
        }
        if state.told.is_none_or(|told| told.elapsed() >= TELL_INTERVAL) {
            state.told = Some(Instant::now());
            tracing::warn!("health probes can't be made on this host, so health stays what it was: {reason}");
        }
    }

    pub(super) fn probe_was_made(&mut self) {
        if std::mem::take(&mut self.is_counted) {
            let mut state = self.all.lock();
            state.report.targets -= 1;
            if state.report.targets == 0 {
                state.report.since = None;
                tracing::info!("all health probes can be made again");
            }
        }
    }
}

impl Drop for Unjudged {
    fn drop(&mut self) {
        self.probe_was_made();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_count_while_their_last_probe_could_not_be_made() {
        let all = Inconclusive::default();
        let (mut one, mut two) = (all.target(), all.target());
        assert_eq!(all.report(), InconclusiveReport::default());
        one.probe_was_not_made("no descriptors");
        one.probe_was_not_made("no descriptors");
        two.probe_was_not_made("no device");
        let report = all.report();
        assert_eq!((report.probes, report.targets), (3, 2));
        let warning = report.warning().expect("a warning");
        assert!(
            warning.contains("2 endpoints") && warning.ends_with("no device"),
            "{warning}"
        );
        one.probe_was_made();
        one.probe_was_made();
        assert_eq!((all.report().targets, all.report().since), (1, report.since));
        drop(two);
        let report = all.report();
        assert_eq!((report.targets, report.since, report.warning()), (0, None, None));
        assert_eq!(report.probes, 3);
    }
}
