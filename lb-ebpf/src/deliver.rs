//! Delivery (semantics §9): the packet leaves towards its backend, or an ICMP error goes back to its sender.

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::generated::{bpf_csum_diff, bpf_xdp_adjust_head, bpf_xdp_adjust_tail};
use aya_ebpf::programs::XdpContext;
use lb_common::checksum;
use lb_common::layout::{Backend, DeliveryMode, mac_of, mac_word};
use lb_common::martian::is_link_local;
use lb_common::opaque::hide;
use lb_common::parse::{Family, Inner, Network};
use lb_common::rewrite::{
    self, GUE_IPV4, GUE_IPV6, ICMP_HEADER, ICMPV4_QUOTE, ICMPV6_QUOTE, fragmentation_needed, ipv4_header,
    ipv6_header, packet_too_big,
};
use lb_common::verdict::{Reason, Verdict};
use lb_common::wire::{ETHERNET_HEADER, IPV4_HEADER, IPV6_HEADER, Packet as _, VLAN_TAG, ipproto};

use crate::frame::Frame;
use crate::maps;

/// What became of the packet. The reason differs from the decision's when delivery failed.
pub(crate) struct Outcome {
    pub(crate) reason: Reason,
    pub(crate) action: u32,
}

impl Outcome {
    #[inline(always)]
    pub(crate) const fn dropped(reason: Reason) -> Self {
        Self {
            reason,
            action: xdp_action::XDP_DROP,
        }
    }
}

type Delivered = Result<u32, Reason>;

/// What delivery needs of the verdict, in registers: a struct behind a pointer would be joined 64-bit stores on the
/// stack, misaligned ones among them, which the verifier refuses.
#[derive(Clone, Copy)]
pub(crate) struct Decided {
    pub(crate) reason: Reason,
    pub(crate) entropy: u32,
    pub(crate) unreportable: bool,
}

impl From<&Verdict> for Decided {
    #[inline(always)]
    fn from(verdict: &Verdict) -> Self {
        let Verdict {
            reason,
            entropy,
            unreportable,
            ..
        } = *verdict;
        Self {
            reason,
            entropy,
            unreportable,
        }
    }
}

#[inline(always)]
pub(crate) fn deliver(ctx: &XdpContext, network: &Network, backend: &Backend, decided: Decided) -> Outcome {
    // The verifier shall not follow every reason on its own through all of delivery.
    let frame = Frame::of(ctx);
    let reason = frame.forget(decided.reason as u32);
    let unreportable = frame.forget(u32::from(decided.unreportable));
    let hints = u64::from(decided.entropy) | (u64::from(unreportable) << 32);
    let packed = deliver_apart(ctx, network, backend, reason, hints);
    Outcome {
        reason: Reason::of_word(packed >> 32),
        action: packed as u32,
    }
}

/// A function of its own in the kernel too: with the decision in one, the stack would be too small for both. It has
/// five arguments and one result, as many as registers carry: the action, and the reason in the high half.
#[inline(never)]
fn deliver_apart(ctx: &XdpContext, network: &Network, backend: &Backend, reason: u32, hints: u64) -> u64 {
    let hints = Hints {
        entropy: hints as u32,
        unreportable: hints >> 32 != 0,
    };
    let (reason, action) = match deliver_any(ctx, network, backend, hints) {
        Ok(action) => (reason, action),
        Err(Outcome { reason, action }) => (reason as u32, action),
    };
    u64::from(action) | (u64::from(reason) << 32)
}

#[derive(Clone, Copy)]
struct Hints {
    entropy: u32,
    unreportable: bool,
}

#[inline(always)]
fn deliver_any(ctx: &XdpContext, network: &Network, backend: &Backend, hints: Hints) -> Result<u32, Outcome> {
    // The offset of the IP header is one of three constants: with each its own copy of the code, every access
    // behind it has a constant offset.
    match network.l3 {
        ETHERNET_HEADER => deliver_at::<ETHERNET_HEADER>(ctx, network, backend, hints),
        TAGGED => deliver_at::<TAGGED>(ctx, network, backend, hints),
        _ => deliver_at::<TWICE_TAGGED>(ctx, network, backend, hints),
    }
}

const TAGGED: usize = ETHERNET_HEADER + VLAN_TAG;
const TWICE_TAGGED: usize = TAGGED + VLAN_TAG;

