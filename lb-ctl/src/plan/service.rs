//! One service for one address family: its members, its eligible set, its record and its table.

mod choose;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use lb_common::clock::{self, TICK_SECONDS};
use lb_common::layout::Pool;
use serde::{Deserialize, Serialize};

use self::choose::{Selected, select, wanted};
use self::record::{contents, deliver};
use super::compile::{Inputs, Space};
use super::contents::ServiceContents;
use super::eligible::{Eligible, Endpoint as Judged, eligible};
use super::limits::LeftOut;
use super::members::{Departure, EndedMember, EndpointId, MemberPlan, MemberStatus, Members, departure};
use super::pending::{Pending, Waiting, Wanted};
use super::probes::Probing;
use super::regions::Region;
use super::selection::Tables;
use crate::health::{HealthState, WeightError};
use crate::model::{Backend, BackendService, Config, Endpoint, EndpointWeight, ResourcePath};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum IpFamily {
    #[serde(rename = "IPV4")]
    V4,
    #[serde(rename = "IPV6")]
    V6,
}

impl IpFamily {
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// As the API's `ipVersion`.
    pub fn as_api(self) -> &'static str {
        match self {
            Self::V4 => "IPV4",
            Self::V6 => "IPV6",
        }
    }
}

/// A data-plane service: health is per address family, so each family of a backend service has its own eligible set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceKey {
    pub service: ResourcePath,
    pub family: IpFamily,
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.service, self.family.as_api())
    }
}

/// The families in which some forwarding rule leads to a service.
pub fn families_in_use(config: &Config, service: &ResourcePath) -> BTreeSet<IpFamily> {
    let rules = config.rules.values().filter(|rule| rule.service == *service);
    rules.map(|rule| IpFamily::of(rule.vip.address)).collect()
}

/// The same of all services.
pub(super) fn keys_in_use(config: &Config) -> BTreeSet<ServiceKey> {
    let keys = config.rules.values().map(|rule| ServiceKey {
        service: rule.service.clone(),
        family: IpFamily::of(rule.vip.address),
    });
    keys.filter(|key| config.services.contains_key(&key.service))
        .collect()
}

/// The address by which a family's packets reach an endpoint: its own family's, or the other one's, by encapsulation
/// or on the same segment.
pub fn address_of(endpoint: &Endpoint, family: IpFamily) -> IpAddr {
    let (v4, v6) = (endpoint.ipv4.map(IpAddr::from), endpoint.ipv6.map(IpAddr::from));
    let address = match family {
        IpFamily::V4 => v4.or(v6),
        IpFamily::V6 => v6.or(v4),
    };
    address.expect("the model has endpoints with at least one address")
}

/// A service as it is planned, and what its next plan needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePlan {
    pub number: u32,
    pub members: Members,
    pub(super) ended: Vec<EndedMember>,
    pub active: Pool,
    /// The second at which entries to the pool that is not active become unusable.
    pub failover_deadline: u32,
    pub(super) tables: Tables,
    /// Where the selections of its zones are, one for each zone number.
    pub(super) zone_words: Option<Region>,
    pub(super) contents: Arc<ServiceContents>,
    pub(super) idle_seconds: u32,
    /// The first second at which no entry is left that was made under a longer idle timeout.
    pub(super) longer_idle_until: u32,
    /// The second at which a next hop that is still not resolved makes its endpoint unhealthy.
    pub(super) next_verdict: Option<u32>,
    /// The first second at which time alone changes the plan.
    pub(super) deadline: Option<u32>,
}

/// "600 s, as the API says": how long a failover drain lasts.
const FAILOVER_DRAIN_SEC: u32 = 600;

