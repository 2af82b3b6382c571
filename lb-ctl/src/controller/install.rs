//! From inputs to maps: compile, keep the history, diff, apply.

use std::sync::Arc;

use anyhow::Context as _;

use super::{Controller, HealthChanges, KeepError, Keeper as _};
use crate::dataplane;
use crate::model::Config;
use crate::plan::diff::diff;
use crate::plan::{Inputs, Plan, PlanError, Scope as PlanScope, compile};

impl Controller {
    pub(super) fn inputs<'a>(&'a self, config: &'a Config) -> Inputs<'a> {
        Inputs {
            config,
            health: &self.health,
            next_hops: &self.next_hops,
            zones: &self.settings.zones,
            gue_port: self.settings.gue_port,
            probe_destination: self.settings.probe_destination,
            seed: self.settings.seed,
            limits: self.settings.limits,
        }
    }

    pub(super) fn plan_for(&self, config: &Config, scope: PlanScope<'_>) -> Result<Plan, PlanError> {
        compile(&self.inputs(config), &self.plan, scope, dataplane::now())
    }

    /// History first: a number that the maps hold is never forgotten.
    pub(super) fn install(&mut self, plan: Plan) -> anyhow::Result<()> {
        if self.frozen.is_some() {
            return Ok(());
        }
        self.keep_history(&plan, HealthChanges::new())?;
        let operations = diff(&self.actual, &plan.contents);
        if !operations.is_empty() {
            tracing::debug!("{} map operations", operations.len());
        }
        self.plan = plan;
        self.connections.publish(&self.config, &self.plan);
        match self.program.maps.apply(&operations) {
            Ok(()) => self.actual = self.plan.contents.clone(),
            Err(error) => {
                // The next difference starts from what is really there.
                self.actual = self
                    .program
                    .maps
                    .read()
                    .context("reading the maps back after a failure")?;
                return Err(error);
            }
        }
        self.publish_probe_paths();
        Ok(())
    }

    pub(super) fn keep_history(&mut self, plan: &Plan, health: HealthChanges) -> Result<(), KeepError> {
        let kept = self.history.save(plan, health);
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(kept))
    }

    pub(super) fn keep_health(&mut self, health: HealthChanges) {
        if let Err(error) = self.keep_history(&self.plan.clone(), health) {
            tracing::warn!("{error}");
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

    pub(super) fn recompile(&mut self, scope: PlanScope<'_>) {
        let result = match self.plan_for(&self.config, scope) {
            Ok(plan) => self.install(plan),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = result {
            tracing::error!("the data plane stays as it was: {error:#}");
        }
    }
}
