//! From inputs and the previous plan to the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use lb_common::layout::Backend;
use thiserror::Error;

use super::contents::{Contents, RuleContents, ServiceContents};
use super::members::{EndedMember, EndpointId};
use super::numbers::Numbers;
use super::regions::{Region, Regions};
use super::service::{self, GRACE_SEC, ServiceKey, ServicePlan, families_in_use};
use super::unclaimed::Unclaimed;
use super::zones::ZonePrefixes;
use super::{delivery, rules};
use crate::dataplane::Sizes;
use crate::health::{HealthState, TargetId};
use crate::model::{BackendService, Config, Delivery, ResourcePath};
use crate::net::NextHops;

/// What a plan is derived from.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub config: &'a Config,
    pub health: &'a BTreeMap<TargetId, HealthState>,
    pub next_hops: &'a NextHops,
    /// Where clients are, for zonal affinity.
    pub zones: &'a ZonePrefixes,
    /// UDP port of `gue` delivery.
    pub gue_port: u16,
    pub seed: u128,
    pub limits: Limits,
}

/// How much fits the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub services: u32,
    pub members: u32,
    pub backends: u32,
    pub table_slots: u32,
    /// Zones of all services with zonal affinity together.
    pub zone_tables: u32,
    pub zone_prefixes: u32,
}

impl From<&Sizes> for Limits {
    fn from(sizes: &Sizes) -> Self {
        Self {
            services: sizes.services,
            members: sizes.members,
            backends: sizes.backends,
            table_slots: sizes.table_slots,
            zone_tables: sizes.zone_tables,
            zone_prefixes: sizes.zone_prefixes,
        }
    }
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    #[error(
        "more than {0} services (each address family of a backend service is one) don't fit the data plane"
    )]
    Services(u32),
    #[error("more than {0} endpoints, counted once for each service, don't fit the data plane")]
    Members(u32),
    #[error(
        "the selection table of {service} takes {size} slots, and {capacity} slots for all services are full"
    )]
    Tables {
        service: String,
        size: u32,
        capacity: u32,
    },
    #[error(
        "more than {0} zones, counted once for each service with zonal affinity, don't fit the data plane"
    )]
    ZoneTables(u32),
    #[error("more than {0} client prefixes of zones don't fit the data plane")]
    ZonePrefixes(u32),
}

/// Which services are compiled again.
#[derive(Clone, Copy)]
pub enum Scope<'a> {
    /// All of them, and the rules: the configuration changed, or time passed.
    All,
    /// Those that an event touches.
    Services(&'a BTreeSet<ResourcePath>),
}

/// The desired content of every map, and the history that the next plan needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub contents: Contents,
    pub services: BTreeMap<ServiceKey, Arc<ServicePlan>>,
    pub(super) removed: Vec<RemovedService>,
    pub(super) steering: BTreeMap<ResourcePath, u32>,
    pub(super) space: Space,
    pub(super) unclaimed: Unclaimed,
    /// The delivery records that `contents` was made of.
    pub(super) collected: Arc<BTreeMap<Backend, u32>>,
}

/// A service without rules or configuration, whose numbers wait until no entry may name them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RemovedService {
    pub(super) number: u32,
    pub(super) members: Vec<EndedMember>,
    pub(super) free_at: u32,
    pub(super) contents: Arc<ServiceContents>,
}

/// What is handed out, over all services.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Space {
    pub(super) services: Numbers,
    pub(super) members: Numbers,
    pub(super) steering: Numbers,
    pub(super) regions: Regions,
    /// With the second from which on they are free.
    pub(super) retired_regions: Vec<(Region, u32)>,
    pub(super) zone_words: Regions,
    pub(super) retired_zone_words: Vec<(Region, u32)>,
    pub(super) zone_numbers: Arc<BTreeMap<String, u32>>,
    pub(super) free_zones: Numbers,
    backend_numbers: Numbers,
    backends: Arc<BTreeMap<Backend, u32>>,
    retired_backends: Vec<(Backend, u32)>,
}

impl Inputs<'_> {
    pub(super) fn delivery_of(&self, endpoint: &EndpointId) -> Delivery {
        self.config
            .groups
            .get(&endpoint.group)
            .map_or(Delivery::Auto, |group| group.delivery)
    }
}

impl Space {
    /// The number of the delivery record that leads to `address`; nothing while its next hop is not resolved, or when
    /// no number is left.
    pub(super) fn backend(&mut self, inputs: &Inputs<'_>, address: IpAddr, wish: Delivery) -> Option<u32> {
        let next_hop = inputs.next_hops.get(&address);
        let record = delivery::record(address, wish, next_hop, inputs.gue_port).ok()?;
        if let Some(number) = self.backends.get(&record) {
            self.retired_backends.retain(|(retired, _)| *retired != record);
            return Some(*number);
        }
        let number = self.backend_numbers.take(inputs.limits.backends)?;
        Arc::make_mut(&mut self.backends).insert(record, number);
        Some(number)
    }

