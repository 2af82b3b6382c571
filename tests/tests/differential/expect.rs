//! What a packet must come to: the decision on ordinary memory, then delivery (semantics §9) written anew, with
//! headers and checksums by etherparse where it can make them.

use std::collections::BTreeSet;

use etherparse::checksum::Sum16BitWords;
use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::{
    Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpDscp, IpEcn, IpNumber, Ipv4Header, Ipv6FlowLabel,
    Ipv6Header, UdpHeader,
};
use lb_common::checksum;
use lb_common::decide::decide;
use lb_common::layout::{Backend, DeliveryMode};
use lb_common::parse::{self, Family, Network};
use lb_common::testing::MemoryTables;
use lb_common::verdict::{Action, Reason, Verdict};
use lb_ctl::plan::contents::Numbered;

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
    /// How it was delivered, if it was.
    pub(crate) mode: Option<DeliveryMode>,
    /// The frame that leaves; of no interest when the packet is dropped.
    pub(crate) frame: Option<Vec<u8>>,
}

impl Outcome {
    fn dropped(reason: Reason, verdict: &Verdict) -> Self {
        Self {
            reason,
            member: verdict.member,
            action: XDP_DROP,
            mode: None,
            frame: None,
        }
    }
}

pub(crate) struct Surroundings<'a> {
    /// The arriving interface's own address, if it is known.
    pub(crate) own_mac: Option<[u8; 6]>,
    pub(crate) backends: &'a Numbered<Backend>,
    pub(crate) devices: &'a BTreeSet<u32>,
}

/// The outcome; records flows in `tables`.
pub(crate) fn outcome(tables: &MemoryTables, around: &Surroundings<'_>, packet: &[u8]) -> Outcome {
    let passed = |reason| Outcome {
        reason,
        member: 0,
        action: XDP_PASS,
        mode: None,
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
        Action::Reply => echo_reply(packet, around, &network, &verdict),
        Action::Forward => match around.backends.get(&verdict.backend) {
            Some(backend) => deliver(packet, around, &network, &verdict, backend),
            None => Outcome::dropped(Reason::DropBadDelivery, &verdict),
        },
    }
}

/// Addresses and tags of a frame that goes back to the sender.
fn link_back(packet: &[u8], around: &Surroundings<'_>, network: &Network) -> Vec<u8> {
    let own = around.own_mac.as_ref().map_or(&packet[..6], |mac| &mac[..]);
    [&packet[6..12], own, &packet[12..network.l3]].concat()
}

fn deliver(
    packet: &[u8],
    around: &Surroundings<'_>,
    network: &Network,
    verdict: &Verdict,
    backend: &Backend,
) -> Outcome {
    let Some(mode) = DeliveryMode::from_u32(backend.mode) else {
        return Outcome::dropped(Reason::DropBadDelivery, verdict);
    };
    let is_link_local = match network.family {
        Family::V4 => network.source[0].to_ne_bytes()[..2] == [169, 254],
        Family::V6 => {
            let [first, second, ..] = network.source[0].to_ne_bytes();
            first == 0xfe && second >> 6 == 2
        }
    };
    if mode != DeliveryMode::L2 && is_link_local {
        return Outcome::dropped(Reason::DropLinkLocalSource, verdict);
    }
    let overhead = match mode {
        DeliveryMode::L2 => 0,
        DeliveryMode::Ipv4 => 20,
        DeliveryMode::Ipv6 => 40,
        DeliveryMode::GueIpv4 => 20 + 8,
        DeliveryMode::GueIpv6 => 40 + 8,
    };
    if network.length + overhead > backend.mtu as usize {
        let mtu = (backend.mtu as usize).saturating_sub(overhead);
        return too_big(packet, around, network, verdict, mtu);
    }
    if mode != DeliveryMode::L2 && network.hop_limit < 2 {
        return Outcome::dropped(Reason::DropTtlExpired, verdict);
    }
    let action = if backend.ifindex == INGRESS {
        XDP_TX
    } else if around.devices.contains(&backend.ifindex) {
        XDP_REDIRECT
    } else {
        return Outcome::dropped(Reason::DropBadDelivery, verdict);
    };
    let mut frame = backend.ethernet.to_vec();
    frame.extend(&packet[12..network.l3]);
    let inner = &packet[network.l3..];
    if mode == DeliveryMode::L2 {
        frame.extend(inner);
    } else {
        encapsulate(&mut frame, mode, network, backend, verdict.entropy);
        frame.extend(routed(inner, network));
    }
    Outcome {
        reason: verdict.reason,
        member: verdict.member,
        action,
        mode: Some(mode),
        frame: Some(frame),
    }
}

