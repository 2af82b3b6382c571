//! The one who decides: events in, plans out, the maps after them.
//!
//! A request, a probe result, a moved neighbour and a deadline all take the same road: change the inputs, note what is
//! dirty, compile, diff, apply. Nothing else writes the maps. Nothing here waits: what takes time (a table, a commit, a
//! file) is done beside the loop and comes back to it as a message, and what fails stays noted and is tried again.

mod announce;
mod backoff;
mod builds;
mod change;
mod claims;
mod compare;
mod dirty;
mod failures;
#[cfg(test)]
pub(crate) mod fake;
mod files;
mod follow;
mod handle;
mod history;
mod index;
mod inputs;
mod interfaces;
mod real;
mod report;
mod rests;
mod seams;
mod settle;
mod stored;
mod tables;
#[cfg(test)]
mod tests;
mod troubles;
mod verify;
mod ways;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};

pub use self::handle::Handle;
pub use self::history::{HealthChanges, History, HistoryPlace, KeepError, Keeper, KeeperState, kept_seed};
pub use self::real::{KernelAttachments, KernelClock, KernelMaps, KernelNetwork, Threads};
pub use self::seams::{Attachments, Checks, Clock, Maps, Network, Workshop};

use self::announce::Announcements;
use self::backoff::Backoff;
use self::builds::Builds;
use self::change::{Changes, InForce};
use self::compare::Comparison;
use self::dirty::Dirty;
use self::failures::Failures;
use self::files::Files;
use self::handle::Request;
use self::index::Index;
use self::interfaces::Interfaces;
use self::rests::Rests;
use self::settle::Keeping;
use self::stored::StoredFaults;
use self::troubles::{Subject, Troubles};
use self::work::{Done, Work};
use crate::config_files::ConfigFiles;
use crate::control::ResourceMap;
use crate::dataplane::XdpMode;
use crate::flowlog::Publisher;
use crate::health::{HealthEvent, ProbePaths, TargetId};
use crate::model::ResourcePath;
use crate::net::{MacAddr, Mark, NetworkState, ProbeDevice};
use crate::plan::contents::Contents;
use crate::plan::{
    Arrivals, BuiltTables, HealthMap, Limits, Plan, ProbeDestination, ServiceKey, Ways, ZonePrefixes,
};
use crate::resources::{DefaultSlots, ResourceStore, Scope, Stored, TableRoom};

/// What the daemon was told at its start.
/// No `Debug`: the seed is a secret.
#[derive(Clone)]
pub struct Settings {
    pub scope: Scope,
    pub seed: u128,
    pub limits: Limits,
    /// How large the tables of services are that are made from now on.
    pub default_table_slots: DefaultSlots,
    /// Where clients are, for zonal affinity.
    pub zones: ZonePrefixes,
    /// UDP port of `gue` delivery.
    pub gue_port: u16,
    pub probe_destination: ProbeDestination,
    pub probe_mark: Mark,
    /// Names of the interfaces that packets arrive on.
    pub interfaces: Vec<String>,
    /// Ethernet addresses that frames to this host may have beside those of its devices.
    pub virtual_macs: Vec<MacAddr>,
    pub xdp_mode: XdpMode,
    pub announce: bool,
    /// VIPs are announced again this often.
    pub announce_repeat: Option<Duration>,
    pub state_dir: std::path::PathBuf,
    pub pin_dir: std::path::PathBuf,
    /// Nanoseconds of table building that the loop spends at once. What takes more is built beside it.
    pub inline_work: u64,
    /// How often everything that the maps hold is compared with what they should hold.
    pub compare_interval: Duration,
    /// Why nobody tells what XDP can't send, if so: a sentence.
    pub unwatched: Option<String>,
}

/// Expired flow-table slots are swept this often; at the latest after 15 h their ticks would wrap.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);
/// That wait to be answered; more wait to be asked.
const REQUESTS: usize = 64;
/// Deadlines are whole seconds.
const SECOND: Duration = Duration::from_secs(1);

