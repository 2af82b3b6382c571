//! Where health probes go (semantics §10), and on which paths they are delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use imbl::OrdMap;

use super::compile::Inputs;
use super::contents::Numbered;
use super::members::{EndpointId, MemberPlan};
use super::numbers::Numbers;
use super::service::{IpFamily, ServiceKey, ServicePlan};
use crate::health::path::PathId;
use crate::health::{ProbePath, ProbePaths, TargetId, Via};
use crate::model::{BackendService, Config, Delivery, ResourcePath};
use crate::net::NextHop;

/// The setting `probe-destination`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProbeDestination {
    /// A VIP of the service, delivered to the endpoint.
    #[default]
    Vip,
    /// The endpoint's own address.
    OwnAddress,
}

/// The VIPs that services are probed at; none of those that are probed at their own addresses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProbedVips(BTreeMap<ServiceKey, IpAddr>);

impl ProbedVips {
    /// Of several VIPs of a service the one of the first rule by name.
    pub fn of(config: &Config, destination: ProbeDestination) -> Self {
        let mut vips = BTreeMap::new();
        if destination == ProbeDestination::Vip {
            for rule in config.rules.values() {
                let key = ServiceKey {
                    service: rule.service.clone(),
                    family: IpFamily::of(rule.vip.address),
                };
                vips.entry(key).or_insert(rule.vip.address);
            }
        }
        Self(vips)
    }

    fn get(&self, key: &ServiceKey) -> Option<IpAddr> {
        self.0.get(key).copied()
    }
}

/// How the endpoints of a service are probed in one address family.
#[derive(Clone, Copy, Debug)]
pub struct Probing<'a> {
    check: &'a ResourcePath,
    vip: Option<IpAddr>,
}

impl<'a> Probing<'a> {
    /// Nothing when the service has no health check.
    pub fn of(vips: &ProbedVips, service: &'a BackendService, family: IpFamily) -> Option<Self> {
        let check = service.health_check.as_ref()?;
        let key = ServiceKey {
            service: service.path.clone(),
            family,
        };
        Some(Self {
            check,
            vip: vips.get(&key),
        })
    }

    /// Whether probes take the way of packets.
    pub(super) fn is_at_vip(&self) -> bool {
        self.vip.is_some()
    }

    pub fn target(&self, address: IpAddr, delivery: Delivery) -> TargetId {
        TargetId {
            check: self.check.clone(),
            address,
            via: self.vip.map(|vip| Via { vip, delivery }),
        }
    }
}

/// The paths on which probes for VIPs are delivered. A path keeps its number while some endpoint is probed on it,
/// whatever becomes of its next hop: connections that are under way follow it. A copy costs nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Probes {
    free: Numbers,
    numbers: OrdMap<PathId, u32>,
    pub(super) vips: Arc<ProbedVips>,
    pub(super) paths: Arc<ProbePaths>,
    /// From path to delivery record: what the kernel program looks up.
    pub(super) records: Numbered<u32>,
    /// On which paths the members of a service are probed.
    used: OrdMap<ServiceKey, Arc<BTreeSet<PathId>>>,
    /// How many services use a path.
    users: OrdMap<PathId, u32>,
    /// What some service has left since paths were last given up.
    left: BTreeSet<PathId>,
}

impl Probes {
    pub(super) fn follow_vips(&mut self, inputs: &Inputs<'_>) {
        let vips = ProbedVips::of(inputs.config, inputs.probe_destination);
        if *self.vips != vips {
            self.vips = Arc::new(vips);
        }
    }

    /// Takes up how the members of a service, just compiled, are delivered to.
    pub(super) fn follow(&mut self, inputs: &Inputs<'_>, key: &ServiceKey, service: &ServicePlan) {
        if !is_probed_at_vip(inputs, key) {
            return self.leave(key);
        }
        self.use_paths(
            key,
            service.members.keys().map(|id| path_of(inputs, id)).collect(),
        );
        for (id, member) in &service.members {
            let record = service.contents.members.get(&member.number);
            let record = record.map_or(0, |member| member.backend());
            self.follow_member(inputs, id, member, record);
        }
    }

