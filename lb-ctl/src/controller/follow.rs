//! What the controller follows: the health of endpoints and the way to them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::Controller;
use super::index::{self, Index};
use crate::control::ApplyOptions;
use crate::health::HealthEvent;
use crate::model::ResourcePath;
use crate::net::NextHops;
use crate::plan::Scope as PlanScope;
use crate::resources::Document;

/// How long the first plan waits for the routes and neighbours of its endpoints.
const FIRST_LOOK: Duration = Duration::from_secs(3);

impl Controller {
    /// The first plan: stored resources and the files, with the network looked at first, so that a restart does not
    /// find its endpoints unresolved.
    pub(super) async fn load(&mut self, documents: Vec<Document>) -> anyhow::Result<()> {
        let applied = self
            .judge(&documents, &ApplyOptions::default())
            .map_err(anyhow::Error::new)?;
        self.owners = applied.sources.clone();
        self.index = Index::new(&applied.config, &self.plan);
        self.watch_endpoints();
        self.wait_for_next_hops().await;
        self.adopt_config(applied).map_err(anyhow::Error::new)?;
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

    /// Probes and watches whom the configuration and the plan name now.
    pub(super) fn follow_endpoints(&mut self) {
        self.index = Index::new(&self.config, &self.plan);
        self.health
            .retain(|target, _| self.index.targets.contains_key(target));
        self.checker
            .set_targets(index::health_targets(&self.config, &self.index));
        self.watch_endpoints();
    }

    pub(super) fn watch_endpoints(&self) {
        self.watcher.watch(self.index.addresses.keys().copied().collect());
    }

    pub(super) fn on_health(&mut self, events: Vec<HealthEvent>) {
        let mut touched = BTreeSet::new();
        for event in events {
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
                tracing::info!("{} is {state}: {detail}", event.target.address);
            }
            touched.extend(services.iter().cloned());
        }
        self.recompile(PlanScope::Services(&touched));
    }

    pub(super) fn on_next_hops(&mut self, known: Arc<NextHops>) {
        let changed = known
            .iter()
            .filter(|(address, hop)| self.next_hops.get(address) != Some(hop));
        let touched: BTreeSet<ResourcePath> = changed
            .filter_map(|(address, _)| self.index.addresses.get(address))
            .flatten()
            .cloned()
            .collect();
        self.next_hops = known;
        self.recompile(PlanScope::Services(&touched));
    }
}
