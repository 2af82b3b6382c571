//! From the network layer to the transport header: ports, flags, what names a fragment's datagram.

use super::transport::{ECHO_REQUEST, ICMP_ERROR, NEIGHBOR_DISCOVERY, OPENS, Transport};
use super::{Family, Fragment, Network};
use crate::verdict::Reason;
use crate::wire::{Packet, be16, ipproto, tcp_flags, word};

/// The transport layer; extension headers have been skipped. The error is what happens to the packet if its
/// destination is a VIP.
#[inline(always)]
pub fn transport<P: Packet>(packet: &P, network: &Network) -> Result<Transport, Reason> {
    if let Some(reason) = network.fault {
        return Err(reason);
    }
    let transport = l4(packet, network)?;
    Ok(Transport {
        bits: packet.forget(transport.bits),
        ..transport
    })
}

/// What names the datagram that a fragment is of.
#[inline(always)]
fn identity<P: Packet>(packet: &P, network: &Network) -> (u32, u32) {
    match network.family {
        Family::V6 => (network.identification, network.fragment_kind),
        Family::V4 if matches!(network.fragment, Fragment::Whole) => (0, 0),
        Family::V4 => {
            let identification = packet.window::<6>(network.l3);
            (
                identification.map_or(0, |header| u32::from(be16(header, 4))),
                u32::from(network.protocol),
            )
        }
    }
}

/// Bytes of a TCP header that are read: ports to flags.
pub(super) const TCP_READ: usize = 14;
pub(super) const TCP_HEADER: usize = 20;
pub(super) const UDP_HEADER: usize = 8;
const SCTP_HEADER: usize = 12;
pub(super) const ICMP_HEADER: usize = 8;

#[inline(always)]
fn l4<P: Packet>(packet: &P, network: &Network) -> Result<Transport, Reason> {
    let (at, end, protocol) = (network.l4, network.end, network.protocol);
    // That an answer came in fragments says nothing of what the client sends: its ports name the flow.
    let fragment = match network.fragment {
        Fragment::First if network.quoted => Fragment::Whole,
        fragment => fragment,
    };
    let transport = Transport::new(protocol, fragment, identity(packet, network));
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
        ipproto::SCTP => {
            let ports = ports(packet, at, end, SCTP_HEADER)?;
            Ok(transport.with_ports(ports).with(OPENS, is_init(packet, at, end)))
        }
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
            // Only the last destination of a packet answers it.
            let echo = header[0] == echo_request && !transport.is_first_fragment() && network.detour == 0;
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

/// Whether the first chunk is INIT, which comes with the verification tag 0 (RFC 9260 §3.1, §8.5.1).
#[inline(always)]
fn is_init<P: Packet>(packet: &P, at: usize, end: usize) -> bool {
    const INIT: u8 = 1;
    const CHUNK_HEADER: usize = 4;
    if at + SCTP_HEADER + CHUNK_HEADER > end {
        return false;
    }
    let header = packet.window::<{ SCTP_HEADER + CHUNK_HEADER }>(at);
    header.is_some_and(|header| word(header, 4) == 0 && header[SCTP_HEADER] == INIT)
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