    /// Takes up what the kernel's maps hold.
    pub(super) fn adopt_backends(&mut self, held: &BTreeMap<u32, Backend>) {
        self.backend_numbers = Numbers::with_used(held.keys().copied().collect());
        self.backends = Arc::new(held.iter().map(|(number, backend)| (*backend, *number)).collect());
    }

    /// Tables that packets may still be reading are left alone for a while.
    pub(super) fn retire(&mut self, regions: impl IntoIterator<Item = Region>, now: u32) {
        let retired = regions.into_iter().map(|region| (region, now + GRACE_SEC));
        self.retired_regions.extend(retired);
    }

    pub(super) fn retire_zone_words(&mut self, regions: impl IntoIterator<Item = Region>, now: u32) {
        let retired = regions.into_iter().map(|region| (region, now + GRACE_SEC));
        self.retired_zone_words.extend(retired);
    }

    fn release_retired(&mut self, now: u32) {
        release(&mut self.retired_regions, &mut self.regions, now);
        release(&mut self.retired_zone_words, &mut self.zone_words, now);
        let (free, waiting) = self
            .retired_backends
            .iter()
            .partition(|(_, free_at)| now >= *free_at);
        self.retired_backends = waiting;
        let free: Vec<(Backend, u32)> = free;
        for (backend, _) in free {
            if let Some(number) = Arc::make_mut(&mut self.backends).remove(&backend) {
                self.backend_numbers.release(number);
            }
        }
    }

    /// Records that no member names any more are freed after a while; one that is named again is not.
    fn retire_unused_backends(&mut self, used: &BTreeSet<u32>, now: u32) {
        self.retired_backends.retain(|(backend, _)| {
            self.backends
                .get(backend)
                .is_some_and(|number| !used.contains(number))
        });
        let waiting: BTreeSet<Backend> = self
            .retired_backends
            .iter()
            .map(|(backend, _)| *backend)
            .collect();
        let unused = self
            .backends
            .iter()
            .filter(|(backend, number)| !used.contains(number) && !waiting.contains(backend));
        let retired: Vec<_> = unused.map(|(backend, _)| (*backend, now + GRACE_SEC)).collect();
        self.retired_backends.extend(retired);
    }
}

fn release(retired: &mut Vec<(Region, u32)>, regions: &mut Regions, now: u32) {
    retired.retain(|(region, free_at)| {
        let waits = now < *free_at;
        if !waits {
            regions.release(*region);
        }
        waits
    });
}

/// The next plan. An error leaves nothing behind: the previous plan stays good.
pub fn compile(inputs: &Inputs<'_>, previous: &Plan, scope: Scope<'_>, now: u32) -> Result<Plan, PlanError> {
    let mut plan = previous.clone();
    plan.space.release_retired(now);
    match scope {
        Scope::All => {
            plan.end_unclaimed(now);
            plan.release_removed(now);
            plan.remove_services(inputs, now);
            plan.number_zones(inputs);
            for service in inputs.config.services.values() {
                plan.compile_service(inputs, service, now)?;
            }
            plan.compile_rules(inputs);
            plan.compile_zones(inputs)?;
        }
        Scope::Services(paths) => {
            for service in paths.iter().filter_map(|path| inputs.config.services.get(path)) {
                plan.compile_service(inputs, service, now)?;
            }
        }
    }
    plan.collect(matches!(scope, Scope::All), now);
    Ok(plan)
}

impl Plan {
    /// The first second at which time alone changes the plan.
    pub fn next_deadline(&self) -> Option<u32> {
        let services = self
            .services
            .values()
            .filter_map(|service| service.next_deadline());
        let removed = self.removed.iter().map(|service| service.free_at);
        let (tables, words) = (&self.space.retired_regions, &self.space.retired_zone_words);
        let regions = tables.iter().chain(words).map(|(_, free_at)| *free_at);
        let backends = self.space.retired_backends.iter().map(|(_, free_at)| *free_at);
        services.chain(removed).chain(regions).chain(backends).min()
    }

    fn compile_service(
        &mut self,
        inputs: &Inputs<'_>,
        service: &BackendService,
        now: u32,
    ) -> Result<(), PlanError> {
        for family in families_in_use(inputs.config, &service.path) {
            let key = ServiceKey {
                service: service.path.clone(),
                family,
            };
            let previous = match self.services.get(&key) {
                Some(previous) => previous.clone(),
                None => Arc::new(ServicePlan::new(self.new_service_number(inputs)?)),
            };
            let mut next = service::compile(inputs, &key, service, &previous, &mut self.space, now)?;
            service::describe_delivery(inputs, &mut next);
            self.contents.services.insert(next.number, next.contents.clone());
            self.services.insert(key, Arc::new(next));
        }
        Ok(())
    }

