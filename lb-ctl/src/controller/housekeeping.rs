//! What is done now and then, and what follows a change without going into the maps.

use std::collections::BTreeSet;

use super::{Controller, claims};
use crate::control::ControlError;
use crate::dataplane;
use crate::plan::Scope as PlanScope;

impl Controller {
    pub(super) async fn housekeep(&mut self) {
        let now = dataplane::now();
        if self.plan.next_deadline().is_some_and(|deadline| now >= deadline) {
            let members_may_end = !self.plan.due(now).is_empty();
            self.recompile(PlanScope::Due);
            if members_may_end {
                self.follow_endpoints();
            }
        }
        self.deadlines_met_at = now;
        self.announcements.retry().await;
    }

    /// What follows the configuration and does not go into the maps.
    pub(super) async fn after_change(&mut self) {
        self.announcements.update(&self.config).await;
        let claims: BTreeSet<String> = self.claims().await.into_iter().collect();
        for warning in claims.difference(&self.told) {
            tracing::warn!("{warning}");
        }
        self.told = claims;
    }

    /// Addresses of others that VIPs claim.
    pub(super) async fn claims(&self) -> Vec<String> {
        match self.links.state().await {
            Ok(state) => claims::warnings(&self.config, state.own_addresses()),
            Err(error) => {
                tracing::warn!("asking for the host's addresses: {error}");
                Vec::new()
            }
        }
    }

    pub(super) async fn detach(&mut self) -> Result<(), ControlError> {
        if !self.attached {
            return Err(ControlError::NotAttached);
        }
        crate::dataplane::detach_offline(&self.settings.pin_dir)
            .map_err(|error| ControlError::Internal(format!("{error:#}")))?;
        self.attached = false;
        // Probes on paths that are gone are told from those that fail.
        self.probe_paths.send_replace(None);
        if let Some(device) = &self.probe_device {
            let removed = device.remove().await;
            removed.map_err(|error| ControlError::Internal(error.to_string()))?;
        }
        tracing::info!("detached; no packet is forwarded any more");
        Ok(())
    }
}
