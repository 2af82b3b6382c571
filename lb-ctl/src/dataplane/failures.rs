//! What XDP could not send, as tracepoints tell it: nobody's packet depends on them, so a kernel may refuse them.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::{Array, MapData, PerCpuHashMap};
use aya::programs::RawTracePoint;
use lb_common::layout::{FailurePlace, XdpFailure};
use zerocopy::transmute;

use super::btf::Btf;
use super::load::Program;

/// Frames that were lost, since the run began.
pub type XdpFailures = BTreeMap<XdpFailure, u64>;

const PROGRAMS: [(&str, &str); 4] = [
    ("lb_redirect_err", "xdp_redirect_err"),
    ("lb_exception", "xdp_exception"),
    ("lb_bulk_tx", "xdp_bulk_tx"),
    ("lb_devmap_xmit", "xdp_devmap_xmit"),
];

/// The counters, while tracepoints feed them.
pub(super) struct Watched(PerCpuHashMap<MapData, [u8; 24], u64>);

impl Program {
    /// Counts from now on, as long as `self` lives, what XDP can't send in the caller's network namespace.
    pub fn watch_failures(&mut self) -> Result<()> {
        self.watched = Some(watch(&mut self.ebpf)?);
        Ok(())
    }

    /// Nothing while they are not watched.
    pub fn failures(&self) -> Result<XdpFailures> {
        let Some(Watched(counters)) = &self.watched else {
            return Ok(XdpFailures::new());
        };
        let mut failures = XdpFailures::new();
        for entry in counters.iter() {
            let (key, frames) = entry.context("reading what XDP could not send")?;
            failures.insert(transmute!(key), frames.iter().sum());
        }
        Ok(failures)
    }
}

fn watch(ebpf: &mut Ebpf) -> Result<Watched> {
    let place: [u8; 16] = transmute!(place()?);
    let map = ebpf
        .map_mut("LB_PLACE")
        .context("the object has no map LB_PLACE")?;
    Array::<_, [u8; 16]>::try_from(map)?.set(0, place, 0)?;
    for (program, tracepoint) in PROGRAMS {
        attach(ebpf, program, tracepoint)
            .with_context(|| format!("attaching to the tracepoint {tracepoint}"))?;
    }
    let map = ebpf
        .take_map("LB_FAILURES")
        .context("the object has no map LB_FAILURES")?;
    Ok(Watched(PerCpuHashMap::try_from(map)?))
}

fn attach(ebpf: &mut Ebpf, program: &str, tracepoint: &str) -> Result<()> {
    let program = ebpf
        .program_mut(program)
        .context("the object has no program for it")?;
    let program: &mut RawTracePoint = program.try_into()?;
    program.load()?;
    program.attach(tracepoint)?;
    Ok(())
}

fn place() -> Result<FailurePlace> {
    let btf = Btf::of_kernel()?;
    let inode = std::fs::metadata("/proc/thread-self/ns/net").context("looking at the network namespace")?;
    Ok(FailurePlace {
        ifindex_of_device: btf.offset("net_device", &["ifindex"])?,
        net_of_device: btf.offset("net_device", &["nd_net", "net"])?,
        inode_of_net: btf.offset("net", &["ns", "inum"])?,
        inode: inode.ino() as u32,
    })
}
