//! Headers and checksums, read and verified by etherparse.

use etherparse::{
    Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpNumber, Ipv4Header, Ipv6Header, UdpHeader, icmpv4,
};
use proptest::prelude::*;

use super::*;
use crate::frames::{frame, ipv4_with, ipv6_with, udp};
use crate::layout::DeliveryMode;
use crate::parse::Network;

fn backend(source: [u32; 4], destination: [u32; 4]) -> Backend {
    Backend {
        mode: DeliveryMode::Ipv4 as u32,
        ifindex: 2,
        mtu: 1500,
        ethernet: [0; 12],
        outer_source: source,
        outer_destination: destination,
        port: 6080,
        tag: 0,
        outer_sum: ipv4_sum(source[0], destination[0]),
    }
}

fn bytes(words: [u32; 4]) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (chunk, word) in bytes.chunks_mut(4).zip(words) {
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

/// The network layer of a datagram with this traffic class and payload.
fn inner(v6: bool, traffic_class: u8, payload: usize) -> Network {
    let payload = [udp(1, 2), vec![0; payload]].concat();
    let packet = if v6 {
        ipv6_with(17, &payload, |header| header.traffic_class = traffic_class)
    } else {
        ipv4_with(17, &payload, |header| {
            header.dscp = (traffic_class >> 2).try_into().expect("6 bits");
            header.ecn = (traffic_class & 3).try_into().expect("2 bits");
        })
    };
    let bytes = frame(0, &packet);
    crate::parse::network(&bytes.as_slice()).expect("a whole packet")
}

fn number(v6: bool) -> IpNumber {
    if v6 { IpNumber::IPV6 } else { IpNumber::IPV4 }
}

proptest! {
    #[test]
    fn an_outer_ipv4_header_is_right(
        v6 in any::<bool>(),
        traffic_class in any::<u8>(),
        payload in 0..1400usize,
        source in any::<u32>(),
        destination in any::<u32>(),
    ) {
        let network = inner(v6, traffic_class, payload);
        let backend = backend([source, 0, 0, 0], [destination, 0, 0, 0]);
        let header = outer_ipv4(&network.inner(), &backend);
        let (header, rest) = Ipv4Header::from_slice(&header).expect("an IPv4 header");
        prop_assert!(rest.is_empty());
        prop_assert_eq!(header.header_checksum, header.calc_header_checksum());
        prop_assert_eq!(usize::from(header.total_len), 20 + network.length);
        prop_assert_eq!((header.dscp.value() << 2) | header.ecn.value(), traffic_class);
        prop_assert_eq!((header.source, header.destination), (source.to_ne_bytes(), destination.to_ne_bytes()));
        prop_assert_eq!((header.protocol, header.time_to_live), (number(v6), 64));
        prop_assert!(header.dont_fragment && !header.more_fragments);
        prop_assert_eq!((header.fragment_offset.value(), header.identification), (0, 0));
    }

    #[test]
    fn an_outer_ipv6_header_is_right(
        v6 in any::<bool>(),
        traffic_class in any::<u8>(),
        payload in 0..1400usize,
        source in any::<[u32; 4]>(),
        destination in any::<[u32; 4]>(),
    ) {
        let network = inner(v6, traffic_class, payload);
        let header = outer_ipv6(&network.inner(), &backend(source, destination), 0);
        let (header, rest) = Ipv6Header::from_slice(&header).expect("an IPv6 header");
        prop_assert!(rest.is_empty());
        prop_assert_eq!(usize::from(header.payload_length), network.length);
        prop_assert_eq!(header.traffic_class, traffic_class);
        prop_assert_eq!(header.flow_label.value(), 0);
        prop_assert_eq!((header.source, header.destination), (bytes(source), bytes(destination)));
        prop_assert_eq!((header.next_header, header.hop_limit), (number(v6), 64));
    }

    #[test]
    fn gue_is_udp_without_a_checksum_from_a_port_of_the_flow(
        v6 in any::<bool>(),
        traffic_class in any::<u8>(),
        payload in 0..1400usize,
        source in any::<[u32; 4]>(),
        destination in any::<[u32; 4]>(),
        port in any::<u16>(),
        entropy in any::<u32>(),
    ) {
        let network = inner(v6, traffic_class, payload);
        let backend = Backend { port, ..backend(source, destination) };
        let length = network.length + 8;

        let headers = gue_ipv4(&network.inner(), &backend, entropy);
        let (ip, rest) = Ipv4Header::from_slice(&headers).expect("an IPv4 header");
        prop_assert_eq!(ip.header_checksum, ip.calc_header_checksum());
        prop_assert_eq!((ip.protocol, usize::from(ip.total_len)), (IpNumber::UDP, 20 + length));
        prop_assert_eq!((ip.dscp.value() << 2) | ip.ecn.value(), traffic_class);
        prop_assert!(ip.dont_fragment);
        let (udp4, rest) = UdpHeader::from_slice(rest).expect("a UDP header");
        prop_assert!(rest.is_empty());

        let headers = gue_ipv6(&network.inner(), &backend, entropy);
        let (ip, rest) = Ipv6Header::from_slice(&headers).expect("an IPv6 header");
        prop_assert_eq!((ip.next_header, usize::from(ip.payload_length)), (IpNumber::UDP, length));
        prop_assert_eq!((ip.traffic_class, ip.flow_label.value()), (traffic_class, entropy & 0xf_ffff));
        prop_assert_eq!((ip.source, ip.destination), (bytes(source), bytes(destination)));
        let (udp6, rest) = UdpHeader::from_slice(rest).expect("a UDP header");
        prop_assert!(rest.is_empty());

        prop_assert_eq!(&udp4, &udp6);
        prop_assert_eq!((udp4.destination_port, udp4.checksum), (port, 0));
        prop_assert_eq!(usize::from(udp4.length), length);
        // The dynamic range of RFC 6335, and every bit of it by the flow.
        prop_assert!(udp4.source_port >= 49_152);
        prop_assert_eq!(u32::from(udp4.source_port) & 0x3fff, entropy & 0x3fff);
    }

    #[test]
    fn checksums_agree_with_etherparse(data in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut theirs = etherparse::checksum::Sum16BitWords::new();
        theirs = theirs.add_slice(&data);
        prop_assert_eq!(checksum::fold(checksum::sum(&data, 0)), theirs.ones_complement().to_be());
    }

    #[test]
    fn a_decremented_ttl_keeps_the_checksum_right(
        ttl in 2..=255u8,
        protocol in any::<u8>(),
        identification in any::<u16>(),
        source in any::<[u8; 4]>(),
    ) {
        let packet = ipv4_with(protocol, &[0; 9], |header| {
            header.time_to_live = ttl;
            header.identification = identification;
            header.source = source;
        });
        let (before, _) = Ipv4Header::from_slice(&packet).expect("an IPv4 header");
        let after = Ipv4Header { time_to_live: ttl - 1, ..before.clone() };
        let word = |ttl: u8| u16::from_be_bytes([ttl, protocol]);
        let updated = checksum::update(before.header_checksum, word(ttl), word(ttl - 1));
        prop_assert_eq!(updated, after.calc_header_checksum());
    }
}

#[test]
fn icmp_errors_name_the_mtu() {
    for mtu in [68, 576, 1280, 1480, 9000, u16::MAX] {
        let header = fragmentation_needed(mtu);
        let (parsed, _) = Icmpv4Header::from_slice(&header).expect("an ICMP header");
        let needed = icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: mtu };
        assert_eq!(parsed.icmp_type, Icmpv4Type::DestinationUnreachable(needed));
        assert_eq!(parsed.checksum, 0);
        let header = packet_too_big(u32::from(mtu) + 70_000);
        let (parsed, _) = Icmpv6Header::from_slice(&header).expect("an ICMPv6 header");
        let mtu = u32::from(mtu) + 70_000;
        assert_eq!(parsed.icmp_type, Icmpv6Type::PacketTooBig { mtu });
    }
}

#[test]
fn quotes_fill_the_largest_error_that_may_be_sent() {
    assert_eq!(20 + ICMP_HEADER + ICMPV4_QUOTE, 576);
    assert_eq!(40 + ICMP_HEADER + ICMPV6_QUOTE, 1280);
}
