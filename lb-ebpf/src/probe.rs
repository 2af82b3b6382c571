//! Health probes on their way out (semantics §10): what the host's stack sends by the probe device goes to the endpoint
//! that the socket's priority names, in the form that a client's packet would have.
//!
//! The stack has routed, but nobody has answered for the VIP: the device needs no neighbours. A tunnel's entry that
//! originates a packet does not count as a hop, so the inner hop limit stays what the socket asked for.

use aya_ebpf::bindings::bpf_adj_room_mode::BPF_ADJ_ROOM_MAC;
use aya_ebpf::bindings::{
    BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6, BPF_F_ADJ_ROOM_ENCAP_L4_UDP, TC_ACT_SHOT,
};
use aya_ebpf::helpers::generated::{bpf_get_hash_recalc, bpf_redirect};
use aya_ebpf::programs::TcContext;
use lb_common::layout::{Backend, DeliveryMode};
use lb_common::parse::{self, Family};
use lb_common::rewrite;
use lb_common::wire::ETHERNET_HEADER;

use crate::frame::Frame;
use crate::maps;

/// The action. What can't be delivered is dropped: by any other way it would prove nothing.
#[inline(always)]
pub(crate) fn deliver(ctx: &TcContext) -> i32 {
    match redirect(ctx) {
        Some(action) => action,
        None => TC_ACT_SHOT,
    }
}

#[inline(always)]
fn redirect(ctx: &TcContext) -> Option<i32> {
    let skb = ctx.skb.skb;
    // SAFETY: the context is the one that the kernel handed us.
    let number = unsafe { (*skb).priority };
    let backend = maps::probe(number)?;
    // SAFETY: as above.
    let entropy = unsafe { bpf_get_hash_recalc(skb) };
    let inner = &parse::network(&Frame::of_skb(ctx)).ok()?.inner();
    match DeliveryMode::from_u32(backend.mode)? {
        DeliveryMode::L2 => *Frame::of_skb(ctx).window_mut(0)? = backend.ethernet,
        DeliveryMode::Ipv4 => encapsulate(ctx, backend, V4, rewrite::outer_ipv4(inner, backend))?,
        DeliveryMode::Ipv6 => encapsulate(ctx, backend, V6, rewrite::outer_ipv6(inner, backend, entropy))?,
        DeliveryMode::GueIpv4 => {
            encapsulate(ctx, backend, GUE_V4, rewrite::gue_ipv4(inner, backend, entropy))?;
        }
        DeliveryMode::GueIpv6 => {
            encapsulate(ctx, backend, GUE_V6, rewrite::gue_ipv6(inner, backend, entropy))?;
        }
    }
    // What chose the way shall mean nothing to the egress interface's own queues and filters.
    // SAFETY: as above.
    unsafe {
        (*skb).priority = 0;
        (*skb).mark = 0;
    }
    // SAFETY: a helper without pointers.
    Some(unsafe { bpf_redirect(backend.ifindex, 0) } as i32)
}

/// An outer header: its family, and what the kernel must know to segment and checksum what is inside.
type Outer = (Family, u32);

const V4: Outer = (Family::V4, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4);
const V6: Outer = (Family::V6, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6);
const GUE_V4: Outer = (Family::V4, V4.1 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP);
const GUE_V6: Outer = (Family::V6, V6.1 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP);

#[inline(always)]
fn encapsulate<const N: usize>(
    ctx: &TcContext,
    backend: &Backend,
    (family, flags): Outer,
    headers: [u8; N],
) -> Option<()> {
    ctx.skb
        .adjust_room(N as i32, BPF_ADJ_ROOM_MAC, u64::from(flags))
        .ok()?;
    let mut frame = Frame::of_skb(ctx);
    *frame.window_mut(ETHERNET_HEADER)? = headers;
    let ethernet = frame.window_mut::<ETHERNET_HEADER>(0)?;
    ethernet[..12].copy_from_slice(&backend.ethernet);
    [ethernet[12], ethernet[13]] = rewrite::ethertype_of(family).to_be_bytes();
    Some(())
}
