//! From bytes to the few fields that a decision needs.
//!
//! In steps, because a packet that can't be understood is dropped only when it is for a VIP: [`network`] finds the
//! addresses and never drops; [`skip_extensions`] finds the header behind IPv6 extension headers and [`transport`]
//! ports and flags, and their errors count only after the rule lookup has said that the destination is ours.
//! [`quoted`] finds the packet that an ICMP error is about, to which the last two steps apply as well.

mod extensions;
mod headers;
mod plain;
mod transport;

pub use extensions::{EXTENSION_HEADERS, skip_extensions};
pub use headers::transport;
pub use plain::{plain_family, plain_ipv4, plain_ipv6, plain_transport};
pub use transport::Transport;

use headers::{ICMP_HEADER, TCP_HEADER, TCP_READ, UDP_HEADER};

use crate::verdict::Reason;
use crate::wire::{
    ETHERNET_HEADER, IPV4_HEADER, IPV6_HEADER, Packet, VLAN_TAG, be16, ethertype, ipproto, word,
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
    /// Offset behind the fixed header and IPv4 options, and after [`skip_extensions`] behind those that are walked.
    pub l4: usize,
    /// Length of the IP packet by its own header, in bytes.
    pub length: usize,
    /// Offset behind what there is of the packet: what an ICMP error quotes may end before its own length.
    end: usize,
    pub source: [u32; 4],
    pub destination: [u32; 4],
    /// Protocol; before [`skip_extensions`], the first next-header value.
    pub protocol: u8,
    /// TOS or traffic class.
    pub traffic_class: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// IPv6 carries it in an extension header.
    fragment: Fragment,
    /// Of an IPv6 fragment: what names its datagram, as [`FragmentKey`](crate::layout::FragmentKey) has it.
    identification: u32,
    fragment_kind: u32,
    /// Not 0: a routing header has segments left, so the destination is not the last one.
    detour: u32,
    /// A header that contradicts itself.
    fault: Option<Reason>,
    /// Quoted in an ICMP error: the packet may end before its own length, and its transport header early.
    quoted: bool,
}

/// What an outer header says of the packet inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner {
    pub family: Family,
    /// Length of the IP packet by its own header, in bytes.
    pub length: usize,
    /// TOS or traffic class.
    pub traffic_class: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
}

impl Network {
    #[inline(always)]
    pub const fn inner(&self) -> Inner {
        Inner {
            family: self.family,
            length: self.length,
            traffic_class: self.traffic_class,
            hop_limit: self.hop_limit,
        }
    }

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
        identification: 0,
        fragment_kind: 0,
        detour: 0,
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
        identification: 0,
        fragment_kind: 0,
        detour: 0,
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

/// ICMP types 3, 11, 12 (RFC 792) and ICMPv6 types 1 to 4 (RFC 4443) quote the packet that they are about. Extension
/// headers have been skipped.
#[inline(always)]
pub fn quoted<P: Packet>(packet: &P, network: &Network) -> Quoted {
    let own = match network.family {
        Family::V4 => ipproto::ICMP,
        Family::V6 => ipproto::ICMPV6,
    };
    let is_whole = matches!(network.fragment, Fragment::Whole);
    if network.protocol != own || !is_whole || network.fault.is_some() {
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

#[cfg(test)]
mod tests;
