//! From inputs to maps: what is dirty is compiled, what is new is kept, what differs is applied. Whatever fails stays to be
//! done and is tried again, later and later.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::Controller;
use super::dirty::Dirty;
use super::history::{KeepError, KeeperState};
use super::inputs::inputs;
use super::troubles::Subject;
use super::work::{Done, Held};
use crate::model::ResourcePath;
use crate::plan::diff::diff;
use crate::plan::{BuiltTable, Inputs, Pending, Plan, TableMark, compile_what_fits};

/// A plan on its way into the history.
pub(super) struct Keeping {
    plan: Plan,
    /// What waits for it, because it gives out numbers.
    waiting: Dirty,
}

impl Controller {
    /// Brings everything as near to what it should be as it can be brought now.
    pub(super) fn settle(&mut self) {
        if self.frozen().is_none() {
            self.compile_dirty();
            self.note_pending();
            self.start_builds();
            self.bring_maps();
        }
        self.keep_latest();
        self.watch_change();
    }

    /// The next moment at which something that failed is tried again.
    pub(super) fn next_try(&self) -> Option<Instant> {
        let retries = [&self.maps_retry, &self.keep_retry];
        let retries = retries.iter().filter_map(|retry| retry.due());
        retries
            .chain(self.rests.next_end())
            .chain(self.change_deadline())
            .min()
    }

