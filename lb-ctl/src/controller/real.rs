//! The controller's seams over the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use lb_common::layout::{MemberCounter, VerdictCounter};
use lb_common::verdict::Reason;
use tokio::sync::{Semaphore, watch};

use super::seams::{Attachments, Checks, Clock, Maps, Network, Workshop};
use crate::dataplane::{
    self, ApplyError, AttachError, Attached, FlowTable, MapSet, PinDirectory, PinnedLinkState, Program,
    XdpFailures, XdpMode,
};
use crate::health::{EndpointProber, HealthChecker, HealthState, TargetId};
use crate::model::HealthCheck;
use crate::net::{Announcer, Conflicts, Desired, NetError, NetWatcher, NetworkState, ProbeDevice};
use crate::plan::contents::Contents;
use crate::plan::diff::Operation;
use crate::plan::{BuiltTable, TableBuild};

/// The maps of a loaded program.
pub struct KernelMaps {
    maps: MapSet,
    /// For other threads.
    again: Arc<MapSet>,
}

impl KernelMaps {
    /// Handles of its own on these maps.
    pub fn new(maps: &MapSet) -> anyhow::Result<Self> {
        Ok(Self {
            maps: maps.reopen()?,
            again: Arc::new(maps.reopen()?),
        })
    }
}

impl Maps for KernelMaps {
    fn apply(&mut self, operations: &[Operation]) -> Result<(), ApplyError> {
        self.maps.apply(operations)
    }

    fn reader(&self) -> Arc<dyn Fn() -> anyhow::Result<Contents> + Send + Sync> {
        let maps = self.again.clone();
        Arc::new(move || maps.read())
    }

    fn barrier(&self) -> Arc<dyn Fn() -> std::io::Result<()> + Send + Sync> {
        Arc::new(dataplane::wait_for_readers)
    }

    fn incarnation(&self) -> u32 {
        self.maps.incarnation()
    }

    fn verdicts(&self) -> anyhow::Result<BTreeMap<Reason, VerdictCounter>> {
        self.maps.verdicts()
    }

    fn not_judged(&self) -> anyhow::Result<u64> {
        self.maps.not_judged()
    }

    fn member_counter(&self, number: u32) -> anyhow::Result<MemberCounter> {
        self.maps.member_counter(number)
    }

    fn flows(&self) -> &Arc<FlowTable> {
        &self.maps.flows
    }
}

/// The program on its interfaces, pinned.
pub struct KernelAttachments {
    program: Program,
    pins: PinDirectory,
}

impl KernelAttachments {
    pub fn new(program: Program, pins: PinDirectory) -> Self {
        Self { program, pins }
    }
}

impl Attachments for KernelAttachments {
    fn links(&mut self) -> anyhow::Result<BTreeMap<u32, PinnedLinkState>> {
        self.program.links(&self.pins)
    }

    fn attach(&mut self, interface: &str, index: u32, mode: XdpMode) -> Result<Attached, AttachError> {
        self.program.attach(interface, index, mode, &self.pins)
    }

    fn release(&mut self, index: u32) -> anyhow::Result<()> {
        Ok(self.pins.remove_link(index)?)
    }

    fn attach_probe(&mut self) -> anyhow::Result<()> {
        self.program.attach_probe(ProbeDevice::NAME)
    }

    fn failures(&self) -> anyhow::Result<XdpFailures> {
        self.program.failures()
    }

    fn detach(&mut self) -> anyhow::Result<()> {
        dataplane::detach_offline(self.pins.root()).map(drop)
    }
}

/// The network of the namespace that it is made in.
pub struct KernelNetwork {
    watcher: NetWatcher,
    announcer: Announcer,
}

impl KernelNetwork {
    /// Needs a tokio runtime.
    pub fn new() -> Result<Self, NetError> {
        Ok(Self {
            watcher: NetWatcher::new()?,
            announcer: Announcer::new(),
        })
    }
}

impl Network for KernelNetwork {
    fn state(&self) -> watch::Receiver<Arc<NetworkState>> {
        self.watcher.state()
    }

    fn look_again(&self) {
        self.watcher.look_again();
    }

    fn watch(&self, addresses: BTreeSet<IpAddr>) {
        self.watcher.watch(addresses);
    }

    fn answer_for(&mut self, desired: &Desired) -> Vec<String> {
        let errors = self.announcer.set(desired);
        errors.iter().map(ToString::to_string).collect()
    }

    fn conflicts(&self) -> watch::Receiver<Arc<Conflicts>> {
        self.announcer.conflicts()
    }

    fn troubles(&self) -> Vec<String> {
        self.announcer.troubles().into_values().collect()
    }
}

impl Checks for HealthChecker<EndpointProber> {
    fn set_targets(&mut self, targets: BTreeMap<TargetId, Arc<HealthCheck>>) {
        Self::set_targets(self, targets);
    }

    fn state(&self, target: &TargetId) -> Option<HealthState> {
        Self::state(self, target)
    }

    fn warnings(&self) -> Vec<String> {
        Self::warnings(self)
    }
}

/// The clock that packets are judged by.
pub struct KernelClock;

impl Clock for KernelClock {
    fn now(&self) -> u32 {
        dataplane::now()
    }
}

/// Threads beside the runtime's, so that neither packets' deadlines nor answers wait for tables: as many as there are
/// processors.
pub struct Threads(Arc<Semaphore>);

impl Default for Threads {
    fn default() -> Self {
        let processors = std::thread::available_parallelism();
        Self(Arc::new(Semaphore::new(processors.map_or(1, usize::from))))
    }
}

impl Workshop for Threads {
    fn build(&self, build: TableBuild) -> BoxFuture<'static, BuiltTable> {
        let threads = self.0.clone();
        Box::pin(async move {
            let _turn = threads.acquire_owned().await;
            let built = tokio::task::spawn_blocking(move || build.run()).await;
            built.expect("building a table does not panic")
        })
    }
}
