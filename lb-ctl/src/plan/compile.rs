//! From inputs and the previous plan to the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::{OrdMap, Vector};

use super::arrivals::Arrivals;
use super::backends::Backends;
use super::contents::{Contents, ServiceContents};
use super::limits::{LeftOut, Limits, PlanError};
use super::members::EndpointId;
use super::numbers::Numbers;
use super::pending::{BuiltTables, Waiting};
use super::probes::{ProbeDestination, Probes, Probing};
use super::regions::{Region, Regions};
use super::relocate::Promise;
use super::removed::RemovedService;
use super::retired::{RetiredTables, TableMark};
use super::service::{self, Compiled, GRACE_SEC, IpFamily, ServiceKey, ServicePlan, Task};
use super::unclaimed::Unclaimed;
use super::ways::Ways;
use super::zones::ZonePrefixes;
use crate::health::{HealthState, ProbePaths, TargetId};
use crate::model::{BackendService, Config, Delivery, ResourcePath};
use crate::net::NextHops;

/// What a plan is derived from.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub config: &'a Config,
    pub health: &'a HealthMap,
    pub next_hops: &'a NextHops,
    /// Where they differ from what the next hops say.
    pub ways: &'a Ways,
    /// The interfaces that packets arrive on.
    pub arrivals: &'a Arc<Arrivals>,
    /// Where clients are, for zonal affinity.
    pub zones: &'a ZonePrefixes,
    /// UDP port of `gue` delivery.
    pub gue_port: u16,
    pub probe_destination: ProbeDestination,
    pub seed: u128,
    pub limits: Limits,
    /// Tables that services waited for.
    pub built: &'a BuiltTables,
    /// How long selection tables may be built here and now, in nanoseconds and about; the rest is asked for.
    pub inline_work: u64,
}

/// What is known of every probed target; a copy costs nothing.
pub type HealthMap = OrdMap<TargetId, HealthState>;

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
    pub(super) waiting: OrdMap<ServiceKey, Waiting>,
    /// What is being cleared for one of them.
    pub(super) promise: Option<Promise>,
    pub(super) left_out_services: OrdMap<ServiceKey, Vec<LeftOut>>,
    pub(super) left_out_rules: Vec<LeftOut>,
    /// What was replaced before this is not read any more.
    pub(super) unread: TableMark,
    /// The maps may not hold it yet.
    pub(super) unapplied: bool,
}

/// What is handed out, over all services.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Space {
    pub(super) services: Numbers,
    pub(super) members: Numbers,
    pub(super) steering: Numbers,
    pub(super) regions: Regions,
    pub(super) retired: RetiredTables,
    pub(super) zone_words: Regions,
    /// With the second from which on they are free.
    pub(super) retired_zone_words: Vector<(Region, u32)>,
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
    /// Words that packets may still be reading are left alone for a while.
    pub(super) fn retire_zone_words(&mut self, regions: impl IntoIterator<Item = Region>, now: u32) {
        let retired = regions.into_iter().map(|region| (region, now + GRACE_SEC));
        self.retired_zone_words.extend(retired);
    }

    /// Returns whether there is more room for tables now.
    fn release_retired(&mut self, unread: TableMark, unapplied: bool, now: u32) -> bool {
        let has_room = self.retired.release(unread, now, &mut self.regions);
        if unapplied {
            return has_room;
        }
        let words = &mut self.zone_words;
        self.retired_zone_words.retain(|(region, free_at)| {
            let waits = now < *free_at;
            if !waits {
                words.release(*region);
            }
            waits
        });
        self.backends.release_retired(now);
        has_room
    }
}

/// The next plan. An error, when the configuration has something that the previous plan had not and that does not fit
/// the maps, leaves nothing behind: the previous plan stays good.
pub fn compile(inputs: &Inputs<'_>, previous: &Plan, scope: Scope<'_>, now: u32) -> Result<Plan, PlanError> {
    let plan = compile_what_fits(inputs, previous, scope, now);
    plan.check_fit(previous)?;
    Ok(plan)
}

