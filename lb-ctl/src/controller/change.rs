//! A change of the resources on its way: judged and planned for beside the loop, kept by the store, brought into the maps.
//!
//! One at a time, because each is judged by what the one before has left. Whoever asked is answered when the store and
//! the maps hold the change, or neither does.

mod asker;
mod prepare;
mod vips;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

pub(super) use self::asker::Asker;
use self::prepare::tell;
pub(super) use self::prepare::{FilesRead, Ground, Prepared};
use super::Controller;
use super::stored::StoredFaults;
use super::troubles::Subject;
use super::work::Done;
use crate::control::{ApplyOptions, ControlError, ResourceMap, resource_map};
use crate::model::{Config, ResourcePath};
use crate::plan::{Plan, ServiceKey};
use crate::resources::{Document, OwnedChanges, Owners, Resources, StoreError, Stored, TableRoom};

/// How long an answer waits for the maps. The change stays, and is tried on.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// What is asked for.
pub(super) enum Change {
    Apply(Vec<Document>, ApplyOptions),
    Delete(ResourcePath),
    SetIamPolicy(ResourcePath, Value),
    /// How large a service's tables are.
    TableSlots(ResourcePath, u32),
    /// Sizes that were never kept are kept from now on.
    KeepTableSizes,
    /// The files of `--config` may say something new.
    Files,
}

/// What is in force.
#[derive(Clone)]
pub(super) struct InForce {
    pub(super) resources: Arc<Resources>,
    pub(super) owners: Arc<Owners>,
    pub(super) config: Arc<Config>,
    pub(super) published: Arc<ResourceMap>,
}

#[derive(Default)]
pub(super) struct Changes {
    waiting: VecDeque<(Change, Asker)>,
    current: Option<Current>,
}

/// The change that is on its way.
struct Current {
    asker: Asker,
    stage: Stage,
}

enum Stage {
    Preparing,
    Storing(Prepared),
    /// The store has it.
    Applying(Applying),
    /// The kernel refused it: the maps go back, and so shall the store.
    Reverting(Applying),
}

struct Applying {
    new: Prepared,
    before: InForce,
    plan_before: Plan,
    /// New or changed services whose tables are not there yet.
    waits_for: Option<BTreeSet<ServiceKey>>,
    since: Instant,
    /// Why the kernel refused it.
    refused: Option<String>,
}

impl Changes {
    /// Whether one is on its way, or waits.
    pub(super) fn is_any(&self) -> bool {
        self.current.is_some() || !self.waiting.is_empty()
    }
}

impl InForce {
    /// What a store holds. What can't be understood of it stays stored and has no effect.
    pub(super) fn of_store(stored: Stored, room: &TableRoom) -> (Self, StoredFaults) {
        let resources = stored.resources;
        let (config, faults) = resources.config_leniently(room);
        let in_force = Self {
            published: Arc::new(resource_map(&resources)),
            resources: Arc::new(resources),
            owners: Arc::new(stored.owners),
            config: Arc::new(config),
        };
        (in_force, StoredFaults::new(faults, stored.unreadable))
    }
}

impl Controller {
    pub(super) fn ask_for(&mut self, change: Change, asker: Asker) {
        if let Some(reason) = self.frozen() {
            return asker.refuse(self, ControlError::Unavailable(reason));
        }
        self.changes.waiting.push_back((change, asker));
        self.next_change();
    }

    pub(super) fn iam_policy(&self, path: &ResourcePath) -> Result<Option<Value>, ControlError> {
        let resource = self.in_force.resources.get(path);
        let resource = resource.ok_or_else(|| ControlError::not_found(path))?;
        Ok(resource.iam_policy.clone())
    }

