//! Keeps a set of targets probed: a task for each, first soon, then at the check's interval.
//!
//! Targets in by [`HealthChecker::set_targets`], as often as the configuration changes; changes of health out, in the
//! order in which they happen to a target. An event may still name a target that was just removed: readers ignore it.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::machine::{HealthState, Machine, ProbeResult, Thresholds};
use super::probe::{Prober, SocketProber};
use crate::model::{HealthCheck, ResourcePath};

/// The longest wait before a target's first probe; short, so that a fresh start is soon in service.
const MAX_START_JITTER: Duration = Duration::from_millis(250);

/// What is probed: an address under a health check.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetId {
    pub check: ResourcePath,
    pub address: IpAddr,
}

/// Health or weight of `target` changed to `state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthEvent {
    pub target: TargetId,
    pub state: HealthState,
}

type States = Arc<Mutex<BTreeMap<TargetId, Known>>>;

#[derive(Debug)]
struct Known {
    /// Which task keeps this: a task that is being ended may still run for a moment beside its successor.
    run: u64,
    state: HealthState,
}

/// Owns the probing tasks; dropping it ends them.
#[derive(Debug)]
pub struct HealthChecker<P = SocketProber> {
    prober: Arc<P>,
    /// What an earlier run knew; taken by the first `set_targets`.
    seed: BTreeMap<TargetId, HealthState>,
    targets: BTreeMap<TargetId, Running>,
    /// Tasks started so far.
    runs: u64,
    states: States,
    events: mpsc::UnboundedSender<HealthEvent>,
}

/// The task of one target; dropping it ends the task.
#[derive(Debug)]
struct Running {
    check: watch::Sender<Arc<HealthCheck>>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl HealthChecker {
    /// A checker that probes over the network. Targets of the first [`Self::set_targets`] that are in `seed` start
    /// from there, without an event; all others start from [`HealthState::initial`].
    pub fn new(seed: BTreeMap<TargetId, HealthState>) -> (Self, mpsc::UnboundedReceiver<HealthEvent>) {
        Self::with_prober(SocketProber, seed)
    }
}

impl<P: Prober> HealthChecker<P> {
    /// As [`HealthChecker::new`], with probes of the caller's.
    pub fn with_prober(
        prober: P,
        seed: BTreeMap<TargetId, HealthState>,
    ) -> (Self, mpsc::UnboundedReceiver<HealthEvent>) {
        let (events, receiver) = mpsc::unbounded_channel();
        let (prober, targets) = (Arc::new(prober), BTreeMap::new());
        let checker = Self {
            prober,
            seed,
            targets,
            runs: 0,
            states: States::default(),
            events,
        };
        (checker, receiver)
    }

    /// Makes `desired` the set of probed targets. A target that stays keeps its state and its pace; one whose check
    /// changed keeps its health and is probed anew soon; one that left is forgotten. Needs a tokio runtime.
    pub fn set_targets(&mut self, desired: BTreeMap<TargetId, Arc<HealthCheck>>) {
        self.targets.retain(|target, _| desired.contains_key(target));
        lock(&self.states).retain(|target, _| desired.contains_key(target));
        let mut seed = std::mem::take(&mut self.seed);
        for (target, check) in desired {
            match self.targets.get(&target) {
                Some(running) => {
                    running.check.send_if_modified(|current| {
                        let changed = *current != check;
                        *current = check;
                        changed
                    });
                }
                None => {
                    let state = seed.remove(&target).unwrap_or_else(HealthState::initial);
                    let running = self.start(target.clone(), check, state);
                    self.targets.insert(target, running);
                }
            }
        }
    }

    /// What is known about every target now, the latest detail included (a new detail alone makes no event).
    pub fn snapshot(&self) -> BTreeMap<TargetId, HealthState> {
        lock(&self.states)
            .iter()
            .map(|(target, known)| (target.clone(), known.state.clone()))
            .collect()
    }

    /// What is known about one target now.
    pub fn state(&self, target: &TargetId) -> Option<HealthState> {
        lock(&self.states).get(target).map(|known| known.state.clone())
    }

    fn start(&mut self, target: TargetId, check: Arc<HealthCheck>, state: HealthState) -> Running {
        self.runs += 1;
        let known = Known {
            run: self.runs,
            state: state.clone(),
        };
        lock(&self.states).insert(target.clone(), known);
        let machine = Machine::new(thresholds(&check), state);
        let (sender, receiver) = watch::channel(check);
        let (states, events) = (Arc::clone(&self.states), self.events.clone());
        let outlet = Outlet {
            target,
            run: self.runs,
            states,
            events,
        };
        let task = tokio::spawn(run(Arc::clone(&self.prober), receiver, machine, outlet));
        Running {
            check: sender,
            task: task.abort_handle(),
        }
    }
}

/// Probes one target until it is aborted.
async fn run<P: Prober>(
    prober: Arc<P>,
    mut checks: watch::Receiver<Arc<HealthCheck>>,
    mut machine: Machine,
    outlet: Outlet,
) {
    loop {
        let check = Arc::clone(&checks.borrow_and_update());
        machine.reconfigure(thresholds(&check));
        tokio::select! {
            changed = checks.changed() => if changed.is_err() { return },
            never = probe_for_ever(&*prober, &check, &mut machine, &outlet) => match never {},
        }
    }
}

async fn probe_for_ever<P: Prober>(
    prober: &P,
    check: &HealthCheck,
    machine: &mut Machine,
    outlet: &Outlet,
) -> Infallible {
    let interval = Duration::from_secs(check.check_interval_sec.into());
    let mut ticks = interval_at(Instant::now() + start_jitter(&outlet.target, interval), interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let result = prober.probe(outlet.target.address, check).await;
        note_inconclusive(&outlet.target, &result);
        let changed = machine.on(result);
        outlet.publish(machine.state(), changed);
    }
}

/// Where the task of one target tells what it knows.
struct Outlet {
    target: TargetId,
    run: u64,
    states: States,
    events: mpsc::UnboundedSender<HealthEvent>,
}

impl Outlet {
    /// Says nothing once the target was removed.
    fn publish(&self, state: &HealthState, changed: bool) {
        let mut states = lock(&self.states);
        let Some(known) = states.get_mut(&self.target).filter(|known| known.run == self.run) else {
            return;
        };
        known.state.clone_from(state);
        if changed {
            // Without a reader there is nobody to tell; probing goes on for the snapshot.
            let _ = self.events.send(HealthEvent {
                target: self.target.clone(),
                state: state.clone(),
            });
        }
    }
}

fn note_inconclusive(target: &TargetId, result: &ProbeResult) {
    if let ProbeResult::Inconclusive { reason } = result {
        tracing::warn!(check = %target.check, address = %target.address, reason, "a health probe could not be made");
    }
}

fn thresholds(check: &HealthCheck) -> Thresholds {
    Thresholds {
        healthy: check.healthy_threshold,
        unhealthy: check.unhealthy_threshold,
    }
}

/// Spreads the targets over time; differs from run to run.
fn start_jitter(target: &TargetId, interval: Duration) -> Duration {
    let longest = MAX_START_JITTER.min(interval / 4);
    let fraction = RandomState::new().hash_one(target) as u32;
    longest.mul_f64(f64::from(fraction) / f64::from(u32::MAX))
}

/// Nothing panics while it holds this lock, and a map of states is never half written.
fn lock(states: &States) -> MutexGuard<'_, BTreeMap<TargetId, Known>> {
    states.lock().unwrap_or_else(PoisonError::into_inner)
}
