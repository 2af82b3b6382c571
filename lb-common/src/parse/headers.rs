//! From the network layer to the transport header: IPv6 extension headers, ports, flags.

use super::transport::{ECHO_REQUEST, ICMP_ERROR, NEIGHBOR_DISCOVERY, OPENS, Transport};
use super::{Family, Fragment, Network};
use crate::opaque::hide;
use crate::verdict::Reason;
use crate::wire::{Packet, be16, ipproto, tcp_flags, word};

/// How many IPv6 extension headers are walked before the packet is refused.
pub const EXTENSION_HEADERS: u64 = 6;

/// The transport layer. The error is what happens to the packet if its destination is a VIP.
#[inline(always)]
pub fn transport<P: Packet>(packet: &P, network: &Network) -> Result<Transport, Reason> {
    if let Some(reason) = network.fault {
        return Err(reason);
    }
    let transport = headers(packet, network)?;
    Ok(Transport {
        bits: packet.forget(transport.bits),
        ..transport
    })
}

#[inline(always)]
fn headers<P: Packet>(packet: &P, network: &Network) -> Result<Transport, Reason> {
    let end = network.end;
    let fixed = Header {
        protocol: u32::from(network.protocol),
        fragment: network.fragment,
        at: network.l4,
        identification: identification(packet, network),
        fragment_kind: u32::from(network.protocol),
    };
    let mut last = match network.family {
        Family::V4 => fixed,
        Family::V6 if matches!(network.protocol, ipproto::TCP | ipproto::UDP) => fixed,
        Family::V6 => behind_extensions(packet, fixed, end)?,
    };
    // That an answer came in fragments says nothing of what the client sends: its ports name the flow.
    if network.quoted && matches!(last.fragment, Fragment::First) {
        last.fragment = Fragment::Whole;
    }
    l4(packet, network, &last, end)
}

/// A header that is still to be read.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) protocol: u32,
    pub(super) fragment: Fragment,
    at: usize,
    pub(super) identification: u32,
    pub(super) fragment_kind: u32,
}

/// IPv4's identification, of a fragment.
#[inline(always)]
fn identification<P: Packet>(packet: &P, network: &Network) -> u32 {
    if matches!(network.fragment, Fragment::Whole) {
        return 0;
    }
    packet
        .window::<6>(network.l3)
        .map_or(0, |header| u32::from(be16(header, 4)))
}

#[inline(always)]
fn behind_extensions<P: Packet>(packet: &P, first: Header, end: usize) -> Result<Header, Reason> {
    let mut header = first;
    let mut walked = 0;
    while hide(walked) < EXTENSION_HEADERS {
        match header.protocol as u8 {
            ipproto::HOP_BY_HOP | ipproto::ROUTING | ipproto::DESTINATION_OPTIONS => {
                let bytes = extension(packet, header.at, end)?;
                header.protocol = u32::from(bytes[0]);
                header.at += (usize::from(bytes[1]) + 1) * 8;
            }
            ipproto::FRAGMENT => {
                let bytes = extension(packet, header.at, end)?;
                let position = be16(bytes, 2);
                header.protocol = u32::from(bytes[0]);
                header.at += 8;
                header.identification = word(bytes, 4);
                header.fragment_kind = header.protocol | (1 << 8);
                if position & 0xfff8 != 0 {
                    // What follows is the middle of some datagram, not a header.
                    return Ok(Header {
                        fragment: Fragment::Later,
                        ..header
                    });
                }
                // An atomic fragment (RFC 6946) is a whole packet.
                if position & 1 != 0 {
                    header.fragment = Fragment::First;
                }
            }
            _ => return Ok(header),
        }
        walked += 1;
    }
    match header.protocol as u8 {
        ipproto::HOP_BY_HOP | ipproto::ROUTING | ipproto::DESTINATION_OPTIONS | ipproto::FRAGMENT => {
            Err(Reason::DropExtensionHeaders)
        }
        _ => Ok(header),
    }
}