    pub(super) fn next_change(&mut self) {
        if self.changes.current.is_some() {
            return;
        }
        let Some((change, asker)) = self.changes.waiting.pop_front() else {
            return;
        };
        self.changes.current = Some(Current {
            asker,
            stage: Stage::Preparing,
        });
        let ground = self.ground();
        self.work
            .compute(move || Done::Prepared(Box::new(prepare::prepare(change, &ground))));
    }

    pub(super) fn on_prepared(&mut self, result: Result<Prepared, ControlError>) {
        let prepared = match result {
            Ok(prepared) => prepared,
            Err(error) => return self.end_change(Err(error)),
        };
        if prepared.changes.is_empty() && prepared.config.is_none() {
            return self.finish_change(prepared);
        }
        if prepared.changes.is_empty() {
            return self.adopt(prepared);
        }
        let stored = self.store.propose(prepared.changes.clone());
        self.set_stage(Stage::Storing(prepared));
        self.work.wait(async { Done::Stored(stored.await) });
    }

    pub(super) fn on_stored(&mut self, result: Result<(), StoreError>) {
        let Some(Current {
            stage: Stage::Storing(prepared),
            asker,
        }) = self.changes.current.take()
        else {
            return;
        };
        self.changes.current = Some(Current {
            asker,
            stage: Stage::Preparing,
        });
        match result {
            Ok(()) => {
                self.is_stored(&prepared);
                self.adopt(prepared);
            }
            Err(error) => {
                self.look_at_store();
                self.end_change(Err(not_stored(&error)));
            }
        }
    }

    /// From now on the change is what the maps shall hold.
    fn adopt(&mut self, prepared: Prepared) {
        let before = self.in_force.clone();
        let plan_before = self.plan.clone();
        self.put_in_force(&prepared);
        self.set_stage(Stage::Applying(Applying {
            new: prepared,
            before,
            plan_before,
            waits_for: None,
            since: Instant::now(),
            refused: None,
        }));
    }

    fn put_in_force(&mut self, prepared: &Prepared) {
        let next = InForce {
            resources: prepared.resources.clone(),
            owners: prepared.owners.clone(),
            config: prepared
                .config
                .clone()
                .unwrap_or_else(|| self.in_force.config.clone()),
            published: prepared.published.clone(),
        };
        prepared
            .built
            .iter()
            .cloned()
            .for_each(|built| self.built.insert(built));
        self.go_to(next, prepared.config.is_some());
    }

    fn go_to(&mut self, next: InForce, config_changed: bool) {
        if config_changed {
            self.pass_health_on(&next.config);
            self.dirty.everything();
        }
        self.published.send_replace(next.published.clone());
        self.in_force = next;
    }

    /// The kernel refused some operation of what the maps shall hold.
    pub(super) fn on_refused(&mut self, reason: &str) {
        if let Some(Current {
            stage: Stage::Applying(applying),
            ..
        }) = &mut self.changes.current
        {
            applying.refused.get_or_insert_with(|| reason.to_owned());
        }
    }

    /// Whether the maps are read back in order to undo a change.
    pub(super) fn undoes(&self) -> bool {
        matches!(&self.changes.current, Some(Current { stage: Stage::Applying(applying), .. }) if applying.refused.is_some())
    }

    /// What the maps hold is known after a refusal: the change is undone, if it was one that was refused.
    pub(super) fn undo_change(&mut self, held: &crate::plan::contents::Contents) {
        if !self.undoes() {
            return;
        }
        let Some(Current {
            stage: Stage::Applying(applying),
            asker,
        }) = self.changes.current.take()
        else {
            return;
        };
        let refused = std::mem::replace(&mut self.plan, applying.plan_before.clone());
        self.plan.go_on_marking(&refused);
        // Packets may have met numbers that only the refused plan gave out.
        self.plan.reserve_unclaimed(held);
        self.go_to(applying.before.clone(), true);
        let back = OwnedChanges::between(
            (&applying.new.resources, &applying.new.owners),
            (&applying.before.resources, &applying.before.owners),
        );
        self.changes.current = Some(Current {
            asker,
            stage: Stage::Reverting(applying),
        });
        let stored = self.store.propose(back);
        self.work.wait(async { Done::Reverted(stored.await) });
    }