#[inline(always)]
fn deliver_at<const L3: usize>(
    ctx: &XdpContext,
    network: &Network,
    backend: &Backend,
    hints: Hints,
) -> Result<u32, Outcome> {
    let Some(mode) = DeliveryMode::from_u32(backend.mode) else {
        return Err(Outcome::dropped(Reason::DropBadDelivery));
    };
    let inner = &network.inner();
    // Those are never plain packets.
    if !matches!(mode, DeliveryMode::L2) && is_link_local(network) {
        return Err(Outcome::dropped(Reason::DropLinkLocalSource));
    }
    match room(inner, backend, mode) {
        Ok(()) => send::<L3>(ctx, inner, backend, mode, hints.entropy).map_err(Outcome::dropped),
        Err(_) if hints.unreportable => Err(Outcome::dropped(Reason::DropTooBig)),
        Err(mtu) => Err(too_big::<L3>(ctx, network, mtu)),
    }
}

/// The same for a plain packet; nothing if there is more to do than to send it.
#[inline(always)]
pub(crate) fn deliver_plain(
    ctx: &XdpContext,
    inner: &Inner,
    backend: &Backend,
    entropy: u32,
) -> Option<Result<u32, Reason>> {
    let mode = DeliveryMode::from_u32(backend.mode)?;
    room(inner, backend, mode).ok()?;
    Some(send::<ETHERNET_HEADER>(ctx, inner, backend, mode, entropy))
}

/// Whether the packet fits its way; if not, the largest that does.
#[inline(always)]
fn room(inner: &Inner, backend: &Backend, mode: DeliveryMode) -> Result<(), u32> {
    let overhead = match mode {
        DeliveryMode::L2 => 0,
        DeliveryMode::Ipv4 => IPV4_HEADER,
        DeliveryMode::Ipv6 => IPV6_HEADER,
        DeliveryMode::GueIpv4 => GUE_IPV4,
        DeliveryMode::GueIpv6 => GUE_IPV6,
    };
    let mtu = backend.mtu as usize;
    if inner.length + overhead > mtu {
        return Err(mtu.saturating_sub(overhead) as u32);
    }
    Ok(())
}

#[inline(always)]
fn send<const L3: usize>(
    ctx: &XdpContext,
    inner: &Inner,
    backend: &Backend,
    mode: DeliveryMode,
    entropy: u32,
) -> Delivered {
    match mode {
        DeliveryMode::L2 => l2(ctx, backend),
        DeliveryMode::Ipv4 => encapsulate::<L3, _>(ctx, inner, backend, Family::V4, || {
            rewrite::outer_ipv4(inner, backend)
        }),
        DeliveryMode::Ipv6 => encapsulate::<L3, _>(ctx, inner, backend, Family::V6, || {
            rewrite::outer_ipv6(inner, backend, entropy)
        }),
        DeliveryMode::GueIpv4 => encapsulate::<L3, _>(ctx, inner, backend, Family::V4, || {
            rewrite::gue_ipv4(inner, backend, entropy)
        }),
        DeliveryMode::GueIpv6 => encapsulate::<L3, _>(ctx, inner, backend, Family::V6, || {
            rewrite::gue_ipv6(inner, backend, entropy)
        }),
    }?;
    transmit(ctx, backend)
}

#[inline(always)]
fn l2(ctx: &XdpContext, backend: &Backend) -> Result<(), Reason> {
    let mut frame = Frame::of(ctx);
    *frame.window_mut::<12>(0).ok_or(Reason::DropNoRoom)? = backend.ethernet;
    Ok(())
}

#[inline(always)]
fn encapsulate<const L3: usize, const N: usize>(
    ctx: &XdpContext,
    inner: &Inner,
    backend: &Backend,
    outer: Family,
    headers: impl FnOnce() -> [u8; N],
) -> Result<(), Reason> {
    decrement_hop_limit::<L3>(ctx, inner)?;
    push::<L3>(ctx, N, outer, Some(&backend.ethernet))?;
    *Frame::of(ctx).window_mut(L3).ok_or(Reason::DropNoRoom)? = headers();
    Ok(())
}

