//! The bytes that delivery puts on a packet: outer headers and ICMP errors.
//!
//! Everything here returns whole headers by value; moving a packet's head and copying bytes is the caller's.

use crate::checksum;
use crate::layout::Backend;
use crate::parse::{Family, Inner};
use crate::wire::{IPV4_HEADER, IPV6_HEADER, ethertype, ipproto};

/// Time to live of the packets that we originate (RFC 1700's recommended default).
pub const HOP_LIMIT: u8 = 64;

const DONT_FRAGMENT: u16 = 0x4000;

/// The protocol number of an inner packet.
#[inline(always)]
const fn inner_protocol(family: Family) -> u8 {
    match family {
        Family::V4 => ipproto::IPIP,
        Family::V6 => ipproto::IPV6,
    }
}

/// The EtherType of an IP family.
#[inline(always)]
pub const fn ethertype_of(family: Family) -> u16 {
    match family {
        Family::V4 => ethertype::IPV4,
        Family::V6 => ethertype::IPV6,
    }
}

/// The outer IPv4 header (RFC 2003, RFC 4213): DSCP and ECN of the inner packet (RFC 6040, normal mode), DF set,
/// identification 0 as RFC 6864 allows for atomic datagrams.
#[inline(always)]
pub fn outer_ipv4(inner: &Inner, backend: &Backend) -> [u8; IPV4_HEADER] {
    let protocol = inner_protocol(inner.family);
    zerocopy::transmute!(outer_ipv4_of(inner, backend, protocol, inner.length))
}

#[inline(always)]
fn outer_ipv4_of(inner: &Inner, backend: &Backend, protocol: u8, payload: usize) -> [u32; 5] {
    let length = (IPV4_HEADER + payload) as u16;
    // Words as they lie in memory: the sum of 16-bit words is the same in either byte order, but for its own (RFC 1071).
    let first = u32::from_ne_bytes([0x45, inner.traffic_class, 0, 0]);
    let third = u32::from_ne_bytes([HOP_LIMIT, protocol, 0, 0]);
    let length = u32::from(length.to_be());
    let total = backend.outer_sum + first + length + third;
    let checksum = u32::from(checksum::fold(total));
    [
        first | (length << 16),
        FRAGMENT_WORD,
        third | (checksum << 16),
        backend.outer_source[0],
        backend.outer_destination[0],
    ]
}

/// Identification 0, DF set; as it lies in memory.
const FRAGMENT_WORD: u32 = u32::from_ne_bytes([0, 0, 0x40, 0]);

/// The part of an outer IPv4 header's checksum that does not depend on the packet: the sum of the 16-bit words, as they
/// lie in memory, of fragmentation and addresses.
pub const fn ipv4_sum(source: u32, destination: u32) -> u32 {
    const fn halves(word: u32) -> u32 {
        (word & 0xffff) + (word >> 16)
    }
    halves(FRAGMENT_WORD) + halves(source) + halves(destination)
}

/// An IPv4 header without options, DF set, its checksum right.
#[inline(always)]
pub fn ipv4_header(
    tos: u8,
    length: u16,
    protocol: u8,
    source: [u8; 4],
    destination: [u8; 4],
) -> [u8; IPV4_HEADER] {
    let [length_high, length_low] = length.to_be_bytes();
    let [fragment_high, fragment_low] = DONT_FRAGMENT.to_be_bytes();
    let word = |bytes: [u8; 4], at: usize| u32::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    let total = u32::from(u16::from_be_bytes([0x45, tos]))
        + u32::from(length)
        + u32::from(DONT_FRAGMENT)
        + u32::from(u16::from_be_bytes([HOP_LIMIT, protocol]))
        + word(source, 0)
        + word(source, 2)
        + word(destination, 0)
        + word(destination, 2);
    let [checksum_high, checksum_low] = checksum::fold(total).to_be_bytes();
    [
        0x45,
        tos,
        length_high,
        length_low,
        0,
        0,
        fragment_high,
        fragment_low,
        HOP_LIMIT,
        protocol,
        checksum_high,
        checksum_low,
        source[0],
        source[1],
        source[2],
        source[3],
        destination[0],
        destination[1],
        destination[2],
        destination[3],
    ]
}

/// The outer IPv6 header (RFC 2473): traffic class copied, flow label from the flow's hash (RFC 6438).
#[inline(always)]
pub fn outer_ipv6(inner: &Inner, backend: &Backend, entropy: u32) -> [u8; IPV6_HEADER] {
    let protocol = inner_protocol(inner.family);
    zerocopy::transmute!(outer_ipv6_of(inner, backend, entropy, protocol, inner.length))
}

