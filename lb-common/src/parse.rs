//! From bytes to the few fields that a decision needs.
//!
//! Two steps, because a packet that can't be understood is dropped only when it is for a VIP: [`network`] finds the
//! addresses and never drops; [`transport`] finds ports and flags, and its error counts only after the rule lookup
//! has said that the destination is ours.

use crate::opaque::hide;
use crate::policy::Class;
use crate::verdict::Reason;
use crate::wire::{
    ETHERNET_HEADER, IPV4_HEADER, IPV6_HEADER, Packet, VLAN_TAG, be16, ethertype, ipproto, tcp_flags, word,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// The network layer of a packet. Addresses are words in network order; IPv4 uses the first word only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    pub family: Family,
    /// Offset of the IP header: behind Ethernet and up to two VLAN tags.
    pub l3: usize,
    /// Offset behind the fixed header and IPv4 options; IPv6 extension headers come after it.
    pub l4: usize,
    /// Length of the IP packet by its own header, in bytes.
    pub length: usize,
    pub source: [u32; 4],
    pub destination: [u32; 4],
    /// Protocol, or the first next-header value.
    pub protocol: u8,
    /// TOS or traffic class.
    pub traffic_class: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// IPv4 only; IPv6 carries it in an extension header.
    fragment: Fragment,
    /// A header that contradicts itself.
    fault: Option<Reason>,
}

/// As wide as a register: a narrower one in a `Result` leads to misaligned copies on the stack, which the verifier
/// refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Fragment {
    Whole,
    First,
    Later,
}

/// The transport layer. The small fields are packed into one word, because the verifier follows every combination
/// of fields whose values it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// Source and destination port as they lie in memory (network order, source first); 0 without ports.
    pub ports: u32,
    /// Protocol (8) · class (3) · opens (1) · neighbour discovery (1) · later fragment (1), from the low bits up.
    bits: u32,
}

impl Transport {
    #[inline(always)]
    const fn new(protocol: u8, fragment: Fragment) -> Self {
        let fragmented = !matches!(fragment, Fragment::Whole);
        let later = matches!(fragment, Fragment::Later);
        let class = Class::of(protocol, fragmented);
        Self {
            ports: 0,
            bits: protocol as u32 | ((class as u32) << 8) | ((later as u32) << 13),
        }
    }

    #[inline(always)]
    const fn with_ports(self, ports: u32) -> Self {
        Self { ports, ..self }
    }

    #[inline(always)]
    const fn with_opens(self, opens: bool) -> Self {
        Self {
            bits: self.bits | ((opens as u32) << 11),
            ..self
        }
    }

    #[inline(always)]
    const fn with_neighbor_discovery(self, is: bool) -> Self {
        Self {
            bits: self.bits | ((is as u32) << 12),
            ..self
        }
    }

    #[inline(always)]
    pub const fn protocol(&self) -> u8 {
        self.bits as u8
    }

    /// The number of the packet's [`Class`].
    #[inline(always)]
    pub const fn class(&self) -> u32 {
        (self.bits >> 8) & 7
    }

    /// TCP SYN without ACK.
    #[inline(always)]
    pub const fn opens(&self) -> bool {
        self.bits & (1 << 11) != 0
    }

    /// A neighbour-discovery message (RFC 4861), which is the host's own.
    #[inline(always)]
    pub const fn is_neighbor_discovery(&self) -> bool {
        self.bits & (1 << 12) != 0
    }

    /// A fragment that carries no transport header.
    #[inline(always)]
    pub const fn is_later_fragment(&self) -> bool {
        self.bits & (1 << 13) != 0
    }

    /// Destination port, host order.
    #[inline(always)]
    pub fn destination_port(&self) -> u16 {
        let [_, _, high, low] = self.ports.to_ne_bytes();
        u16::from_be_bytes([high, low])
    }

    /// Source port, host order.
    #[inline(always)]
    pub fn source_port(&self) -> u16 {
        let [high, low, _, _] = self.ports.to_ne_bytes();
        u16::from_be_bytes([high, low])
    }
}

/// The network layer, or why the packet is not for us to judge.
#[inline(always)]
pub fn network<P: Packet>(packet: &P) -> Result<Network, Reason> {
    let (ethertype, l3) = link(packet)?;
    // At most 22.
    let l3 = packet.forget(l3 as u32) as usize & 0x1f;
    match ethertype {
        ethertype::IPV4 => ipv4(packet, l3),
        ethertype::IPV6 => ipv6(packet, l3),
        ethertype::VLAN | ethertype::QINQ => Err(Reason::PassVlanDepth),
        _ => Err(Reason::PassNotIp),
    }
}

