//! The task of one target: waits for its moment, probes, judges, tells.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};

use super::inconclusive::{Inconclusive, Unjudged};
use super::pace::Pace;
use super::rhythm::{Clock, Rhythm};
use super::{HealthEvent, States, TargetId, lock};
use crate::health::machine::{HealthState, Machine, ProbeResult, Thresholds};
use crate::health::probe::{Probed, Prober};
use crate::model::HealthCheck;

/// What the tasks of a checker share.
#[derive(Debug)]
pub(super) struct Shared<P> {
    pub(super) prober: P,
    pub(super) clock: Clock,
    pub(super) pace: Pace,
    pub(super) inconclusive: Inconclusive,
    /// Probes that may be in flight at once.
    pub(super) turns: Semaphore,
}

/// What a task has to do, until it is told otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) check: Arc<HealthCheck>,
    pub(super) first: First,
}

/// When the first probe is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// Out of turn, somewhere in a window of this length.
    Within(Duration),
    /// At the target's own moment: what is known about it is good until then.
    InTurn,
}

/// Probes one target until it is aborted.
pub(super) async fn run<P: Prober>(
    shared: Arc<Shared<P>>,
    mut orders: watch::Receiver<Order>,
    mut machine: Machine,
    outlet: Outlet,
) {
    let mut unjudged = shared.inconclusive.target();
    loop {
        let order = orders.borrow_and_update().clone();
        machine.reconfigure(thresholds(&order.check));
        tokio::select! {
            changed = orders.changed() => if changed.is_err() { return },
            never = probe_for_ever(&shared, &order, &mut machine, &mut unjudged, &outlet) => match never {},
        }
    }
}

async fn probe_for_ever<P: Prober>(
    shared: &Shared<P>,
    order: &Order,
    machine: &mut Machine,
    unjudged: &mut Unjudged,
    outlet: &Outlet,
) -> Infallible {
    let (check, clock) = (&*order.check, shared.clock);
    let interval = Duration::from_secs(check.check_interval_sec.into());
    let rhythm = Rhythm::new(&outlet.target, interval);
    let mut due = match order.first {
        First::Within(window) => clock.now() + rhythm.start(window),
        First::InTurn => rhythm.at_or_after(clock.now()),
    };
    loop {
        clock.sleep_until(due).await;
        let Probed { result, farewell } = {
            // The semaphore is never closed.
            let _turn = shared.turns.acquire().await;
            let _in_flight = shared.pace.start(due, clock.now(), interval);
            shared.prober.probe(&outlet.target, check).await
        };
        match &result {
            ProbeResult::Inconclusive { reason } => unjudged.probe_was_not_made(reason),
            ProbeResult::Success { .. } | ProbeResult::Failure { .. } => unjudged.probe_was_made(),
        }
        let changed = machine.on(result);
        outlet.publish(check, machine.state(), changed);
        farewell.say().await;
        due = rhythm.after(due, clock.now());
    }
}

/// Where the task of one target tells what it knows.
pub(super) struct Outlet {
    pub(super) target: TargetId,
    pub(super) run: u64,
    pub(super) states: States,
    pub(super) events: mpsc::UnboundedSender<HealthEvent>,
}

impl Outlet {
    /// Says nothing once the target was removed.
    fn publish(&self, check: &HealthCheck, state: &HealthState, changed: bool) {
        let mut states = lock(&self.states);
        let Some(known) = states.get_mut(&self.target).filter(|known| known.run == self.run) else {
            return;
        };
        let before = known.state.healthy;
        known.state.clone_from(state);
        if changed {
            // Without a reader there is nobody to tell; probing goes on for the snapshot. Sent under the lock: a
            // successor of this task may not be overtaken.
            let _ = self.events.send(HealthEvent {
                target: self.target.clone(),
                state: state.clone(),
            });
        }
        drop(states);
        if check.log && before != state.healthy {
            self.log(before, state);
        }
    }

    /// The line that `logConfig.enable` asks for.
    fn log(&self, before: bool, state: &HealthState) {
        tracing::info!(
            health_check = %self.target.check,
            address = %self.target.address,
            previous_health_state = health_state(before),
            health_state = health_state(state.healthy),
            detail = state.detail.as_deref().unwrap_or("the probes succeed"),
            "health state changed"
        );
    }
}

/// As the Compute API spells it.
fn health_state(healthy: bool) -> &'static str {
    if healthy { "HEALTHY" } else { "UNHEALTHY" }
}

pub(super) fn thresholds(check: &HealthCheck) -> Thresholds {
    Thresholds {
        healthy: check.healthy_threshold,
        unhealthy: check.unhealthy_threshold,
    }
}