#[inline(always)]
fn extension<P: Packet>(packet: &P, at: usize, end: usize) -> Result<&[u8; 8], Reason> {
    if at + 8 > end {
        return Err(Reason::DropTruncated);
    }
    packet.window::<8>(at).ok_or(Reason::DropTruncated)
}

/// Bytes of a TCP header that are read: ports to flags.
const TCP_READ: usize = 14;
const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const SCTP_HEADER: usize = 12;
pub(super) const ICMP_HEADER: usize = 8;

#[inline(always)]
fn l4<P: Packet>(packet: &P, network: &Network, header: &Header, end: usize) -> Result<Transport, Reason> {
    let at = header.at;
    let protocol = header.protocol as u8;
    let transport = Transport::new(header);
    if transport.is_later_fragment() {
        return Ok(transport);
    }
    if network.quoted {
        return quoted_ports(packet, transport, at, end);
    }
    match protocol {
        ipproto::TCP => {
            if at + TCP_HEADER > end {
                return Err(Reason::DropTruncated);
            }
            let header = packet.window::<TCP_READ>(at).ok_or(Reason::DropTruncated)?;
            if usize::from(header[12] >> 4) * 4 < TCP_HEADER {
                return Err(Reason::DropMalformed);
            }
            let opens = header[13] & (tcp_flags::SYN | tcp_flags::ACK) == tcp_flags::SYN;
            Ok(transport.with_ports(word(header, 0)).with(OPENS, opens))
        }
        ipproto::UDP => Ok(transport.with_ports(ports(packet, at, end, UDP_HEADER)?)),
        ipproto::SCTP => Ok(transport.with_ports(ports(packet, at, end, SCTP_HEADER)?)),
        ipproto::ICMP | ipproto::ICMPV6 => {
            if at + ICMP_HEADER > end {
                return Err(Reason::DropTruncated);
            }
            let header = packet.window::<4>(at).ok_or(Reason::DropTruncated)?;
            // Either protocol in the other family's packets is nothing that anyone answers.
            let (own, echo_request) = match network.family {
                Family::V4 => (ipproto::ICMP, ICMP_ECHO_REQUEST),
                Family::V6 => (ipproto::ICMPV6, ICMPV6_ECHO_REQUEST),
            };
            let discovery =
                own == ipproto::ICMPV6 && network.hop_limit == 255 && matches!(header[0], 133..=137);
            let echo = header[0] == echo_request && !transport.is_first_fragment();
            let is_own = protocol == own;
            let error = match network.family {
                Family::V4 => matches!(header[0], 3 | 4 | 5 | 11 | 12),
                Family::V6 => header[0] < 128,
            };
            Ok(transport
                .with(NEIGHBOR_DISCOVERY, discovery && is_own)
                .with(ECHO_REQUEST, echo && is_own)
                .with(ICMP_ERROR, error && is_own))
        }
        _ => Ok(transport),
    }
}

const ICMP_ECHO_REQUEST: u8 = 8;
const ICMPV6_ECHO_REQUEST: u8 = 128;

/// As little as 8 bytes of the transport header are quoted, and the ports are the first four.
#[inline(always)]
fn quoted_ports<P: Packet>(
    packet: &P,
    transport: Transport,
    at: usize,
    end: usize,
) -> Result<Transport, Reason> {
    match transport.protocol() {
        ipproto::TCP | ipproto::UDP | ipproto::SCTP => match ports(packet, at, end, 4) {
            Ok(ports) => Ok(transport.with_ports(ports)),
            Err(_) => Err(Reason::DropIcmpError),
        },
        _ => Ok(transport),
    }
}

/// The ports at the start of a transport header of `header` bytes.
#[inline(always)]
fn ports<P: Packet>(packet: &P, at: usize, end: usize, header: usize) -> Result<u32, Reason> {
    if at + header > end {
        return Err(Reason::DropTruncated);
    }
    let ports = packet.window::<4>(at).ok_or(Reason::DropTruncated)?;
    Ok(word(ports, 0))
}