/// A tunnel's entry forwards the inner packet as a router does (RFC 2003 §3.1, RFC 2473 §3.1).
#[inline(always)]
fn decrement_hop_limit<const L3: usize>(ctx: &XdpContext, inner: &Inner) -> Result<(), Reason> {
    if inner.hop_limit <= 1 {
        return Err(Reason::DropTtlExpired);
    }
    let mut frame = Frame::of(ctx);
    match inner.family {
        Family::V4 => {
            let header = frame.window_mut::<IPV4_HEADER>(L3).ok_or(Reason::DropNoRoom)?;
            header[8] = inner.hop_limit - 1;
            // The word that has it becomes one less, whatever it was; all as it lies in memory.
            let sum = u16::from_ne_bytes([header[10], header[11]]);
            let sum = checksum::update(sum, u16::from_ne_bytes([1, 0]), 0);
            [header[10], header[11]] = sum.to_ne_bytes();
        }
        Family::V6 => {
            let header = frame.window_mut::<IPV6_HEADER>(L3).ok_or(Reason::DropNoRoom)?;
            header[7] = inner.hop_limit - 1;
        }
    }
    Ok(())
}

/// Makes `room` bytes before the IP header, moves the Ethernet header and tags to the front, and names the new
/// payload. New addresses, or back to the sender.
#[inline(always)]
fn push<const L3: usize>(
    ctx: &XdpContext,
    room: usize,
    family: Family,
    ethernet: Option<&[u8; 12]>,
) -> Result<(), Reason> {
    // SAFETY: the context is the one that the kernel handed us.
    if unsafe { bpf_xdp_adjust_head(ctx.ctx, -(room as i32)) } != 0 {
        return Err(Reason::DropNoRoom);
    }
    let mut frame = Frame::of(ctx);
    let old: [u8; L3] = *frame.window::<L3>(room).ok_or(Reason::DropNoRoom)?;
    let new = frame.window_mut::<L3>(0).ok_or(Reason::DropNoRoom)?;
    *new = old;
    match ethernet {
        Some(addresses) => new[..12].copy_from_slice(addresses),
        None => send_back(ctx, new.first_chunk_mut().ok_or(Reason::DropNoRoom)?),
    }
    [new[L3 - 2], new[L3 - 1]] = rewrite::ethertype_of(family).to_be_bytes();
    Ok(())
}

/// Addresses a frame that came from somebody to whoever that was, from the arriving interface's own address.
#[inline(always)]
fn send_back(ctx: &XdpContext, addresses: &mut [u8; 12]) {
    let old = *addresses;
    // Of an interface that nothing is known of, what the sender takes for ours.
    let own = maps::interface(ctx.ingress_ifindex() as u32).map(|interface| interface.mac);
    let own = hide(own.unwrap_or(mac_word([old[0], old[1], old[2], old[3], old[4], old[5]])));
    addresses[..6].copy_from_slice(&old[6..]);
    addresses[6..].copy_from_slice(&mac_of(own));
}

#[inline(always)]
fn transmit(ctx: &XdpContext, backend: &Backend) -> Delivered {
    if ctx.ingress_ifindex() as u32 == backend.ifindex {
        return Ok(xdp_action::XDP_TX);
    }
    maps::LB_DEVICES
        .redirect(backend.ifindex, 0)
        .map_err(|_| Reason::DropBadDelivery)
}

/// Tells the sender the largest packet that fits (RFC 1191, RFC 8201), from the VIP's address.
#[inline(always)]
fn too_big<const L3: usize>(ctx: &XdpContext, network: &Network, mtu: u32) -> Outcome {
    let replied = match network.family {
        Family::V4 => too_big_v4::<L3>(ctx, network, mtu),
        Family::V6 => too_big_v6::<L3>(ctx, network, mtu),
    };
    match replied {
        Ok(()) => Outcome {
            reason: Reason::ReplyTooBig,
            action: xdp_action::XDP_TX,
        },
        Err(reason) => Outcome::dropped(reason),
    }
}

#[inline(always)]
fn too_big_v4<const L3: usize>(ctx: &XdpContext, network: &Network, mtu: u32) -> Result<(), Reason> {
    const ICMP: usize = ICMP_HEADER + ICMPV4_QUOTE;
    if network.length < ICMPV4_QUOTE {
        return Err(Reason::DropTooBig);
    }
    push::<L3>(ctx, IPV4_HEADER + ICMP_HEADER, Family::V4, None)?;
    cut::<L3>(ctx, IPV4_HEADER + ICMP)?;
    let mut frame = Frame::of(ctx);
    let source = network.destination[0].to_ne_bytes();
    let destination = network.source[0].to_ne_bytes();
    let header = ipv4_header(0, (IPV4_HEADER + ICMP) as u16, ipproto::ICMP, source, destination);
    *frame.window_mut(L3).ok_or(Reason::DropNoRoom)? = header;
    let at = L3 + IPV4_HEADER;
    *frame.window_mut(at).ok_or(Reason::DropNoRoom)? = fragmentation_needed(mtu as u16);
    let message = frame.window_mut::<ICMP>(at).ok_or(Reason::DropNoRoom)?;
    let sum = sum(message, 0)?;
    [message[2], message[3]] = folded(sum);
    Ok(())
}

