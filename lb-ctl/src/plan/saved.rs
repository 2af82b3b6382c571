//! A plan's history between two runs of the daemon: what can't be read back from the maps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::ordmap::DiffItem;
use lb_common::layout::{Pool, ZoneTables};
use serde::{Deserialize, Serialize};

use super::backends::Backends;
use super::compile::{Plan, Space};
use super::contents::{Contents, ServiceContents};
use super::members::{EndedMember, EndpointId, MemberPlan, MemberStatus, Obstacle};
use super::numbers::Numbers;
use super::regions::Region;
use super::removed::RemovedService;
use super::selection::{Table, Tables};
use super::service::{ServiceKey, ServicePlan};
use crate::model::ResourcePath;

/// Numbers, drains and pools. Seconds count from boot, and numbers mean something only to the maps that they were made
/// for: whoever keeps this keeps it with both, and before the plan is applied. A newer history than the maps' is
/// taken up whole; an older one does not know which numbers have changed hands since.
///
/// It comes in parts, so that a change is kept by what it changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedPlan {
    pub common: SavedCommon,
    pub services: Vec<(ServiceKey, SavedService)>,
    /// Of the service of the same key.
    pub members: Vec<(ServiceKey, SavedMembers)>,
}

/// What belongs to no service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedCommon {
    removed: Vec<SavedRemoved>,
    steering: BTreeMap<ResourcePath, u32>,
    zones: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedService {
    number: u32,
    failover_active: bool,
    failover_deadline: u32,
    idle_seconds: u32,
    longer_idle_until: u32,
    table: Option<Region>,
    zone_words: Option<Region>,
    /// By zone number.
    zone_tables: BTreeMap<u32, Region>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedMembers {
    members: Vec<SavedMember>,
    ended: Vec<EndedMember>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedMember {
    id: EndpointId,
    number: u32,
    status: MemberStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unresolved_since: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedRemoved {
    number: u32,
    members: Vec<EndedMember>,
    free_at: u32,
}

impl ServicePlan {
    pub fn save(&self) -> SavedService {
        let zone_tables = self.tables.zones.iter();
        SavedService {
            number: self.number,
            failover_active: self.active == Pool::Failover,
            failover_deadline: self.failover_deadline,
            idle_seconds: self.idle_seconds,
            longer_idle_until: self.longer_idle_until,
            table: self.tables.own.as_ref().map(|table| table.region),
            zone_words: self.zone_words,
            zone_tables: zone_tables.map(|(zone, table)| (*zone, table.region)).collect(),
        }
    }

    pub fn save_members(&self) -> SavedMembers {
        SavedMembers {
            members: self.members.iter().map(SavedMember::of).collect(),
            ended: self.ended.clone(),
        }
    }
}

impl ServicePlan {
    fn has_numbers_of(&self, kept: &Self) -> bool {
        let is_known = |(id, member): (&EndpointId, &MemberPlan)| {
            kept.members
                .get(id)
                .is_some_and(|kept| kept.number == member.number)
        };
        self.number == kept.number && self.members.iter().all(is_known)
    }
}

impl Plan {
    pub fn save(&self) -> SavedPlan {
        let services = self.services.iter();
        let members = services.clone();
        SavedPlan {
            common: self.save_common(),
            services: services
                .map(|(key, service)| (key.clone(), service.save()))
                .collect(),
            members: members
                .map(|(key, service)| (key.clone(), service.save_members()))
                .collect(),
        }
    }

    pub fn save_common(&self) -> SavedCommon {
        let removed = self.removed.iter().map(|service| SavedRemoved {
            number: service.number,
            members: service.members.clone(),
            free_at: service.free_at,
        });
        SavedCommon {
            removed: removed.collect(),
            steering: self
                .steering
                .iter()
                .map(|(rule, set)| (rule.clone(), *set))
                .collect(),
            zones: (*self.space.zone_numbers).clone(),
        }
    }

    /// Whether [`Plan::save_common`] is that of `other`, without making either where nothing was removed.
    pub fn has_common_of(&self, other: &Self) -> bool {
        let same_removed = self.removed.len() == other.removed.len()
            && self
                .removed
                .iter()
                .zip(&other.removed)
                .all(|(one, other)| Arc::ptr_eq(one, other));
        same_removed && self.steering == other.steering && self.space.zone_numbers == other.space.zone_numbers
    }

    /// Whether some number means here what it does not mean in `kept`. Only then a later start that knew no more than
    /// `kept` would take one thing for another; whatever else it misses, it finds in the maps or makes anew.
    ///
    /// `before` is a plan of which that is known not to be so, such as `kept` itself: only what it has otherwise is looked at.
    pub fn gives_numbers_beyond(&self, kept: &Self, before: &Self) -> bool {
        let is_known = |key: &ServiceKey, service: &ServicePlan| {
            let kept = kept.services.get(key);
            kept.is_some_and(|kept| service.has_numbers_of(kept))
        };
        let service_is_known = |item: DiffItem<'_, '_, ServiceKey, Arc<ServicePlan>>| match item {
            DiffItem::Add(key, service)
            | DiffItem::Update {
                new: (key, service), ..
            } => is_known(key, service),
            DiffItem::Remove(..) => true,
        };
        let zones = (&self.space.zone_numbers, &kept.space.zone_numbers);
        let zones_are_known = Arc::ptr_eq(zones.0, &before.space.zone_numbers)
            || zones
                .0
                .iter()
                .all(|(zone, number)| zones.1.get(zone) == Some(number));
        let sets_are_known = self.steering.ptr_eq(&before.steering)
            || self
                .steering
                .iter()
                .all(|(rule, set)| kept.steering.get(rule) == Some(set));
        !zones_are_known || !sets_are_known || !before.services.diff(&self.services).all(service_is_known)
    }

    /// Takes up the history of an earlier run and what the maps hold now. The result says what is known; the first
    /// compilation of everything makes it whole.
    ///
    /// What the maps hold and the history does not know is ended by that compilation: without any history every
    /// service gets new numbers, and every tracked flow is selected anew at its next packet.
    pub fn adopt(saved: SavedPlan, actual: &Contents) -> Self {
        let space = Space {
            services: Numbers::with_used(saved.service_numbers()),
            members: Numbers::with_used(saved.member_numbers()),
            steering: Numbers::with_used(saved.common.steering.values().copied().collect()),
            free_zones: Numbers::with_used(saved.common.zones.values().copied().collect()),
            zone_numbers: Arc::new(saved.common.zones),
            backends: Backends::adopt(&actual.backends),
            ..Space::default()
        };
        let contents = Contents {
            rules: actual.rules.clone(),
            ..Contents::default()
        };
        let mut plan = Plan {
            contents,
            steering: saved.common.steering.into_iter().collect(),
            space,
            ..Plan::default()
        };
        let mut members: BTreeMap<ServiceKey, SavedMembers> = saved.members.into_iter().collect();
        for (key, service) in saved.services {
            let held = actual.services.get(&service.number);
            let members = members.remove(&key).unwrap_or_default();
            let service = service.into_plan(members, held);
            for table in service.tables.iter() {
                plan.space.regions.mark(table.region);
            }
            if let Some(words) = service.zone_words {
                plan.space.zone_words.mark(words);
            }
            plan.put_contents(service.number, service.contents.clone(), 0);
            plan.services.insert(key, Arc::new(service));
        }
        for service in saved.common.removed {
            let record = actual
                .services
                .get(&service.number)
                .map(|held| held.record)
                .unwrap_or_default();
            let removed = RemovedService::new(service.number, record, service.members, service.free_at);
            plan.put_contents(removed.number, removed.contents.clone(), 0);
            plan.removed.push(Arc::new(removed));
        }
        plan.reserve_unclaimed(actual);
        plan
    }
}

impl SavedPlan {
    fn service_numbers(&self) -> BTreeSet<u32> {
        let removed = self.common.removed.iter().map(|service| service.number);
        let services = self.services.iter().map(|(_, service)| service.number);
        services.chain(removed).collect()
    }

    fn member_numbers(&self) -> BTreeSet<u32> {
        let removed = self.common.removed.iter().flat_map(|service| &service.members);
        let ended = self.members.iter().flat_map(|(_, service)| &service.ended);
        let ended = removed.chain(ended).map(|member| member.number);
        let members = self.members.iter().flat_map(|(_, service)| &service.members);
        members.map(|member| member.number).chain(ended).collect()
    }
}

impl SavedMember {
    fn of((id, member): (&EndpointId, &MemberPlan)) -> Self {
        Self {
            id: id.clone(),
            number: member.number,
            status: member.status,
            unresolved_since: match member.obstacle {
                Some(Obstacle::Unresolved { since, .. }) => Some(since),
                _ => None,
            },
        }
    }
}

impl SavedService {
    fn into_plan(self, members: SavedMembers, held: Option<&Arc<ServiceContents>>) -> ServicePlan {
        let contents = held.cloned().unwrap_or_default();
        let table = self
            .table
            .and_then(|region| held_table(region, contents.table.as_ref().map(|(at, slots)| (*at, slots))));
        let zone_words = self
            .zone_words
            .filter(|words| is_at(*words, contents.record.zones()));
        let zones = self.zone_tables.iter().filter_map(|(zone, region)| {
            let held = contents.zone_tables.get(&region.offset)?;
            Some((*zone, held_table(*region, Some((region.offset, held)))?))
        });
        let tables = Tables {
            own: table,
            zones: zones.collect(),
        };
        let member = |member: SavedMember| {
            let plan = MemberPlan {
                number: member.number,
                status: member.status,
                pool: Pool::Primary,
                healthy: false,
                weight: None,
                delivery: "unresolved",
                obstacle: member.unresolved_since.map(|since| Obstacle::Unresolved {
                    reason: String::new(),
                    since,
                }),
            };
            (member.id, plan)
        };
        let mut plan = ServicePlan {
            number: self.number,
            members: members.members.into_iter().map(member).collect(),
            ended: members.ended,
            active: if self.failover_active {
                Pool::Failover
            } else {
                Pool::Primary
            },
            failover_deadline: self.failover_deadline,
            tables,
            zone_words,
            contents,
            idle_seconds: self.idle_seconds,
            longer_idle_until: self.longer_idle_until,
            next_verdict: None,
            deadline: None,
        };
        plan.deadline = plan.next_deadline();
        plan
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
