//! One service for one address family: its members, its eligible set, its record and its table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use lb_common::clock::{self, TICK_SECONDS};
use lb_common::layout::{Leader, Member, Pool, Pools, Service};
use lb_common::maglev::Candidate;
use lb_common::policy::{Policy, PolicyWord};
use serde::{Deserialize, Serialize};

use super::compile::{Inputs, PlanError, Space};
use super::contents::ServiceContents;
use super::delivery;
use super::eligible::{Eligible, Endpoint as Judged, eligible};
use super::members::{Departure, EndedMember, EndpointId, MemberPlan, MemberStatus, Members, departure};
use super::probes::Probing;
use super::selection::{Recipe, Shelf, Table, identity};
use super::zonal::{configured, refine};
use super::zones::ZonePlan;
use crate::health::{HealthState, WeightError};
use crate::model::{Backend, BackendService, Config, Endpoint, ResourcePath};

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
    pub(super) table: Option<Table>,
    pub(super) zones: ZonePlan,
    pub(super) contents: Arc<ServiceContents>,
    pub(super) idle_seconds: u32,
    /// The first second at which no entry is left that was made under a longer idle timeout.
    pub(super) longer_idle_until: u32,
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
            table: None,
            zones: ZonePlan::default(),
            contents: Arc::default(),
            idle_seconds: 0,
            longer_idle_until: 0,
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
        draining.chain(self.ended.iter().map(|ended| ended.free_at)).min()
    }
}

/// An attached endpoint as the configuration names it.
struct Attached {
    id: EndpointId,
    pool: Pool,
}

