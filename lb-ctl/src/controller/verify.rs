//! Whether the kernel's maps hold what they should.

use super::Controller;
use crate::control::ControlError;
use crate::plan::Scope as PlanScope;
use crate::plan::diff::diff;
use crate::views;

/// How many differences are told.
const MOST_TOLD: usize = 20;

impl Controller {
    /// Reads the maps back and compares them with what everything compiles to now.
    pub(super) fn verify(&self) -> Result<views::Verification, ControlError> {
        let internal = |error: &dyn std::fmt::Display| ControlError::Internal(format!("{error:#}"));
        let plan = self
            .plan_for(&self.config, PlanScope::All)
            .map_err(|error| internal(&error))?;
        let held = self.program.maps.read().map_err(|error| internal(&error))?;
        let differences = diff(&held, &plan.contents);
        let members = held.services.values().map(|service| service.members.len());
        Ok(views::Verification {
            services: held.services.len(),
            members: members.sum(),
            differences: differences
                .iter()
                .take(MOST_TOLD)
                .map(|operation| format!("{operation:.200?}"))
                .collect(),
        })
    }
}
