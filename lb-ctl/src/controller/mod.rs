//! The one who decides: events in, plans out, the maps after them.
//!
//! A request, a probe result, a moved neighbour and a deadline all take the same road: change the inputs, compile,
//! diff, apply. Nothing else writes the maps.

mod announce;
mod claims;
mod handle;
mod history;
mod index;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};

pub use self::handle::Handle;
pub use self::history::{History, kept_seed};

use self::announce::Announcements;
use self::handle::Request;
use self::index::Index;
use crate::control::{ApplyOptions, ApplyReport, ControlError, ResourceMap, resource_map};
use crate::dataplane::{self, Program};
use crate::flowlog::Publisher;
use crate::health::{HealthChecker, HealthEvent, HealthState, TargetId};
use crate::model::{Config, ResourcePath};
use crate::net::{Links, NetWatcher, NextHops};
use crate::plan::contents::Contents;
use crate::plan::diff::diff;
use crate::plan::{Inputs, Limits, Plan, PlanError, Scope as PlanScope, ZonePrefixes, compile};
use crate::resources::{Applied, Document, Fault, FaultKind, ResourceStore, Resources, Scope};

/// What the daemon was told at its start.
/// No `Debug`: the seed is a secret.
#[derive(Clone)]
pub struct Settings {
    pub scope: Scope,
    pub seed: u128,
    pub limits: Limits,
    /// Where clients are, for zonal affinity.
    pub zones: ZonePrefixes,
    /// UDP port of `gue` delivery.
    pub gue_port: u16,
    /// Names and indices of the interfaces that packets arrive on.
    pub interfaces: Vec<(String, u32)>,
    pub announce: bool,
    pub state_dir: std::path::PathBuf,
    pub pin_dir: std::path::PathBuf,
}

/// How long the first plan waits for the routes and neighbours of its endpoints.
const FIRST_LOOK: Duration = Duration::from_secs(3);
/// Expired flow-table slots are swept this often; at the latest after 15 h their ticks would wrap.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);
/// What is retried or saved now and then.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);

pub struct Controller {
    settings: Settings,
    started: Instant,
    store: Box<dyn ResourceStore>,
    resources: Resources,
    config: Config,
    /// Which file defines a resource, for those that `--config` owns.
    owners: BTreeMap<ResourcePath, String>,
    published: watch::Sender<Arc<ResourceMap>>,
    checker: HealthChecker,
    health: BTreeMap<TargetId, HealthState>,
    watcher: NetWatcher,
    next_hops: Arc<NextHops>,
    index: Index,
    program: Program,
    plan: Plan,
    /// What the maps hold.
    actual: Contents,
    history: History,
    announcements: Announcements,
    connections: Publisher,
    links: Links,
    /// Warnings about claimed addresses that the log has.
    told: BTreeSet<String>,
    attached: bool,
}

/// What wakes the controller.
pub struct Events {
    requests: mpsc::Receiver<Request>,
    health: mpsc::UnboundedReceiver<HealthEvent>,
}

/// What the controller is made of.
pub struct Parts {
    pub settings: Settings,
    pub store: Box<dyn ResourceStore>,
    pub resources: Resources,
    /// Documents of `--config`, already valid together with the stored resources.
    pub documents: Vec<Document>,
    pub program: Program,
    pub history: History,
    /// What the log of connections is told.
    pub connections: Publisher,
}

impl Controller {
    /// Adopts what the maps hold, plans for what is configured, and brings the maps there.
    pub async fn start(parts: Parts) -> anyhow::Result<(Self, Handle, Events)> {
        let Parts {
            settings,
            store,
            resources,
            documents,
            program,
            mut history,
            connections,
        } = parts;
        let actual = program.maps.read().context("reading the maps back")?;
        let plan = history.adopt(program.maps.incarnation(), &actual);
        let (checker, health_events) = HealthChecker::new(history.health());
        let watcher = NetWatcher::new().context("watching routes and neighbours")?;
        let (requests_in, requests) = mpsc::channel(64);
        let (published, snapshot) = watch::channel(Arc::default());
        let announcements = Announcements::new(&settings)?;
        let mut controller = Self {
            started: Instant::now(),
            store,
            config: Config::default(),
            resources,
            owners: BTreeMap::new(),
            published,
            health: history.health(),
            checker,
            next_hops: Arc::default(),
            watcher,
            index: Index::default(),
            program,
            plan,
            actual,
            history,
            announcements,
            connections,
            links: Links::new().context("asking for addresses")?,
            told: BTreeSet::new(),
            attached: false,
            settings,
        };
        controller.load(documents).await?;
        Ok((
            controller,
            Handle::new(requests_in, snapshot),
            Events {
                requests,
                health: health_events,
            },
        ))
    }