pub struct Controller {
    settings: Arc<Settings>,
    room: Arc<TableRoom>,
    started: Instant,
    /// Why nothing is changed: the maps are those of another store.
    frozen: Option<String>,
    stored_faults: StoredFaults,
    // What it stands on.
    store: Box<dyn ResourceStore>,
    keeper: Box<dyn Keeper>,
    maps: Box<dyn Maps>,
    attachments: Box<dyn Attachments>,
    network: Box<dyn Network>,
    checks: Box<dyn Checks>,
    clock: Arc<dyn Clock>,
    workshop: Arc<dyn Workshop>,
    probe_device: Option<Arc<ProbeDevice>>,
    connections: Publisher,
    // Inputs.
    in_force: InForce,
    files: Files,
    health: HealthMap,
    network_state: Arc<NetworkState>,
    ways: Arc<Ways>,
    /// The interfaces that packets arrive on.
    arrivals: Arc<Arrivals>,
    built: BuiltTables,
    // What is made of them.
    index: Index,
    plan: Plan,
    published: watch::Sender<Arc<ResourceMap>>,
    probe_paths: watch::Sender<Option<Arc<ProbePaths>>>,
    /// What the maps hold; nothing while nobody knows.
    actual: Option<Contents>,
    /// What the history holds.
    kept: Plan,
    /// Counts the writes to the maps.
    generation: u64,
    // What is still to be done.
    dirty: Dirty,
    /// The second at which all that waits for time was last looked after.
    deadlines_met_at: u32,
    changes: Changes,
    builds: Builds,
    rests: Rests,
    /// Services that have their tables and wait for the history.
    built_early: BTreeSet<ResourcePath>,
    keeping: Option<Keeping>,
    waiting_for_history: Dirty,
    unkept: bool,
    unkept_health: BTreeSet<TargetId>,
    /// Since when services wait for tables.
    pending_since: BTreeMap<ServiceKey, tokio::time::Instant>,
    /// The maps may differ from the plan.
    behind: bool,
    /// The maps are being read back after a failure.
    reading: bool,
    /// Somebody waits for the last reader of tables that were replaced.
    awaits_readers: bool,
    /// Nobody can tell when that is gone, so tables wait for their time.
    readers_unknown: bool,
    maps_retry: Backoff,
    keep_retry: Backoff,
    comparison: Comparison,
    interfaces: Interfaces,
    failures: Failures,
    announcements: Announcements,
    troubles: Troubles,
    /// Warnings about claimed addresses that the log has.
    told: BTreeSet<String>,
    work: Work,
}

/// What wakes the controller.
pub struct Events {
    requests: mpsc::Receiver<Request>,
    health: mpsc::UnboundedReceiver<HealthEvent>,
    /// The files of `--config` may have changed.
    files: Arc<Notify>,
    work: mpsc::UnboundedReceiver<Done>,
}

/// What the controller is made of.
pub struct Parts {
    pub settings: Settings,
    pub store: Box<dyn ResourceStore>,
    pub stored: Stored,
    /// Why nothing may be changed, if so.
    pub frozen: Option<String>,
    pub files: ConfigFiles,
    /// Wakes the controller when the files may have changed.
    pub files_changed: Arc<Notify>,
    pub maps: Box<dyn Maps>,
    pub attachments: Box<dyn Attachments>,
    pub network: Box<dyn Network>,
    pub checks: Box<dyn Checks>,
    pub health_events: mpsc::UnboundedReceiver<HealthEvent>,
    pub probe_paths: watch::Sender<Option<Arc<ProbePaths>>>,
    pub clock: Arc<dyn Clock>,
    pub workshop: Arc<dyn Workshop>,
    /// Where probes for VIPs leave, unless endpoints are probed at their own addresses.
    pub probe_device: Option<Arc<ProbeDevice>>,
    pub keeper: Box<dyn Keeper>,
    /// What the maps held when they were taken up, and the plan that they were written by.
    pub actual: Contents,
    pub plan: Plan,
    pub health: HealthMap,
    /// What the log of connections is told.
    pub connections: Publisher,
}

