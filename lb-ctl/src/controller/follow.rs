//! What the controller follows: the health of endpoints, and the network.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Controller;
use super::index::{self, Index};
use super::inputs;
use super::troubles::Subject;
use crate::health::{HealthEvent, TargetId};
use crate::model::{Config, ResourcePath};
use crate::net::{NetworkState, NextHop, NextHops};
use crate::plan::{Arriving, arriving};

/// How long the first plan waits for links, addresses, and the way to its endpoints.
const FIRST_LOOK: Duration = Duration::from_secs(3);

impl Controller {
    /// So that a restart does not find its endpoints unresolved.
    pub(super) async fn wait_for_network(&mut self) {
        let wanted: Vec<IpAddr> = self.index.addresses.keys().copied().collect();
        let mut state = self.network.state();
        let is_known = |state: &Arc<NetworkState>| {
            state.following.is_read && wanted.iter().all(|address| state.next_hops.contains_key(address))
        };
        // What is known after that is followed as it comes.
        let _ = tokio::time::timeout(FIRST_LOOK, state.wait_for(is_known)).await;
        self.network_state = state.borrow().clone();
        self.follow_arrivals();
    }

    /// Whom frames are for that arrive changes with links.
    fn follow_arrivals(&mut self) {
        let Arriving { arrivals, warnings } = arriving(
            &self.network_state,
            &self.settings.interfaces,
            &self.settings.virtual_macs,
        );
        if *self.arrivals != arrivals {
            self.arrivals = Arc::new(arrivals);
            self.dirty.due(false);
        }
        match warnings.is_empty() {
            true => self.troubles.clear(&Subject::Arrivals),
            false => self.troubles.set(Subject::Arrivals, warnings.join("; ")),
        }
    }

    /// Endpoints that `config` has probed in another way keep their health until such probes contradict it.
    pub(super) fn pass_health_on(&mut self, config: &Config) {
        let heirs = inputs::heirs(&self.health, config, &self.plan, &self.settings);
        self.unkept_health.extend(heirs.keys().cloned());
        self.health.extend(heirs);
    }

    /// Probes and watches whom the configuration and the plan name now.
    pub(super) fn follow_endpoints(&mut self) {
        self.index = Index::new(&self.in_force.config, &self.plan, self.settings.probe_destination);
        let gone: Vec<TargetId> = self
            .health
            .keys()
            .filter(|target| !self.index.targets.contains_key(target))
            .cloned()
            .collect();
        for target in &gone {
            self.health.remove(target);
        }
        self.unkept_health.extend(gone);
        let targets = index::health_targets(&self.in_force.config, &self.index);
        self.checks.set_targets(targets);
        self.watch_endpoints();
        self.tell_undeliverable();
    }

    pub(super) fn watch_endpoints(&self) {
        self.network.watch(self.index.addresses.keys().copied().collect());
    }

    pub(super) fn on_health(&mut self, events: Vec<HealthEvent>) {
        for event in events {
            let Some(services) = self.index.targets.get(&event.target) else {
                continue;
            };
            let before = self.health.get(&event.target);
            if before.is_none_or(|before| before.healthy != event.state.healthy) {
                tell(&event);
            }
            self.dirty.services(services.iter().cloned());
            self.unkept_health.insert(event.target.clone());
            self.health.insert(event.target, event.state);
        }
    }

    pub(super) fn on_network(&mut self, state: Arc<NetworkState>) {
        let before = std::mem::replace(&mut self.network_state, state);
        let after = self.network_state.clone();
        let touched: BTreeSet<ResourcePath> = changed(&before.next_hops, &after.next_hops)
            .filter_map(|address| self.index.addresses.get(address))
            .flatten()
            .cloned()
            .collect();
        self.dirty.services(touched);
        match after.following.warning() {
            Some(text) => self.troubles.set(Subject::Network, text),
            None => self.troubles.clear(&Subject::Network),
        }
        if !Arc::ptr_eq(&before.links, &after.links) {
            self.failures.forget_changed(&before.links, &after.links);
            self.follow_interfaces();
            self.follow_arrivals();
        }
        self.follow_ways();
        self.announce();
    }
}

fn tell(event: &HealthEvent) {
    let state = match event.state.healthy {
        true => "healthy",
        false => "unhealthy",
    };
    let detail = event.state.detail.as_deref().unwrap_or("the probes succeed");
    tracing::debug!("{} is {state}: {detail}", event.target.address);
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
