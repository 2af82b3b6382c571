//! Packets as nearly all are: untagged, IPv4 without options or IPv6 without extension headers, and in it unfragmented TCP
//! or UDP.
//!
//! What is read here equals what the general steps read, with constants where those find out. Anything unusual, faults
//! among it, is nothing here: the general steps say what it is.

use super::transport::{OPENS, Transport};
use super::{
    Family, Fragment, IPV4_FRAGMENT_OFFSET, IPV4_MORE_FRAGMENTS, Network, TCP_HEADER, TCP_READ, UDP_HEADER,
};
use crate::opaque::hide;
use crate::wire::{
    ETHERNET_HEADER, IPV4_HEADER, IPV6_HEADER, Packet, be16, ethertype, ipproto, tcp_flags, word,
};

/// Of IPv4, up to the flags of TCP. A shorter frame, which Ethernet would have padded, is not plain.
const IPV4_READ: usize = ETHERNET_HEADER + IPV4_HEADER + TCP_READ;
const IPV6_READ: usize = ETHERNET_HEADER + IPV6_HEADER + TCP_READ;

/// The family of a packet that may be plain.
#[inline(always)]
pub fn plain_family<P: Packet>(packet: &P) -> Option<Family> {
    match be16(packet.window::<ETHERNET_HEADER>(0)?, 12) {
        ethertype::IPV4 => Some(Family::V4),
        ethertype::IPV6 => Some(Family::V6),
        _ => None,
    }
}

/// The network layer of a plain IPv4 packet. That its length is right is left to [`plain_transport`].
#[inline(always)]
pub fn plain_ipv4<P: Packet>(packet: &P) -> Option<Network> {
    let window = packet.window::<IPV4_READ>(0)?;
    let is_fragment = be16(window, 20) & (IPV4_FRAGMENT_OFFSET | IPV4_MORE_FRAGMENTS) != 0;
    // Version 4, and a header of five words.
    if window[14] != 0x45 || is_fragment || !is_plain(window[23]) {
        return None;
    }
    let length = usize::from(be16(window, 16));
    Some(Network {
        traffic_class: window[15],
        hop_limit: window[22],
        protocol: window[23],
        source: [word(window, 26), 0, 0, 0],
        destination: [word(window, 30), 0, 0, 0],
        ..network(Family::V4, IPV4_HEADER, length)
    })
}

/// The network layer of a plain IPv6 packet. That its length is right is left to [`plain_transport`].
#[inline(always)]
pub fn plain_ipv6<P: Packet>(packet: &P) -> Option<Network> {
    let window = packet.window::<IPV6_READ>(0)?;
    if window[14] >> 4 != 6 || !is_plain(window[20]) {
        return None;
    }
    let length = IPV6_HEADER + usize::from(be16(window, 18));
    let address = |at| {
        [
            word(window, at),
            word(window, at + 4),
            word(window, at + 8),
            word(window, at + 12),
        ]
    };
    Some(Network {
        traffic_class: (window[14] << 4) | (window[15] >> 4),
        hop_limit: window[21],
        protocol: window[20],
        source: address(22),
        destination: address(38),
        ..network(Family::V6, IPV6_HEADER, length)
    })
}

#[inline(always)]
const fn is_plain(protocol: u8) -> bool {
    matches!(protocol, ipproto::TCP | ipproto::UDP)
}

#[inline(always)]
const fn network(family: Family, header: usize, length: usize) -> Network {
    Network {
        family,
        l3: ETHERNET_HEADER,
        l4: ETHERNET_HEADER + header,
        length,
        end: ETHERNET_HEADER + length,
        source: [0; 4],
        destination: [0; 4],
        protocol: 0,
        traffic_class: 0,
        hop_limit: 0,
        fragment: Fragment::Whole,
        identification: 0,
        fragment_kind: 0,
        detour: 0,
        fault: None,
        quoted: false,
    }
}

/// The transport layer of a plain packet, which is whole.
#[inline(always)]
pub fn plain_transport<P: Packet>(packet: &P, network: &Network) -> Option<Transport> {
    let transport = Transport::new(network.protocol, Fragment::Whole, (0, 0));
    if network.end > packet.length() {
        return None;
    }
    let header = packet.window::<TCP_READ>(network.l4)?;
    // Hidden, because the compiler would read it in pieces and put them together again.
    let transport = transport.with_ports(hide(u64::from(word(header, 0))) as u32);
    if network.protocol == ipproto::UDP {
        return (network.l4 + UDP_HEADER <= network.end).then_some(transport);
    }
    if network.l4 + TCP_HEADER > network.end || usize::from(header[12] >> 4) * 4 < TCP_HEADER {
        return None;
    }
    let opens = header[13] & (tcp_flags::SYN | tcp_flags::ACK) == tcp_flags::SYN;
    Some(transport.with(OPENS, opens))
}
