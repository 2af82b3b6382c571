//! From bytes to the few fields that a decision needs.
//!
//! Two steps, because a packet that can't be understood is dropped only when it is for a VIP: [`network`] finds the
//! addresses and never drops; [`transport`] finds ports and flags, and its error counts only after the rule lookup
//! has said that the destination is ours.

use crate::layout::FragmentKey;
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
    /// Offset behind what there is of the packet: what an ICMP error quotes may end before its own length.
    end: usize,
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
    /// Quoted in an ICMP error: the packet may end before its own length, and its transport header early.
    quoted: bool,
}

impl Network {
    /// The same packet as seen from its other end.
    #[inline(always)]
    pub fn reversed(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            ..self
        }
    }
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
// The verifier wants every access to the stack aligned, and the compiler joins 32-bit ones.
#[repr(align(8))]
pub struct Transport {
    /// Source and destination port as they lie in memory (network order, source first); 0 without ports.
    pub ports: u32,
    /// Protocol (8) · class (3) · opens (1) · neighbour discovery (1) · later fragment (1) · first fragment (1) ·
    /// echo request (1) · ICMP error (1), from the low bits up.
    bits: u32,
    /// Of a fragment: what names its datagram beside the addresses, as [`FragmentKey`] has it.
    identification: u32,
    fragment_kind: u32,
}

const OPENS: u32 = 1 << 11;
const NEIGHBOR_DISCOVERY: u32 = 1 << 12;
const LATER_FRAGMENT: u32 = 1 << 13;
const FIRST_FRAGMENT: u32 = 1 << 14;
const ECHO_REQUEST: u32 = 1 << 15;
const ICMP_ERROR: u32 = 1 << 16;

impl Transport {
    #[inline(always)]
    const fn new(header: &Header) -> Self {
        let protocol = header.protocol as u8;
        let (class, fragment) = match header.fragment {
            Fragment::Whole => (Class::of(protocol, false), 0),
            Fragment::First => (Class::of(protocol, true), FIRST_FRAGMENT),
            Fragment::Later => (Class::of_later_fragment(protocol), LATER_FRAGMENT),
        };
        Self {
            ports: 0,
            bits: protocol as u32 | ((class as u32) << 8) | fragment,
            identification: header.identification,
            fragment_kind: header.fragment_kind,
        }
    }

    #[inline(always)]
    const fn with_ports(self, ports: u32) -> Self {
        Self { ports, ..self }
    }

    #[inline(always)]
    const fn with(self, flag: u32, is: bool) -> Self {
        Self {
            bits: if is { self.bits | flag } else { self.bits },
            ..self
        }
    }

