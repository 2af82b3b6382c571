//! Health when the way of probing an endpoint changes: it is the endpoint's, so it stays until probes contradict it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{HealthState, TargetId};
use crate::model::ResourcePath;

/// The states that `new` targets take over from `leaving` ones: those of the same address under the same check, which
/// was probed at another VIP, or at itself, before. Of several the unhealthy one counts.
pub fn heirs<'a>(
    leaving: impl Iterator<Item = (&'a TargetId, &'a HealthState)>,
    new: impl Iterator<Item = &'a TargetId>,
) -> BTreeMap<TargetId, HealthState> {
    let mut legacies: BTreeMap<(&ResourcePath, IpAddr), &HealthState> = BTreeMap::new();
    for (target, state) in leaving {
        let legacy = legacies.entry((&target.check, target.address)).or_insert(state);
        if !state.healthy {
            *legacy = state;
        }
    }
    new.filter_map(|target| {
        let state = legacies.get(&(&target.check, target.address))?;
        Some((target.clone(), (*state).clone()))
    })
    .collect()
}
