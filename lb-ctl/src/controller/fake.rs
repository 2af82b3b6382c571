//! The controller's seams in memory, which can be told to fail and to wait.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use lb_common::layout::{MemberCounter, VerdictCounter};
use lb_common::verdict::Reason;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::history::{HealthChanges, KeepError, Keeper, KeeperState};
use super::seams::{Attachments, Checks, Clock, Maps, Network, Workshop};
use super::{Controller, Handle, Parts, Settings};
use crate::config_files::ConfigFiles;
use crate::control::{ApplyOptions, ApplyReport, Control as _, ControlError};
use crate::dataplane::{ApplyError, AttachError, Attached, FlowTable, PinnedLinkState, XdpFailures, XdpMode};
use crate::flowlog::Publisher;
use crate::health::{HealthEvent, HealthState, TargetId};
use crate::model::HealthCheck;
use crate::net::{
    Conflicts, Desired, Following, Link, Mark, NetworkState, NextHop, XdpAttachment, XdpMode as HeldMode,
};
use crate::plan::contents::Contents;
use crate::plan::diff::Operation;
use crate::plan::tests::maps::FakeMaps;
use crate::plan::tests::world::{LIMITS, SEED};
use crate::plan::{BuiltTable, HealthMap, Limits, Plan, ProbeDestination, TableBuild, ZonePrefixes};
use crate::resources::{self, DefaultSlots, MemoryStore, ResourceStore as _, Scope};

pub(crate) fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the next operation shall fail.
type Fails = Box<dyn FnMut(&Operation) -> bool + Send>;

/// Maps that are shared with the test, which looks at them and makes them fail.
#[derive(Clone)]
pub(crate) struct MemoryMaps {
    pub(crate) maps: Arc<Mutex<FakeMaps>>,
    fails: Arc<Mutex<Option<Fails>>>,
    /// How many operations were done.
    pub(crate) operations: Arc<AtomicU32>,
    /// Whether nobody can tell when the last reader of a table is gone.
    pub(crate) hides_readers: Arc<AtomicBool>,
    flows: Arc<FlowTable>,
}

impl MemoryMaps {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            maps: Arc::new(Mutex::new(FakeMaps::of(limits))),
            fails: Arc::default(),
            operations: Arc::default(),
            hides_readers: Arc::default(),
            flows: Arc::new(FlowTable::empty(8)),
        }
    }

    pub(crate) fn fail(&self, fails: impl FnMut(&Operation) -> bool + Send + 'static) {
        *locked(&self.fails) = Some(Box::new(fails));
    }

    pub(crate) fn heal(&self) {
        *locked(&self.fails) = None;
    }

    pub(crate) fn contents(&self) -> Contents {
        locked(&self.maps).contents()
    }
}

impl Maps for MemoryMaps {
    fn apply(&mut self, operations: &[Operation]) -> Result<(), ApplyError> {
        for operation in operations {
            if locked(&self.fails).as_mut().is_some_and(|fails| fails(operation)) {
                return Err(ApplyError::new(anyhow::anyhow!("no room for {operation:.40?}")));
            }
            locked(&self.maps).apply(operation);
            self.operations.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn reader(&self) -> Arc<dyn Fn() -> anyhow::Result<Contents> + Send + Sync> {
        let maps = self.maps.clone();
        Arc::new(move || Ok(locked(&maps).contents()))
    }

    fn barrier(&self) -> Arc<dyn Fn() -> std::io::Result<()> + Send + Sync> {
        let hides_readers = self.hides_readers.clone();
        Arc::new(move || match hides_readers.load(Ordering::Relaxed) {
            true => Err(std::io::ErrorKind::Unsupported.into()),
            false => Ok(()),
        })
    }

    fn incarnation(&self) -> u32 {
        1
    }

    fn verdicts(&self) -> anyhow::Result<BTreeMap<Reason, VerdictCounter>> {
        Ok(BTreeMap::new())
    }

    fn not_judged(&self) -> anyhow::Result<u64> {
        Ok(0)
    }

    fn member_counter(&self, _number: u32) -> anyhow::Result<MemberCounter> {
        Ok(MemberCounter::default())
    }

    fn flows(&self) -> &Arc<FlowTable> {
        &self.flows
    }
}

/// A network that is what the test says.
#[derive(Clone)]
pub(crate) struct StillNetwork {
    state: watch::Sender<Arc<NetworkState>>,
    pub(crate) watched: Arc<Mutex<BTreeSet<IpAddr>>>,
    pub(crate) answered: Arc<Mutex<Desired>>,
    pub(crate) conflicts: watch::Sender<Arc<Conflicts>>,
    /// What it fails with, if it does.
    pub(crate) fails: Arc<Mutex<Vec<String>>>,
}

impl StillNetwork {
    pub(crate) fn new(state: NetworkState) -> Self {
        Self {
            state: watch::channel(Arc::new(state)).0,
            watched: Arc::default(),
            answered: Arc::default(),
            conflicts: watch::channel(Arc::default()).0,
            fails: Arc::default(),
        }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut NetworkState)) {
        self.state.send_modify(|state| change(Arc::make_mut(state)));
    }
}

impl Network for StillNetwork {
    fn state(&self) -> watch::Receiver<Arc<NetworkState>> {
        self.state.subscribe()
    }

