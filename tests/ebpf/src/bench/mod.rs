//! The benchmark's packet generator: each run makes one packet and hands it to the program under test, or to the wire ([`forward`]).
//!
//! A test run that repeats keeps the packet as the program left it. So the generator first takes off what was put in front, then
//! writes every byte that a balancer may change, and then tail-calls the program that `BENCH_TARGET` names.

#[allow(
    unreachable_pub,
    reason = "the benchmark's host side has this file in a public module"
)]
pub(crate) mod traffic;

mod forward;

use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_TX};
use aya_ebpf::helpers::bpf_xdp_adjust_head;
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::{Array, ProgramArray};
use aya_ebpf::programs::XdpContext;

use self::traffic::Traffic;
use crate::{ETHERNET_LEN, IPV4_LEN, IPV6_LEN, write};

#[map]
static BENCH_TRAFFIC: Array<Traffic> = Array::with_max_entries(1, 0);

#[map]
static BENCH_TARGET: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// What a program costs that does nothing.
#[xdp]
fn bench_empty(_ctx: XdpContext) -> u32 {
    XDP_TX
}

#[xdp]
fn bench_generate(ctx: XdpContext) -> u32 {
    if let Some(traffic) = BENCH_TRAFFIC.get_ptr_mut(0) {
        // SAFETY: the map's only value; one run at a time uses it.
        if generate(&ctx, unsafe { &mut *traffic }).is_some() {
            // SAFETY: on success this does not return.
            unsafe { BENCH_TARGET.tail_call(&ctx, 0) };
        }
    }
    XDP_ABORTED
}

#[inline(always)]
fn generate(ctx: &XdpContext, traffic: &mut Traffic) -> Option<()> {
    take_off(ctx, traffic)?;
    write_packet(ctx, traffic)
}

#[inline(always)]
fn take_off(ctx: &XdpContext, traffic: &Traffic) -> Option<()> {
    // The compiler would subtract 32 bits of the pointers, which the verifier refuses.
    let length = core::hint::black_box(ctx.data_end() - ctx.data());
    let surplus = length as i32 - traffic.length as i32;
    // SAFETY: the helper checks the new start itself; no packet pointer is kept across the call. Called with nothing to take
    // off too, so that a target that puts nothing on costs the generator the same.
    let result = unsafe { bpf_xdp_adjust_head(ctx.ctx, surplus) };
    (result == 0).then_some(())
}

#[inline(always)]
fn write_packet(ctx: &XdpContext, traffic: &mut Traffic) -> Option<()> {
    let flow = next(traffic);
    let [a, b, c, kind] = traffic.ethernet;
    // Stores as wide as the fields are: a wider one would delay the loads that follow it.
    write(ctx, 0, [a, b, c])?;
    write(ctx, 12, kind as u16)?;
    let ports = u32::from(Traffic::source_port(flow).to_be()) | (traffic.destination_port << 16);
    if traffic.family == 4 {
        let source = Traffic::source(flow).to_be();
        let destination = traffic.destination(flow).to_be();
        let [first, second, third, ..] = traffic.header;
        let sum = folded(traffic.sum + halves(source) + halves(destination));
        write(
            ctx,
            ETHERNET_LEN,
            [
                first,
                second,
                third | (u32::from(!sum) << 16),
                source,
                destination,
            ],
        )?;
        write(ctx, ETHERNET_LEN + IPV4_LEN, ports)
    } else {
        let mut header = traffic.header;
        header[5] = Traffic::source(flow).to_be();
        write(ctx, ETHERNET_LEN, header)?;
        write(ctx, ETHERNET_LEN + IPV6_LEN, ports)
    }
}

/// The steps that one packet may take to come to the number of a flow. Flows are more than half of all numbers, so that
/// as many misses in a row don't happen.
const TRIES: u32 = 32;

impl Traffic {
    /// The low 32 bits of a flow's source address, host order: another one for each 16 million flows.
    #[inline(always)]
    const fn source(flow: u32) -> u32 {
        0x0a00_0000 | (flow & 0x00ff_ffff)
    }

    /// The flow's source port, host order: together with the address no two flows have the same.
    #[inline(always)]
    const fn source_port(flow: u32) -> u16 {
        (0x4000 | ((flow >> 18) ^ flow) & 0x3fff) as u16
    }

    /// The flow's IPv4 destination, host order.
    #[inline(always)]
    const fn destination(&self, flow: u32) -> u32 {
        let spread = flow.wrapping_mul(0x9e37_79b9) as u64;
        self.destination
            .wrapping_add(((spread * self.destinations as u64) >> 32) as u32)
    }
}

/// The next packet's flow.
#[inline(always)]
fn next(traffic: &mut Traffic) -> u32 {
    let mut step = traffic.step;
    let mut flow = 0;
    let mut tries = 0;
    while tries < TRIES {
        flow = traffic.order.number(step);
        step = step.wrapping_add(1);
        if flow < traffic.flows {
            break;
        }
        tries += 1;
    }
    traffic.step = step;
    flow
}

#[inline(always)]
fn halves(word: u32) -> u32 {
    (word & 0xffff) + (word >> 16)
}

#[inline(always)]
fn folded(sum: u32) -> u16 {
    halves(halves(sum)) as u16
}
