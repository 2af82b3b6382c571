//! The bytes that delivery puts on a packet: outer headers and ICMP errors.
//!
//! Everything here returns whole headers by value; moving a packet's head and copying bytes is the caller's.

use crate::checksum;
use crate::layout::Backend;
use crate::parse::{Family, Network};
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
pub fn outer_ipv4(network: &Network, backend: &Backend) -> [u8; IPV4_HEADER] {
    outer_ipv4_of(network, backend, inner_protocol(network.family), network.length)
}

#[inline(always)]
fn outer_ipv4_of(network: &Network, backend: &Backend, protocol: u8, payload: usize) -> [u8; IPV4_HEADER] {
    let source = backend.outer_source[0].to_ne_bytes();
    let destination = backend.outer_destination[0].to_ne_bytes();
    ipv4_header(
        network.traffic_class,
        (IPV4_HEADER + payload) as u16,
        protocol,
        source,
        destination,
    )
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
pub fn outer_ipv6(network: &Network, backend: &Backend, entropy: u32) -> [u8; IPV6_HEADER] {
    outer_ipv6_of(
        network,
        backend,
        entropy,
        inner_protocol(network.family),
        network.length,
    )
}

#[inline(always)]
fn outer_ipv6_of(
    network: &Network,
    backend: &Backend,
    entropy: u32,
    protocol: u8,
    payload: usize,
) -> [u8; IPV6_HEADER] {
    let (source, destination) = (backend.outer_source, backend.outer_destination);
    let mut header = ipv6_header(
        network.traffic_class,
        payload as u16,
        protocol,
        HOP_LIMIT,
        source,
        destination,
    );
    let [_, high, middle, low] = entropy.to_be_bytes();
    header[1] |= high & 0x0f;
    [header[2], header[3]] = [middle, low];
    header
}

/// UDP header of GUE (draft-ietf-intarea-gue, variant 1: the IP packet follows at once).
pub const UDP_HEADER: usize = 8;
pub const GUE_IPV4: usize = IPV4_HEADER + UDP_HEADER;
pub const GUE_IPV6: usize = IPV6_HEADER + UDP_HEADER;

/// The headers of GUE over IPv4.
#[inline(always)]
pub fn gue_ipv4(network: &Network, backend: &Backend, entropy: u32) -> [u8; GUE_IPV4] {
    let mut headers = [0; GUE_IPV4];
    headers[..IPV4_HEADER].copy_from_slice(&outer_ipv4_of(
        network,
        backend,
        ipproto::UDP,
        network.length + UDP_HEADER,
    ));
    headers[IPV4_HEADER..].copy_from_slice(&udp_header(network, backend, entropy));
    headers
}

/// The headers of GUE over IPv6.
#[inline(always)]
pub fn gue_ipv6(network: &Network, backend: &Backend, entropy: u32) -> [u8; GUE_IPV6] {
    let mut headers = [0; GUE_IPV6];
    headers[..IPV6_HEADER].copy_from_slice(&outer_ipv6_of(
        network,
        backend,
        entropy,
        ipproto::UDP,
        network.length + UDP_HEADER,
    ));
    headers[IPV6_HEADER..].copy_from_slice(&udp_header(network, backend, entropy));
    headers
}

/// The source port is from the dynamic range (RFC 6335) by the flow's hash, so that routers and queues spread flows.
/// No checksum: the inner packet has its own (RFC 768 for IPv4, RFC 6935 for tunnels over IPv6).
#[inline(always)]
fn udp_header(network: &Network, backend: &Backend, entropy: u32) -> [u8; UDP_HEADER] {
    let [source_high, source_low] = (0xc000 | (entropy as u16 & 0x3fff)).to_be_bytes();
    let [port_high, port_low] = (backend.port as u16).to_be_bytes();
    let [length_high, length_low] = ((network.length + UDP_HEADER) as u16).to_be_bytes();
    [
        source_high,
        source_low,
        port_high,
        port_low,
        length_high,
        length_low,
        0,
        0,
    ]
}

/// An IPv6 header; addresses are words in network order.
#[inline(always)]
pub fn ipv6_header(
    traffic_class: u8,
    payload: u16,
    next_header: u8,
    hop_limit: u8,
    source: [u32; 4],
    destination: [u32; 4],
) -> [u8; IPV6_HEADER] {
    let mut header = [0; IPV6_HEADER];
    header[0] = 0x60 | (traffic_class >> 4);
    header[1] = traffic_class << 4;
    [header[4], header[5]] = payload.to_be_bytes();
    header[6] = next_header;
    header[7] = hop_limit;
    put_words(&mut header, 8, source);
    put_words(&mut header, 24, destination);
    header
}

#[inline(always)]
fn put_words(header: &mut [u8; IPV6_HEADER], at: usize, words: [u32; 4]) {
    let mut index = 0;
    while index < 4 {
        let bytes = words[index].to_ne_bytes();
        let start = at + 4 * index;
        header[start] = bytes[0];
        header[start + 1] = bytes[1];
        header[start + 2] = bytes[2];
        header[start + 3] = bytes[3];
        index += 1;
    }
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