    pub(super) fn on_reverted(&mut self, result: Result<(), StoreError>) {
        let Some(Current {
            stage: Stage::Reverting(applying),
            ..
        }) = &self.changes.current
        else {
            return;
        };
        let reason = applying.refused.clone().unwrap_or_default();
        let error = match result {
            Ok(()) => format!("the kernel refused the change, and nothing was changed: {reason}"),
            Err(error) => {
                // What is stored is what counts.
                let new = applying.new.clone();
                self.put_in_force(&new);
                tracing::error!("{error}");
                self.look_at_store();
                format!("the change is stored, and the kernel refuses it, which is tried again: {reason}")
            }
        };
        self.follow_endpoints();
        self.end_change(Err(ControlError::Internal(error)));
    }

    /// A service was compiled since the change: what comes later is no part of it.
    pub(super) fn has_table(&mut self, service: &ResourcePath) {
        if let Some(Current {
            stage: Stage::Applying(applying),
            ..
        }) = &mut self.changes.current
            && let Some(waits_for) = &mut applying.waits_for
        {
            waits_for.retain(|key| key.service != *service);
        }
    }

    /// Answers whoever asked for the change, once the maps hold it.
    pub(super) fn watch_change(&mut self) {
        let is_compiled = !self.dirty.is_everything() && !self.waits_for_history();
        let holds = is_compiled && !self.is_behind();
        let Some(Current {
            stage: Stage::Applying(applying),
            ..
        }) = &mut self.changes.current
        else {
            return;
        };
        if applying.refused.is_some() {
            return;
        }
        if is_compiled && applying.waits_for.is_none() {
            applying.waits_for = Some(self.plan.pending().map(|(key, _)| key.clone()).collect());
        }
        let pending: BTreeSet<&ServiceKey> = self.plan.pending().map(|(key, _)| key).collect();
        let ready = applying.waits_for.as_mut().is_some_and(|waits_for| {
            waits_for.retain(|key| pending.contains(key));
            waits_for.is_empty()
        });
        if holds && ready {
            let new = applying.new.clone();
            self.follow_endpoints();
            return self.finish_change(new);
        }
        if applying.since.elapsed() > LONGEST_WAIT {
            let reason = self.troubles.text_of(&Subject::Maps);
            let reason = reason.unwrap_or_else(|| "its tables are not there yet".to_owned());
            self.follow_endpoints();
            self.end_change(Err(ControlError::Internal(format!(
                "the change is stored, and the data plane does not hold it yet, which is tried again: {reason}"
            ))));
        }
    }

    /// When an answer has waited long enough.
    pub(super) fn change_deadline(&self) -> Option<Instant> {
        match &self.changes.current {
            Some(Current {
                stage: Stage::Applying(applying),
                ..
            }) => Some(applying.since + LONGEST_WAIT + Duration::from_millis(1)),
            _ => None,
        }
    }

    fn finish_change(&mut self, prepared: Prepared) {
        tell(&prepared.news);
        // Who is answered finds its VIPs answered for.
        self.announce();
        self.end_change(Ok(prepared));
        self.retry_files();
    }

    fn end_change(&mut self, result: Result<Prepared, ControlError>) {
        if let Some(Current { asker, .. }) = self.changes.current.take() {
            match result {
                Ok(prepared) => asker.grant(self, prepared),
                Err(error) => asker.refuse(self, error),
            }
        }
        self.next_change();
    }

    fn set_stage(&mut self, stage: Stage) {
        if let Some(current) = &mut self.changes.current {
            current.stage = stage;
        }
    }
}

fn not_stored(error: &StoreError) -> ControlError {
    ControlError::Unavailable(format!("nothing was changed: {error}"))
}
