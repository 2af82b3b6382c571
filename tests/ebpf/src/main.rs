//! XDP programs that only the laboratory loads.
//!
//! `lab_pass` makes a veth end native, without which frames that its peer sends by XDP_TX or redirect are counted as
//! sent and never arrive. `lab_forward` sends every frame back out to one MAC address: the smallest balancer, which proves
//! that the laboratory carries what XDP sends. `lab_decap` stands in for the tunnel device of a backend: it strips one outer IPv4 or IPv6
//! header from IPv4-in-IPv4, IPv6-in-IPv6 and the mixed families, and with it the UDP header of Generic UDP
//! Encapsulation (variant 1: an IP header follows at once), and passes everything else untouched. `bench_generate` sends the
//! benchmark's packets.

#![no_std]
#![no_main]

mod bench;

use aya_ebpf::Global;
use aya_ebpf::bindings::xdp_action::{XDP_PASS, XDP_TX};
use aya_ebpf::helpers::bpf_xdp_adjust_head;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;

const ETHERNET_LEN: usize = 14;
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const PROTOCOL_IPV4: u8 = 4;
const PROTOCOL_IPV6: u8 = 41;
const PROTOCOL_UDP: u8 = 17;
const UDP_LEN: usize = 8;
const GUE_PORT: [u8; 2] = 6080_u16.to_be_bytes();

#[xdp]
fn lab_pass(_ctx: XdpContext) -> u32 {
    XDP_PASS
}

/// Where `lab_forward` sends; set before loading.
#[unsafe(no_mangle)]
static FORWARD_TO: Global<u64> = Global::new(0);

#[xdp]
fn lab_forward(ctx: XdpContext) -> u32 {
    let [a, b, c, d, e, f, ..] = FORWARD_TO.load().to_ne_bytes();
    match read::<[u8; 6]>(&ctx, 0) {
        // A group address is a neighbour's question, which the host answers.
        Some(own) if own[0] & 1 == 0 => match write(&ctx, 0, [[a, b, c, d, e, f], own]) {
            Some(()) => XDP_TX,
            None => XDP_PASS,
        },
        _ => XDP_PASS,
    }
}

#[xdp]
fn lab_decap(ctx: XdpContext) -> u32 {
    // A failed strip leaves a frame that the backend's stack drops and counts: the test sees the silence.
    let _ = decapsulate(&ctx);
    XDP_PASS
}

fn decapsulate(ctx: &XdpContext) -> Option<()> {
    let ethertype: [u8; 2] = read(ctx, 12)?;
    let (outer_len, protocol) = match ethertype {
        // Options never occur in an outer header that a balancer writes.
        ETHERTYPE_IPV4 if read::<u8>(ctx, ETHERNET_LEN)? == 0x45 => (IPV4_LEN, read(ctx, ETHERNET_LEN + 9)?),
        ETHERTYPE_IPV6 => (IPV6_LEN, read(ctx, ETHERNET_LEN + 6)?),
        _ => return None,
    };
    let (outer_len, inner_ethertype) = match protocol {
        PROTOCOL_IPV4 => (outer_len, ETHERTYPE_IPV4),
        PROTOCOL_IPV6 => (outer_len, ETHERTYPE_IPV6),
        PROTOCOL_UDP => (outer_len + UDP_LEN, inside_gue(ctx, ETHERNET_LEN + outer_len)?),
        _ => return None,
    };
    let addresses: [u8; 12] = read(ctx, 0)?;
    // SAFETY: the helper checks the new start itself; no packet pointer is kept across the call.
    if unsafe { bpf_xdp_adjust_head(ctx.ctx, outer_len as i32) } != 0 {
        return None;
    }
    write(ctx, 0, addresses)?;
    write(ctx, 12, inner_ethertype)
}

/// The version that follows a UDP header at `at`; its first two bits are GUE's variant too, 1 for both.
fn inside_gue(ctx: &XdpContext, at: usize) -> Option<[u8; 2]> {
    if read::<[u8; 2]>(ctx, at + 2)? != GUE_PORT {
        return None;
    }
    match read::<u8>(ctx, at + UDP_LEN)? >> 4 {
        4 => Some(ETHERTYPE_IPV4),
        6 => Some(ETHERTYPE_IPV6),
        _ => None,
    }
}

fn pointer<T>(ctx: &XdpContext, offset: usize) -> Option<*mut T> {
    let start = ctx.data() + offset;
    (start + size_of::<T>() <= ctx.data_end()).then_some(start as *mut T)
}

fn read<T: Copy>(ctx: &XdpContext, offset: usize) -> Option<T> {
    // SAFETY: `pointer` proved that the whole of T lies inside the packet.
    pointer::<T>(ctx, offset).map(|at| unsafe { at.read_unaligned() })
}

fn write<T>(ctx: &XdpContext, offset: usize, value: T) -> Option<()> {
    // SAFETY: as in `read`.
    pointer::<T>(ctx, offset).map(|at| unsafe { at.write_unaligned(value) })
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