    /// Members of the service are probed no more.
    pub(super) fn leave(&mut self, key: &ServiceKey) {
        self.use_paths(key, BTreeSet::new());
    }

    fn use_paths(&mut self, key: &ServiceKey, paths: BTreeSet<PathId>) {
        let before = self.used.get(key).cloned().unwrap_or_default();
        if *before == paths {
            return;
        }
        for path in paths.difference(&before) {
            *self.users.entry(*path).or_insert(0) += 1;
        }
        for path in before.difference(&paths) {
            let users = self.users.remove(path).unwrap_or(0);
            match users.saturating_sub(1) {
                0 => drop(self.left.insert(*path)),
                others => drop(self.users.insert(*path, others)),
            }
        }
        match paths.is_empty() {
            true => self.used.remove(key),
            false => self.used.insert(key.clone(), Arc::new(paths)),
        };
    }

    fn follow_member(&mut self, inputs: &Inputs<'_>, id: &EndpointId, member: &MemberPlan, record: u32) {
        let path_id = path_of(inputs, id);
        let number = self.number(inputs, path_id);
        if !inputs.next_hops.contains_key(&id.address) {
            return self.unknown(path_id, number);
        }
        let path = match (&member.obstacle, inputs.next_hops.get(&id.address), number) {
            (Some(obstacle), ..) => Err(obstacle.to_string()),
            (
                None,
                Some(NextHop::Resolved {
                    ifindex,
                    source_address,
                    ..
                }),
                Some(number),
            ) if record != 0 => Ok(ProbePath {
                number,
                mode: member.delivery,
                ifindex: *ifindex,
                source: *source_address,
            }),
            _ => Err("more ways of delivery than fit the data plane are in use".to_owned()),
        };
        if let Some(number) = number {
            let record = path.as_ref().ok().map(|_| record);
            if self.records.get(&number).copied() != record {
                match record {
                    Some(record) => drop(self.records.insert(number, record)),
                    None => drop(self.records.remove(&number)),
                }
            }
        }
        if self.paths.get(&path_id) != Some(&path) {
            Arc::make_mut(&mut self.paths).insert(path_id, path);
        }
    }

    /// Nobody has looked how the endpoint is reached: probes wait for that, and what they find is no verdict.
    fn unknown(&mut self, path: PathId, number: Option<u32>) {
        if let Some(number) = number {
            self.records.remove(&number);
        }
        if self.paths.contains_key(&path) {
            Arc::make_mut(&mut self.paths).remove(&path);
        }
    }

    fn number(&mut self, inputs: &Inputs<'_>, path: PathId) -> Option<u32> {
        if let Some(number) = self.numbers.get(&path) {
            return Some(*number);
        }
        let number = self.free.take(inputs.limits.probes)?;
        self.numbers.insert(path, number);
        Some(number)
    }

    /// Gives up the paths that no service uses any more.
    pub(super) fn forget_unused(&mut self) {
        for path in std::mem::take(&mut self.left) {
            if self.users.contains_key(&path) {
                continue;
            }
            Arc::make_mut(&mut self.paths).remove(&path);
            if let Some(number) = self.numbers.remove(&path) {
                self.records.remove(&number);
                self.free.release(number);
            }
        }
    }
}

/// Whoever has a plan has a rule of that family, and so a VIP.
fn is_probed_at_vip(inputs: &Inputs<'_>, key: &ServiceKey) -> bool {
    let service = inputs.config.services.get(&key.service);
    inputs.probe_destination == ProbeDestination::Vip
        && service.is_some_and(|service| service.health_check.is_some())
}

fn path_of(inputs: &Inputs<'_>, id: &EndpointId) -> PathId {
    (id.address, inputs.delivery_of(id))
}