#[inline(always)]
fn too_big_v6<const L3: usize>(ctx: &XdpContext, network: &Network, mtu: u32) -> Result<(), Reason> {
    const ICMP: usize = ICMP_HEADER + ICMPV6_QUOTE;
    if network.length < ICMPV6_QUOTE {
        return Err(Reason::DropTooBig);
    }
    push::<L3>(ctx, IPV6_HEADER + ICMP_HEADER, Family::V6, None)?;
    cut::<L3>(ctx, IPV6_HEADER + ICMP)?;
    let mut frame = Frame::of(ctx);
    let header = ipv6_header(
        0,
        ICMP as u16,
        ipproto::ICMPV6,
        rewrite::HOP_LIMIT,
        network.destination,
        network.source,
    );
    *frame.window_mut(L3).ok_or(Reason::DropNoRoom)? = header;
    let at = L3 + IPV6_HEADER;
    *frame.window_mut(at).ok_or(Reason::DropNoRoom)? = packet_too_big(mtu);
    let message = frame.window_mut::<ICMP>(at).ok_or(Reason::DropNoRoom)?;
    let sum = sum(message, pseudo_header(network, ICMP as u32))?;
    [message[2], message[3]] = folded(sum);
    Ok(())
}

/// Shortens the packet to `length` bytes behind the Ethernet header and tags.
#[inline(always)]
fn cut<const L3: usize>(ctx: &XdpContext, length: usize) -> Result<(), Reason> {
    let surplus = Frame::of(ctx).length() as i32 - (L3 + length) as i32;
    // SAFETY: the context is the one that the kernel handed us.
    if unsafe { bpf_xdp_adjust_tail(ctx.ctx, -surplus) } != 0 {
        return Err(Reason::DropNoRoom);
    }
    Ok(())
}

/// The most that the checksum helper takes at once.
const CHUNK: usize = 512;

/// The Internet checksum's sum over `bytes`, words as they lie in memory, on top of `seed`.
#[inline(always)]
fn sum<const N: usize>(bytes: &mut [u8; N], seed: u32) -> Result<u32, Reason> {
    let mut total = seed;
    let mut at = 0;
    while at < N {
        let length = if N - at < CHUNK { N - at } else { CHUNK };
        // SAFETY: `at + length <= N`, so the range lies in `bytes`; the helper only reads it.
        let result = unsafe {
            bpf_csum_diff(
                core::ptr::null_mut(),
                0,
                bytes.as_mut_ptr().add(at).cast(),
                length as u32,
                total,
            )
        };
        if result < 0 {
            return Err(Reason::DropNoRoom);
        }
        total = result as u32;
        at += length;
    }
    Ok(total)
}

/// The pseudo-header of ICMPv6 (RFC 8200 §8.1) in the helper's word order.
#[inline(always)]
fn pseudo_header(network: &Network, length: u32) -> u32 {
    let mut total = u64::from(length.to_be()) + u64::from(u32::from(ipproto::ICMPV6).to_be());
    let mut index = 0;
    while index < 4 {
        total += u64::from(network.source[index]) + u64::from(network.destination[index]);
        index += 1;
    }
    total = (total & 0xffff_ffff) + (total >> 32);
    total = (total & 0xffff_ffff) + (total >> 32);
    total as u32
}

#[inline(always)]
fn folded(sum: u32) -> [u8; 2] {
    checksum::fold((sum & 0xffff) + (sum >> 16)).to_ne_bytes()
}

/// Answers an echo request (RFC 792, RFC 4443 §4.2) from the VIP: addresses exchanged, the type changed. Extension
/// headers and the flow label are not sent back: RFC 8200 §8.4 forbids it of a routing header, and the others were for
/// this way.
#[inline(always)]
pub(crate) fn answer_echo(ctx: &XdpContext, network: &Network) -> Outcome {
    match Reason::of_word(answer_echo_apart(ctx, network)) {
        Reason::ReplyEcho => Outcome {
            reason: Reason::ReplyEcho,
            action: xdp_action::XDP_TX,
        },
        reason => Outcome::dropped(reason),
    }
}

