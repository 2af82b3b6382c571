//! What plans are made of, as it was at one moment: a copy costs next to nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::index::Index;
use super::{Controller, Settings};
use crate::health::{self, HealthState, TargetId};
use crate::model::Config;
use crate::net::{NetworkState, NextHops};
use crate::plan::{
    Arrivals, BuiltTable, BuiltTables, HealthMap, Inputs, Plan, PlanError, Scope as PlanScope, TableBuild,
    Ways, compile,
};

#[derive(Clone)]
pub(super) struct Snapshot {
    pub(super) settings: Arc<Settings>,
    pub(super) config: Arc<Config>,
    health: HealthMap,
    pub(super) network: Arc<NetworkState>,
    ways: Arc<Ways>,
    pub(super) plan: Plan,
    arrivals: Arc<Arrivals>,
    built: BuiltTables,
    now: u32,
}

impl Controller {
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            settings: self.settings.clone(),
            config: self.in_force.config.clone(),
            health: self.health.clone(),
            network: self.network_state.clone(),
            ways: self.ways.clone(),
            plan: self.plan.clone(),
            arrivals: self.arrivals.clone(),
            built: self.built.clone(),
            now: self.clock.now(),
        }
    }
}

/// What the plan is made of beside the configuration.
pub(super) fn inputs<'a>(
    settings: &'a Settings,
    config: &'a Config,
    health: &'a HealthMap,
    next_hops: &'a NextHops,
    ways: &'a Ways,
    arrivals: &'a Arc<Arrivals>,
    built: &'a BuiltTables,
) -> Inputs<'a> {
    Inputs {
        config,
        health,
        next_hops,
        ways,
        arrivals,
        zones: &settings.zones,
        gue_port: settings.gue_port,
        probe_destination: settings.probe_destination,
        seed: settings.seed,
        limits: settings.limits,
        built,
        inline_work: settings.inline_work,
    }
}

impl Snapshot {
    pub(super) fn inputs(&self) -> Inputs<'_> {
        inputs(
            &self.settings,
            &self.config,
            &self.health,
            &self.network.next_hops,
            &self.ways,
            &self.arrivals,
            &self.built,
        )
    }

    /// The tables that a configuration needs, or why it does not fit the data plane. Takes the processor for as long as
    /// they take to build.
    pub(super) fn fits(&self, config: &Config) -> Result<Vec<BuiltTable>, PlanError> {
        let mut health = self.health.clone();
        health.extend(heirs(&self.health, config, &self.plan, &self.settings));
        let (mut built, mut made) = (self.built.clone(), Vec::new());
        loop {
            let (hops, ways, arrivals) = (&self.network.next_hops, &self.ways, &self.arrivals);
            let inputs = inputs(&self.settings, config, &health, hops, ways, arrivals, &built);
            let plan = compile(&inputs, &self.plan, PlanScope::All, self.now)?;
            let builds: Vec<TableBuild> = plan.builds().map(|(_, build)| build.clone()).collect();
            if builds.is_empty() {
                return Ok(made);
            }
            for build in builds {
                let table = build.run();
                built.insert(table.clone());
                made.push(table);
            }
        }
    }
}

/// What endpoints that `config` has probed in another way take over of their health, until such probes contradict it.
pub(super) fn heirs(
    health: &HealthMap,
    config: &Config,
    plan: &Plan,
    settings: &Settings,
) -> BTreeMap<TargetId, HealthState> {
    let next = Index::new(config, plan, settings.probe_destination);
    let leaving = health.iter();
    let leaving = leaving.filter(|(target, _)| !next.targets.contains_key(target));
    let is_new = |target: &&TargetId| !health.contains_key(*target);
    health::heirs(leaving, next.targets.keys().filter(is_new))
}
