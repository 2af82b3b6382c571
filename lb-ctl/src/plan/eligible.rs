//! Which endpoints new connections may go to (semantics §6).

use lb_common::layout::Pool;

use crate::model::{EndpointWeight, FailoverPolicy, Ratio};

/// What the rules ask of an attached endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) pool: Pool,
    pub(super) healthy: bool,
    /// Absent when the service is not weighted, or when a missing or invalid weight made it equal-weight.
    pub(super) weight: Option<EndpointWeight>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Eligible {
    /// Position of each eligible endpoint, and its share.
    pub(super) endpoints: Vec<(usize, EndpointWeight)>,
    /// The pool that they are of; absent when the set is empty by dropTrafficIfUnhealthy, which leaves the active
    /// pool as it was.
    pub(super) pool: Option<Pool>,
    pub(super) nothing_healthy: bool,
}

pub(super) fn eligible(endpoints: &[Endpoint], policy: Option<&FailoverPolicy>) -> Eligible {
    let nothing_healthy = endpoints.iter().all(|endpoint| !endpoint.healthy);
    let drops = policy.is_some_and(|policy| policy.drop_traffic_if_unhealthy);
    if nothing_healthy && drops {
        return Eligible {
            endpoints: Vec::new(),
            pool: None,
            nothing_healthy,
        };
    }
    let pool = if nothing_healthy {
        Pool::Primary
    } else {
        active_pool(endpoints, policy)
    };
    Eligible {
        endpoints: first_set(endpoints, |_, endpoint| endpoint.pool == pool),
        pool: Some(pool),
        nothing_healthy,
    }
}

/// The pool, when something is healthy in one of them.
fn active_pool(endpoints: &[Endpoint], policy: Option<&FailoverPolicy>) -> Pool {
    let count = |pool| endpoints.iter().filter(move |endpoint| endpoint.pool == pool);
    let healthy = |pool| count(pool).filter(|endpoint| endpoint.healthy).count() as u128;
    let (primary, failover) = (healthy(Pool::Primary), healthy(Pool::Failover));
    let all = count(Pool::Primary).count() as u128;
    let enough = policy.is_none_or(|policy| reaches(primary, all, policy.ratio));
    if primary == 0 || (failover > 0 && !enough) {
        Pool::Failover
    } else {
        Pool::Primary
    }
}

/// `part` / `all` >= ratio, without dividing; a ratio of 0 is always met.
pub(super) fn reaches(part: u128, all: u128, ratio: Ratio) -> bool {
    part * u128::from(ratio.denominator) >= u128::from(ratio.numerator) * all
}

/// The first set that is not empty, of those that are included. Without weights the sets of weight 0 are empty.
pub(super) fn first_set(
    endpoints: &[Endpoint],
    included: impl Fn(usize, &Endpoint) -> bool,
) -> Vec<(usize, EndpointWeight)> {
    let weight = |endpoint: &Endpoint| endpoint.weight.unwrap_or(EndpointWeight::ONE);
    let share = |endpoint| match weight(endpoint) {
        EndpointWeight::ZERO => EndpointWeight::ONE,
        weight => weight,
    };
    let of_set = |healthy: bool, weighted: bool| {
        let members = endpoints.iter().enumerate().filter(|(position, endpoint)| {
            included(*position, endpoint)
                && endpoint.healthy == healthy
                && (weight(endpoint) > EndpointWeight::ZERO) == weighted
        });
        members
            .map(|(position, endpoint)| (position, share(endpoint)))
            .collect::<Vec<_>>()
    };
    [(true, true), (false, true), (true, false), (false, false)]
        .into_iter()
        .map(|(healthy, weighted)| of_set(healthy, weighted))
        .find(|set| !set.is_empty())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