impl Controller {
    /// Takes up what the maps hold, plans for what is stored and for the files, and brings the maps there as far as that
    /// goes within a bounded time. Nothing of what is stored stops it.
    pub async fn start(parts: Parts) -> (Self, Handle, Events) {
        let (requests_in, requests) = mpsc::channel(REQUESTS);
        let (published, snapshot) = watch::channel(Arc::default());
        let (work, done) = Work::new();
        let mut events = Events {
            requests,
            health: parts.health_events,
            files: parts.files_changed,
            work: done,
        };
        let room = parts.settings.table_room(&parts.stored.resources, &parts.plan);
        let (in_force, stored_faults) = InForce::of_store(parts.stored, &room);
        published.send_replace(in_force.published.clone());
        let mut controller = Self {
            started: Instant::now(),
            frozen: parts.frozen,
            comparison: Comparison::new(parts.settings.compare_interval),
            announcements: Announcements::default(),
            settings: Arc::new(parts.settings),
            room: Arc::new(room),
            store: parts.store,
            keeper: parts.keeper,
            maps: parts.maps,
            attachments: parts.attachments,
            network: parts.network,
            checks: parts.checks,
            clock: parts.clock,
            workshop: parts.workshop,
            probe_device: parts.probe_device,
            connections: parts.connections,
            in_force,
            stored_faults,
            files: Files::new(parts.files),
            health: parts.health,
            network_state: Arc::default(),
            ways: Arc::default(),
            arrivals: Arc::default(),
            built: BuiltTables::default(),
            index: Index::default(),
            // What was kept and taken up is what the history holds.
            kept: parts.plan.clone(),
            plan: parts.plan,
            published,
            probe_paths: parts.probe_paths,
            actual: Some(parts.actual),
            generation: 0,
            dirty: Dirty::default(),
            deadlines_met_at: 0,
            changes: Changes::default(),
            builds: Builds::default(),
            rests: Rests::default(),
            built_early: BTreeSet::new(),
            keeping: None,
            waiting_for_history: Dirty::default(),
            unkept: false,
            unkept_health: BTreeSet::new(),
            pending_since: BTreeMap::new(),
            behind: false,
            reading: false,
            awaits_readers: false,
            readers_unknown: false,
            maps_retry: Backoff::default(),
            keep_retry: Backoff::default(),
            interfaces: Interfaces::default(),
            failures: Failures::default(),
            troubles: Troubles::default(),
            told: BTreeSet::new(),
            work,
        };
        if let Some(reason) = controller.frozen.clone() {
            controller.troubles.set(Subject::Ownership, reason);
        }
        controller.look_at_store();
        controller.tell_narrowed();
        controller.load(&mut events).await;
        (controller, Handle::new(requests_in, snapshot), events)
    }

    fn tell_narrowed(&self) {
        let held = self.actual.iter();
        let told = held.flat_map(|held| claims::narrowed(&self.in_force.config, &held.rules));
        told.for_each(|text| tracing::warn!("{text}"));
    }

    /// Why the maps are left as they are, and changes are refused.
    fn frozen(&self) -> Option<String> {
        self.frozen.clone()
    }

    async fn load(&mut self, events: &mut Events) {
        self.index = Index::new(&self.in_force.config, &self.plan, self.settings.probe_destination);
        self.watch_endpoints();
        self.wait_for_network().await;
        self.follow_ways();
        self.pass_health_on(&self.in_force.config.clone());
        self.dirty.everything();
        self.keep_table_sizes();
        self.reload_files();
        let settled = async {
            loop {
                self.settle();
                if self.is_settled() {
                    return;
                }
                self.wait(events).await;
            }
        };
        // What is not there by then comes later, and `status` says so.
        let _ = tokio::time::timeout(FIRST_SETTLE, settled).await;
        self.follow_endpoints();
        self.announce();
    }

    /// Whether nothing is left to be done now.
    fn is_settled(&self) -> bool {
        self.frozen().is_some()
            || (self.dirty.is_empty()
                && !self.changes.is_any()
                && !self.waits_for_history()
                && self.plan.pending().next().is_none()
                && !self.is_behind())
    }

    async fn wait(&mut self, events: &mut Events) {
        tokio::select! {
            Some(done) = events.work.recv() => self.on_all_done(done, &mut events.work),
            () = sleep_until(self.next_try()) => self.retry_history(),
            // Grace times end.
            () = tokio::time::sleep(SECOND) => {}
        }
    }