pub(super) fn compile(
    inputs: &Inputs<'_>,
    key: &ServiceKey,
    service: &BackendService,
    probing: Option<Probing<'_>>,
    previous: &ServicePlan,
    space: &mut Space,
    now: u32,
) -> Result<ServicePlan, PlanError> {
    let idle_seconds = service.idle_timeout_sec;
    let mut next = ServicePlan {
        idle_seconds,
        longer_idle_until: longer_idle_until(previous, idle_seconds, now),
        members: Members::new(),
        ..previous.clone()
    };
    depart(inputs.config, key, service, previous, &mut next, now);
    release_ended(&mut next, space, now);
    attach(inputs, key, service, previous, &mut next, space, now)?;
    judge(inputs, service, probing, &mut next);
    let eligible = eligible(&judged(&next), service.failover.as_ref());
    flip(service, previous, &eligible, &mut next, now);
    select(inputs, key, service, &eligible, &mut next, space, now)?;
    next.contents = contents(inputs, service, &eligible, &next, space, previous);
    describe_delivery(inputs, &mut next);
    next.deadline = next.next_deadline();
    Ok(next)
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
fn attach(
    inputs: &Inputs<'_>,
    key: &ServiceKey,
    service: &BackendService,
    previous: &ServicePlan,
    next: &mut ServicePlan,
    space: &mut Space,
    now: u32,
) -> Result<(), PlanError> {
    for endpoint in attached(inputs.config, service, key.family) {
        let number = match previous.members.get(&endpoint.id) {
            Some(member) if !member.status.has_ended(now) => member.number,
            _ => space
                .members
                .take(inputs.limits.members)
                .ok_or(PlanError::Members(inputs.limits.members))?,
        };
        let member = MemberPlan {
            number,
            status: MemberStatus::Attached,
            pool: endpoint.pool,
            healthy: false,
            weight: None,
            delivery: "unresolved",
            unresolved: None,
        };
        next.members.insert(endpoint.id, member);
    }
    Ok(())
}

/// Health, weight and delivery of every member, draining ones included.
fn judge(
    inputs: &Inputs<'_>,
    service: &BackendService,
    probing: Option<Probing<'_>>,
    next: &mut ServicePlan,
) {
    let equal_weight = !service.locality.is_weighted() || any_weight_is_unusable(inputs, probing, next);
    for (id, member) in &mut next.members {
        let state = health(inputs, probing, id);
        member.healthy = service.health_check.is_none() || state.is_some_and(|state| state.healthy);
        let weight = state.map_or(1, |state| state.weight.value);
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

/// The service's own table, and those of the zones in use.
fn select(
    inputs: &Inputs<'_>,
    key: &ServiceKey,
    service: &BackendService,
    eligible: &Eligible,
    next: &mut ServicePlan,
    space: &mut Space,
    now: u32,
) -> Result<(), PlanError> {
    let judged = judged(next);
    let attached: Vec<_> = attached_members(next).collect();
    let candidate = |(position, weight): &(usize, u32)| {
        let (id, member) = attached[*position];
        Candidate {
            identity: identity(inputs.seed, id),
            weight: *weight,
            member: member.number,
        }
    };
    // An endpoint whose next hop is not known yet gets no new connections, as long as another one can have them.
    let reached = |(position, _): &&(usize, u32)| is_reachable(inputs, attached[*position].0);
    let recipe = |endpoints: &[(usize, u32)], configured: usize| {
        let candidates: Vec<_> = endpoints.iter().filter(reached).map(candidate).collect();
        let candidates = match candidates.is_empty() {
            true => endpoints.iter().map(candidate).collect(),
            false => candidates,
        };
        Recipe::new(service.locality, configured, candidates)
    };
    let own = recipe(&eligible.endpoints, configured(&judged, |_| true));
    let mut refined = BTreeMap::new();
    if let Some(affinity) = service.zonal_affinity {
        for (zone, number) in space.zones_of(inputs, service) {
            let is_there = |position: usize| inputs.zone_of(attached[position].0) == Some(zone);
            if let Some(endpoints) = refine(&judged, is_there, eligible, affinity) {
                refined.insert(number, recipe(&endpoints, configured(&judged, is_there)));
            }
        }
    }
    drop(attached);
    let highest = space.zones_of(inputs, service).map(|(_, number)| number).max();
    let mut shelf = Shelf {
        space,
        capacity: inputs.limits.table_slots,
        now,
        service: key,
    };
    next.table = shelf.table(next.table.take(), own)?;
    let zones = std::mem::take(&mut next.zones);
    next.zones = zones.next(
        refined,
        highest.unwrap_or(0),
        inputs.limits.zone_tables,
        &mut shelf,
    )?;
    Ok(())
}

/// Far longer than a packet takes.
pub(super) const GRACE_SEC: u32 = 2 * TICK_SECONDS;

fn contents(
    inputs: &Inputs<'_>,
    service: &BackendService,
    eligible: &Eligible,
    next: &ServicePlan,
    space: &mut Space,
    previous: &ServicePlan,
) -> Arc<ServiceContents> {
    let policy = Policy {
        scheme: service.scheme,
        affinity: service.affinity,
        mode: service.tracking,
        persistence: service.persistence,
        subsetting: service.subsetting,
        idle_seconds: next.idle_seconds as u16,
    };
    let drops = service
        .failover
        .is_some_and(|policy| policy.drop_traffic_if_unhealthy);
    let selection = next.table.as_ref().map_or(0, |table| table.selection().to_word());
    let record = Service {
        policy: PolicyWord::new(&policy).0,
        selection,
        pools: Pools::new(
            next.active,
            eligible.nothing_healthy,
            drops,
            next.failover_deadline,
        )
        .0,
        leader: leader(service, next).map_or(0, |leader| leader.0),
        zones: next.zones.place().to_word(),
    };
    let mut members: BTreeMap<u32, Member> = BTreeMap::new();
    for (id, member) in &next.members {
        let delivery = inputs.delivery_of(id);
        let backend = space.backend(inputs, id.address, delivery).unwrap_or(0);
        let deadline = match member.status {
            MemberStatus::Attached => None,
            MemberStatus::Draining(deadline) => Some(deadline),
        };
        members.insert(
            member.number,
            Member::new(next.number, member.healthy, member.pool, backend, deadline),
        );
    }
    members.extend(
        next.ended
            .iter()
            .map(|ended| (ended.number, EndedMember::record(next.number))),
    );
    let table = next
        .table
        .as_ref()
        .map(|table| (table.region.offset, table.slots.clone()));
    let contents = ServiceContents {
        record,
        members,
        table,
        zone_words: next.zones.words(),
        zone_tables: next.zones.tables(),
    };
    if *previous.contents == contents {
        previous.contents.clone()
    } else {
        Arc::new(contents)
    }
}

/// The leader that haPolicy names by its instance. A group of one endpoint needs no name.
fn leader(service: &BackendService, next: &ServicePlan) -> Option<Leader> {
    let policy = service.ha_policy.as_ref()?;
    let number = policy.leader.as_ref().and_then(|leader| {
        let mut of_group = attached_members(next).filter(|(id, _)| id.group == leader.group);
        let (_, member) = match &leader.instance {
            Some(_) => of_group.find(|(id, _)| id.instance == leader.instance)?,
            None => of_group.next().filter(|_| of_group.next().is_none())?,
        };
        Some(member.number)
    });
    Some(Leader::new(number.unwrap_or(0)))
}

fn is_reachable(inputs: &Inputs<'_>, endpoint: &EndpointId) -> bool {
    delivery_record(inputs, endpoint).is_ok()
}

fn delivery_record(inputs: &Inputs<'_>, endpoint: &EndpointId) -> Result<lb_common::layout::Backend, String> {
    let next_hop = inputs.next_hops.get(&endpoint.address);
    delivery::record(
        endpoint.address,
        inputs.delivery_of(endpoint),
        next_hop,
        inputs.gue_port,
    )
}

/// Delivery of every member for the tools: its mode, or why there is none.
fn describe_delivery(inputs: &Inputs<'_>, next: &mut ServicePlan) {
    for (id, member) in &mut next.members {
        match delivery_record(inputs, id) {
            Ok(record) => (member.delivery, member.unresolved) = (delivery::name(Some(&record)), None),
            Err(reason) => (member.delivery, member.unresolved) = (delivery::name(None), Some(reason)),
        }
    }
}
