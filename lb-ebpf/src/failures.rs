//! What XDP could not send, counted by device and error: drivers tell nobody else than tracepoints. No packet depends on
//! these programs, and a kernel may refuse them.
//!
//! Tracepoints are the whole machine's: what happens in other network namespaces is passed over.

use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::macros::{map, raw_tracepoint};
use aya_ebpf::maps::{Array, PerCpuHashMap};
use aya_ebpf::programs::RawTracePointContext;
use lb_common::layout::{FailurePlace, XdpEvent, XdpFailure, size};

/// Pinned nowhere: it begins with each run.
#[map]
static LB_FAILURES: PerCpuHashMap<XdpFailure, u64> = PerCpuHashMap::with_max_entries(size::FAILURES, 0);
/// How devices tell their number and namespace; user space writes it before anything is attached.
#[map]
static LB_PLACE: Array<FailurePlace> = Array::with_max_entries(1, 0);

/// Of arguments as the kernel passes them: each in 64 bits.
const MAP_TYPE_DEVMAP_HASH: u32 = 25;

/// `xdp_redirect_err(device, program, target, error, map type, map, index)`. The keys of our map of devices are their
/// numbers, and the target is told by its.
#[raw_tracepoint(tracepoint = "xdp_redirect_err")]
fn lb_redirect_err(ctx: RawTracePointContext) -> i32 {
    let error = ctx.arg::<u64>(3) as u32;
    let (map_type, index) = (ctx.arg::<u64>(4) as u32, ctx.arg::<u64>(6) as u32);
    if let Some(from) = device(ctx.arg::<u64>(0)) {
        let ifindex = if map_type == MAP_TYPE_DEVMAP_HASH {
            index
        } else {
            from
        };
        count(ifindex, XdpEvent::Redirect, error, 1);
    }
    0
}

/// `xdp_exception(device, program, action)`.
#[raw_tracepoint(tracepoint = "xdp_exception")]
fn lb_exception(ctx: RawTracePointContext) -> i32 {
    if let Some(ifindex) = device(ctx.arg::<u64>(0)) {
        count(ifindex, XdpEvent::Exception, 0, 1);
    }
    0
}

/// `xdp_bulk_tx(device, sent, dropped, error)`.
#[raw_tracepoint(tracepoint = "xdp_bulk_tx")]
fn lb_bulk_tx(ctx: RawTracePointContext) -> i32 {
    dropped(&ctx, XdpEvent::Transmit, 0, 2)
}

/// `xdp_devmap_xmit(from, to, sent, dropped, error)`.
#[raw_tracepoint(tracepoint = "xdp_devmap_xmit")]
fn lb_devmap_xmit(ctx: RawTracePointContext) -> i32 {
    dropped(&ctx, XdpEvent::Transmit, 1, 3)
}

/// Most of the time nothing was.
#[inline(always)]
fn dropped(ctx: &RawTracePointContext, event: XdpEvent, device_at: usize, dropped_at: usize) -> i32 {
    let frames = ctx.arg::<u64>(dropped_at) as u32;
    if frames == 0 {
        return 0;
    }
    let error = ctx.arg::<u64>(dropped_at + 1) as u32;
    if let Some(ifindex) = device(ctx.arg::<u64>(device_at)) {
        count(ifindex, event, error, frames.into());
    }
    0
}

/// The number of a device, if it is in our namespace.
#[inline(always)]
fn device(address: u64) -> Option<u32> {
    let place = LB_PLACE.get(0)?;
    let net: u64 = read(address, place.net_of_device)?;
    let inode: u32 = read(net, place.inode_of_net)?;
    if inode != place.inode {
        return None;
    }
    read(address, place.ifindex_of_device)
}

#[inline(always)]
fn read<T>(address: u64, offset: u32) -> Option<T> {
    // SAFETY: the helper checks the address itself.
    unsafe { bpf_probe_read_kernel((address + u64::from(offset)) as *const T) }.ok()
}

#[inline(always)]
fn count(ifindex: u32, event: XdpEvent, error: u32, frames: u64) {
    let key = XdpFailure {
        ifindex: ifindex.into(),
        event: event as u64,
        errno: error.wrapping_neg().into(),
    };
    match LB_FAILURES.get_ptr_mut(key) {
        // SAFETY: this CPU's value, and tracepoints of a CPU that send don't interrupt each other.
        Some(counter) => unsafe { *counter += frames },
        None => drop(LB_FAILURES.insert(key, frames, 0)),
    }
}
