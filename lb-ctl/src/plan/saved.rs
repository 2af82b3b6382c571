//! A plan's history between two runs of the daemon: what can't be read back from the maps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lb_common::layout::{Pool, ZoneTables};
use serde::{Deserialize, Serialize};

use super::compile::{Plan, RemovedService, Space};
use super::contents::{Contents, ServiceContents};
use super::members::{EndedMember, EndpointId, MemberPlan, MemberStatus};
use super::numbers::Numbers;
use super::regions::Region;
use super::selection::Table;
use super::service::{ServiceKey, ServicePlan};
use super::zones::ZonePlan;
use crate::model::ResourcePath;

/// Numbers, drains and pools. Seconds count from boot, and numbers mean something only to the maps that they were made
/// for: whoever keeps this keeps it with both, and before the plan is applied. A newer history than the maps' is
/// taken up whole; an older one does not know which numbers have changed hands since.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedPlan {
    services: Vec<SavedService>,
    removed: Vec<SavedRemoved>,
    steering: BTreeMap<ResourcePath, u32>,
    #[serde(default)]
    zones: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedService {
    key: ServiceKey,
    number: u32,
    members: Vec<SavedMember>,
    ended: Vec<EndedMember>,
    failover_active: bool,
    failover_deadline: u32,
    idle_seconds: u32,
    longer_idle_until: u32,
    table: Option<Region>,
    #[serde(default)]
    zone_words: Option<Region>,
    /// By zone number.
    #[serde(default)]
    zone_tables: BTreeMap<u32, Region>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedMember {
    id: EndpointId,
    number: u32,
    status: MemberStatus,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedRemoved {
    number: u32,
    members: Vec<EndedMember>,
    free_at: u32,
}

impl Plan {
    pub fn save(&self) -> SavedPlan {
        let services = self.services.iter().map(|(key, service)| SavedService {
            key: key.clone(),
            number: service.number,
            members: service.members.iter().map(SavedMember::of).collect(),
            ended: service.ended.clone(),
            failover_active: service.active == Pool::Failover,
            failover_deadline: service.failover_deadline,
            idle_seconds: service.idle_seconds,
            longer_idle_until: service.longer_idle_until,
            table: service.table.as_ref().map(|table| table.region),
            zone_words: service.zones.words,
            zone_tables: service
                .zones
                .tables
                .iter()
                .map(|(zone, table)| (*zone, table.region))
                .collect(),
        });
        let removed = self.removed.iter().map(|service| SavedRemoved {
            number: service.number,
            members: service.members.clone(),
            free_at: service.free_at,
        });
        SavedPlan {
            services: services.collect(),
            removed: removed.collect(),
            steering: self.steering.clone(),
            zones: (*self.space.zone_numbers).clone(),
        }
    }

    /// Takes up the history of an earlier run and what the maps hold now. The result says what is known; the first
    /// compilation of everything makes it whole.
    ///
    /// What the maps hold and the history does not know is ended by that compilation: without any history every
    /// service gets new numbers, and every tracked flow is selected anew at its next packet.
    pub fn adopt(saved: SavedPlan, actual: &Contents) -> Self {
        let mut space = Space::default();
        space.services = Numbers::with_used(saved.service_numbers());
        space.members = Numbers::with_used(saved.member_numbers());
        space.steering = Numbers::with_used(saved.steering.values().copied().collect());
        space.free_zones = Numbers::with_used(saved.zones.values().copied().collect());
        space.zone_numbers = Arc::new(saved.zones);
        space.adopt_backends(&actual.backends);
        let mut plan = Plan {
            steering: saved.steering,
            space,
            ..Plan::default()
        };
        for service in saved.services {
            let held = actual.services.get(&service.number);
            let (key, service) = service.into_plan(held);
            for table in service.table.iter().chain(service.zones.tables.values()) {
                plan.space.regions.mark(table.region);
            }
            if let Some(words) = service.zones.words {
                plan.space.zone_words.mark(words);
            }
            plan.contents
                .services
                .insert(service.number, service.contents.clone());
            plan.services.insert(key, Arc::new(service));
        }
        for service in saved.removed {
            let record = actual
                .services
                .get(&service.number)
                .map(|held| held.record)
                .unwrap_or_default();
            let removed = RemovedService::new(service.number, record, service.members, service.free_at);
            plan.contents
                .services
                .insert(removed.number, removed.contents.clone());
            plan.removed.push(removed);
        }
        plan.reserve_unclaimed(actual);
        plan
    }
}

impl SavedPlan {
    fn service_numbers(&self) -> BTreeSet<u32> {
        let removed = self.removed.iter().map(|service| service.number);
        self.services
            .iter()
            .map(|service| service.number)
            .chain(removed)
            .collect()
    }

    fn member_numbers(&self) -> BTreeSet<u32> {
        let mut numbers = BTreeSet::new();
        for service in &self.services {
            numbers.extend(service.members.iter().map(|member| member.number));
            numbers.extend(service.ended.iter().map(|member| member.number));
        }
        numbers.extend(
            self.removed
                .iter()
                .flat_map(|service| &service.members)
                .map(|member| member.number),
        );
        numbers
    }
}

impl SavedMember {
    fn of((id, member): (&EndpointId, &MemberPlan)) -> Self {
        Self {
            id: id.clone(),
            number: member.number,
            status: member.status,
        }
    }
}

impl SavedService {
    fn into_plan(self, held: Option<&Arc<ServiceContents>>) -> (ServiceKey, ServicePlan) {
        let contents = held.cloned().unwrap_or_default();
        let table = self
            .table
            .and_then(|region| held_table(region, contents.table.as_ref().map(|(at, slots)| (*at, slots))));
        let zones = ZonePlan {
            words: self
                .zone_words
                .filter(|words| is_at(*words, contents.record.zones())),
            tables: self
                .zone_tables
                .iter()
                .filter_map(|(zone, region)| {
                    let held = contents.zone_tables.get(&region.offset)?;
                    Some((*zone, held_table(*region, Some((region.offset, held)))?))
                })
                .collect(),
        };
        let member = |member: SavedMember| {
            let plan = MemberPlan {
                number: member.number,
                status: member.status,
                pool: Pool::Primary,
                healthy: false,
                weight: None,
                delivery: "unresolved",
                unresolved: None,
            };
            (member.id, plan)
        };
        let plan = ServicePlan {
            number: self.number,
            members: self.members.into_iter().map(member).collect(),
            ended: self.ended,
            active: if self.failover_active {
                Pool::Failover
            } else {
                Pool::Primary
            },
            failover_deadline: self.failover_deadline,
            table,
            zones,
            contents,
            idle_seconds: self.idle_seconds,
            longer_idle_until: self.longer_idle_until,
        };
        (self.key, plan)
    }
}

/// The table that the kernel holds, if it is the one that was saved.
fn held_table(region: Region, held: Option<(u32, &Arc<[u32]>)>) -> Option<Table> {
    let (offset, slots) = held?;
    let is_it = region.offset == offset && region.size as usize == slots.len();
    is_it.then(|| Table::held(region, slots.clone()))
}

fn is_at(words: Region, held: ZoneTables) -> bool {
    words.offset == held.first && words.size == held.count
}