/// The outer headers (semantics §9), behind link headers that get the outer EtherType.
fn encapsulate(frame: &mut Vec<u8>, mode: DeliveryMode, network: &Network, backend: &Backend, entropy: u32) {
    let is_gue = matches!(mode, DeliveryMode::GueIpv4 | DeliveryMode::GueIpv6);
    let is_v4 = matches!(mode, DeliveryMode::Ipv4 | DeliveryMode::GueIpv4);
    let (protocol, payload) = if is_gue {
        (IpNumber::UDP, network.length + 8)
    } else {
        (inner_number(network), network.length)
    };
    set_ethertype(frame, if is_v4 { 0x0800 } else { 0x86dd });
    if is_v4 {
        outer_ipv4(frame, network, backend, protocol, payload);
    } else {
        outer_ipv6(frame, network, backend, protocol, payload, entropy);
    }
    if is_gue {
        let udp = UdpHeader {
            source_port: 0xc000 | (entropy % 0x4000) as u16,
            destination_port: backend.port,
            length: payload as u16,
            checksum: 0,
        };
        udp.write(frame).expect("writing to memory");
    }
}

fn outer_ipv4(frame: &mut Vec<u8>, network: &Network, backend: &Backend, protocol: IpNumber, payload: usize) {
    let source = backend.outer_source[0].to_ne_bytes();
    let destination = backend.outer_destination[0].to_ne_bytes();
    let mut header =
        Ipv4Header::new(payload as u16, 64, protocol, source, destination).expect("a short payload");
    header.dscp = IpDscp::try_new(network.traffic_class >> 2).expect("6 bits");
    header.ecn = IpEcn::try_new(network.traffic_class & 3).expect("2 bits");
    header.dont_fragment = true;
    header.header_checksum = header.calc_header_checksum();
    header.write_raw(frame).expect("writing to memory");
}

fn outer_ipv6(
    frame: &mut Vec<u8>,
    network: &Network,
    backend: &Backend,
    protocol: IpNumber,
    payload: usize,
    entropy: u32,
) {
    let header = Ipv6Header {
        traffic_class: network.traffic_class,
        flow_label: Ipv6FlowLabel::try_new(entropy % (1 << 20)).expect("20 bits"),
        payload_length: payload as u16,
        next_header: protocol,
        hop_limit: 64,
        source: bytes_of(backend.outer_source),
        destination: bytes_of(backend.outer_destination),
    };
    header.write(frame).expect("writing to memory");
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
            inner[8] -= 1;
            update_checksum(&mut inner, packet, 10, 8);
            assert_same_validity(&inner, packet, ipv4_header_length(packet));
        }
    }
    inner
}

fn ipv4_header_length(packet: &[u8]) -> std::ops::Range<usize> {
    0..usize::from(packet[0] & 0x0f) * 4
}

