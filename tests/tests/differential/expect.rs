//! What a packet must come to: the decision on ordinary memory, then delivery (semantics §9) written anew, with
//! headers and checksums by etherparse where it can make them.

use std::collections::{BTreeMap, BTreeSet};

use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::{Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpNumber, Ipv4Header, Ipv6Header};
use lb_common::decide::decide;
use lb_common::layout::{Backend, DeliveryMode};
use lb_common::parse::{self, Family, Network};
use lb_common::testing::MemoryTables;
use lb_common::verdict::{Action, Reason, Verdict};
use lb_common::{checksum, rewrite};

use super::world::INGRESS;

pub(crate) const XDP_DROP: u32 = 1;
pub(crate) const XDP_PASS: u32 = 2;
pub(crate) const XDP_TX: u32 = 3;
pub(crate) const XDP_REDIRECT: u32 = 4;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) reason: Reason,
    pub(crate) member: u32,
    pub(crate) action: u32,
    /// The frame that leaves; of no interest when the packet is dropped.
    pub(crate) frame: Option<Vec<u8>>,
}

impl Outcome {
    fn dropped(reason: Reason, verdict: &Verdict) -> Self {
        Self {
            reason,
            member: verdict.member,
            action: XDP_DROP,
            frame: None,
        }
    }
}

pub(crate) struct Surroundings<'a> {
    pub(crate) backends: &'a BTreeMap<u32, Backend>,
    pub(crate) devices: &'a BTreeSet<u32>,
}

/// The outcome; records flows in `tables`.
pub(crate) fn outcome(tables: &MemoryTables, around: &Surroundings<'_>, packet: &[u8]) -> Outcome {
    let passed = |reason| Outcome {
        reason,
        member: 0,
        action: XDP_PASS,
        frame: Some(packet.to_vec()),
    };
    let network = match parse::network(&packet) {
        Ok(network) => network,
        Err(reason) => return passed(reason),
    };
    let verdict = decide(tables, &packet, &network);
    match verdict.reason.action() {
        Action::Pass => passed(verdict.reason),
        Action::Drop => Outcome::dropped(verdict.reason, &verdict),
        Action::Reply => panic!("only delivery replies"),
        Action::Forward => match around.backends.get(&verdict.backend) {
            Some(backend) => deliver(packet, &network, &verdict, backend, around.devices),
            None => Outcome::dropped(Reason::DropBadDelivery, &verdict),
        },
    }
}

fn deliver(
    packet: &[u8],
    network: &Network,
    verdict: &Verdict,
    backend: &Backend,
    devices: &BTreeSet<u32>,
) -> Outcome {
    let Some(mode) = DeliveryMode::from_u32(backend.mode) else {
        return Outcome::dropped(Reason::DropBadDelivery, verdict);
    };
    let overhead = match mode {
        DeliveryMode::L2 => 0,
        DeliveryMode::Ipv4 => 20,
        DeliveryMode::Ipv6 => 40,
    };
    if network.length + overhead > backend.mtu as usize {
        return too_big(
            packet,
            network,
            verdict,
            (backend.mtu as usize).saturating_sub(overhead),
        );
    }
    if mode != DeliveryMode::L2 && network.hop_limit < 2 {
        return Outcome::dropped(Reason::DropTtlExpired, verdict);
    }
    let action = if backend.ifindex == INGRESS {
        XDP_TX
    } else if devices.contains(&backend.ifindex) {
        XDP_REDIRECT
    } else {
        return Outcome::dropped(Reason::DropBadDelivery, verdict);
    };
    let mut frame = backend.ethernet.to_vec();
    frame.extend(&packet[12..network.l3]);
    match mode {
        DeliveryMode::L2 => frame.extend(&packet[network.l3..]),
        DeliveryMode::Ipv4 => {
            set_ethertype(&mut frame, 0x0800);
            let outer = rewrite::outer_ipv4(network, backend);
            check_outer_ipv4(&outer, network, backend);
            frame.extend(outer);
            frame.extend(routed(&packet[network.l3..], network));
        }
        DeliveryMode::Ipv6 => {
            set_ethertype(&mut frame, 0x86dd);
            let outer = rewrite::outer_ipv6(network, backend);
            check_outer_ipv6(&outer, network, backend);
            frame.extend(outer);
            frame.extend(routed(&packet[network.l3..], network));
        }
    }
    Outcome {
        reason: verdict.reason,
        member: verdict.member,
        action,
        frame: Some(frame),
    }
}

fn set_ethertype(link: &mut [u8], ethertype: u16) {
    let at = link.len() - 2;
    link[at..].copy_from_slice(&ethertype.to_be_bytes());
}

