//! Which services an event touches.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::health::TargetId;
use crate::model::{BackendService, Config, Delivery, Endpoint, Group, HealthCheck, ResourcePath};
use crate::plan::{
    IpFamily, MemberStatus, Plan, ProbeDestination, ProbedVips, Probing, ServiceKey, address_of,
    families_in_use,
};

/// From what events name to the services that depend on it.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) targets: BTreeMap<TargetId, BTreeSet<ResourcePath>>,
    pub(super) addresses: BTreeMap<IpAddr, BTreeSet<ResourcePath>>,
}

impl Index {
    /// Draining endpoints are probed and delivered to as attached ones are, though no group names them any more.
    pub(super) fn new(config: &Config, plan: &Plan, destination: ProbeDestination) -> Self {
        let mut index = Self::default();
        let vips = ProbedVips::of(config, destination);
        let families = Families::of(config);
        for service in config.services.values() {
            for family in families.probed(service) {
                let probing = Probing::of(&vips, service, family);
                let attached = endpoints(config, service)
                    .map(|(group, endpoint)| (address_of(endpoint, family), group.delivery));
                for (address, delivery) in attached.chain(draining(config, plan, &service.path, family)) {
                    index
                        .addresses
                        .entry(address)
                        .or_default()
                        .insert(service.path.clone());
                    if let Some(probing) = probing {
                        index
                            .targets
                            .entry(probing.target(address, delivery))
                            .or_default()
                            .insert(service.path.clone());
                    }
                }
            }
        }
        index
    }
}

/// The endpoints that have left a service and still serve its connections.
fn draining<'a>(
    config: &'a Config,
    plan: &'a Plan,
    service: &ResourcePath,
    family: IpFamily,
) -> impl Iterator<Item = (IpAddr, Delivery)> + use<'a> {
    let key = ServiceKey {
        service: service.clone(),
        family,
    };
    let members = plan.services.get(&key).into_iter().flat_map(|plan| &plan.members);
    members
        .filter(|(_, member)| matches!(member.status, MemberStatus::Draining(_)))
        .map(|(id, _)| {
            let group = config.groups.get(&id.group);
            (id.address, group.map_or(Delivery::Auto, |group| group.delivery))
        })
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

/// Every (group, endpoint) of a service.
pub(super) fn endpoints<'a>(
    config: &'a Config,
    service: &'a BackendService,
) -> impl Iterator<Item = (&'a Group, &'a Endpoint)> {
    let groups = service
        .backends
        .iter()
        .filter_map(|backend| config.groups.get(&backend.group));
    groups.flat_map(|group| group.endpoints.iter().map(move |endpoint| (group, endpoint)))
}

/// Every address of an endpoint.
pub(super) fn addresses(config: &Config) -> BTreeSet<IpAddr> {
    let families = Families::of(config);
    let services = config.services.values();
    let mut addresses = BTreeSet::new();
    for service in services {
        for family in families.probed(service) {
            addresses.extend(endpoints(config, service).map(|(_, endpoint)| address_of(endpoint, family)));
        }
    }
    addresses
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
