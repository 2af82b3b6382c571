//! Packets on a wire: `bench_send` makes them, run as live frames; `bench_swap` is the least that a balancer can do; `bench_sink`
//! counts what comes back.
//!
//! The kernel uses the pages of live frames again and resets only where a packet begins. So every byte that a balancer may
//! change is written for each packet.

use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::{Array, PerCpuArray};
use aya_ebpf::programs::XdpContext;

use super::{BENCH_TRAFFIC, write_packet};
use crate::{read, write};

/// Frames that arrived, by the last byte of the Ethernet address that they were sent to.
#[map]
static BENCH_ARRIVED: PerCpuArray<u64> = PerCpuArray::with_max_entries(256, 0);

/// The start of a frame, and its length.
#[repr(C)]
struct Sample {
    length: u32,
    start: [u8; LONG],
}

#[map]
static BENCH_SAMPLE: Array<Sample> = Array::with_max_entries(1, 0);

/// The benchmark's frames: with an outer IPv4 header, without, and without the bytes that pad it, which the kernel cuts off.
const LONG: usize = 80;
const SHORT: usize = 60;
const CUT: usize = 58;
/// One frame of so many, for each address, is kept.
const SAMPLED: u64 = 1 << 10;
/// The first byte of Ethernet addresses that only the benchmark's endpoints have.
const ENDPOINT: u8 = 6;

#[xdp]
fn bench_send(ctx: XdpContext) -> u32 {
    if let Some(traffic) = BENCH_TRAFFIC.get_ptr_mut(0) {
        // SAFETY: the map's only value; one run at a time uses it.
        if write_packet(&ctx, unsafe { &mut *traffic }).is_some() {
            return XDP_TX;
        }
    }
    XDP_ABORTED
}

#[xdp]
fn bench_swap(ctx: XdpContext) -> u32 {
    let Some([to, from]) = read::<[[u8; 6]; 2]>(&ctx, 0) else {
        return XDP_PASS;
    };
    // What isn't the benchmark's is the host's: its neighbours ask for addresses.
    if from[0] != ENDPOINT {
        return XDP_PASS;
    }
    match write(&ctx, 0, [from, to]) {
        Some(()) => XDP_TX,
        None => XDP_PASS,
    }
}

#[xdp]
fn bench_sink(ctx: XdpContext) -> u32 {
    // Byte by byte: an absent array's bytes are undefined, and the compiler would still compare them.
    let Some(number) = read::<u8>(&ctx, 5) else {
        return XDP_PASS;
    };
    let Some(ENDPOINT) = read::<u8>(&ctx, 0) else {
        return XDP_PASS;
    };
    if let Some(arrived) = BENCH_ARRIVED.get_ptr_mut(u32::from(number)) {
        // SAFETY: this CPU's value, which nobody else writes.
        let arrived = unsafe { &mut *arrived };
        if *arrived % SAMPLED == 0 {
            keep(&ctx);
        }
        *arrived += 1;
    }
    XDP_DROP
}

fn keep(ctx: &XdpContext) {
    let Some(sample) = BENCH_SAMPLE.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the map's only value; all packets are on one CPU.
    let sample = unsafe { &mut *sample };
    if let Some(start) = read::<[u8; LONG]>(ctx, 0) {
        sample.start = start;
    } else if let Some(start) = read::<[u8; SHORT]>(ctx, 0) {
        sample.start[..SHORT].copy_from_slice(&start);
    } else if let Some(start) = read::<[u8; CUT]>(ctx, 0) {
        sample.start[..CUT].copy_from_slice(&start);
    }
    sample.length = core::hint::black_box(ctx.data_end() - ctx.data()) as u32;
}