/// The inner packet after one hop.
fn routed(packet: &[u8], network: &Network) -> Vec<u8> {
    let mut inner = packet.to_vec();
    match network.family {
        Family::V6 => inner[7] -= 1,
        Family::V4 => {
            let word = |bytes: &[u8], at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
            let (header, _) = Ipv4Header::from_slice(packet).expect("the parser accepted the header");
            let was_right = header.header_checksum == header.calc_header_checksum();
            let old = word(&inner, 8);
            inner[8] -= 1;
            let sum = checksum::update(word(packet, 10), old, word(&inner, 8));
            inner[10..12].copy_from_slice(&sum.to_be_bytes());
            let (header, _) = Ipv4Header::from_slice(&inner).expect("only the TTL changed");
            let is_right = header.header_checksum == header.calc_header_checksum();
            assert_eq!(
                was_right, is_right,
                "a hop keeps a right checksum right and a wrong one wrong"
            );
        }
    }
    inner
}

fn bytes_of(words: [u32; 4]) -> [u8; 16] {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.try_into().expect("four words are 16 bytes")
}

fn check_outer_ipv4(outer: &[u8; 20], network: &Network, backend: &Backend) {
    let (header, rest) = Ipv4Header::from_slice(outer).expect("an IPv4 header");
    assert!(rest.is_empty());
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    assert_eq!(usize::from(header.total_len), network.length + 20);
    assert_eq!(header.source, backend.outer_source[0].to_ne_bytes());
    assert_eq!(header.destination, backend.outer_destination[0].to_ne_bytes());
    assert!(header.dont_fragment && !header.is_fragmenting_payload());
    assert_eq!(
        (header.dscp.value() << 2) | header.ecn.value(),
        network.traffic_class
    );
    assert_eq!(header.time_to_live, 64);
    assert_eq!(header.protocol, inner_number(network));
}

fn check_outer_ipv6(outer: &[u8; 40], network: &Network, backend: &Backend) {
    let (header, rest) = Ipv6Header::from_slice(outer).expect("an IPv6 header");
    assert!(rest.is_empty());
    assert_eq!(usize::from(header.payload_length), network.length);
    assert_eq!(header.source, bytes_of(backend.outer_source));
    assert_eq!(header.destination, bytes_of(backend.outer_destination));
    assert_eq!(header.traffic_class, network.traffic_class);
    assert_eq!((header.hop_limit, header.flow_label.value()), (64, 0));
    assert_eq!(header.next_header, inner_number(network));
}

fn inner_number(network: &Network) -> IpNumber {
    match network.family {
        Family::V4 => IpNumber::IPV4,
        Family::V6 => IpNumber::IPV6,
    }
}

/// The ICMP error, made by etherparse from the RFCs' words: the packet as it came, quoted as far as allowed.
fn too_big(packet: &[u8], network: &Network, verdict: &Verdict, mtu: usize) -> Outcome {
    let (icmp, quoted) = match network.family {
        Family::V4 => (1, 576 - 20 - 8),
        Family::V6 => (58, 1280 - 40 - 8),
    };
    if network.protocol == icmp || network.length < quoted {
        return Outcome::dropped(Reason::DropTooBig, verdict);
    }
    let quote = &packet[network.l3..network.l3 + quoted];
    let mut frame = [&packet[6..12], &packet[..6], &packet[12..network.l3]].concat();
    match network.family {
        Family::V4 => {
            let (vip, client) = (
                network.destination[0].to_ne_bytes(),
                network.source[0].to_ne_bytes(),
            );
            let mut header =
                Ipv4Header::new(8 + quoted as u16, 64, IpNumber::ICMP, vip, client).expect("a short payload");
            header.dont_fragment = true;
            header.header_checksum = header.calc_header_checksum();
            header.write_raw(&mut frame).expect("writing to memory");
            let needed = DestUnreachableHeader::FragmentationNeeded {
                next_hop_mtu: mtu as u16,
            };
            let icmp = Icmpv4Header::with_checksum(Icmpv4Type::DestinationUnreachable(needed), quote);
            frame.extend(icmp.to_bytes());
        }
        Family::V6 => {
            let (vip, client) = (bytes_of(network.destination), bytes_of(network.source));
            let header = Ipv6Header {
                payload_length: 8 + quoted as u16,
                next_header: IpNumber::IPV6_ICMP,
                hop_limit: 64,
                source: vip,
                destination: client,
                ..Ipv6Header::default()
            };
            header.write(&mut frame).expect("writing to memory");
            let message = Icmpv6Type::PacketTooBig { mtu: mtu as u32 };
            let icmp = Icmpv6Header::with_checksum(message, vip, client, quote).expect("a short payload");
            frame.extend(icmp.to_bytes());
        }
    }
    frame.extend(quote);
    Outcome {
        reason: Reason::ReplyTooBig,
        member: verdict.member,
        action: XDP_TX,
        frame: Some(frame),
    }
}