    /// Runs until `stop` says so. Returns whether the data plane is still attached: then it goes on forwarding.
    pub async fn run(mut self, mut events: Events, mut stop: watch::Receiver<bool>) -> bool {
        let mut network = self.network.state();
        // It may have changed since the start looked at it.
        network.mark_changed();
        let mut conflicts = self.network.conflicts();
        let mut probe_way = self.probe_device.as_ref().map(|device| device.way());
        let mut second = tokio::time::interval(SECOND);
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        loop {
            self.settle();
            let next_try = self.next_try();
            tokio::select! {
                () = stopped(&mut stop) => break,
                Some(request) = events.requests.recv() => self.answer(request),
                Some(event) = events.health.recv() => {
                    let mut batch = vec![event];
                    while let Ok(event) = events.health.try_recv() {
                        batch.push(event);
                    }
                    self.on_health(batch);
                }
                Some(done) = events.work.recv() => self.on_all_done(done, &mut events.work),
                Ok(()) = network.changed() => {
                    let state = network.borrow_and_update().clone();
                    self.on_network(state);
                }
                Ok(()) = conflicts.changed() => {
                    conflicts.mark_unchanged();
                    self.tell_warnings();
                }
                () = changed(&mut probe_way) => self.open_probe_way(),
                () = events.files.notified() => self.reload_files(),
                () = sleep_until(next_try) => self.retry_history(),
                _ = second.tick() => self.every_second(),
                _ = sweep.tick() => self.sweep(),
            }
            // However much else is going on, nobody waits for more than a turn.
            self.answer_waiting(&mut events.requests);
        }
        !self.interfaces.detached
    }

    fn every_second(&mut self) {
        self.follow_interfaces();
        self.follow_failures();
        self.announce();
        self.open_probe_way();
        self.compare_now_and_then();
        self.look_at_keeper();
        self.look_at_store();
        self.retry_history();
    }

    fn sweep(&self) {
        if self.frozen.is_some() {
            return;
        }
        let (flows, now) = (self.maps.flows().clone(), self.clock.now());
        tokio::task::spawn_blocking(move || {
            let cleared = flows.sweep(now);
            tracing::debug!("swept {cleared} expired flows");
        });
    }

    /// What else is done by now needs no turn of its own: tables are built by the thousand.
    fn on_all_done(&mut self, done: Done, others: &mut mpsc::UnboundedReceiver<Done>) {
        self.on_done(done);
        while let Ok(done) = others.try_recv() {
            self.on_done(done);
        }
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Prepared(result) => self.on_prepared(*result),
            Done::Stored(result) => self.on_stored(result),
            Done::Reverted(result) => self.on_reverted(result),
            Done::Kept(result) => self.on_kept(result),
            Done::Built(service, tables) => self.on_built(service, tables),
            Done::Unread(mark, result) => self.on_unread(mark, result),
            Done::Held(held) => self.on_held(held),
            Done::Verified(verified) => self.on_verified(*verified),
        }
    }

    /// As many as the queue holds, so that a flood of them does not stop the rest.
    fn answer_waiting(&mut self, requests: &mut mpsc::Receiver<Request>) {
        for _ in 0..REQUESTS {
            let Ok(request) = requests.try_recv() else { return };
            self.answer(request);
        }
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Change(change, asker) => self.ask_for(change, asker),
            Request::IamPolicy(path, reply) => drop(reply.send(self.iam_policy(&path))),
            Request::EndpointHealth(service, group, reply) => {
                drop(reply.send(self.endpoint_health(&service, group.as_ref())));
            }
            Request::Verify(reply) => self.verify(reply),
            Request::TableSlots(service, reply) => drop(reply.send(self.table_slots(&service))),
            Request::Status(reply) => drop(reply.send(Ok(self.status()))),
            Request::Stats(reply) => drop(reply.send(self.stats())),
            Request::Flows(limit, service, reply) => {
                drop(reply.send(self.flows(limit, service.as_ref())));
            }
            Request::FlowCount(reply) => drop(reply.send(Ok(self.flow_count()))),
            Request::Detach(reply) => self.detach(reply),
        }
    }
}

/// How long a start waits until the maps hold everything.
const FIRST_SETTLE: Duration = Duration::from_secs(15);

/// Returns when `stop` says so, or when nobody can say so any more.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Never, if there is nothing that could change.
async fn changed<T>(receiver: &mut Option<watch::Receiver<T>>) {
    if let Some(receiver) = receiver
        && receiver.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

async fn sleep_until(when: Option<tokio::time::Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