/// Updates the checksum at `at` for the word at `changed` (RFC 1624).
fn update_checksum(packet: &mut [u8], before: &[u8], at: usize, changed: usize) {
    let word = |bytes: &[u8], at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let sum = checksum::update(word(before, at), word(before, changed), word(packet, changed));
    packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// A right checksum stays right and a wrong one wrong: etherparse sums the bytes anew.
fn assert_same_validity(after: &[u8], before: &[u8], range: std::ops::Range<usize>) {
    let is_right = |bytes: &[u8]| {
        Sum16BitWords::new()
            .add_slice(&bytes[range.clone()])
            .ones_complement()
            == 0
    };
    assert_eq!(
        is_right(before),
        is_right(after),
        "the checksum of {before:x?}, {range:?}"
    );
}

fn bytes_of(words: [u32; 4]) -> [u8; 16] {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.try_into().expect("four words are 16 bytes")
}

fn inner_number(network: &Network) -> IpNumber {
    match network.family {
        Family::V4 => IpNumber::IPV4,
        Family::V6 => IpNumber::IPV6,
    }
}

/// What an ICMPv6 checksum is about (RFC 8200 §8.1).
fn with_pseudo_header(packet: &[u8], message: std::ops::Range<usize>) -> Vec<u8> {
    let length = (message.len() as u32).to_be_bytes();
    [&packet[8..40], &length, &[0, 0, 0, 58], &packet[message]].concat()
}

/// The answer to an echo request (RFC 792, RFC 4443 §4.2): ends exchanged, the type changed, extension headers left
/// out, the rest as it came.
fn echo_reply(packet: &[u8], around: &Surroundings<'_>, network: &Network, verdict: &Verdict) -> Outcome {
    let inner = &packet[network.l3..];
    let mut answer = inner.to_vec();
    match network.family {
        Family::V4 => {
            let l4 = ipv4_header_length(inner).end;
            answer[12..16].copy_from_slice(&inner[16..20]);
            answer[16..20].copy_from_slice(&inner[12..16]);
            answer[8] = 64;
            update_checksum(&mut answer, inner, 10, 8);
            assert_same_validity(&answer, inner, ipv4_header_length(inner));
            answer[l4] = 0;
            update_checksum(&mut answer, inner, l4 + 2, l4);
            assert_same_validity(&answer, inner, l4..network.length);
        }
        Family::V6 => {
            let extensions = message_of(inner) - 40;
            answer.drain(40..40 + extensions);
            let length = network.length - extensions;
            answer[4..6].copy_from_slice(&(length as u16 - 40).to_be_bytes());
            answer[6] = 58;
            // The label is one of the sender's own flow (RFC 6437 §2).
            answer[1] &= 0xf0;
            answer[2..4].fill(0);
            let request = answer.clone();
            answer[8..24].copy_from_slice(&inner[24..40]);
            answer[24..40].copy_from_slice(&inner[8..24]);
            answer[7] = 64;
            answer[40] = 129;
            update_checksum(&mut answer, &request, 42, 40);
            let summed = [&answer, &request].map(|packet| with_pseudo_header(packet, 40..length));
            assert_same_validity(&summed[0], &summed[1], 0..summed[0].len());
        }
    }
    Outcome {
        reason: Reason::ReplyEcho,
        member: verdict.member,
        action: XDP_TX,
        mode: None,
        frame: Some([link_back(packet, around, network), answer].concat()),
    }
}

/// Where the message of an IPv6 packet begins, behind extension headers (RFC 8200 §4).
fn message_of(packet: &[u8]) -> usize {
    let (mut next, mut at) = (packet[6], 40);
    while next != 58 {
        let length = match next {
            44 => 8,
            0 | 43 | 60 => 8 * (usize::from(packet[at + 1]) + 1),
            other => panic!("header {other} before an echo request"),
        };
        next = packet[at];
        at += length;
    }
    at
}

/// The ICMP error, made by etherparse from the RFCs' words: the packet as it came, quoted as far as allowed.
fn too_big(
    packet: &[u8],
    around: &Surroundings<'_>,
    network: &Network,
    verdict: &Verdict,
    mtu: usize,
) -> Outcome {
    let quoted = match network.family {
        Family::V4 => 576 - 20 - 8,
        Family::V6 => 1280 - 40 - 8,
    };
    if verdict.unreportable || network.length < quoted {
        return Outcome::dropped(Reason::DropTooBig, verdict);
    }
    let quote = &packet[network.l3..network.l3 + quoted];
    let mut frame = link_back(packet, around, network);
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
        mode: None,
        frame: Some(frame),
    }
}
