//! What the controller tells: status, counters, flows, health.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use lb_common::clock::{self, TICK_SECONDS};
use lb_common::hash;
use lb_common::layout::Pool;

use super::{Controller, index};
use crate::control::ControlError;
use crate::dataplane::{self, FlowEntry, TrackedTuple};
use crate::model::{BackendService, Endpoint, Group, ResourcePath};
use crate::plan::{
    EndpointId, IpFamily, MemberPlan, MemberStatus, Obstacle, Pending, ServiceKey, ServicePlan, Way,
    address_of,
};
use crate::resources::Kind;
use crate::views;

fn internal(error: impl std::fmt::Display) -> ControlError {
    ControlError::Internal(format!("{error:#}"))
}

fn pool_name(pool: Pool) -> String {
    match pool {
        Pool::Primary => "primary",
        Pool::Failover => "failover",
    }
    .to_owned()
}

/// A table takes that long to be built, where it is large.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// A member of the plan, with the service that it is of.
type Owner<'a> = (&'a ServiceKey, &'a EndpointId, &'a MemberPlan, &'a ServicePlan);

impl Controller {
    fn members(&self) -> impl Iterator<Item = Owner<'_>> {
        self.plan.services.iter().flat_map(|(key, service)| {
            service
                .members
                .iter()
                .map(move |(id, member)| (key, id, member, &**service))
        })
    }

    pub(super) fn status(&self) -> views::Status {
        let endpoints = self.attached_endpoints();
        let resources = &self.in_force.resources;
        let count = |kind: Kind| (kind.collection().to_owned(), resources.of_kind(kind).count());
        views::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            layout_version: lb_common::layout::LAYOUT_VERSION,
            pid: std::process::id(),
            uptime_sec: self.started.elapsed().as_secs(),
            state_dir: self.settings.state_dir.display().to_string(),
            interfaces: self.interface_views(),
            resources: Kind::ALL.iter().copied().map(count).collect(),
            endpoints: endpoints.len(),
            healthy_endpoints: endpoints.values().filter(|healthy| **healthy).count(),
            flow_slots: self.maps.flows().slots(),
            tables: self.table_views(),
            default_place: views::DefaultPlace {
                project: self.settings.scope.project.clone(),
                region: self.settings.scope.region.clone(),
                zone: self.settings.scope.zone.clone(),
            },
            config: self.files.status(),
            connection_log: self.connections.status(),
            troubles: self.trouble_views(),
            vips: self.vip_views(),
            mended: self.comparison.mended,
            warnings: self.warnings(),
        }
    }

    /// What is wrong for longer than it takes to mend it.
    fn trouble_views(&self) -> Vec<views::Trouble> {
        let mut troubles = self.troubles.views();
        troubles.extend(self.waiting_views());
        troubles
    }

    /// Services that have waited for their tables for more than a moment.
    fn waiting_views(&self) -> Vec<views::Trouble> {
        let waiting = self.pending_since.iter().filter_map(|(key, since)| {
            let waited = since.elapsed();
            let (_, pending) = self.plan.pending().find(|(waiting, _)| *waiting == key)?;
            let what = match pending {
                Pending::Build(_) => "its tables to be built",
                Pending::Space { .. } => "room for its tables",
            };
            (waited >= LONG_WAIT).then(|| views::Trouble {
                text: format!("{key} waits for {what}; its packets are balanced as before"),
                for_sec: waited.as_secs(),
            })
        });
        waiting.collect()
    }

    /// Every attached endpoint address once, however many services have it, and whether it is healthy in all of them.
    fn attached_endpoints(&self) -> BTreeMap<&EndpointId, bool> {
        let mut endpoints = BTreeMap::new();
        for (_, id, member, _) in self.members() {
            if member.status == MemberStatus::Attached {
                *endpoints.entry(id).or_insert(true) &= member.healthy;
            }
        }
        endpoints
    }

    fn warnings(&self) -> Vec<String> {
        let unresolved = self.members().filter_map(|(key, id, member, _)| {
            let reason = match member.obstacle.as_ref()? {
                // That is a trouble.
                Obstacle::Undeliverable(_) => return None,
                obstacle => obstacle,
            };
            Some(format!(
                "{}: endpoint {} can't be delivered to: {reason}",
                key.service.name(),
                id.address
            ))
        });
        let mut warnings: Vec<String> = unresolved.collect();
        warnings.extend(self.vip_warnings());
        warnings.extend(self.mode_warnings());
        warnings.extend(self.settings.unwatched.clone());
        warnings.extend(self.failure_warning());
        warnings.extend(self.checks.warnings());
        warnings.extend(self.coarse_shares());
        warnings.sort();
        warnings.dedup();
        warnings
    }

    pub(super) fn stats(&self) -> Result<views::Stats, ControlError> {
        let verdicts = self.maps.verdicts().map_err(internal)?;
        let verdicts = verdicts.iter().map(|(reason, counter)| views::VerdictStats {
            name: reason.name().to_owned(),
            action: reason.action().name().to_owned(),
            packets: counter.packets,
            bytes: counter.bytes,
        });
        let flows = self.flows_by_member();
        let services = self
            .plan
            .services
            .iter()
            .map(|(key, service)| self.service_stats(key, service, &flows));
        Ok(views::Stats {
            verdicts: verdicts.collect(),
            not_judged: self.maps.not_judged().map_err(internal)?,
            services: services.collect::<Result<_, _>>()?,
            xdp_failures: self.failure_views(),
        })
    }

    fn service_stats(
        &self,
        key: &ServiceKey,
        service: &ServicePlan,
        flows: &BTreeMap<u32, u64>,
    ) -> Result<views::ServiceStats, ControlError> {
        let backend = |(id, member): (&EndpointId, &MemberPlan)| {
            let counter = self.maps.member_counter(member.number).map_err(internal)?;
            Ok(views::BackendStats {
                group: id.group.clone(),
                instance: id.instance.clone(),
                ip_address: id.address,
                pool: pool_name(member.pool),
                healthy: member.healthy,
                draining: member.status != MemberStatus::Attached,
                weight: member.weight,
                delivery: member.delivery.to_owned(),
                packets: counter.packets,
                bytes: counter.bytes,
                new_flows: counter.new_flows,
                persisted_packets: counter.persisted,
                flows: Some(flows.get(&member.number).copied().unwrap_or(0)),
            })
        };
        Ok(views::ServiceStats {
            service: key.service.clone(),
            ip_version: key.family.as_api().to_owned(),
            active_pool: pool_name(service.active),
            backends: service
                .members
                .iter()
                .map(backend)
                .collect::<Result<_, ControlError>>()?,
        })
    }

    fn flows_by_member(&self) -> BTreeMap<u32, u64> {
        let mut counts = BTreeMap::new();
        for (_, slot) in self.maps.flows().alive_slots(self.clock.now()) {
            *counts.entry(slot.member()).or_default() += 1;
        }
        counts
    }

    pub(super) fn flow_count(&self) -> views::FlowCount {
        let owners = self.owners_by_number();
        let mut count = views::FlowCount {
            slots: self.maps.flows().slots(),
            ..Default::default()
        };
        let mut services: BTreeMap<&ResourcePath, u64> = BTreeMap::new();
        for (_, slot) in self.maps.flows().alive_slots(self.clock.now()) {
            count.live += 1;
            count.confirmed += u64::from(slot.is_confirmed());
            if let Some((key, ..)) = owners.get(&slot.member()) {
                *services.entry(&key.service).or_default() += 1;
            }
        }
        let services = services.into_iter();
        count.services = services
            .map(|(service, live)| views::ServiceFlowCount {
                service: service.clone(),
                live,
            })
            .collect();
        count
    }

    fn owners_by_number(&self) -> BTreeMap<u32, Owner<'_>> {
        self.members().map(|owner| (owner.2.number, owner)).collect()
    }

    pub(super) fn flows(
        &self,
        limit: usize,
        service: Option<&ResourcePath>,
    ) -> Result<views::FlowList, ControlError> {
        if let Some(path) = service
            && !self.in_force.config.services.contains_key(path)
        {
            return Err(ControlError::not_found(path));
        }
        let now = self.clock.now();
        let owners = self.owners_by_number();
        let mut list = views::FlowList::default();
        for entry in self.maps.flows().alive(now) {
            let Some(owner) = owners.get(&entry.slot.member()) else {
                continue;
            };
            if service.is_some_and(|path| *path != owner.0.service) {
                continue;
            }
            if list.flows.len() == limit {
                list.truncated = true;
                break;
            }
            list.flows.push(self.flow_row(&entry, owner, now));
        }
        Ok(list)
    }

    fn flow_row(&self, entry: &FlowEntry, owner: &Owner<'_>, now: u32) -> views::FlowRow {
        let (key, id, member, service) = owner;
        let keys = hash::HashKeys::from_seed(self.settings.seed);
        let buckets = self.maps.flows().bucket_count();
        let tuple = Some(&entry.tuple).filter(|tuple| {
            dataplane::is_of_slot(&keys, service.number, tuple, entry.slot, entry.index, buckets)
        });
        let tuple = tuple.map(TrackedTuple::from);
        let ports = tuple.and_then(|tuple| tuple.ports);
        views::FlowRow {
            service: key.service.clone(),
            source: tuple.map(|tuple| tuple.source),
            destination: tuple.and_then(|tuple| tuple.destination),
            protocol: tuple.and_then(|tuple| tuple.protocol),
            source_port: ports.map(|(source, _)| source),
            destination_port: ports.map(|(_, destination)| destination),
            tuple_known: tuple.is_some(),
            group: id.group.clone(),
            instance: id.instance.clone(),
            ip_address: id.address,
            backend_healthy: member.healthy,
            confirmed: entry.slot.is_confirmed(),
            expires_in_sec: entry.slot.remaining(clock::tick(now)) * TICK_SECONDS - now % TICK_SECONDS,
        }
    }

    pub(super) fn endpoint_health(
        &self,
        service: &ResourcePath,
        group: Option<&ResourcePath>,
    ) -> Result<Vec<views::EndpointHealth>, ControlError> {
        let service = self
            .in_force
            .config
            .services
            .get(service)
            .ok_or_else(|| ControlError::not_found(service))?;
        let is_asked_for = |of: &Group| group.is_none_or(|group| of.path == *group);
        let endpoints = index::endpoints(&self.in_force.config, service).filter(|(of, _)| is_asked_for(of));
        let rows = endpoints.map(|(group, endpoint)| self.health_rows(service, group, endpoint));
        Ok(rows.flat_map(BTreeMap::into_values).collect())
    }

    /// One for each address of the endpoint. One that is probed in both families at the same address is healthy if it
    /// is in both.
    fn health_rows(
        &self,
        service: &BackendService,
        group: &Group,
        endpoint: &Endpoint,
    ) -> BTreeMap<IpAddr, views::EndpointHealth> {
        let mut rows: BTreeMap<IpAddr, views::EndpointHealth> = BTreeMap::new();
        for family in index::probed_families(&self.in_force.config, service) {
            let address = address_of(endpoint, family);
            let probing = self.plan.probing(service, family);
            let target = probing.map(|probing| probing.target(address, group.delivery));
            let state = target.as_ref().and_then(|target| self.checks.state(target));
            let state = state.as_ref();
            let weighted = state.filter(|_| service.locality.is_weighted());
            let verdict = self.verdict(service, family, group, endpoint);
            let is_well = probing.is_none() || state.is_some_and(|state| state.healthy);
            let row = views::EndpointHealth {
                group: group.path.clone(),
                instance: endpoint.instance.clone(),
                ip_address: address,
                port: self.probe_port(service),
                healthy: is_well && verdict.is_none(),
                weight: weighted.map(|state| state.weight.value),
                weight_error: weighted.and_then(|state| Some(state.weight.error?.as_str().to_owned())),
                detail: verdict.or_else(|| state.and_then(|state| state.detail.clone())),
            };
            if rows.get(&address).is_none_or(|other| other.healthy) {
                rows.insert(address, row);
            }
        }
        rows
    }

    /// Why packets can't be delivered to an endpoint, where that makes it unhealthy whatever probes say.
    fn verdict(
        &self,
        service: &BackendService,
        family: IpFamily,
        group: &Group,
        endpoint: &Endpoint,
    ) -> Option<String> {
        let address = address_of(endpoint, family);
        if let Some(Way::Closed(closed)) = self.ways.get(&address) {
            return Some(Obstacle::Undeliverable(closed.clone()).to_string());
        }
        let key = ServiceKey {
            service: service.path.clone(),
            family,
        };
        let id = EndpointId {
            group: group.path.clone(),
            address,
            instance: endpoint.instance.clone(),
        };
        let member = self.plan.services.get(&key)?.members.get(&id)?;
        let obstacle = member.obstacle.as_ref().filter(|_| !member.healthy)?;
        Some(format!("can't be delivered to: {obstacle}"))
    }

    fn probe_port(&self, service: &BackendService) -> Option<u16> {
        let check = self
            .in_force
            .config
            .health_checks
            .get(service.health_check.as_ref()?)?;
        Some(check.probe.port())
    }
}