    fn look_again(&self) {
        self.state.send_modify(|state| {
            let state = Arc::make_mut(state);
            state.links = Arc::new(BTreeMap::clone(&state.links));
        });
    }

    fn watch(&self, addresses: BTreeSet<IpAddr>) {
        *locked(&self.watched) = addresses;
    }

    fn answer_for(&mut self, desired: &Desired) -> Vec<String> {
        locked(&self.answered).clone_from(desired);
        locked(&self.fails).clone()
    }

    fn conflicts(&self) -> watch::Receiver<Arc<Conflicts>> {
        self.conflicts.subscribe()
    }

    fn troubles(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Probes nobody: the test says what is healthy.
#[derive(Clone)]
pub(crate) struct ToldChecks {
    pub(crate) targets: Arc<Mutex<BTreeMap<TargetId, Arc<HealthCheck>>>>,
    states: Arc<Mutex<BTreeMap<TargetId, HealthState>>>,
    events: mpsc::UnboundedSender<HealthEvent>,
}

impl ToldChecks {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<HealthEvent>) {
        let (events, receiver) = mpsc::unbounded_channel();
        let checks = Self {
            targets: Arc::default(),
            states: Arc::default(),
            events,
        };
        (checks, receiver)
    }

    pub(crate) fn tell(&self, target: &TargetId, healthy: bool) {
        let state = HealthState {
            healthy,
            ..HealthState::initial()
        };
        locked(&self.states).insert(target.clone(), state.clone());
        let event = HealthEvent {
            target: target.clone(),
            state,
        };
        self.events.send(event).expect("the controller runs");
    }
}

impl Checks for ToldChecks {
    fn set_targets(&mut self, targets: BTreeMap<TargetId, Arc<HealthCheck>>) {
        *locked(&self.targets) = targets;
    }