    /// The program, to attach it once the maps are right.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    pub fn set_attached(&mut self) {
        self.attached = true;
    }

    /// The first plan: stored resources and the files, with the network looked at first, so that a restart does not
    /// find its endpoints unresolved.
    async fn load(&mut self, documents: Vec<Document>) -> anyhow::Result<()> {
        let applied = self
            .judge(&documents, &ApplyOptions::default())
            .map_err(anyhow::Error::new)?;
        self.owners = applied.sources.clone();
        self.index = Index::new(&applied.config, &self.plan);
        self.watch_endpoints();
        self.wait_for_next_hops().await;
        self.adopt_config(applied).map_err(anyhow::Error::new)?;
        self.after_change().await;
        Ok(())
    }

    async fn wait_for_next_hops(&mut self) {
        let wanted = &self.index.addresses;
        let mut next_hops = self.watcher.next_hops();
        let known = next_hops.wait_for(|known| wanted.keys().all(|address| known.contains_key(address)));
        if let Ok(Ok(known)) = tokio::time::timeout(FIRST_LOOK, known).await {
            self.next_hops = known.clone();
        }
    }

    /// Runs until `stop` says so. Returns whether the data plane is still attached: then it goes on forwarding.
    pub async fn run(mut self, mut events: Events, mut stop: watch::Receiver<bool>) -> bool {
        let mut next_hops = self.watcher.next_hops();
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING_INTERVAL);
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                Some(request) = events.requests.recv() => self.answer(request).await,
                Some(event) = events.health.recv() => {
                    let mut batch = vec![event];
                    while let Ok(event) = events.health.try_recv() {
                        batch.push(event);
                    }
                    self.on_health(batch);
                }
                Ok(()) = next_hops.changed() => {
                    let known = next_hops.borrow_and_update().clone();
                    self.on_next_hops(known);
                }
                _ = housekeeping.tick() => self.housekeep().await,
                _ = sweep.tick() => {
                    let cleared = self.program.maps.flows.sweep(dataplane::now());
                    tracing::debug!("swept {cleared} expired flows");
                }
            }
        }
        self.history.save_health(&self.checker.snapshot());
        self.attached
    }

    async fn answer(&mut self, request: Request) {
        match request {
            Request::Apply(documents, options, reply) => {
                let result = self.apply(&documents, &options).await;
                let _ = reply.send(result);
            }
            Request::Delete(path, reply) => {
                let result = self.delete(&path).await;
                let _ = reply.send(result);
            }
            Request::EndpointHealth(service, group, reply) => {
                let _ = reply.send(self.endpoint_health(&service, group.as_ref()));
            }
            Request::Status(reply) => {
                let result = self.status().await;
                let _ = reply.send(result);
            }
            Request::Stats(reply) => {
                let _ = reply.send(self.stats());
            }
            Request::Flows(limit, service, reply) => {
                let _ = reply.send(self.flows(limit, service.as_ref()));
            }
            Request::FlowCount(reply) => {
                let _ = reply.send(Ok(self.flow_count()));
            }
            Request::Detach(reply) => {
                let _ = reply.send(self.detach());
            }
        }
    }

    async fn apply(
        &mut self,
        documents: &[Document],
        options: &ApplyOptions,
    ) -> Result<ApplyReport, ControlError> {
        if let Some(edit) = &options.edit {
            edit.check(&self.published.borrow())?;
        }
        let applied = self.judge(documents, options)?;
        self.refuse_owned(&applied)?;
        let report = ApplyReport::new(&applied, options);
        if !options.dry_run {
            self.adopt_config(applied)?;
            self.after_change().await;
        }
        Ok(report)
    }

    async fn delete(&mut self, path: &ResourcePath) -> Result<(), ControlError> {
        if let Some(file) = self.owners.get(path) {
            return Err(owned_fault(path, file).into());
        }
        let resources = self
            .resources
            .delete(path)
            .map_err(|fault| ControlError::from(*fault))?;
        let (config, _) = resources.config()?;
        self.commit(resources, config)?;
        self.after_change().await;
        Ok(())
    }

    /// The resources as they would be, or every fault of the documents.
    fn judge(&self, documents: &[Document], options: &ApplyOptions) -> Result<Applied, ControlError> {
        let scope = options.scope(&self.settings.scope);
        Ok(self
            .resources
            .apply(documents, &scope, options.mode(), jiff::Timestamp::now())?)
    }

    /// What a file of `--config` defines is changed in the file.
    fn refuse_owned(&self, applied: &Applied) -> Result<(), ControlError> {
        let changed = applied
            .changes
            .iter()
            .filter(|change| change.kind != crate::resources::ChangeKind::Unchanged);
        let faults: Vec<Fault> = changed
            .filter_map(|change| Some(owned_fault(&change.path, self.owners.get(&change.path)?)))
            .collect();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults.into())
        }
    }

    fn adopt_config(&mut self, applied: Applied) -> Result<(), ControlError> {
        for warning in &applied.warnings {
            tracing::info!("{warning}");
        }
        self.commit(applied.resources, applied.config)
    }

    /// All or nothing: the plan is made first, then the store holds the resources, then the maps.
    fn commit(&mut self, resources: Resources, config: Config) -> Result<(), ControlError> {
        let plan = self
            .plan_for(&config, PlanScope::All)
            .map_err(|error| does_not_fit(&error))?;
        if resources != self.resources {
            self.store
                .save(&resources)
                .map_err(|error| ControlError::Internal(error.to_string()))?;
        }
        self.resources = resources;
        self.config = config;
        self.published
            .send_replace(Arc::new(resource_map(&self.resources)));
        let installed = self.install(plan);
        self.follow_endpoints();
        installed.map_err(|error| ControlError::Internal(format!("{error:#}")))
    }

    /// Probes and watches whom the configuration and the plan name now.
    fn follow_endpoints(&mut self) {
        self.index = Index::new(&self.config, &self.plan);
        self.health
            .retain(|target, _| self.index.targets.contains_key(target));
        self.checker
            .set_targets(index::health_targets(&self.config, &self.index));
        self.watch_endpoints();
    }

    fn watch_endpoints(&self) {
        self.watcher.watch(self.index.addresses.keys().copied().collect());
    }

    fn plan_for(&self, config: &Config, scope: PlanScope<'_>) -> Result<Plan, PlanError> {
        let inputs = Inputs {
            config,
            health: &self.health,
            next_hops: &self.next_hops,
            zones: &self.settings.zones,
            gue_port: self.settings.gue_port,
            seed: self.settings.seed,
            limits: self.settings.limits,
        };
        compile(&inputs, &self.plan, scope, dataplane::now())
    }

    /// History first: a number that the maps hold is never forgotten.
    fn install(&mut self, plan: Plan) -> anyhow::Result<()> {
        self.history.save_plan(&plan, self.program.maps.incarnation())?;
        let operations = diff(&self.actual, &plan.contents);
        if !operations.is_empty() {
            tracing::debug!("{} map operations", operations.len());
        }
        self.plan = plan;
        self.connections.publish(&self.config, &self.plan);
        match self.program.maps.apply(&operations) {
            Ok(()) => self.actual = self.plan.contents.clone(),
            Err(error) => {
                // The next difference starts from what is really there.
                self.actual = self
                    .program
                    .maps
                    .read()
                    .context("reading the maps back after a failure")?;
                return Err(error);
            }
        }
        Ok(())
    }

    fn on_health(&mut self, events: Vec<HealthEvent>) {
        let mut touched = BTreeSet::new();
        for event in events {
            let Some(services) = self.index.targets.get(&event.target) else {
                continue;
            };
            let before = self.health.insert(event.target.clone(), event.state.clone());
            if before.is_none_or(|before| before.healthy != event.state.healthy) {
                let state = if event.state.healthy {
                    "healthy"
                } else {
                    "unhealthy"
                };
                let detail = event.state.detail.as_deref().unwrap_or("the probes succeed");
                tracing::debug!("{} is {state}: {detail}", event.target.address);
            }
            touched.extend(services.iter().cloned());
        }
        self.recompile(PlanScope::Services(&touched));
    }

    fn on_next_hops(&mut self, known: Arc<NextHops>) {
        let changed = known
            .iter()
            .filter(|(address, hop)| self.next_hops.get(address) != Some(hop));
        let touched: BTreeSet<ResourcePath> = changed
            .filter_map(|(address, _)| self.index.addresses.get(address))
            .flatten()
            .cloned()
            .collect();
        self.next_hops = known;
        self.recompile(PlanScope::Services(&touched));
    }

    fn recompile(&mut self, scope: PlanScope<'_>) {
        let result = match self.plan_for(&self.config, scope) {
            Ok(plan) => self.install(plan),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = result {
            tracing::error!("the data plane stays as it was: {error:#}");
        }
    }

    async fn housekeep(&mut self) {
        if self
            .plan
            .next_deadline()
            .is_some_and(|deadline| dataplane::now() >= deadline)
        {
            self.recompile(PlanScope::All);
            self.follow_endpoints();
        }
        self.history.save_health(&self.checker.snapshot());
        self.announcements.retry().await;
    }

    /// What follows the configuration and does not go into the maps.
    async fn after_change(&mut self) {
        self.announcements.update(&self.config).await;
        let claims: BTreeSet<String> = self.claims().await.into_iter().collect();
        for warning in claims.difference(&self.told) {
            tracing::warn!("{warning}");
        }
        self.told = claims;
    }

    /// Addresses of others that VIPs claim.
    async fn claims(&self) -> Vec<String> {
        match self.links.own_addresses().await {
            Ok(own) => claims::warnings(&self.config, &own),
            Err(error) => {
                tracing::warn!("asking for the host's addresses: {error}");
                Vec::new()
            }
        }
    }

    fn detach(&mut self) -> Result<(), ControlError> {
        if !self.attached {
            return Err(ControlError::NotAttached);
        }
        crate::dataplane::detach_offline(&self.settings.pin_dir)
            .map_err(|error| ControlError::Internal(format!("{error:#}")))?;
        self.attached = false;
        tracing::info!("detached; no packet is forwarded any more");
        Ok(())
    }
}

/// Returns when `stop` says so, or when nobody can say so any more.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn does_not_fit(error: &PlanError) -> ControlError {
    Fault::of_source("the configuration", FaultKind::Invalid, error.to_string()).into()
}

fn owned_fault(path: &ResourcePath, file: &str) -> Fault {
    Fault::of_resource(
        path,
        FaultKind::Invalid,
        format!("it is defined by {file}; change it there"),
    )
}