#[inline(always)]
fn outer_ipv6_of(inner: &Inner, backend: &Backend, entropy: u32, protocol: u8, payload: usize) -> [u32; 10] {
    ipv6_words(
        (inner.traffic_class, entropy),
        payload as u16,
        protocol,
        HOP_LIMIT,
        backend.outer_source,
        backend.outer_destination,
    )
}

/// UDP header of GUE (draft-ietf-intarea-gue, variant 1: the IP packet follows at once).
pub const UDP_HEADER: usize = 8;
pub const GUE_IPV4: usize = IPV4_HEADER + UDP_HEADER;
pub const GUE_IPV6: usize = IPV6_HEADER + UDP_HEADER;

/// The headers of GUE over IPv4.
#[inline(always)]
pub fn gue_ipv4(inner: &Inner, backend: &Backend, entropy: u32) -> [u8; GUE_IPV4] {
    let [a, b, c, d, e] = outer_ipv4_of(inner, backend, ipproto::UDP, inner.length + UDP_HEADER);
    let [f, g] = udp_header(inner, backend, entropy);
    zerocopy::transmute!([a, b, c, d, e, f, g])
}

/// The headers of GUE over IPv6.
#[inline(always)]
pub fn gue_ipv6(inner: &Inner, backend: &Backend, entropy: u32) -> [u8; GUE_IPV6] {
    let outer = outer_ipv6_of(inner, backend, entropy, ipproto::UDP, inner.length + UDP_HEADER);
    let [a, b, c, d, e, f, g, h, i, j] = outer;
    let [k, l] = udp_header(inner, backend, entropy);
    zerocopy::transmute!([a, b, c, d, e, f, g, h, i, j, k, l])
}

/// The source port is from the dynamic range (RFC 6335) by the flow's hash, so that routers and queues spread flows.
/// No checksum: the inner packet has its own (RFC 768 for IPv4, RFC 6935 for tunnels over IPv6).
#[inline(always)]
fn udp_header(inner: &Inner, backend: &Backend, entropy: u32) -> [u32; 2] {
    let source = 0xc000 | (entropy as u16 & 0x3fff);
    let length = (inner.length + UDP_HEADER) as u16;
    [halves_of(source, backend.port), halves_of(length, 0)]
}

/// Two 16-bit fields, as they lie in memory.
#[inline(always)]
const fn halves_of(first: u16, second: u16) -> u32 {
    (((first as u32) << 16) | second as u32).to_be()
}

/// An IPv6 header with flow label 0; addresses are words in network order.
#[inline(always)]
pub fn ipv6_header(
    traffic_class: u8,
    payload: u16,
    next_header: u8,
    hop_limit: u8,
    source: [u32; 4],
    destination: [u32; 4],
) -> [u8; IPV6_HEADER] {
    let words = ipv6_words(
        (traffic_class, 0),
        payload,
        next_header,
        hop_limit,
        source,
        destination,
    );
    zerocopy::transmute!(words)
}

/// The words of an IPv6 header as they lie in memory. The flow label is the low 20 bits of `label`.
#[inline(always)]
const fn ipv6_words(
    (traffic_class, label): (u8, u32),
    payload: u16,
    next_header: u8,
    hop_limit: u8,
    source: [u32; 4],
    destination: [u32; 4],
) -> [u32; 10] {
    [
        (0x6000_0000 | ((traffic_class as u32) << 20) | (label & 0x000f_ffff)).to_be(),
        halves_of(payload, ((next_header as u16) << 8) | hop_limit as u16),
        source[0],
        source[1],
        source[2],
        source[3],
        destination[0],
        destination[1],
        destination[2],
        destination[3],
    ]
}

pub const ICMP_HEADER: usize = 8;

/// Bytes of the offending packet that an ICMPv4 error quotes: as much as fits a 576-byte datagram (RFC 1812
/// §4.3.2.3). A packet that is too big for any link of IPv6's minimum MTU is longer than this.
pub const ICMPV4_QUOTE: usize = 576 - IPV4_HEADER - ICMP_HEADER;

/// Bytes that an ICMPv6 error quotes: as much as fits the minimum MTU (RFC 4443 §2.4 c), in whole words.
pub const ICMPV6_QUOTE: usize = 1280 - IPV6_HEADER - ICMP_HEADER;

/// ICMP destination unreachable, fragmentation needed (RFC 792, RFC 1191), checksum 0.
pub const fn fragmentation_needed(mtu: u16) -> [u8; ICMP_HEADER] {
    let [high, low] = mtu.to_be_bytes();
    [3, 4, 0, 0, 0, 0, high, low]
}

/// ICMPv6 packet too big (RFC 4443 §3.2), checksum 0.
pub const fn packet_too_big(mtu: u32) -> [u8; ICMP_HEADER] {
    let mtu = mtu.to_be_bytes();
    [2, 0, 0, 0, mtu[0], mtu[1], mtu[2], mtu[3]]
}

#[cfg(test)]
mod tests;