    /// The same packet as seen from its other end.
    #[inline(always)]
    pub fn reversed(self) -> Self {
        Self {
            ports: self.ports.rotate_left(16),
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
        self.bits & OPENS != 0
    }

    /// A neighbour-discovery message (RFC 4861), which is the host's own.
    #[inline(always)]
    pub const fn is_neighbor_discovery(&self) -> bool {
        self.bits & NEIGHBOR_DISCOVERY != 0
    }

    /// A fragment that carries no transport header.
    #[inline(always)]
    pub const fn is_later_fragment(&self) -> bool {
        self.bits & LATER_FRAGMENT != 0
    }

    /// A fragment that carries the transport header.
    #[inline(always)]
    pub const fn is_first_fragment(&self) -> bool {
        self.bits & FIRST_FRAGMENT != 0
    }

    /// An ICMP or ICMPv6 echo request, whole.
    #[inline(always)]
    pub const fn is_echo_request(&self) -> bool {
        self.bits & ECHO_REQUEST != 0
    }

    /// The transport layer of the packet that an ICMP error quotes, as seen from its receiver.
    #[inline(always)]
    pub fn of_error(self) -> Self {
        self.reversed().with(ICMP_ERROR, true)
    }

    /// No ICMP error may be sent about it: it is one (also one whose quotation is not looked at because extension
    /// headers come before it), or a later fragment.
    #[inline(always)]
    pub const fn is_unreportable(&self) -> bool {
        self.bits & (ICMP_ERROR | LATER_FRAGMENT) != 0
    }

    /// The datagram that this is a fragment of.
    #[inline(always)]
    pub const fn fragment_key(&self, network: &Network) -> FragmentKey {
        FragmentKey {
            source: network.source,
            destination: network.destination,
            identification: self.identification,
            kind: self.fragment_kind,
        }
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
        ethertype::IPV4 => ipv4(packet, l3, false),
        ethertype::IPV6 => ipv6(packet, l3, false),
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
fn ipv4<P: Packet>(packet: &P, l3: usize, quoted: bool) -> Result<Network, Reason> {
    let header = packet.window::<IPV4_HEADER>(l3).ok_or(Reason::PassTruncated)?;
    let header_length = usize::from(header[0] & 0x0f) * 4;
    let length = usize::from(be16(header, 2));
    let fault = if header[0] >> 4 != 4 || header_length < IPV4_HEADER || length < header_length {
        Some(Reason::DropMalformed)
    } else if !quoted && l3 + length > packet.length() {
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
        end: l3 + length,
        source: [word(header, 12), 0, 0, 0],
        destination: [word(header, 16), 0, 0, 0],
        protocol: header[9],
        traffic_class: header[1],
        hop_limit: header[8],
        fragment,
        fault,
        quoted,
    })
}

#[inline(always)]
fn ipv6<P: Packet>(packet: &P, l3: usize, quoted: bool) -> Result<Network, Reason> {
    let header = packet.window::<IPV6_HEADER>(l3).ok_or(Reason::PassTruncated)?;
    let length = IPV6_HEADER + usize::from(be16(header, 4));
    let fault = if header[0] >> 4 != 6 {
        Some(Reason::DropMalformed)
    } else if !quoted && l3 + length > packet.length() {
        Some(Reason::DropTruncated)
    } else {
        None
    };
    Ok(Network {
        family: Family::V6,
        l3,
        l4: l3 + IPV6_HEADER,
        length,
        end: l3 + length,
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
        quoted,
    })
}

/// What an ICMP error quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoted {
    /// The packet is no ICMP error.
    Nothing,
    /// The packet that the error is about, as it was sent.
    Packet(Network),
    /// Too little, or nonsense.
    Unreadable,
}

/// ICMP types 3, 11, 12 (RFC 792) and ICMPv6 types 1 to 4 (RFC 4443) quote the packet that they are about.
#[inline(always)]
pub fn quoted<P: Packet>(packet: &P, network: &Network) -> Quoted {
    let is_icmp = match network.family {
        Family::V4 => network.protocol == ipproto::ICMP && matches!(network.fragment, Fragment::Whole),
        Family::V6 => network.protocol == ipproto::ICMPV6,
    };
    if !is_icmp || network.fault.is_some() {
        return Quoted::Nothing;
    }
    let quotation = network.l4 + ICMP_HEADER;
    let Some(header) = packet.window::<ICMP_HEADER>(network.l4) else {
        return Quoted::Nothing;
    };
    if quotation > network.end {
        return Quoted::Nothing;
    }
    let (quoted, fixed_header) = match (network.family, header[0]) {
        (Family::V4, 3 | 11 | 12) => (ipv4(packet, quotation, true), IPV4_HEADER),
        (Family::V6, 1..=4) => (ipv6(packet, quotation, true), IPV6_HEADER),
        _ => return Quoted::Nothing,
    };
    // What lies behind the IP packet's end, such as Ethernet padding, is no part of the quotation.
    match quoted {
        Ok(quoted) if quoted.fault.is_none() && quotation + fixed_header <= network.end => {
            Quoted::Packet(Network {
                end: network.end,
                ..quoted
            })
        }
        _ => Quoted::Unreadable,
    }
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
struct Header {
    protocol: u32,
    fragment: Fragment,
    at: usize,
    identification: u32,
    fragment_kind: u32,
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
const ICMP_HEADER: usize = 8;

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

#[cfg(test)]
mod tests;
