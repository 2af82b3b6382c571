//! Keeps a set of targets probed: a task for each, first soon, then at its own moment of the check's interval.
//!
//! Targets in by [`HealthChecker::set_targets`], as often as the configuration changes; changes of health out, in the
//! order in which they happen to a target. An event may still name a target that was just removed: readers ignore it.

mod inconclusive;
mod pace;
mod rhythm;
mod target;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::AbortHandle;

pub use self::inconclusive::InconclusiveReport;
pub use self::pace::PaceReport;
use self::target::{First, Order, Outlet, Shared};
use super::heirs;
use super::machine::{HealthState, Machine};
use super::path::Via;
use super::probe::{Prober, SocketProber};
use crate::model::{HealthCheck, ResourcePath};

/// What is probed: an endpoint's address under a health check, at a VIP or at the address itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetId {
    pub check: ResourcePath,
    /// The endpoint's own.
    pub address: IpAddr,
    /// Absent: the endpoint is probed at its own address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
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
    shared: Arc<Shared<P>>,
    /// What an earlier run knew; taken by the first `set_targets`.
    seed: BTreeMap<TargetId, HealthState>,
    targets: BTreeMap<TargetId, Running>,
    /// Tasks started so far.
    runs: u64,
    states: States,
    events: mpsc::UnboundedSender<HealthEvent>,
    /// Where probes run; the caller's, if none.
    runtime: Option<Handle>,
}

/// The task of one target; dropping it ends the task.
#[derive(Debug)]
struct Running {
    order: watch::Sender<Order>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl HealthChecker {
    /// As [`Self::with_prober`], for endpoints that are probed at their own addresses.
    pub fn new(seed: BTreeMap<TargetId, HealthState>) -> (Self, mpsc::UnboundedReceiver<HealthEvent>) {
        Self::with_prober(SocketProber::default(), seed)
    }
}

impl<P: Prober> HealthChecker<P> {
    /// Targets of the first [`Self::set_targets`] that are in `seed` start from there, without an event; all others
    /// start from [`HealthState::initial`].
    pub fn with_prober(
        prober: P,
        seed: BTreeMap<TargetId, HealthState>,
    ) -> (Self, mpsc::UnboundedReceiver<HealthEvent>) {
        let (events, receiver) = mpsc::unbounded_channel();
        let turns = Semaphore::new(prober.concurrency());
        let checker = Self {
            shared: Arc::new(Shared {
                prober,
                clock: rhythm::Clock::new(),
                pace: pace::Pace::default(),
                inconclusive: inconclusive::Inconclusive::default(),
                turns,
            }),
            seed,
            targets: BTreeMap::new(),
            runs: 0,
            states: States::default(),
            events,
            runtime: None,
        };
        (checker, receiver)
    }

    /// Probes run there from now on, so that thousands of them at once hold up nobody else.
    pub fn on(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Makes `desired` the set of probed targets. A target that stays keeps its state and its pace; one whose check
    /// changed keeps its health and is probed anew soon; one that left is forgotten, but for what its
    /// [heirs](super::heirs) take over, which they tell in an event. Needs a tokio runtime.
    pub fn set_targets(&mut self, desired: BTreeMap<TargetId, Arc<HealthCheck>>) {
        let mut seed = std::mem::take(&mut self.seed);
        let heirs = self.bequeath(&desired, &seed);
        self.targets.retain(|target, _| desired.contains_key(target));
        lock(&self.states).retain(|target, _| desired.contains_key(target));
        let count = self.count_new(&desired);
        for (target, check) in desired {
            let interval = Duration::from_secs(check.check_interval_sec.into());
            let mut order = Order {
                check,
                first: First::Within(rhythm::start_window(count, interval)),
            };
            if let Some(running) = self.targets.get(&target) {
                running.order.send_if_modified(|current| {
                    let changed = current.check != order.check;
                    if changed {
                        *current = order;
                    }
                    changed
                });
                continue;
            }
            let state = match seed.remove(&target) {
                Some(state) => {
                    order.first = First::InTurn;
                    state
                }
                None => heirs.get(&target).cloned().unwrap_or_else(HealthState::initial),
            };
            let running = self.start(target.clone(), order, state);
            self.targets.insert(target, running);
        }
        for (target, state) in heirs {
            // Without a reader there is nobody to tell.
            let _ = self.events.send(HealthEvent { target, state });
        }
    }

    /// What targets that are new take over from those that leave, or that an earlier run had.
    fn bequeath(
        &self,
        desired: &BTreeMap<TargetId, Arc<HealthCheck>>,
        seed: &BTreeMap<TargetId, HealthState>,
    ) -> BTreeMap<TargetId, HealthState> {
        let states = lock(&self.states);
        let known = states.iter().map(|(target, known)| (target, &known.state));
        let leaving = known
            .chain(seed)
            .filter(|(target, _)| !desired.contains_key(target));
        let is_new = |target: &&TargetId| !self.targets.contains_key(target) && !seed.contains_key(target);
        heirs(leaving, desired.keys().filter(is_new))
    }

    /// Targets that are about to be probed out of turn.
    fn count_new(&self, desired: &BTreeMap<TargetId, Arc<HealthCheck>>) -> usize {
        let is_new = |target, check: &Arc<HealthCheck>| {
            let running = self.targets.get(target);
            running.is_none_or(|running| running.order.borrow().check != *check)
        };
        desired
            .iter()
            .filter(|(target, check)| is_new(*target, check))
            .count()
    }

    /// What the probes did since this was asked last: whether this host keeps up with them.
    pub fn pace(&self) -> PaceReport {
        self.shared.pace.take()
    }

    /// Whom this host can't probe, and whom not as it should, a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let unmade = self.inconclusive().warning();
        unmade.into_iter().chain(self.shared.prober.warning()).collect()
    }

    /// Probes that this host could not make.
    pub fn inconclusive(&self) -> InconclusiveReport {
        self.shared.inconclusive.report()
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

    fn start(&mut self, target: TargetId, order: Order, state: HealthState) -> Running {
        self.runs += 1;
        let known = Known {
            run: self.runs,
            state: state.clone(),
        };
        lock(&self.states).insert(target.clone(), known);
        let machine = Machine::new(target::thresholds(&order.check), state);
        let (sender, receiver) = watch::channel(order);
        let outlet = Outlet {
            target,
            run: self.runs,
            states: Arc::clone(&self.states),
            events: self.events.clone(),
        };
        let run = target::run(Arc::clone(&self.shared), receiver, machine, outlet);
        let task = match &self.runtime {
            Some(runtime) => runtime.spawn(run),
            None => tokio::spawn(run),
        };
        Running {
            order: sender,
            task: task.abort_handle(),
        }
    }
}

/// Nothing panics while it holds this lock, and a map of states is never half written.
fn lock(states: &States) -> MutexGuard<'_, BTreeMap<TargetId, Known>> {
    states.lock().unwrap_or_else(PoisonError::into_inner)
}
