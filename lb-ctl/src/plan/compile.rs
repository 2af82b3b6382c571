//! From inputs and the previous plan to the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use imbl::OrdMap;
use thiserror::Error;

use super::backends::Backends;
use super::contents::{Contents, RuleContents, ServiceContents};
use super::members::{EndedMember, EndpointId};
use super::numbers::Numbers;
use super::probes::{ProbeDestination, Probes, Probing};
use super::regions::{Region, Regions};
use super::service::{self, GRACE_SEC, IpFamily, ServiceKey, ServicePlan};
use super::unclaimed::Unclaimed;
use super::zones::ZonePrefixes;
use super::{delivery, rules};
use crate::dataplane::Sizes;
use crate::health::{HealthState, ProbePaths, TargetId};
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
    pub probe_destination: ProbeDestination,
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
    /// All of them, and the rules: the configuration changed.
    All,
    /// Those that wait for a deadline which has come.
    Due,
    /// Those that an event touches.
    Services(&'a BTreeSet<ResourcePath>),
}

/// The desired content of every map, and the history that the next plan needs. A copy costs next to nothing: copies
/// share what is large.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub contents: Contents,
    pub services: OrdMap<ServiceKey, Arc<ServicePlan>>,
    pub(super) removed: Vec<Arc<RemovedService>>,
    pub(super) steering: OrdMap<ResourcePath, u32>,
    pub(super) space: Space,
    pub(super) probes: Probes,
    pub(super) unclaimed: Unclaimed,
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
    pub(super) backends: Backends,
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
        self.backends.number(record, inputs.limits.backends)
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
        self.backends.release_retired(now);
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
        Scope::All => plan.compile_all(inputs, now)?,
        Scope::Due => {
            plan.release_removed(now);
            for key in plan.due(now) {
                plan.compile_service(inputs, &key, now)?;
            }
        }
        Scope::Services(paths) => {
            let keys: Vec<ServiceKey> = paths.iter().flat_map(|path| plan.keys_of(path)).collect();
            for key in keys {
                plan.compile_service(inputs, &key, now)?;
            }
        }
    }
    plan.probes.forget_unused();
    plan.contents.probes = plan.probes.records.clone();
    plan.collect_backends();
    Ok(plan)
}

impl Plan {
    /// The ways on which probes for VIPs are delivered.
    pub fn probe_paths(&self) -> &Arc<ProbePaths> {
        &self.probes.paths
    }