    fn new_service_number(&mut self, inputs: &Inputs<'_>) -> Result<u32, PlanError> {
        self.space
            .services
            .take(inputs.limits.services)
            .ok_or(PlanError::Services(inputs.limits.services))
    }

    /// Services that have no rule or no configuration any more: their members end, their numbers wait.
    fn remove_services(&mut self, inputs: &Inputs<'_>, now: u32) {
        let is_gone = |key: &ServiceKey| {
            !inputs.config.services.contains_key(&key.service)
                || !families_in_use(inputs.config, &key.service).contains(&key.family)
        };
        let gone: Vec<ServiceKey> = self.services.keys().filter(|key| is_gone(key)).cloned().collect();
        for key in gone {
            let Some(service) = self.services.remove(&key) else {
                continue;
            };
            let removed = RemovedService::of(&service, now);
            self.space
                .retire(service.table.as_ref().map(|table| table.region), now);
            service.zones.retire(&mut self.space, now);
            self.contents
                .services
                .insert(removed.number, removed.contents.clone());
            self.removed.push(removed);
        }
    }

    fn release_removed(&mut self, now: u32) {
        let (free, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.removed)
            .into_iter()
            .partition(|service| now >= service.free_at);
        self.removed = waiting;
        for service in free {
            self.contents.services.remove(&service.number);
            self.space.services.release(service.number);
            service
                .members
                .iter()
                .for_each(|member| self.space.members.release(member.number));
        }
    }

    fn compile_rules(&mut self, inputs: &Inputs<'_>) {
        let steered: BTreeSet<ResourcePath> = rules::steered(inputs.config).cloned().collect();
        let space = &mut self.space;
        let (stay, gone): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.steering)
            .into_iter()
            .partition(|(path, _)| steered.contains(path));
        self.steering = stay;
        for path in steered {
            self.steering
                .entry(path)
                .or_insert_with(|| space.steering.take(u32::MAX).unwrap_or(0));
        }
        // After the new ones: while the maps change, a set's number must not mean another set.
        let unclaimed = std::mem::take(&mut self.unclaimed.steering);
        gone.into_values()
            .chain(unclaimed)
            .for_each(|number| space.steering.release(number));
        let number = |key: &ServiceKey| self.services.get(key).map(|service| service.number);
        let rules: RuleContents = rules::compile(inputs.config, number, &self.steering);
        if *self.contents.rules != rules {
            self.contents.rules = Arc::new(rules);
        }
    }

    /// Delivery records and egress interfaces, from what the members name.
    fn collect(&mut self, all: bool, now: u32) {
        if all {
            let members = self
                .contents
                .services
                .values()
                .flat_map(|service| service.members.values());
            let used = members
                .map(|member| member.backend())
                .filter(|number| *number != 0)
                .collect();
            self.space.retire_unused_backends(&used, now);
        }
        if !Arc::ptr_eq(&self.space.backends, &self.collected) {
            self.collected = self.space.backends.clone();
            let records = self
                .space
                .backends
                .iter()
                .map(|(backend, number)| (*number, *backend));
            self.contents.backends = Arc::new(records.collect());
            self.contents.devices = self
                .space
                .backends
                .keys()
                .map(|backend| backend.ifindex)
                .collect();
        }
    }
}

impl RemovedService {
    fn of(service: &ServicePlan, now: u32) -> Self {
        let present = service
            .members
            .values()
            .map(|member| service.end(member.number, now));
        let members: Vec<_> = present.chain(service.ended.iter().copied()).collect();
        let free_at = members
            .iter()
            .map(|member| member.free_at)
            .max()
            .unwrap_or(now + GRACE_SEC);
        Self::new(service.number, service.contents.record, members, free_at)
    }

    /// Packets that found the rule just before it went still find a service, without endpoints.
    pub(super) fn new(
        number: u32,
        record: lb_common::layout::Service,
        members: Vec<EndedMember>,
        free_at: u32,
    ) -> Self {
        let record = lb_common::layout::Service {
            selection: 0,
            zones: 0,
            ..record
        };
        let records = members
            .iter()
            .map(|member| (member.number, EndedMember::record(number)))
            .collect();
        let contents = Arc::new(ServiceContents {
            record,
            members: records,
            ..ServiceContents::default()
        });
        Self {
            number,
            members,
            free_at,
            contents,
        }
    }
}
