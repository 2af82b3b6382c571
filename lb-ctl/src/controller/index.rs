//! Which services an event touches.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::health::TargetId;
use crate::model::{BackendService, Config, Endpoint, Group, HealthCheck, ResourcePath};
use crate::plan::{IpFamily, MemberStatus, Plan, address_of, families_in_use};

/// From what events name to the services that depend on it.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) targets: BTreeMap<TargetId, BTreeSet<ResourcePath>>,
    pub(super) addresses: BTreeMap<IpAddr, BTreeSet<ResourcePath>>,
}

impl Index {
    /// Draining endpoints are probed and delivered to as attached ones are, though no group names them any more.
    pub(super) fn new(config: &Config, plan: &Plan) -> Self {
        let mut index = Self::default();
        let families = Families::of(config);
        for service in config.services.values() {
            let attached =
                endpoints(config, service, families.probed(service)).map(|(_, _, address)| address);
            for address in attached.chain(draining(plan, &service.path)) {
                index
                    .addresses
                    .entry(address)
                    .or_default()
                    .insert(service.path.clone());
                if let Some(check) = &service.health_check {
                    let target = TargetId {
                        check: check.clone(),
                        address,
                    };
                    index
                        .targets
                        .entry(target)
                        .or_default()
                        .insert(service.path.clone());
                }
            }
        }
        index
    }
}

/// The addresses of the endpoints that have left a service and still serve its connections.
fn draining(plan: &Plan, service: &ResourcePath) -> impl Iterator<Item = IpAddr> {
    let plans = plan.keys_of(service).into_iter();
    plans
        .filter_map(|key| plan.services.get(&key))
        .flat_map(|plan| &plan.members)
        .filter(|(_, member)| matches!(member.status, MemberStatus::Draining(_)))
        .map(|(id, _)| id.address)
}

/// The families that services are reached in.
struct Families(BTreeMap<ResourcePath, BTreeSet<IpFamily>>);

impl Families {
    fn of(config: &Config) -> Self {
        let mut families: BTreeMap<_, BTreeSet<IpFamily>> = BTreeMap::new();
        for rule in config.rules.values() {
            let family = IpFamily::of(rule.vip.address);
            families.entry(rule.service.clone()).or_default().insert(family);
        }
        Self(families)
    }

    /// Those that a service's endpoints are probed in.
    fn probed(&self, service: &BackendService) -> BTreeSet<IpFamily> {
        or_any(self.0.get(&service.path).cloned().unwrap_or_default())
    }
}

/// The families that a service's endpoints are probed in: those of its rules, or the first that each endpoint has.
pub(super) fn probed_families(config: &Config, service: &BackendService) -> BTreeSet<IpFamily> {
    or_any(families_in_use(config, &service.path))
}

fn or_any(families: BTreeSet<IpFamily>) -> BTreeSet<IpFamily> {
    if families.is_empty() {
        BTreeSet::from([IpFamily::V4])
    } else {
        families
    }
}

/// Every (group, endpoint, address) of a service in these families.
pub(super) fn endpoints<'a>(
    config: &'a Config,
    service: &'a BackendService,
    families: BTreeSet<IpFamily>,
) -> impl Iterator<Item = (&'a Group, &'a Endpoint, IpAddr)> {
    let groups = service
        .backends
        .iter()
        .filter_map(|backend| config.groups.get(&backend.group));
    groups.flat_map(move |group| {
        let families = families.clone();
        group.endpoints.iter().flat_map(move |endpoint| {
            let addresses: BTreeSet<IpAddr> = families
                .iter()
                .map(|family| address_of(endpoint, *family))
                .collect();
            addresses
                .into_iter()
                .map(move |address| (group, endpoint, address))
        })
    })
}

/// Every address of an endpoint.
pub(super) fn addresses(config: &Config) -> BTreeSet<IpAddr> {
    let families = Families::of(config);
    let services = config.services.values();
    services
        .flat_map(|service| {
            endpoints(config, service, families.probed(service)).map(|(_, _, address)| address)
        })
        .collect()
}

pub(super) fn health_targets(config: &Config, index: &Index) -> BTreeMap<TargetId, Arc<HealthCheck>> {
    let checks: BTreeMap<&ResourcePath, Arc<HealthCheck>> = config
        .health_checks
        .iter()
        .map(|(path, check)| (path, Arc::new(check.clone())))
        .collect();
    let targets = index.targets.keys();
    targets
        .filter_map(|target| Some((target.clone(), checks.get(&target.check)?.clone())))
        .collect()
}