impl ServicePlan {
    /// A service that has no history.
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            members: Members::new(),
            ended: Vec::new(),
            active: Pool::Primary,
            failover_deadline: 0,
            tables: Tables::default(),
            zone_words: None,
            contents: Arc::default(),
            idle_seconds: 0,
            longer_idle_until: 0,
            next_verdict: None,
            deadline: None,
        }
    }

    /// `number`, which no entry can use from `last_use` on.
    pub(super) fn end(&self, number: u32, last_use: u32) -> EndedMember {
        let ended = EndedMember::new(number, last_use, self.idle_seconds);
        EndedMember {
            free_at: ended.free_at.max(self.longer_idle_until),
            ..ended
        }
    }

    /// Members that have ended, which entries may still name.
    pub fn ended_numbers(&self) -> impl Iterator<Item = u32> {
        self.ended.iter().map(|ended| ended.number)
    }

    /// The first second at which time alone changes the plan.
    pub(super) fn next_deadline(&self) -> Option<u32> {
        let draining = self.members.values().filter_map(|member| match member.status {
            MemberStatus::Draining(deadline) => Some(deadline),
            MemberStatus::Attached => None,
        });
        let ended = self.ended.iter().map(|ended| ended.free_at);
        draining.chain(ended).chain(self.next_verdict).min()
    }
}

/// An attached endpoint as the configuration names it.
struct Attached {
    id: EndpointId,
    pool: Pool,
}

/// What a compilation of one service works with.
pub(super) struct Task<'a, 'i> {
    pub(super) inputs: &'a Inputs<'i>,
    pub(super) key: &'a ServiceKey,
    pub(super) service: &'a BackendService,
    pub(super) probing: Option<Probing<'a>>,
    pub(super) previous: &'a ServicePlan,
    /// What the service waits for already.
    pub(super) waiting: Option<&'a Waiting>,
    pub(super) space: &'a mut Space,
    /// Nanoseconds that are left for builds.
    pub(super) work: &'a mut u64,
    pub(super) now: u32,
}

/// What becomes of a service.
pub(super) struct Compiled {
    /// Nothing if the service stays as it was.
    pub(super) next: Option<ServicePlan>,
    pub(super) waiting: Option<Waiting>,
    pub(super) left_out: Vec<LeftOut>,
}

/// While a table can't be had, the service stays as it was, as a whole; what was taken from `space` for it is then
/// the caller's to give back.
pub(super) fn compile(mut task: Task<'_, '_>) -> Compiled {
    let (inputs, key, service, previous, now) =
        (task.inputs, task.key, task.service, task.previous, task.now);
    let idle_seconds = service.idle_timeout_sec;
    let mut next = ServicePlan {
        idle_seconds,
        longer_idle_until: longer_idle_until(previous, idle_seconds, now),
        members: Members::new(),
        ..previous.clone()
    };
    let mut left_out = Vec::new();
    depart(inputs.config, key, service, previous, &mut next, now);
    attach(&mut task, &mut next, &mut left_out);
    // Now that all have theirs: until the maps follow, a number that becomes free here is still named by them.
    release_ended(&mut next, task.space, now);
    let records = deliver(inputs, previous, &mut next, task.space, now);
    judge(inputs, service, task.probing, &mut next, now);
    let eligible = eligible(&judged(&next), service.failover.as_ref());
    flip(service, previous, &eligible, &mut next, now);
    let (wanted, highest_zone) = wanted(&task, &eligible, &next);
    let waiting = match select(&mut task, wanted, &mut next) {
        Selected::Waits(pending, wanted) => {
            let members = new_members(&next, previous);
            let waiting = waits(pending, wanted, members);
            return Compiled {
                next: None,
                waiting: Some(waiting),
                left_out,
            };
        }
        Selected::Has(waiting) => waiting.map(|(pending, wanted)| waits(pending, wanted, BTreeMap::new())),
    };
    let zone_tables = inputs.limits.zone_tables;
    next.zone_words = task
        .space
        .zone_words(next.zone_words, highest_zone, zone_tables, now);
    if next.zone_words.is_none() && highest_zone > 0 {
        left_out.push(LeftOut::new(
            [service.path.clone()],
            format!(
                "its zones are not told apart: more than {zone_tables} zones, counted once for each service with zonal \
                 affinity, don't fit the data plane"
            ),
        ));
    }
    next.contents = contents(service, &eligible, &next, &records, previous);
    next.deadline = next.next_deadline();
    Compiled {
        next: Some(next),
        waiting,
        left_out,
    }
}

