//! Zonal affinity: which of the eligible endpoints the clients of a zone go to (semantics §6).

use super::eligible::{Eligible, Endpoint, first_set, reaches};
use crate::model::{EndpointWeight, ZonalAffinity};

/// The eligible set as clients of a zone see it; nothing if they see the service's own. A zone holds a configured
/// backend if the active pool has an endpoint there, in whatever health; while dropTrafficIfUnhealthy makes the set
/// empty, it is empty for every zone.
pub(super) fn refine(
    endpoints: &[Endpoint],
    is_in_zone: impl Fn(usize) -> bool,
    eligible: &Eligible,
    affinity: ZonalAffinity,
) -> Option<Vec<(usize, EndpointWeight)>> {
    let pool = eligible.pool?;
    let of_zone = |position: usize, endpoint: &Endpoint| endpoint.pool == pool && is_in_zone(position);
    let refined = match affinity {
        // Its order of sets, applied to the zone alone, begins with what is eligible in it.
        ZonalAffinity::StayWithinZone => first_set(endpoints, of_zone),
        ZonalAffinity::SpillCrossZone(ratio) => {
            let last_resort = eligible
                .endpoints
                .iter()
                .all(|(position, _)| !endpoints[*position].healthy);
            let (healthy, configured) = counts(endpoints, of_zone);
            if last_resort || !reaches(healthy, configured, ratio) {
                return None;
            }
            let here = eligible
                .endpoints
                .iter()
                .filter(|(position, _)| is_in_zone(*position));
            here.copied().collect()
        }
    };
    (!refined.is_empty() && refined != eligible.endpoints).then_some(refined)
}

/// Healthy and all, of those included.
fn counts(endpoints: &[Endpoint], included: impl Fn(usize, &Endpoint) -> bool) -> (u128, u128) {
    let all = || {
        endpoints
            .iter()
            .enumerate()
            .filter(|(position, endpoint)| included(*position, endpoint))
    };
    let healthy = all().filter(|(_, endpoint)| endpoint.healthy).count();
    (healthy as u128, all().count() as u128)
}

#[cfg(test)]
mod tests;
