//! What the controller stands on, each behind a trait, so that tests can stand in for it and make it fail.
//!
//! The store is [`ResourceStore`](crate::resources::ResourceStore), the history [`Keeper`](super::Keeper).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use lb_common::layout::{MemberCounter, VerdictCounter};
use lb_common::verdict::Reason;
use tokio::sync::watch;

use crate::dataplane::{ApplyError, AttachError, Attached, FlowTable, PinnedLinkState, XdpFailures, XdpMode};
use crate::health::{HealthState, TargetId};
use crate::model::HealthCheck;
use crate::net::{Conflicts, Desired, NetworkState};
use crate::plan::contents::Contents;
use crate::plan::diff::Operation;
use crate::plan::{BuiltTable, TableBuild};

/// The data plane's maps.
pub trait Maps: Send {
    /// Operations in their order. On an error those before the one that failed are done.
    fn apply(&mut self, operations: &[Operation]) -> Result<(), ApplyError>;

    /// Reads everything, on any thread, while operations go on.
    fn reader(&self) -> Arc<dyn Fn() -> anyhow::Result<Contents> + Send + Sync>;

    /// Waits until no packet is judged any more by what the maps held when it was called. Blocks; an error where nobody
    /// can tell.
    fn barrier(&self) -> Arc<dyn Fn() -> std::io::Result<()> + Send + Sync>;

    /// Tells one life of the maps from another.
    fn incarnation(&self) -> u32;

    /// Packets and bytes of every verdict.
    fn verdicts(&self) -> anyhow::Result<BTreeMap<Reason, VerdictCounter>>;

    /// Packets to VIPs by interfaces that nothing is known of.
    fn not_judged(&self) -> anyhow::Result<u64>;

    fn member_counter(&self, number: u32) -> anyhow::Result<MemberCounter>;

    fn flows(&self) -> &Arc<FlowTable>;
}

/// Links, addresses, next hops; and what is said to the network.
pub trait Network: Send {
    /// What is known of it; changes whenever that does.
    fn state(&self) -> watch::Receiver<Arc<NetworkState>>;

    /// Looks at links again, now: the kernel does not tell of programs that are attached.
    fn look_again(&self);

    /// Whose next hops are followed.
    fn watch(&self, addresses: BTreeSet<IpAddr>);

    /// Whom this host answers for, and no others. Tells what failed, which the next call
    /// tries again.
    fn answer_for(&mut self, desired: &Desired) -> Vec<String>;

    /// Other hosts that claim what is answered for here.
    fn conflicts(&self) -> watch::Receiver<Arc<Conflicts>>;

    /// What can't be answered or announced now, a sentence each; it is tried again by itself.
    fn troubles(&self) -> Vec<String>;
}

/// The probing of endpoints.
pub trait Checks: Send {
    fn set_targets(&mut self, targets: BTreeMap<TargetId, Arc<HealthCheck>>);

    fn state(&self, target: &TargetId) -> Option<HealthState>;

    /// Whom this host can't probe, and whom not as it should, a sentence each.
    fn warnings(&self) -> Vec<String>;
}

/// The program's attachments to interfaces.
pub trait Attachments: Send {
    /// Every attachment that is kept, by the interface's index.
    fn links(&mut self) -> anyhow::Result<BTreeMap<u32, PinnedLinkState>>;

    fn attach(&mut self, interface: &str, index: u32, mode: XdpMode) -> Result<Attached, AttachError>;

    fn release(&mut self, index: u32) -> anyhow::Result<()>;

    /// The program that delivers probes, to the device that they leave by.
    fn attach_probe(&mut self) -> anyhow::Result<()>;

    /// What XDP could not send since the start.
    fn failures(&self) -> anyhow::Result<XdpFailures>;

    /// All attachments, maps and programs: nothing is forwarded any more.
    fn detach(&mut self) -> anyhow::Result<()>;
}

/// The second on the data plane's clock.
pub trait Clock: Send + Sync {
    fn now(&self) -> u32;
}

/// Where tables are built: beside the controller, which goes on meanwhile.
pub trait Workshop: Send + Sync {
    fn build(&self, build: TableBuild) -> BoxFuture<'static, BuiltTable>;
}