/// The next plan, without what does not fit the maps: [`Plan::left_out`] tells what that is.
pub fn compile_what_fits(inputs: &Inputs<'_>, previous: &Plan, scope: Scope<'_>, now: u32) -> Plan {
    let mut plan = previous.clone();
    let mut work = inputs.inline_work;
    let unread = std::mem::take(&mut plan.unread);
    let has_room = plan.space.release_retired(unread, plan.unapplied, now);
    plan.unapplied = true;
    if let Some(key) = plan.keep_promise() {
        plan.compile_services(inputs, vec![key], &mut work, now);
    }
    match scope {
        Scope::All => plan.compile_all(inputs, &mut work, now),
        Scope::Due => {
            plan.release_removed(now);
            plan.compile_services(inputs, plan.due(now), &mut work, now);
        }
        Scope::Services(paths) => {
            let keys = paths.iter().flat_map(|path| plan.keys_of(path)).collect();
            plan.compile_services(inputs, keys, &mut work, now);
        }
    }
    if has_room && !matches!(scope, Scope::All) {
        plan.compile_services(inputs, plan.waits_for_space(), &mut work, now);
    }
    if let Some(key) = plan.make_room(&inputs.limits, now) {
        plan.space.regions.is_loose = true;
        plan.compile_services(inputs, vec![key], &mut work, now);
        plan.space.regions.is_loose = false;
    }
    plan.contents.arrivals.clone_from(inputs.arrivals);
    plan.probes.forget_unused();
    plan.contents.probes = plan.probes.records.clone();
    plan.collect_backends();
    plan
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
        let services = self.deadlines().map(|(_, deadline)| deadline);
        let removed = self.removed.iter().map(|service| service.free_at);
        let words = self.space.retired_zone_words.iter().map(|(_, free_at)| *free_at);
        let regions = words.chain(self.space.retired.next_deadline());
        let backends = self.space.backends.next_deadline();
        services.chain(removed).chain(regions).chain(backends).min()
    }

    /// Those of services that wait for a table come when it is there.
    fn deadlines(&self) -> impl Iterator<Item = (&ServiceKey, u32)> {
        let deadlines = self
            .services
            .iter()
            .filter_map(|(key, service)| Some((key, service.deadline?)));
        deadlines.filter(|(key, _)| !self.waiting.contains_key(*key))
    }

    /// The services that wait for a second which has come.
    pub fn due(&self, now: u32) -> Vec<ServiceKey> {
        let due = self.deadlines().filter(|(_, deadline)| now >= *deadline);
        due.map(|(key, _)| key.clone()).collect()
    }

    /// All tables that have been replaced up to now.
    pub fn table_mark(&self) -> TableMark {
        self.space.retired.mark()
    }

    /// The maps hold what the plan says. What they named before is left alone for some time from now on, and what is
    /// retired while they can't be written for longer.
    pub fn note_applied(&mut self, now: u32) {
        self.space.retired.note_applied(now);
        self.unapplied = false;
    }

    /// Marks of `other`, which is given up, are not given to other tables.
    pub fn go_on_marking(&mut self, other: &Self) {
        self.space.retired.go_on_after(&other.space.retired);
    }

    /// No packet reads those tables any more: they need not wait for their time. The next compilation uses their room.
    pub fn forget_readers(&mut self, mark: TableMark) {
        self.unread = self.unread.max(mark);
    }

    /// Whether that would free room.
    pub fn has_retired_tables(&self) -> bool {
        !self.space.retired.is_empty()
    }

    /// The families that a service is planned in, or will be.
    pub fn keys_of(&self, service: &ResourcePath) -> Vec<ServiceKey> {
        let key = |family| ServiceKey {
            service: service.clone(),
            family,
        };
        let keys = [IpFamily::V4, IpFamily::V6].map(key);
        keys.into_iter()
            .filter(|key| self.services.contains_key(key) || self.waiting.contains_key(key))
            .collect()
    }

    fn compile_all(&mut self, inputs: &Inputs<'_>, work: &mut u64, now: u32) {
        let in_use = service::keys_in_use(inputs.config);
        self.probes.follow_vips(inputs);
        self.end_unclaimed(now);
        self.release_removed(now);
        self.forget_unused(&in_use);
        self.number_zones(inputs);
        for key in &in_use {
            self.compile_service(inputs, key, work, now);
        }
        self.compile_rules(inputs, &in_use, now);
        let zones = self.compile_zones(inputs);
        self.left_out_rules.extend(zones);
        self.space.backends.retire_unused(now);
    }

    /// Some services. When a new one gets its tables, rules can lead to it.
    fn compile_services(&mut self, inputs: &Inputs<'_>, keys: Vec<ServiceKey>, work: &mut u64, now: u32) {
        let mut new = BTreeSet::new();
        for key in keys {
            let is_new = !self.services.contains_key(&key);
            self.compile_service(inputs, &key, work, now);
            if is_new && self.services.contains_key(&key) {
                new.insert(key.service);
            }
        }
        if !new.is_empty() {
            self.lead_to_new(inputs, &new, now);
        }
    }

    fn compile_service(&mut self, inputs: &Inputs<'_>, key: &ServiceKey, work: &mut u64, now: u32) {
        let Some(service) = inputs.config.services.get(&key.service) else {
            return;
        };
        let Some((previous, new_number)) = self.previous(inputs, key) else {
            return;
        };
        let waiting = self.waiting.get(key).cloned();
        let space_before = self.space.clone();
        let probing = Probing::of(&self.probes.vips, service, key.family);
        let compiled = service::compile(Task {
            inputs,
            key,
            service,
            probing,
            previous: &previous,
            waiting: waiting.as_ref(),
            space: &mut self.space,
            work,
            now,
        });
        let Compiled {
            next,
            waiting,
            left_out,
        } = compiled;
        self.set_left_out(key, left_out);
        let Some(next) = next else {
            self.space = space_before;
            let number = new_number;
            self.set_waiting(key, waiting.map(|waiting| Waiting { number, ..waiting }), &[]);
            return;
        };
        let numbers: Vec<u32> = next.members.values().map(|member| member.number).collect();
        self.set_waiting(key, waiting, &numbers);
        self.probes.follow(inputs, key, &next);
        self.put_contents(next.number, next.contents.clone(), now);
        self.services.insert(key.clone(), Arc::new(next));
    }

    /// A service as it was, or a new one and its number. Nothing if there is no number left.
    fn previous(&mut self, inputs: &Inputs<'_>, key: &ServiceKey) -> Option<(Arc<ServicePlan>, Option<u32>)> {
        if let Some(previous) = self.services.get(key) {
            return Some((previous.clone(), None));
        }
        let reserved = self.waiting.get(key).and_then(|waiting| waiting.number);
        let limit = inputs.limits.services;
        let Some(number) = reserved.or_else(|| self.space.services.take(limit)) else {
            let reason = format!(
                "more than {limit} services (each address family of a backend service is one) don't fit the data plane"
            );
            let rules = inputs.config.rules.values();
            let rules = rules
                .filter(|rule| rule.service == key.service && IpFamily::of(rule.vip.address) == key.family);
            let rules = rules.map(|rule| rule.path.clone());
            let left_out = LeftOut::new([key.service.clone()].into_iter().chain(rules), reason);
            self.set_left_out(key, vec![left_out]);
            return None;
        };
        Some((Arc::new(ServicePlan::new(number)), Some(number)))
    }

    /// What was left out, or waits, and is not led to any more.
    fn forget_unused(&mut self, in_use: &BTreeSet<ServiceKey>) {
        let waiting: Vec<ServiceKey> = self
            .waiting
            .keys()
            .filter(|key| !in_use.contains(key))
            .cloned()
            .collect();
        for key in waiting {
            self.stop_waiting(&key);
        }
        self.left_out_services = self
            .left_out_services
            .iter()
            .filter(|(key, _)| in_use.contains(key))
            .map(|(key, left_out)| (key.clone(), left_out.clone()))
            .collect();
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

    pub(super) fn drop_contents(&mut self, number: u32, now: u32) {
        let before = self.contents.services.remove(&number);
        self.space.backends.account(before.as_deref(), None, now);
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