/// The EtherType behind up to two VLAN tags, and where its payload begins.
#[inline(always)]
fn link<P: Packet>(packet: &P) -> Result<(u16, usize), Reason> {
    let ethernet = packet.window::<ETHERNET_HEADER>(0).ok_or(Reason::PassTruncated)?;
    let untagged = be16(ethernet, 12);
    if !is_tag(untagged) {
        return Ok((untagged, ETHERNET_HEADER));
    }
    let outer = packet
        .window::<VLAN_TAG>(ETHERNET_HEADER)
        .ok_or(Reason::PassTruncated)?;
    let tagged = be16(outer, 2);
    if !is_tag(tagged) {
        return Ok((tagged, ETHERNET_HEADER + VLAN_TAG));
    }
    let inner = packet
        .window::<VLAN_TAG>(ETHERNET_HEADER + VLAN_TAG)
        .ok_or(Reason::PassTruncated)?;
    Ok((be16(inner, 2), ETHERNET_HEADER + 2 * VLAN_TAG))
}

#[inline(always)]
const fn is_tag(value: u16) -> bool {
    matches!(value, ethertype::VLAN | ethertype::QINQ)
}

const IPV4_MORE_FRAGMENTS: u16 = 0x2000;
const IPV4_FRAGMENT_OFFSET: u16 = 0x1fff;

#[inline(always)]
fn ipv4<P: Packet>(packet: &P, l3: usize) -> Result<Network, Reason> {
    let header = packet.window::<IPV4_HEADER>(l3).ok_or(Reason::PassTruncated)?;
    let header_length = usize::from(header[0] & 0x0f) * 4;
    let length = usize::from(be16(header, 2));
    let fault = if header[0] >> 4 != 4 || header_length < IPV4_HEADER || length < header_length {
        Some(Reason::DropMalformed)
    } else if l3 + length > packet.length() {
        Some(Reason::DropTruncated)
    } else {
        None
    };
    let position = be16(header, 6);
    let fragment = if position & IPV4_FRAGMENT_OFFSET != 0 {
        Fragment::Later
    } else if position & IPV4_MORE_FRAGMENTS != 0 {
        Fragment::First
    } else {
        Fragment::Whole
    };
    Ok(Network {
        family: Family::V4,
        l3,
        l4: l3 + header_length,
        length,
        source: [word(header, 12), 0, 0, 0],
        destination: [word(header, 16), 0, 0, 0],
        protocol: header[9],
        traffic_class: header[1],
        hop_limit: header[8],
        fragment,
        fault,
    })
}

#[inline(always)]
fn ipv6<P: Packet>(packet: &P, l3: usize) -> Result<Network, Reason> {
    let header = packet.window::<IPV6_HEADER>(l3).ok_or(Reason::PassTruncated)?;
    let length = IPV6_HEADER + usize::from(be16(header, 4));
    let fault = if header[0] >> 4 != 6 {
        Some(Reason::DropMalformed)
    } else if l3 + length > packet.length() {
        Some(Reason::DropTruncated)
    } else {
        None
    };
    Ok(Network {
        family: Family::V6,
        l3,
        l4: l3 + IPV6_HEADER,
        length,
        source: [
            word(header, 8),
            word(header, 12),
            word(header, 16),
            word(header, 20),
        ],
        destination: [
            word(header, 24),
            word(header, 28),
            word(header, 32),
            word(header, 36),
        ],
        protocol: header[6],
        traffic_class: (header[0] << 4) | (header[1] >> 4),
        hop_limit: header[7],
        fragment: Fragment::Whole,
        fault,
    })
}

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
    let end = network.l3 + network.length;
    let fixed = Header {
        protocol: u32::from(network.protocol),
        fragment: network.fragment,
        at: network.l4,
    };
    let last = match network.family {
        Family::V4 => fixed,
        Family::V6 if matches!(network.protocol, ipproto::TCP | ipproto::UDP) => fixed,
        Family::V6 => behind_extensions(packet, fixed, end)?,
    };
    l4(packet, network, &last, end)
}

/// A header that is still to be read.
#[derive(Clone, Copy)]
struct Header {
    protocol: u32,
    fragment: Fragment,
    at: usize,
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
const ICMP_HEADER: usize = 8;

#[inline(always)]
fn l4<P: Packet>(packet: &P, network: &Network, header: &Header, end: usize) -> Result<Transport, Reason> {
    let Header { fragment, at, .. } = *header;
    let protocol = header.protocol as u8;
    let transport = Transport::new(protocol, fragment);
    if fragment == Fragment::Later {
        return Ok(transport);
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
            Ok(transport.with_ports(word(header, 0)).with_opens(opens))
        }
        ipproto::UDP => Ok(transport.with_ports(ports(packet, at, end, UDP_HEADER)?)),
        ipproto::SCTP => Ok(transport.with_ports(ports(packet, at, end, SCTP_HEADER)?)),
        ipproto::ICMPV6 => {
            if at + ICMP_HEADER > end {
                return Err(Reason::DropTruncated);
            }
            let header = packet.window::<4>(at).ok_or(Reason::DropTruncated)?;
            let discovery = network.hop_limit == 255 && matches!(header[0], 133..=137);
            Ok(transport.with_neighbor_discovery(discovery))
        }
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

#[cfg(test)]
mod tests;
