//! The thread that keeps plans: the newest that was asked for, whatever was asked for in between.
//!
//! After an error the file is opened anew, at the next request and by itself after a pause.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::rows::{self, HealthChanges};
use super::volatile::Volatile;
use super::{KeepError, KeeperState};
use crate::health::{HealthState, TargetId};
use crate::plan::Plan;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How far the thread is: requests are counted from 1 on.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// All up to this one are kept.
    kept: u64,
    /// All up to this one are kept, or could not be kept when it was tried last.
    tried: u64,
    state: KeeperState,
}

#[derive(Debug, Default)]
struct Wanted {
    request: u64,
    /// Absent when the newest request is kept.
    plan: Option<Plan>,
    health: BTreeMap<TargetId, Option<HealthState>>,
    closed: bool,
}

/// What the controller's side and the thread share.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    wanted: Mutex<Wanted>,
    wake: Condvar,
    /// The newest plan that was kept. The file holds its numbers, or newer ones.
    kept: Mutex<Option<Plan>>,
    progress: watch::Sender<Progress>,
}

impl Mailbox {
    /// Returns the request's number.
    pub(super) fn put(&self, plan: &Plan, health: HealthChanges) -> u64 {
        let mut wanted = lock(&self.wanted);
        wanted.request += 1;
        wanted.plan = Some(plan.clone());
        wanted.health.extend(health);
        self.wake.notify_one();
        wanted.request
    }

    pub(super) fn close(&self) {
        lock(&self.wanted).closed = true;
        self.wake.notify_one();
    }

    pub(super) fn kept(&self) -> Option<Plan> {
        lock(&self.kept).clone()
    }

    pub(super) fn state(&self) -> KeeperState {
        self.progress.borrow().state.clone()
    }

    /// Resolves when the request is kept, or could not be.
    pub(super) fn wait_for(
        &self,
        request: u64,
    ) -> impl Future<Output = Result<(), KeepError>> + Send + 'static {
        let mut progress = self.progress.subscribe();
        async move {
            let reached = progress.wait_for(|now| now.kept >= request || now.tried >= request);
            let gone = |_| KeepError("the history is closed".to_owned());
            let now = reached.await.map_err(gone)?;
            match &now.state {
                KeeperState::Failing { reason, .. } if now.kept < request => Err(KeepError(reason.clone())),
                _ => Ok(()),
            }
        }
    }
}

pub(super) struct Writer {
    mailbox: Arc<Mailbox>,
    path: PathBuf,
    incarnation: u32,
    /// Absent after an error.
    rows: Option<Volatile>,
    /// What the rows hold, where that is known.
    written: Option<Plan>,
    pause: Duration,
}

impl Writer {
    pub(super) fn new(
        mailbox: Arc<Mailbox>,
        path: PathBuf,
        incarnation: u32,
        rows: Option<Volatile>,
    ) -> Self {
        Self {
            mailbox,
            path,
            incarnation,
            rows,
            written: None,
            pause: FIRST_PAUSE,
        }
    }

    /// Until the mailbox is closed; what is wanted then is tried once more.
    pub(super) fn run(mut self) {
        let mut again = false;
        while let Some((request, plan, health)) = self.next(again) {
            let health: HealthChanges = health.into_iter().collect();
            match self.write(&plan, &health) {
                Ok(()) => self.succeed(request, plan),
                Err(error) => self.fail(request, plan, health, &error),
            }
            again = self.rows.is_none();
        }
    }

    /// Waits for a request, or for the time to try the last one again.
    fn next(&self, again: bool) -> Option<(u64, Plan, BTreeMap<TargetId, Option<HealthState>>)> {
        let mut wanted = lock(&self.mailbox.wanted);
        let tried = self.mailbox.progress.borrow().tried;
        loop {
            let is_new = wanted.request > tried;
            if wanted.closed && !is_new {
                return None;
            }
            if is_new {
                break;
            }
            if again {
                let waited = self.mailbox.wake.wait_timeout(wanted, self.pause);
                let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                wanted = guard;
                if timeout.timed_out() && wanted.plan.is_some() {
                    break;
                }
            } else {
                let waited = self.mailbox.wake.wait(wanted);
                wanted = waited.unwrap_or_else(PoisonError::into_inner);
            }
        }
        let plan = wanted.plan.take()?;
        Some((wanted.request, plan, std::mem::take(&mut wanted.health)))
    }

    fn write(&mut self, plan: &Plan, health: &HealthChanges) -> Result<(), redb::Error> {
        let rows = match self.rows.take() {
            Some(rows) => rows,
            None => {
                // Nobody knows what became of the last commit.
                self.written = None;
                Volatile::open(&self.path)?
            }
        };
        rows::write(&rows, self.written.as_ref(), plan, self.incarnation, health)?;
        self.written = Some(plan.clone());
        self.rows = Some(rows);
        Ok(())
    }

    fn succeed(&mut self, request: u64, plan: Plan) {
        *lock(&self.mailbox.kept) = Some(plan);
        self.pause = FIRST_PAUSE;
        self.mailbox.progress.send_modify(|progress| {
            if progress.state != KeeperState::Keeping {
                tracing::info!("the history is kept again");
            }
            *progress = Progress {
                kept: request,
                tried: request,
                state: KeeperState::Keeping,
            };
        });
    }

    fn fail(&mut self, request: u64, plan: Plan, health: HealthChanges, error: &redb::Error) {
        // What came in the meantime is newer.
        let mut wanted = lock(&self.mailbox.wanted);
        wanted.plan.get_or_insert(plan);
        for (target, state) in health {
            wanted.health.entry(target).or_insert(state);
        }
        drop(wanted);
        let reason = format!("{} can't be written: {error}", self.path.display());
        self.mailbox.progress.send_modify(|progress| {
            if progress.state.fail(&reason) {
                tracing::error!(
                    "{reason}; until it can, a new connection may move at the next restart, and nothing gets a new number"
                );
            } else {
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            }
            progress.tried = request;
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
