//! Giving one set of maps what another holds.

use anyhow::{Context as _, Result};

use super::MapSet;
use crate::dataplane::flows::Copied;
use crate::plan::diff::diff;

impl MapSet {
    /// Everything that `from` holds, into maps that no program uses yet. Returns the flows as they were then.
    pub(in crate::dataplane) fn fill_from(&mut self, from: &Self) -> Result<Copied> {
        let (held, wanted) = (self.read()?, from.read()?);
        match self.apply(&diff(&held, &wanted)) {
            Err(error) if error.is_about_devices() => tracing::warn!("{error}"),
            applied => applied?,
        }
        let members = wanted
            .services
            .values()
            .flat_map(|service| service.members.keys());
        for member in members {
            let counters = from.member_stats.get(member, 0)?;
            self.member_stats
                .set(*member, counters, 0)
                .context("counters of a member")?;
        }
        self.cpus
            .take_counters(&from.cpus)
            .context("counters of verdicts")?;
        self.fragments.replace(&from.fragments.all()?)?;
        Ok(self.flows.copy_from(&from.flows))
    }

    /// What `from` has learnt of flows since then, or whatever it knows of them. Both may be in use.
    pub(in crate::dataplane) fn take_flows_of(
        &mut self,
        from: &Self,
        since: Option<&Copied>,
        now: u32,
    ) -> Result<()> {
        let merged = self.flows.merge_from(&from.flows, since, now);
        if merged.lost > 0 {
            tracing::warn!(
                "{} of {} flows had no room in the new flow table",
                merged.lost,
                merged.taken + merged.lost
            );
        }
        self.fragments.add_missing(&from.fragments.all()?)
    }
}