fn waits(pending: Pending, wanted: Arc<Wanted>, members: BTreeMap<EndpointId, u32>) -> Waiting {
    Waiting {
        pending,
        wanted,
        members,
        number: None,
    }
}

/// Numbers that the maps do not have.
fn new_members(next: &ServicePlan, previous: &ServicePlan) -> BTreeMap<EndpointId, u32> {
    let is_known = |id: &EndpointId, number: u32| {
        previous
            .members
            .get(id)
            .is_some_and(|member| member.number == number)
    };
    let members = next.members.iter().map(|(id, member)| (id, member.number));
    members
        .filter(|(id, number)| !is_known(id, *number))
        .map(|(id, number)| (id.clone(), number))
        .collect()
}

fn longer_idle_until(previous: &ServicePlan, idle_seconds: u32, now: u32) -> u32 {
    if idle_seconds < previous.idle_seconds {
        previous.end(0, now).free_at
    } else {
        previous.longer_idle_until
    }
}

fn release_ended(next: &mut ServicePlan, space: &mut Space, now: u32) {
    next.ended.retain(|ended| {
        let waits = now < ended.free_at;
        if !waits {
            space.members.release(ended.number);
        }
        waits
    });
}

fn attached(config: &Config, service: &BackendService, family: IpFamily) -> Vec<Attached> {
    let mut all = Vec::new();
    for backend in &service.backends {
        let Some(group) = config.groups.get(&backend.group) else {
            continue;
        };
        all.extend(group.endpoints.iter().map(|endpoint| Attached {
            id: EndpointId {
                group: group.path.clone(),
                address: address_of(endpoint, family),
                instance: endpoint.instance.clone(),
            },
            pool: pool_of(backend),
        }));
    }
    all
}

fn pool_of(backend: &Backend) -> Pool {
    if backend.failover {
        Pool::Failover
    } else {
        Pool::Primary
    }
}

/// Members that are no longer configured drain or end.
fn depart(
    config: &Config,
    key: &ServiceKey,
    service: &BackendService,
    previous: &ServicePlan,
    next: &mut ServicePlan,
    now: u32,
) {
    let configured: BTreeSet<EndpointId> = attached(config, service, key.family)
        .into_iter()
        .map(|endpoint| endpoint.id)
        .collect();
    for (id, member) in &previous.members {
        if configured.contains(id) && !member.status.has_ended(now) {
            continue;
        }
        let group = service.backends.iter().find(|backend| backend.group == id.group);
        match departure(member.status, group.is_some(), service.draining_timeout_sec, now) {
            Departure::Draining(deadline) => {
                let draining = MemberPlan {
                    status: MemberStatus::Draining(deadline),
                    pool: group.map_or(member.pool, pool_of),
                    ..member.clone()
                };
                next.members.insert(id.clone(), draining);
            }
            Departure::Ended { last_use } => {
                let ended = next.end(member.number, last_use);
                next.ended.push(ended);
            }
        }
    }
}

/// Configured endpoints keep their number, a draining one too, whose drain is thereby cancelled; new ones get one, and
/// so do those whose drain has ended.
fn attach(task: &mut Task<'_, '_>, next: &mut ServicePlan, left_out: &mut Vec<LeftOut>) {
    let limit = task.inputs.limits.members;
    let mut without: BTreeMap<ResourcePath, usize> = BTreeMap::new();
    for endpoint in attached(task.inputs.config, task.service, task.key.family) {
        let number = match task.previous.members.get(&endpoint.id) {
            Some(member) if !member.status.has_ended(task.now) => Some(member.number),
            _ => match task.waiting.and_then(|waiting| waiting.members.get(&endpoint.id)) {
                Some(number) => Some(*number),
                None => task.space.members.take(limit),
            },
        };
        let Some(number) = number else {
            *without.entry(endpoint.id.group).or_default() += 1;
            continue;
        };
        let member = MemberPlan {
            number,
            status: MemberStatus::Attached,
            pool: endpoint.pool,
            healthy: false,
            weight: None,
            delivery: "unresolved",
            obstacle: None,
        };
        next.members.insert(endpoint.id, member);
    }
    left_out.extend(without.into_iter().map(|(group, count)| {
        let reason = format!(
            "{count} endpoints of it have no place in {}: more than {limit} endpoints, counted once for each service \
             and address family, don't fit the data plane",
            task.key
        );
        LeftOut::new([group, task.service.path.clone()], reason)
    }));
}