/// A function of its own in the kernel too, for its stack; a register carries the reason's number.
#[inline(never)]
fn answer_echo_apart(ctx: &XdpContext, network: &Network) -> u64 {
    let answered = match (network.family, network.l3) {
        (Family::V4, _) => answer_echo_v4(ctx, network),
        (Family::V6, ETHERNET_HEADER) => answer_echo_v6::<ETHERNET_HEADER>(ctx, network),
        (Family::V6, TAGGED) => answer_echo_v6::<TAGGED>(ctx, network),
        (Family::V6, _) => answer_echo_v6::<TWICE_TAGGED>(ctx, network),
    };
    let reason = match answered {
        Ok(()) => Reason::ReplyEcho,
        Err(reason) => reason,
    };
    reason as u64
}

#[inline(always)]
fn answer_echo_v4(ctx: &XdpContext, network: &Network) -> Result<(), Reason> {
    let mut frame = Frame::of(ctx);
    send_back(ctx, frame.window_mut(0).ok_or(Reason::DropNoRoom)?);
    let header = frame
        .window_mut::<IPV4_HEADER>(network.l3)
        .ok_or(Reason::DropNoRoom)?;
    // Neither exchange changes a checksum; the new time to live is a new packet's.
    let old = u16::from_be_bytes([header[8], header[9]]);
    let new = u16::from_be_bytes([rewrite::HOP_LIMIT, header[9]]);
    let sum = checksum::update(u16::from_be_bytes([header[10], header[11]]), old, new);
    header[8] = rewrite::HOP_LIMIT;
    [header[10], header[11]] = sum.to_be_bytes();
    header[12..16].copy_from_slice(&network.destination[0].to_ne_bytes());
    header[16..20].copy_from_slice(&network.source[0].to_ne_bytes());
    change_type(&mut frame, network.l4, 0)
}

#[inline(always)]
fn answer_echo_v6<const L3: usize>(ctx: &XdpContext, network: &Network) -> Result<(), Reason> {
    let extensions = network.l4 - L3 - IPV6_HEADER;
    let mut frame = Frame::of(ctx);
    send_back(ctx, frame.window_mut(0).ok_or(Reason::DropNoRoom)?);
    let link = packed(frame.window::<L3>(0).ok_or(Reason::DropNoRoom)?);
    // SAFETY: the context is the one that the kernel handed us.
    if unsafe { bpf_xdp_adjust_head(ctx.ctx, extensions as i32) } != 0 {
        return Err(Reason::DropNoRoom);
    }
    let mut frame = Frame::of(ctx);
    unpack(link, frame.window_mut::<L3>(0).ok_or(Reason::DropNoRoom)?);
    *frame.window_mut(L3).ok_or(Reason::DropNoRoom)? = ipv6_header(
        network.traffic_class,
        (network.length - IPV6_HEADER - extensions) as u16,
        ipproto::ICMPV6,
        rewrite::HOP_LIMIT,
        network.destination,
        network.source,
    );
    change_type(&mut frame, L3 + IPV6_HEADER, 129)
}

/// An Ethernet header and tags in registers: as bytes they would be copied over the stack, misaligned, which the
/// verifier refuses.
#[inline(always)]
fn packed<const N: usize>(bytes: &[u8; N]) -> [u64; 3] {
    let mut words = [0; 3];
    let mut at = 0;
    while at < N {
        words[at / 8] |= u64::from(u16::from_le_bytes([bytes[at], bytes[at + 1]])) << (8 * (at % 8));
        at += 2;
    }
    words.map(hide)
}

#[inline(always)]
fn unpack<const N: usize>(words: [u64; 3], bytes: &mut [u8; N]) {
    let mut at = 0;
    while at < N {
        [bytes[at], bytes[at + 1]] = ((words[at / 8] >> (8 * (at % 8))) as u16).to_le_bytes();
        at += 2;
    }
}

#[inline(always)]
fn change_type(frame: &mut Frame, at: usize, new: u8) -> Result<(), Reason> {
    let message = frame.window_mut::<4>(at).ok_or(Reason::DropNoRoom)?;
    let (from, to) = (
        u16::from_be_bytes([message[0], message[1]]),
        u16::from_be_bytes([new, message[1]]),
    );
    let sum = checksum::update(u16::from_be_bytes([message[2], message[3]]), from, to);
    message[0] = new;
    [message[2], message[3]] = sum.to_be_bytes();
    Ok(())
}