    fn inputs(&self) -> Inputs<'_> {
        inputs(
            &self.settings,
            &self.in_force.config,
            &self.health,
            &self.network_state.next_hops,
            &self.ways,
            &self.arrivals,
            &self.built,
        )
    }

    fn compile_dirty(&mut self) {
        let now = self.clock.now();
        if self.plan.next_deadline().is_some_and(|deadline| now >= deadline) {
            self.dirty.due(!self.plan.due(now).is_empty());
        }
        self.deadlines_met_at = now;
        self.rests.forget_ended();
        // What is being built for takes up later changes when it is done.
        let later = self
            .dirty
            .without(|service| self.builds.is_for(service) || self.rests.is_for(service));
        while let Some(turn) = self.dirty.take() {
            self.compile_turn(turn);
        }
        self.dirty.merge(later);
        // What waits for the history is compiled again, and with what was built for it.
        if !self.waits_for_history() {
            self.built.retain_wanted(&self.plan);
        }
    }

    fn compile_turn(&mut self, turn: Dirty) {
        let begin = Instant::now();
        let plan = compile_what_fits(&self.inputs(), &self.plan, turn.scope(), self.clock.now());
        self.rests.note(turn.named_services(), begin.elapsed());
        // A number that the maps hold is never forgotten, so the history learns of it first.
        if !plan.gives_numbers_beyond(&self.kept, &self.plan) {
            return self.take_plan(plan, turn.may_end_members());
        }
        // Those that need no number don't wait for those that do.
        match turn.split() {
            Ok(turns) => turns.into_iter().for_each(|turn| self.compile_turn(turn)),
            Err(turn) if self.keeping.is_some() || self.keep_retry.waits() => {
                self.waiting_for_history.merge(turn);
            }
            Err(turn) => self.keep(plan, turn),
        }
    }

    fn take_plan(&mut self, plan: Plan, may_end_members: bool) {
        self.plan = plan;
        self.behind = true;
        self.unkept = true;
        self.tell_left_out();
        if may_end_members {
            self.follow_endpoints();
        }
    }

    /// What does not fit is told once, and shown until it fits.
    fn tell_left_out(&mut self) {
        let left_out: Vec<String> = self.plan.left_out().map(ToString::to_string).collect();
        match left_out.is_empty() {
            true => self.troubles.clear(&Subject::Plan),
            false => {
                let text = format!("not in force, because it does not fit: {}", left_out.join("; "));
                self.troubles.set(Subject::Plan, text);
            }
        }
    }

    fn note_pending(&mut self) {
        let mut since = BTreeMap::new();
        for (key, _) in self.plan.pending() {
            let began = self.pending_since.get(key).copied();
            since.insert(key.clone(), began.unwrap_or_else(Instant::now));
        }
        self.pending_since = since;
    }

    /// The tables that services wait for.
    fn start_builds(&mut self) {
        let mut wanted: BTreeMap<ResourcePath, Vec<_>> = BTreeMap::new();
        for (key, build) in self.plan.builds() {
            if !self.builds.is_for(&key.service) && !self.built_early.contains(&key.service) {
                let builds = wanted.entry(key.service.clone()).or_default();
                builds.push(build.clone());
            }
        }
        for (service, builds) in wanted {
            let tables = builds.into_iter().map(|build| self.workshop.build(build));
            let tables = futures_util::future::join_all(tables.collect::<Vec<_>>());
            self.builds.begin(
                service.clone(),
                &self.health,
                &self.network_state.next_hops,
                &self.ways,
                &self.in_force.config,
            );
            self.work.wait(async { Done::Built(service, tables.await) });
        }
    }

    /// The service is compiled with what was known when its tables were begun, so that they are of use however often
    /// its health has changed since, and then with what is known now.
    pub(super) fn on_built(&mut self, service: ResourcePath, tables: Vec<BuiltTable>) {
        tables.into_iter().for_each(|built| self.built.insert(built));
        let begun = self.builds.end(&service);
        if let Some(begun) = begun.filter(|begun| Arc::ptr_eq(&begun.config, &self.in_force.config)) {
            let mut turn = Dirty::default();
            turn.services([service.clone()]);
            let inputs = inputs(
                &self.settings,
                &self.in_force.config,
                &begun.health,
                &begun.next_hops,
                &begun.ways,
                &self.arrivals,
                &self.built,
            );
            // Those that wait for room are compiled with it, by what was known then.
            let waiting: Vec<ResourcePath> =
                self.plan.pending().map(|(key, _)| key.service.clone()).collect();
            let begin = Instant::now();
            let plan = compile_what_fits(&inputs, &self.plan, turn.scope(), self.clock.now());
            self.rests.note(turn.named_services(), begin.elapsed());
            if !plan.gives_numbers_beyond(&self.kept, &self.plan) {
                self.take_plan(plan, false);
                self.dirty.services(waiting);
                if !self.plan.pending().any(|(key, _)| key.service == service) {
                    self.has_table(&service);
                }
            } else {
                self.built_early.insert(service.clone());
            }
        }
        self.dirty.services([service]);
    }

    /// Whether the maps don't hold what the plan says.
    pub(super) fn is_behind(&self) -> bool {
        self.behind || self.actual.is_none()
    }

    fn bring_maps(&mut self) {
        if !self.is_behind() || self.maps_retry.waits() {
            return;
        }
        let Some(actual) = &self.actual else {
            return self.read_back();
        };
        let operations = diff(actual, &self.plan.contents);
        // What numbers mean is told before the maps hold them; what is logged is no matter of the maps.
        self.connections.publish(&self.in_force.config, &self.plan);
        if !operations.is_empty() {
            tracing::debug!("{} map operations", operations.len());
            self.generation += 1;
            if let Err(error) = self.maps.apply(&operations) {
                return self.on_failed_write(&error);
            }
            self.actual = Some(self.plan.contents.clone());
        }
        self.plan.note_applied(self.clock.now());
        self.behind = false;
        self.maps_retry.succeeded();
        self.troubles.clear(&Subject::Maps);
        self.publish_probe_paths();
        self.await_readers();
    }

    /// Room for the next tables comes with the last reader of those that were replaced.
    fn await_readers(&mut self) {
        if self.awaits_readers || self.readers_unknown || !self.plan.has_retired_tables() {
            return;
        }
        self.awaits_readers = true;
        let (mark, barrier) = (self.plan.table_mark(), self.maps.barrier());
        self.work.compute(move || Done::Unread(mark, barrier()));
    }

    pub(super) fn on_unread(&mut self, mark: TableMark, result: std::io::Result<()>) {
        self.awaits_readers = false;
        match result {
            Ok(()) => {
                self.plan.forget_readers(mark);
                let waits_for_room = |(_, pending): (_, &Pending)| matches!(pending, Pending::Space { .. });
                if self.plan.pending().any(waits_for_room) {
                    self.dirty.due(false);
                }
            }
            Err(error) => {
                tracing::info!("tables that were replaced are kept for some seconds: {error}");
                self.readers_unknown = true;
            }
        }
    }

    fn on_failed_write(&mut self, error: &crate::dataplane::ApplyError) {
        let reason = format!("{error:#}");
        self.maps_retry.failed();
        self.troubles.set(
            Subject::Maps,
            format!("the kernel's maps don't hold what they should, which is tried again: {reason}"),
        );
        if !error.is_about_devices() {
            self.on_refused(&reason);
        }
        // The next difference starts from what is really there.
        self.actual = None;
        self.read_back();
    }

    fn read_back(&mut self) {
        if !self.reading {
            self.reading = true;
            self.work.read(self.maps.reader(), self.generation);
        }
    }

    /// What the maps hold was read back after a failure.
    pub(super) fn on_read_back(&mut self, held: Held) {
        self.reading = false;
        match held.contents {
            Ok(contents) => {
                self.undo_change(&contents);
                self.actual = Some(contents);
                self.behind = true;
            }
            Err(error) => {
                self.maps_retry.failed();
                self.troubles.set(
                    Subject::Maps,
                    format!("the kernel's maps can't be read, which is tried again: {error:#}"),
                );
            }
        }
    }

    /// Not before the maps hold the records of the paths.
    fn publish_probe_paths(&self) {
        self.probe_paths.send_if_modified(|paths| match paths {
            Some(paths) if !Arc::ptr_eq(paths, self.plan.probe_paths()) => {
                paths.clone_from(self.plan.probe_paths());
                true
            }
            _ => false,
        });
    }

    /// Whether something can't be compiled before the history has taken what came before.
    pub(super) fn waits_for_history(&self) -> bool {
        let waiting = self.keeping.as_ref().map(|keeping| &keeping.waiting);
        !self.waiting_for_history.is_empty() || waiting.is_some_and(|waiting| !waiting.is_empty())
    }

    /// What the history does not know yet and nothing waits for.
    fn keep_latest(&mut self) {
        let has_news = self.unkept || !self.unkept_health.is_empty();
        if has_news && self.keeping.is_none() && !self.waits_for_history() && !self.keep_retry.waits() {
            self.keep(self.plan.clone(), Dirty::default());
        }
    }

    fn keep(&mut self, plan: Plan, waiting: Dirty) {
        self.unkept = false;
        let health = std::mem::take(&mut self.unkept_health);
        let states = health
            .into_iter()
            .map(|target| (self.health.get(&target).cloned(), target))
            .map(|(state, target)| (target, state));
        let kept = self.keeper.save(&plan, states.collect());
        self.keeping = Some(Keeping { plan, waiting });
        self.work.wait(async { Done::Kept(kept.await) });
    }

    pub(super) fn on_kept(&mut self, result: Result<(), KeepError>) {
        let Some(Keeping { plan, waiting }) = self.keeping.take() else {
            return;
        };
        self.built_early.clear();
        match result {
            Ok(()) => {
                self.kept = plan;
                self.keep_retry.succeeded();
                self.look_at_keeper();
                self.dirty.merge(waiting);
                self.dirty.merge(std::mem::take(&mut self.waiting_for_history));
            }
            Err(error) => {
                self.keep_retry.failed();
                tracing::debug!("{error}");
                self.look_at_keeper();
                // Health is written whole the next time.
                self.unkept = true;
                self.unkept_health.extend(self.health.keys().cloned());
                self.waiting_for_history.merge(waiting);
            }
        }
    }

    /// What nothing waits for may fail to be written, too.
    pub(super) fn look_at_keeper(&mut self) {
        match self.keeper.state() {
            KeeperState::Keeping => self.troubles.clear(&Subject::History),
            KeeperState::Failing { reason, .. } => {
                let text = format!(
                    "numbers and health can't be kept for the next start, which is tried again: {reason}"
                );
                self.troubles.set(Subject::History, text);
            }
        }
    }

    /// What waits for the history is tried again.
    pub(super) fn retry_history(&mut self) {
        if self.keeping.is_none() && !self.keep_retry.waits() {
            self.dirty.merge(std::mem::take(&mut self.waiting_for_history));
        }
    }
}