    /// How the endpoints of a service are probed, as long as the configuration is the plan's.
    pub fn probing<'a>(&self, service: &'a BackendService, family: IpFamily) -> Option<Probing<'a>> {
        Probing::of(&self.probes.vips, service, family)
    }

    /// The first second at which time alone changes the plan.
    pub fn next_deadline(&self) -> Option<u32> {
        let services = self.services.values().filter_map(|service| service.deadline);
        let removed = self.removed.iter().map(|service| service.free_at);
        let (tables, words) = (&self.space.retired_regions, &self.space.retired_zone_words);
        let regions = tables.iter().chain(words).map(|(_, free_at)| *free_at);
        let backends = self.space.backends.next_deadline();
        services.chain(removed).chain(regions).chain(backends).min()
    }

    /// The services that wait for a second which has come.
    pub fn due(&self, now: u32) -> Vec<ServiceKey> {
        let due = self
            .services
            .iter()
            .filter(|(_, service)| service.deadline.is_some_and(|deadline| now >= deadline));
        due.map(|(key, _)| key.clone()).collect()
    }

    /// The families that a service is planned in.
    pub fn keys_of(&self, service: &ResourcePath) -> Vec<ServiceKey> {
        let key = |family| ServiceKey {
            service: service.clone(),
            family,
        };
        let keys = [IpFamily::V4, IpFamily::V6].map(key);
        keys.into_iter()
            .filter(|key| self.services.contains_key(key))
            .collect()
    }

    fn compile_all(&mut self, inputs: &Inputs<'_>, now: u32) -> Result<(), PlanError> {
        let in_use = service::keys_in_use(inputs.config);
        self.probes.follow_vips(inputs);
        self.end_unclaimed(now);
        self.release_removed(now);
        self.remove_services(&in_use, now);
        self.number_zones(inputs);
        for key in &in_use {
            self.compile_service(inputs, key, now)?;
        }
        self.compile_rules(inputs);
        self.compile_zones(inputs)?;
        self.space.backends.retire_unused(now);
        Ok(())
    }

    fn compile_service(&mut self, inputs: &Inputs<'_>, key: &ServiceKey, now: u32) -> Result<(), PlanError> {
        let Some(service) = inputs.config.services.get(&key.service) else {
            return Ok(());
        };
        let previous = match self.services.get(key) {
            Some(previous) => previous.clone(),
            None => Arc::new(ServicePlan::new(self.new_service_number(inputs)?)),
        };
        let probing = Probing::of(&self.probes.vips, service, key.family);
        let next = service::compile(inputs, key, service, probing, &previous, &mut self.space, now)?;
        self.probes.follow(inputs, key, &next);
        self.put_contents(next.number, next.contents.clone(), now);
        self.services.insert(key.clone(), Arc::new(next));
        Ok(())
    }

    pub(super) fn put_contents(&mut self, number: u32, contents: Arc<ServiceContents>, now: u32) {
        let before = self.contents.services.insert(number, contents.clone());
        if before
            .as_ref()
            .is_none_or(|before| !Arc::ptr_eq(before, &contents))
        {
            self.space
                .backends
                .account(before.as_deref(), Some(&contents), now);
        }
    }

    fn drop_contents(&mut self, number: u32, now: u32) {
        let before = self.contents.services.remove(&number);
        self.space.backends.account(before.as_deref(), None, now);
    }

    fn new_service_number(&mut self, inputs: &Inputs<'_>) -> Result<u32, PlanError> {
        self.space
            .services
            .take(inputs.limits.services)
            .ok_or(PlanError::Services(inputs.limits.services))
    }

    /// Services that have no rule or no configuration any more: their members end, their numbers wait.
    fn remove_services(&mut self, in_use: &BTreeSet<ServiceKey>, now: u32) {
        let gone: Vec<ServiceKey> = self
            .services
            .keys()
            .filter(|key| !in_use.contains(key))
            .cloned()
            .collect();
        for key in gone {
            let Some(service) = self.services.remove(&key) else {
                continue;
            };
            self.probes.leave(&key);
            let removed = RemovedService::of(&service, now);
            self.space
                .retire(service.table.as_ref().map(|table| table.region), now);
            service.zones.retire(&mut self.space, now);
            self.put_contents(removed.number, removed.contents.clone(), now);
            self.removed.push(Arc::new(removed));
        }
    }

    fn release_removed(&mut self, now: u32) {
        let (free, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.removed)
            .into_iter()
            .partition(|service| now >= service.free_at);
        self.removed = waiting;
        for service in free {
            self.drop_contents(service.number, now);
            self.space.services.release(service.number);
            service
                .members
                .iter()
                .for_each(|member| self.space.members.release(member.number));
        }
    }

    fn compile_rules(&mut self, inputs: &Inputs<'_>) {
        let steered: BTreeSet<ResourcePath> = rules::steered(inputs.config).into_iter().cloned().collect();
        let space = &mut self.space;
        let gone: Vec<(ResourcePath, u32)> = self
            .steering
            .iter()
            .filter(|(path, _)| !steered.contains(path))
            .map(|(path, number)| (path.clone(), *number))
            .collect();
        for path in steered {
            if !self.steering.contains_key(&path) {
                self.steering
                    .insert(path, space.steering.take(u32::MAX).unwrap_or(0));
            }
        }
        // After the new ones: while the maps change, a set's number must not mean another set.
        let unclaimed = std::mem::take(&mut self.unclaimed.steering);
        for (path, _) in &gone {
            self.steering.remove(path);
        }
        gone.into_iter()
            .map(|(_, number)| number)
            .chain(unclaimed)
            .for_each(|number| space.steering.release(number));
        let number = |key: &ServiceKey| self.services.get(key).map(|service| service.number);
        let rules: RuleContents = rules::compile(inputs.config, number, &self.steering);
        if *self.contents.rules != rules {
            self.contents.rules = Arc::new(rules);
        }
    }

    /// Delivery records and egress interfaces.
    fn collect_backends(&mut self) {
        self.contents.backends = self.space.backends.records().clone();
        if !self
            .space
            .backends
            .devices()
            .eq(self.contents.devices.iter().copied())
        {
            self.contents.devices = self.space.backends.devices().collect();
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
