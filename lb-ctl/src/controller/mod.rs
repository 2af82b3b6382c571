//! The one who decides: events in, plans out, the maps after them.
//!
//! A request, a probe result, a moved neighbour and a deadline all take the same road: change the inputs, compile,
//! diff, apply. Nothing else writes the maps.

mod announce;
mod change;
mod claims;
mod files;
mod follow;
mod handle;
mod history;
mod housekeeping;
mod index;
mod install;
mod report;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{Notify, mpsc, watch};

pub use self::handle::Handle;
pub use self::history::{HealthChanges, History, HistoryPlace, KeepError, Keeper, KeeperState, kept_seed};

use self::announce::Announcements;
use self::files::Files;
use self::handle::Request;
use self::index::Index;
use crate::config_files::{ConfigFiles, FromFiles};
use crate::control::ResourceMap;
use crate::dataplane::{self, Program};
use crate::flowlog::Publisher;
use crate::health::{EndpointProber, HealthChecker, HealthEvent, HealthState, ProbePaths, TargetId};
use crate::model::Config;
use crate::net::{Links, Mark, NetWatcher, NextHops, ProbeDevice};
use crate::plan::contents::Contents;
use crate::plan::{Limits, Plan, ProbeDestination, ZonePrefixes};
use crate::resources::{Document, Owners, ResourceStore, Resources, Scope, Stored};

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
    pub probe_destination: ProbeDestination,
    pub probe_mark: Mark,
    /// Names and indices of the interfaces that packets arrive on.
    pub interfaces: Vec<(String, u32)>,
    pub announce: bool,
    pub state_dir: std::path::PathBuf,
    pub pin_dir: std::path::PathBuf,
}

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
    owners: Owners,
    files: Files,
    published: watch::Sender<Arc<ResourceMap>>,
    checker: HealthChecker<EndpointProber>,
    probe_paths: watch::Sender<Option<Arc<ProbePaths>>>,
    probe_device: Option<Arc<ProbeDevice>>,
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
    /// The second at which all that waits for time was last looked after.
    deadlines_met_at: u32,
    attached: bool,
    frozen: Option<String>,
}

/// What wakes the controller.
pub struct Events {
    requests: mpsc::Receiver<Request>,
    health: mpsc::UnboundedReceiver<HealthEvent>,
    /// The files of `--config` may have changed.
    files: Arc<Notify>,
}

/// What the controller is made of.
pub struct Parts {
    pub settings: Settings,
    pub store: Box<dyn ResourceStore>,
    pub stored: Stored,
    pub files: ConfigFiles,
    pub documents: Vec<Document>,
    /// What the documents make of what is stored.
    pub from_files: FromFiles,
    /// Wakes the controller when the files may have changed.
    pub files_changed: Arc<Notify>,
    pub program: Program,
    /// Where probes for VIPs leave, unless endpoints are probed at their own addresses.
    pub probe_device: Option<Arc<ProbeDevice>>,
    pub history: History,
    /// What the log of connections is told.
    pub connections: Publisher,
    /// Why nothing may be changed.
    pub frozen: Option<String>,
}

impl Controller {
    /// Adopts what the maps hold, plans for what is configured, and brings the maps there.
    pub async fn start(parts: Parts) -> anyhow::Result<(Self, Handle, Events)> {
        let Parts {
            settings,
            store,
            stored,
            files,
            documents,
            from_files,
            files_changed,
            program,
            probe_device,
            mut history,
            connections,
            frozen,
        } = parts;
        let actual = program.maps.read().context("reading the maps back")?;
        let plan = history.adopt(&actual);
        let health = history.health();
        let (probe_paths, paths) = watch::channel(Some(Arc::default()));
        let prober = EndpointProber::new(settings.probe_mark.value, paths);
        let (checker, health_events) = HealthChecker::with_prober(prober, health.clone());
        let watcher = NetWatcher::new().context("watching routes and neighbours")?;
        let (requests_in, requests) = mpsc::channel(64);
        let (published, snapshot) = watch::channel(Arc::default());
        let announcements = Announcements::new(&settings)?;
        let mut controller = Self {
            started: Instant::now(),
            store,
            config: Config::default(),
            resources: stored.resources,
            owners: stored.owners,
            files: Files::new(files, documents, &from_files),
            published,
            health,
            checker,
            probe_paths,
            probe_device,
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
            deadlines_met_at: dataplane::now(),
            attached: false,
            frozen,
            settings,
        };
        controller.load(from_files).await?;
        Ok((
            controller,
            Handle::new(requests_in, snapshot),
            Events {
                requests,
                health: health_events,
                files: files_changed,
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
                () = events.files.notified() => self.reload_files().await,
                _ = housekeeping.tick() => self.housekeep().await,
                _ = sweep.tick() => {
                    let cleared = self.program.maps.flows.sweep(dataplane::now());
                    tracing::debug!("swept {cleared} expired flows");
                }
            }
        }
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
            Request::IamPolicy(path, reply) => {
                let _ = reply.send(self.iam_policy(&path));
            }
            Request::SetIamPolicy(path, policy, reply) => {
                let _ = reply.send(self.set_iam_policy(&path, policy));
            }
            Request::EndpointHealth(service, group, reply) => {
                let _ = reply.send(self.endpoint_health(&service, group.as_ref()));
            }
            Request::Verify(reply) => {
                let _ = reply.send(self.verify());
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
                let _ = reply.send(self.detach().await);
            }
        }
    }
}

/// Returns when `stop` says so, or when nobody can say so any more.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
