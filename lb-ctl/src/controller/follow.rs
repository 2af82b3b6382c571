//! What the controller follows: the health of endpoints and the way to them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Controller;
use super::index::{self, Index};
use crate::config_files::FromFiles;
use crate::health::{self, HealthEvent, TargetId};
use crate::model::{Config, ResourcePath};
use crate::net::{NextHop, NextHops};
use crate::plan::Scope as PlanScope;

/// How long the first plan waits for the routes and neighbours of its endpoints.
const FIRST_LOOK: Duration = Duration::from_secs(3);

impl Controller {
    /// The first plan: stored resources and the files, with the network looked at first, so that a restart does not
    /// find its endpoints unresolved.
    pub(super) async fn load(&mut self, from_files: FromFiles) -> anyhow::Result<()> {
        self.index = Index::new(
            &from_files.applied.config,
            &self.plan,
            self.settings.probe_destination,
        );
        self.watch_endpoints();
        self.wait_for_next_hops().await;
        self.adopt_files(from_files).map_err(anyhow::Error::new)?;
        self.after_change().await;
        Ok(())
    }

    pub(super) async fn wait_for_next_hops(&mut self) {
        let wanted = &self.index.addresses;
        let mut next_hops = self.watcher.next_hops();
        let known = next_hops.wait_for(|known| wanted.keys().all(|address| known.contains_key(address)));
        if let Ok(Ok(known)) = tokio::time::timeout(FIRST_LOOK, known).await {
            self.next_hops = known.clone();
        }
    }

    /// Endpoints that `config` has probed in another way keep their health until such probes contradict it. Returns the
    /// targets that have it now.
    pub(super) fn pass_health_on(&mut self, config: &Config) -> Vec<TargetId> {
        let next = Index::new(config, &self.plan, self.settings.probe_destination);
        let leaving = self.health.iter();
        let leaving = leaving.filter(|(target, _)| !next.targets.contains_key(target));
        let is_new = |target: &&TargetId| !self.health.contains_key(target);
        let heirs = health::heirs(leaving, next.targets.keys().filter(is_new));
        let added = heirs.keys().cloned().collect();
        self.health.extend(heirs);
        added
    }

    /// Probes and watches whom the configuration and the plan name now.
    pub(super) fn follow_endpoints(&mut self) {
        self.index = Index::new(&self.config, &self.plan, self.settings.probe_destination);
        let gone: Vec<TargetId> = self
            .health
            .keys()
            .filter(|target| !self.index.targets.contains_key(target))
            .cloned()
            .collect();
        for target in &gone {
            self.health.remove(target);
        }
        self.keep_health(gone.into_iter().map(|target| (target, None)).collect());
        self.checker
            .set_targets(index::health_targets(&self.config, &self.index));
        self.watch_endpoints();
    }

    pub(super) fn watch_endpoints(&self) {
        self.watcher.watch(self.index.addresses.keys().copied().collect());
    }

    pub(super) fn on_health(&mut self, events: Vec<HealthEvent>) {
        let mut touched = BTreeSet::new();
        let mut known = Vec::new();
        for event in &events {
            let Some(services) = self.index.targets.get(&event.target) else {
                continue;
            };
            let before = self.health.insert(event.target.clone(), event.state.clone());
            if before.is_none_or(|before| before.healthy != event.state.healthy) {
                let state = if event.state.healthy {
                    "healthy"
                } else {
                    "unhealthy"
                };
                let detail = event.state.detail.as_deref().unwrap_or("the probes succeed");
                tracing::debug!("{} is {state}: {detail}", event.target.address);
            }
            touched.extend(services.iter().cloned());
            known.push((event.target.clone(), Some(event.state.clone())));
        }
        self.recompile(PlanScope::Services(&touched));
        self.keep_health(known);
    }

    pub(super) fn on_next_hops(&mut self, known: Arc<NextHops>) {
        let touched: BTreeSet<ResourcePath> = changed(&self.next_hops, &known)
            .filter_map(|address| self.index.addresses.get(address))
            .flatten()
            .cloned()
            .collect();
        self.next_hops = known;
        self.recompile(PlanScope::Services(&touched));
    }
}

/// The addresses that `after` says something new about.
fn changed<'a>(before: &'a NextHops, after: &'a NextHops) -> impl Iterator<Item = &'a IpAddr> {
    let mut before = before.iter().peekable();
    let mut is_new = move |(address, hop): &(&IpAddr, &NextHop)| {
        while before.next_if(|(other, _)| other < address).is_some() {}
        before.peek() != Some(&(*address, *hop))
    };
    after
        .iter()
        .filter(move |entry| is_new(entry))
        .map(|(address, _)| address)
}