/// Health and weight of every member, draining ones included. What can't be delivered to is unhealthy, whatever probes say.
fn judge(
    inputs: &Inputs<'_>,
    service: &BackendService,
    probing: Option<Probing<'_>>,
    next: &mut ServicePlan,
    now: u32,
) {
    let is_probed_there = probing.is_some_and(|probing| probing.is_at_vip());
    let equal_weight = !service.locality.is_weighted() || any_weight_is_unusable(inputs, probing, next);
    next.next_verdict = None;
    for (id, member) in &mut next.members {
        let state = health(inputs, probing, id);
        member.healthy = service.health_check.is_none() || state.is_some_and(|state| state.healthy);
        let obstacle = member.obstacle.as_ref();
        if let Some(from) = obstacle.and_then(|obstacle| obstacle.counts_from(is_probed_there)) {
            member.healthy &= now < from;
            if now < from {
                next.next_verdict = Some(next.next_verdict.map_or(from, |earlier| from.min(earlier)));
            }
        }
        let weight = state.map_or(EndpointWeight::ONE, |state| state.weight.value);
        member.weight = if equal_weight { None } else { Some(weight) };
    }
}

fn health<'a>(
    inputs: &Inputs<'a>,
    probing: Option<Probing<'_>>,
    endpoint: &EndpointId,
) -> Option<&'a HealthState> {
    let target = probing?.target(endpoint.address, inputs.delivery_of(endpoint));
    inputs.health.get(&target)
}

/// A processed reply with a missing or invalid weight, from any attached endpoint, makes the service equal-weight.
fn any_weight_is_unusable(inputs: &Inputs<'_>, probing: Option<Probing<'_>>, next: &ServicePlan) -> bool {
    let attached = next
        .members
        .iter()
        .filter(|(_, member)| member.status == MemberStatus::Attached);
    attached
        .filter_map(|(id, _)| health(inputs, probing, id))
        .any(|state| {
            matches!(
                state.weight.error,
                Some(WeightError::MissingWeight | WeightError::InvalidWeight)
            )
        })
}

fn attached_members(next: &ServicePlan) -> impl Iterator<Item = (&EndpointId, &MemberPlan)> {
    next.members
        .iter()
        .filter(|(_, member)| member.status == MemberStatus::Attached)
}

fn judged(next: &ServicePlan) -> Vec<Judged> {
    let judge = |(_, member): (&EndpointId, &MemberPlan)| Judged {
        pool: member.pool,
        healthy: member.healthy,
        weight: member.weight,
    };
    attached_members(next).map(judge).collect()
}

/// The active pool follows the eligible set; entries to the other one drain.
fn flip(
    service: &BackendService,
    previous: &ServicePlan,
    eligible: &Eligible,
    next: &mut ServicePlan,
    now: u32,
) {
    let Some(pool) = eligible.pool else { return };
    let is_first = previous.members.is_empty();
    if pool == previous.active || is_first {
        next.active = pool;
        return;
    }
    next.active = pool;
    let drains = !service
        .failover
        .is_some_and(|policy| policy.disable_connection_drain_on_failover);
    next.failover_deadline = if drains {
        clock::deadline(now, FAILOVER_DRAIN_SEC)
    } else {
        now
    };
}

/// Far longer than a packet takes.
pub(super) const GRACE_SEC: u32 = 2 * TICK_SECONDS;
