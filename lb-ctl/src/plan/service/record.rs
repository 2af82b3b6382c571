//! What the maps hold of a service: its record, its members, where they are delivered.

use std::collections::BTreeMap;
use std::sync::Arc;

use lb_common::layout::{Leader, Member, Pools, Service};
use lb_common::policy::{Policy, PolicyWord};

use super::super::compile::{Inputs, Space};
use super::super::contents::ServiceContents;
use super::super::delivery;
use super::super::eligible::Eligible;
use super::super::limits::Limits;
use super::super::members::{EndedMember, EndpointId, MemberStatus, Obstacle};
use super::super::ways::Way;
use super::{ServicePlan, attached_members};
use crate::model::BackendService;

pub(super) fn contents(
    service: &BackendService,
    eligible: &Eligible,
    next: &ServicePlan,
    records: &Records,
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
    let selection = next
        .tables
        .own
        .as_ref()
        .map_or(0, |table| table.selection().to_word());
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
        zones: next.zone_place().to_word(),
    };
    let mut members: BTreeMap<u32, Member> = BTreeMap::new();
    for member in next.members.values() {
        let backend = records.get(&member.number).copied().unwrap_or(0);
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
        .tables
        .own
        .as_ref()
        .map(|table| (table.region.offset, table.slots.clone()));
    let contents = ServiceContents {
        record,
        members,
        table,
        zone_words: next.zone_selections(),
        zone_tables: next.zone_tables(),
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

/// Numbers of delivery records by those of the members that they lead to.
pub(super) type Records = BTreeMap<u32, u32>;

/// Delivery of every member, and for the tools its mode, or what stands in its way.
pub(super) fn deliver(
    inputs: &Inputs<'_>,
    previous: &ServicePlan,
    next: &mut ServicePlan,
    space: &mut Space,
    now: u32,
) -> Records {
    let mut records = Records::new();
    for (id, member) in &mut next.members {
        match record(inputs, id, space) {
            Ok((number, name)) => {
                records.insert(member.number, number);
                (member.delivery, member.obstacle) = (name, None);
            }
            Err(obstacle) => {
                let before = previous
                    .members
                    .get(id)
                    .and_then(|member| member.obstacle.as_ref());
                let obstacle = begun(obstacle, before, now);
                (member.delivery, member.obstacle) = (obstacle.name(), Some(obstacle));
            }
        }
    }
    records
}

/// The number of an endpoint's record, and the name of its mode.
fn record(inputs: &Inputs<'_>, id: &EndpointId, space: &mut Space) -> Result<(u32, &'static str), Obstacle> {
    let unresolved = |reason| Obstacle::Unresolved { reason, since: 0 };
    let way = inputs.ways.get(&id.address);
    if let Some(Way::Closed(undeliverable)) = way {
        return Err(Obstacle::Undeliverable(undeliverable.clone()));
    }
    let next_hop = inputs.next_hops.get(&id.address).ok_or(Obstacle::Unknown)?;
    let record = delivery::record(id.address, inputs.delivery_of(id), next_hop, inputs.gue_port);
    let mut record = record.map_err(unresolved)?;
    if let Some(Way::Through { ifindex, mtu }) = way {
        (record.ifindex, record.mtu) = (*ifindex, record.mtu.min(*mtu));
    }
    let Limits {
        backends, devices, ..
    } = inputs.limits;
    let number = space.backends.number(record, backends, devices);
    Ok((number.map_err(unresolved)?, delivery::name(&record)))
}

/// What lasts has begun when it was seen first.
fn begun(obstacle: Obstacle, before: Option<&Obstacle>, now: u32) -> Obstacle {
    match (obstacle, before) {
        (Obstacle::Unresolved { reason, .. }, Some(Obstacle::Unresolved { since, .. })) => {
            Obstacle::Unresolved {
                reason,
                since: *since,
            }
        }
        (Obstacle::Unresolved { reason, .. }, _) => Obstacle::Unresolved { reason, since: now },
        (other, _) => other,
    }
}