    fn state(&self, target: &TargetId) -> Option<HealthState> {
        locked(&self.states).get(target).cloned()
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Attachments that last until the test ends them, and that the network tells of.
#[derive(Clone)]
pub(crate) struct Hooks {
    pub(crate) links: Arc<Mutex<BTreeMap<u32, PinnedLinkState>>>,
    network: StillNetwork,
    /// What XDP could not send.
    pub(crate) failures: Arc<Mutex<XdpFailures>>,
}

impl Attachments for Hooks {
    fn links(&mut self) -> anyhow::Result<BTreeMap<u32, PinnedLinkState>> {
        Ok(locked(&self.links).clone())
    }

    fn attach(&mut self, _interface: &str, index: u32, _mode: XdpMode) -> Result<Attached, AttachError> {
        locked(&self.links).insert(index, PinnedLinkState::Ours);
        self.network.change(|state| {
            if let Some(link) = Arc::make_mut(&mut state.links).get_mut(&index) {
                link.xdp = vec![XdpAttachment {
                    mode: HeldMode::Native,
                    program_id: 1,
                }];
            }
        });
        Ok(Attached::Native)
    }

    fn release(&mut self, index: u32) -> anyhow::Result<()> {
        locked(&self.links).remove(&index);
        Ok(())
    }

    fn attach_probe(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    fn failures(&self) -> anyhow::Result<XdpFailures> {
        Ok(locked(&self.failures).clone())
    }

    fn detach(&mut self) -> anyhow::Result<()> {
        locked(&self.links).clear();
        Ok(())
    }
}

/// The test can put it forward; else it goes as the runtime's does.
#[derive(Clone)]
pub(crate) struct SetClock {
    begin: Arc<AtomicU32>,
    started: tokio::time::Instant,
}

impl SetClock {
    pub(crate) fn at(second: u32) -> Self {
        Self {
            begin: Arc::new(AtomicU32::new(second)),
            started: tokio::time::Instant::now(),
        }
    }

    pub(crate) fn pass(&self, seconds: u32) {
        self.begin.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now(&self) -> u32 {
        self.begin.load(Ordering::Relaxed) + self.started.elapsed().as_secs() as u32
    }
}

/// Lets nobody through while it is closed.
#[derive(Clone)]
pub(crate) struct Gate(watch::Sender<bool>);

impl Default for Gate {
    fn default() -> Self {
        Self(watch::channel(true).0)
    }
}

impl Gate {
    pub(crate) fn close(&self) {
        self.0.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    pub(crate) async fn pass(&self) {
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// Builds tables; the test can hold the next one.
#[derive(Clone, Default)]
pub(crate) struct Bench {
    holds_next: Arc<AtomicBool>,
    held: Arc<AtomicBool>,
    gate: Gate,
}

impl Bench {
    pub(crate) fn hold_next(&self) {
        self.gate.close();
        self.holds_next.store(true, Ordering::Relaxed);
    }

    pub(crate) fn holds(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    pub(crate) fn let_go(&self) {
        self.gate.open();
    }
}

impl Workshop for Bench {
    fn build(&self, build: TableBuild) -> BoxFuture<'static, BuiltTable> {
        let bench = self.clone();
        let is_held = self.holds_next.swap(false, Ordering::Relaxed);
        Box::pin(async move {
            if is_held {
                bench.held.store(true, Ordering::Relaxed);
                bench.gate.pass().await;
                bench.held.store(false, Ordering::Relaxed);
            }
            build.run()
        })
    }
}

/// A history that is kept in memory, when the test lets it.
#[derive(Clone, Default)]
pub(crate) struct Notes {
    pub(crate) gate: Gate,
    pub(crate) fails: Arc<AtomicU32>,
}

impl Keeper for Notes {
    fn save(&mut self, _plan: &Plan, _health: HealthChanges) -> BoxFuture<'static, Result<(), KeepError>> {
        let notes = self.clone();
        Box::pin(async move {
            notes.gate.pass().await;
            match notes.fails.load(Ordering::Relaxed) {
                0 => Ok(()),
                _ => Err(KeepError("no space left on the device".to_owned())),
            }
        })
    }

    fn state(&self) -> KeeperState {
        match self.fails.load(Ordering::Relaxed) {
            0 => KeeperState::Keeping,
            _ => KeeperState::Failing {
                since: jiff::Timestamp::UNIX_EPOCH,
                reason: "no space left on the device".to_owned(),
            },
        }
    }
}

/// A controller over all of these, which runs in a task until it is dropped.
pub(crate) struct Stage {
    pub(crate) handle: Handle,
    pub(crate) maps: MemoryMaps,
    pub(crate) network: StillNetwork,
    pub(crate) checks: ToldChecks,
    pub(crate) hooks: Hooks,
    pub(crate) clock: SetClock,
    pub(crate) builds: Bench,
    pub(crate) notes: Notes,
    pub(crate) store: MemoryStore,
    _stop: watch::Sender<bool>,
}

/// The second at which every stage begins.
pub(crate) const BEGIN: u32 = 4003;

impl Stage {
    pub(crate) async fn start() -> Self {
        Self::start_on(settings(), MemoryStore::default()).await
    }

    pub(crate) async fn start_on(settings: Settings, store: MemoryStore) -> Self {
        Self::start_while(settings, store, |_| ()).await
    }

    /// With maps that hold nothing yet; `meanwhile` happens to the network between the first plan and the attachment.
    pub(crate) async fn start_while(
        settings: Settings,
        store: MemoryStore,
        meanwhile: impl FnOnce(&StillNetwork),
    ) -> Self {
        let maps = MemoryMaps::new(&settings.limits);
        let network = StillNetwork::new(network());
        let (checks, health_events) = ToldChecks::new();
        let hooks = Hooks {
            links: Arc::default(),
            network: network.clone(),
            failures: Arc::default(),
        };
        let clock = SetClock::at(BEGIN);
        let (builds, notes) = (Bench::default(), Notes::default());
        let parts = Parts {
            settings,
            stored: store.load().expect("memory is read"),
            frozen: None,
            store: Box::new(store.clone()),
            files: ConfigFiles::default(),
            files_changed: Arc::default(),
            maps: Box::new(maps.clone()),
            attachments: Box::new(hooks.clone()),
            network: Box::new(network.clone()),
            checks: Box::new(checks.clone()),
            health_events,
            probe_paths: watch::channel(None).0,
            clock: Arc::new(clock.clone()),
            workshop: Arc::new(builds.clone()),
            probe_device: None,
            keeper: Box::new(notes.clone()),
            actual: maps.contents(),
            plan: Plan::default(),
            health: HealthMap::new(),
            connections: Publisher::unread(),
        };
        let (mut controller, handle, events) = Controller::start(parts).await;
        meanwhile(&network);
        controller.attach().await.expect("it is attached");
        let (stop, stopping) = watch::channel(false);
        tokio::spawn(controller.run(events, stopping));
        Self {
            handle,
            maps,
            network,
            checks,
            hooks,
            clock,
            builds,
            notes,
            store,
            _stop: stop,
        }
    }

    pub(crate) async fn apply(&self, value: Value) -> Result<ApplyReport, ControlError> {
        let documents = resources::parse("test", &value.to_string()).expect("documents");
        self.handle.apply(documents, ApplyOptions::default()).await
    }

    /// Every endpoint that is probed at this address.
    pub(crate) fn tell_health(&self, address: &str, healthy: bool) {
        let address: IpAddr = address.parse().expect("an address");
        let targets: Vec<TargetId> = locked(&self.checks.targets).keys().cloned().collect();
        for target in targets.iter().filter(|target| target.address == address) {
            self.checks.tell(target, healthy);
        }
    }

    /// Every sentence that `status` has for what is wrong.
    pub(crate) async fn troubles(&self) -> Vec<String> {
        let status = self.handle.status().await.expect("a status");
        status.troubles.into_iter().map(|trouble| trouble.text).collect()
    }

    /// Waits until it is so. The clock of the test moves only when nobody has anything to do.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let so = async {
            while !is_so() {
                tokio::time::sleep(PAUSE).await;
            }
        };
        if tokio::time::timeout(PATIENCE, so).await.is_err() {
            panic!("{what}: {:?}", self.troubles().await);
        }
    }

    pub(crate) async fn until_maps_are_right(&self) {
        let right = async {
            while !self.verified().await.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
        };
        if tokio::time::timeout(PATIENCE, right).await.is_err() {
            panic!("{:?} {:?}", self.verified().await, self.troubles().await);
        }
    }

    async fn verified(&self) -> Vec<String> {
        self.handle.verify().await.expect("a verification").differences
    }

    /// Waits until the maps hold what they should, and nothing is wrong.
    pub(crate) async fn until_well(&self) {
        self.until_maps_are_right().await;
        let well = async {
            while !self.troubles().await.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
        };
        if tokio::time::timeout(PATIENCE, well).await.is_err() {
            panic!("{:?}", self.troubles().await);
        }
    }
}

const PAUSE: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(120);

/// Few of everything.
pub(crate) fn settings() -> Settings {
    Settings {
        scope: Scope::default(),
        seed: SEED,
        limits: LIMITS,
        default_table_slots: DefaultSlots::Slots(4096),
        zones: ZonePrefixes::new(),
        gue_port: 6080,
        probe_destination: ProbeDestination::OwnAddress,
        probe_mark: Mark::DEFAULT,
        interfaces: vec!["eth0".to_owned()],
        virtual_macs: Vec::new(),
        xdp_mode: XdpMode::Auto,
        announce: true,
        announce_repeat: None,
        state_dir: "/nowhere".into(),
        pin_dir: "/nowhere".into(),
        // So that every table goes through the workshop.
        inline_work: 0,
        compare_interval: Duration::from_secs(60),
        unwatched: None,
    }
}

/// One interface, and 10.0.0.1 to 10.0.0.40 on it.
fn network() -> NetworkState {
    let link = Link {
        index: 2,
        name: "eth0".to_owned(),
        up: true,
        carrier: true,
        mtu: 1500,
        mac: Some([2, 0, 0, 0, 0, 1]),
        ..Link::default()
    };
    let hosts = (1..=40).map(|last| IpAddr::from([10, 0, 0, last]));
    NetworkState {
        links: Arc::new(BTreeMap::from([(2, link)])),
        next_hops: Arc::new(hosts.map(|host| (host, reached(host))).collect()),
        following: Following {
            is_read: true,
            ..Following::default()
        },
        ..NetworkState::default()
    }
}

pub(crate) fn reached(host: IpAddr) -> NextHop {
    let IpAddr::V4(address) = host else {
        panic!("an IPv4 host");
    };
    NextHop::Resolved {
        ifindex: 2,
        source_mac: [2, 0, 0, 0, 0, 1],
        destination_mac: [2, 0, 0, 0, 1, address.octets()[3]],
        on_link: true,
        mtu: 1500,
        source_address: Some([10, 0, 0, 254].into()),
    }
}
