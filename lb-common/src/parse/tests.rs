//! Packets made by etherparse, whole, cut and damaged.

mod quoted;

use etherparse::{IpFragOffset, IpNumber, Ipv4Options, Ipv6RawExtHeader};
use proptest::prelude::*;

use super::*;
use crate::frames::{
    ACK, CLIENT, CLIENT6, SYN, VIP, VIP6, frame, ipv4, ipv4_with, ipv6, ipv6_with, tcp, udp, words,
};
use crate::policy::Class;

fn parse(bytes: &[u8]) -> (Network, Result<Transport, Reason>) {
    let mut network = network(&bytes).unwrap_or_else(|reason| panic!("{reason:?}"));
    let skipped = skip_extensions(&bytes, &mut network);
    (network, skipped.and_then(|()| transport(&bytes, &network)))
}

fn ports(transport: &Transport) -> (u16, u16) {
    (transport.source_port(), transport.destination_port())
}

#[test]
fn addresses_ports_and_flags_behind_any_number_of_tags() {
    for tags in 0..=2 {
        let packets = [
            (ipv4(6, &tcp(4001, 443, SYN)), 6, true),
            (ipv4(17, &udp(4001, 443)), 17, false),
            (ipv6(6, &tcp(4001, 443, SYN | ACK)), 6, false),
            (ipv6(17, &udp(4001, 443)), 17, false),
        ];
        for (packet, protocol, opens) in packets {
            let (network, transport) = parse(&frame(tags, &packet));
            let transport = transport.expect("whole");
            assert_eq!(network.l3, 14 + 4 * tags);
            assert_eq!(network.length, packet.len());
            let (source, destination) = match network.family {
                Family::V4 => (words(&CLIENT), words(&VIP)),
                Family::V6 => (words(&CLIENT6), words(&VIP6)),
            };
            assert_eq!((network.source, network.destination), (source, destination));
            assert_eq!(ports(&transport), (4001, 443));
            assert_eq!((transport.protocol(), transport.opens()), (protocol, opens));
            assert!(!transport.is_later_fragment() && !transport.is_neighbor_discovery());
        }
    }
}

#[test]
fn only_syn_without_ack_opens() {
    for flags in 0..16 {
        let (_, transport) = parse(&frame(0, &ipv4(6, &tcp(1, 2, flags))));
        let expected = flags & SYN != 0 && flags & ACK == 0;
        assert_eq!(transport.expect("whole").opens(), expected, "{flags:04b}");
    }
}

#[test]
fn a_third_tag_is_too_many() {
    let bytes = frame(3, &ipv4(6, &tcp(1, 2, SYN)));
    assert_eq!(network(&bytes.as_slice()), Err(Reason::PassVlanDepth));
}

#[test]
fn what_is_not_ip_passes() {
    for ethertype in [0x0806u16, 0x88cc, 0x0040, 0x8847] {
        let mut bytes = frame(0, &ipv4(6, &tcp(1, 2, SYN)));
        bytes[12..14].copy_from_slice(&ethertype.to_be_bytes());
        assert_eq!(network(&bytes.as_slice()), Err(Reason::PassNotIp));
    }
}

#[test]
fn options_of_every_length_are_skipped() {
    for words in 0..=10 {
        let options = vec![1; 4 * words];
        let packet = ipv4_with(6, &tcp(4001, 443, SYN), |header| {
            header.options = Ipv4Options::try_from(options.as_slice()).expect("whole words");
        });
        let (network, transport) = parse(&frame(1, &packet));
        assert_eq!(network.l4, network.l3 + 20 + 4 * words);
        assert_eq!(ports(&transport.expect("whole")), (4001, 443));
    }
}

#[test]
fn the_fields_that_delivery_needs() {
    let packet = ipv6_with(17, &udp(1, 2), |header| {
        header.traffic_class = 0xb9;
        header.hop_limit = 3;
    });
    let (network, _) = parse(&frame(0, &packet));
    assert_eq!((network.traffic_class, network.hop_limit), (0xb9, 3));
    let packet = ipv4_with(17, &udp(1, 2), |header| {
        header.dscp = 46.try_into().expect("6 bits");
        header.ecn = 1.try_into().expect("2 bits");
        header.time_to_live = 3;
    });
    let (network, _) = parse(&frame(0, &packet));
    assert_eq!((network.traffic_class, network.hop_limit), (0xb9, 3));
}

#[test]
fn fragments_of_ipv4() {
    let fragment = |protocol: u8, payload: &[u8], more, offset: u16| {
        let packet = ipv4_with(protocol, payload, |header| {
            header.more_fragments = more;
            header.fragment_offset = IpFragOffset::try_new(offset).expect("13 bits");
        });
        parse(&frame(0, &packet)).1.expect("readable")
    };
    let first = fragment(17, &udp(4001, 443), true, 0);
    assert_eq!(ports(&first), (4001, 443));
    assert_eq!(first.class(), Class::DatagramFragment as u32);
    assert!(!first.is_later_fragment());
    let first = fragment(6, &tcp(4001, 443, SYN), true, 0);
    assert_eq!((first.class(), first.opens()), (Class::Connection as u32, true));
    for (more, offset) in [(true, 1), (false, 1), (false, 8191)] {
        let later = fragment(17, &[0xff; 3], more, offset);
        assert!(later.is_later_fragment());
        assert_eq!(ports(&later), (0, 0), "its bytes are no header");
        assert_eq!(later.class(), Class::DatagramFragment as u32);
    }
}

/// An extension header of `8 * (units + 1)` bytes.
fn raw(next: u8, units: usize) -> Vec<u8> {
    let payload = vec![0; 6 + 8 * units];
    Ipv6RawExtHeader::new_raw(IpNumber(next), &payload)
        .expect("whole words")
        .to_bytes()
        .to_vec()
}

/// By hand from RFC 8200 §4.5: etherparse 0.19 writes the M flag into the offset.
fn fragment6(next: u8, offset: u16, more: bool) -> Vec<u8> {
    let [high, low] = ((offset << 3) | u16::from(more)).to_be_bytes();
    vec![next, 0, high, low, 0, 0, 0, 7]
}

#[test]
fn extension_headers_are_walked() {
    let transport_bytes = tcp(4001, 443, SYN);
    let chains: [(u8, Vec<Vec<u8>>); 5] = [
        (0, vec![raw(6, 0)]),
        (43, vec![raw(6, 2)]),
        (60, vec![raw(6, 31)]),
        (0, vec![raw(43, 1), raw(60, 0), raw(6, 3)]),
        (
            0,
            vec![
                raw(60, 0),
                raw(43, 0),
                raw(44, 0),
                fragment6(60, 0, false),
                raw(60, 0),
                raw(6, 0),
            ],
        ),
    ];
    for (first, chain) in chains {
        let payload = [chain.concat(), transport_bytes.clone()].concat();
        let (_, transport) = parse(&frame(2, &ipv6(first, &payload)));
        let transport = transport.expect("a bounded chain");
        assert_eq!(ports(&transport), (4001, 443));
        assert!(transport.opens());
        assert_eq!(transport.class(), Class::Connection as u32);
    }
}

#[test]
fn a_long_chain_of_extension_headers_is_refused() {
    for length in 1..=12 {
        let mut payload: Vec<u8> = (1..length).flat_map(|_| raw(60, 0)).collect();
        payload.extend(raw(6, 0));
        payload.extend(tcp(4001, 443, SYN));
        let (_, transport) = parse(&frame(0, &ipv6(60, &payload)));
        if length <= EXTENSION_HEADERS {
            assert_eq!(ports(&transport.expect("short enough")), (4001, 443));
        } else {
            assert_eq!(transport, Err(Reason::DropExtensionHeaders));
        }
    }
}

#[test]
fn fragments_of_ipv6() {
    let parse_fragment = |offset, more, rest: &[u8]| {
        let payload = [fragment6(17, offset, more), rest.to_vec()].concat();
        parse(&frame(0, &ipv6(44, &payload))).1.expect("readable")
    };
    let atomic = parse_fragment(0, false, &udp(4001, 443));
    assert_eq!(
        (atomic.class(), ports(&atomic)),
        (Class::Datagram as u32, (4001, 443))
    );
    let first = parse_fragment(0, true, &udp(4001, 443));
    assert_eq!(
        (first.class(), ports(&first)),
        (Class::DatagramFragment as u32, (4001, 443))
    );
    assert!(!first.is_later_fragment());
    let later = parse_fragment(1, true, &[]);
    assert!(later.is_later_fragment());
    assert_eq!(later.class(), Class::DatagramFragment as u32);
}

#[test]
fn the_walk_ends_at_esp_ah_and_what_it_does_not_know() {
    for protocol in [50, 51, 59, 47, 253] {
        let (_, transport) = parse(&frame(0, &ipv6(0, &[raw(protocol, 0), vec![0xff; 16]].concat())));
        let transport = transport.expect("readable");
        assert_eq!((transport.protocol(), ports(&transport)), (protocol, (0, 0)));
        assert_eq!(transport.class(), Class::Portless as u32);
    }
}

#[test]
fn neighbor_discovery_has_a_hop_limit_of_255() {
    for kind in 0..=255u8 {
        for hop_limit in [1, 64, 254, 255] {
            let packet = ipv6_with(58, &[kind, 0, 0, 0, 0, 0, 0, 0], |header| {
                header.hop_limit = hop_limit
            });
            let (_, transport) = parse(&frame(0, &packet));
            let expected = hop_limit == 255 && (133..=137).contains(&kind);
            assert_eq!(transport.expect("whole").is_neighbor_discovery(), expected);
        }
    }
}

#[test]
fn ethernet_padding_is_no_part_of_the_packet() {
    // A UDP header cut by its IP length, followed by bytes that look like the rest of it.
    let mut bytes = frame(0, &ipv4(17, &udp(4001, 443)[..6]));
    bytes.extend([0; 20]);
    assert_eq!(parse(&bytes).1, Err(Reason::DropTruncated));
    let mut bytes = frame(0, &ipv6(6, &tcp(1, 2, SYN)[..12]));
    bytes.extend([0; 20]);
    assert_eq!(parse(&bytes).1, Err(Reason::DropTruncated));
    let mut bytes = frame(0, &ipv4(17, &udp(4001, 443)));
    bytes.extend([0; 18]);
    let (network, transport) = parse(&bytes);
    assert_eq!(network.length, 28);
    assert_eq!(ports(&transport.expect("whole")), (4001, 443));
}

#[test]
fn a_packet_cut_anywhere_has_a_named_reason() {
    let options = Ipv4Options::try_from([1; 12].as_slice()).expect("whole words");
    let chain = [raw(43, 0), raw(6, 1), tcp(4001, 443, SYN)].concat();
    let packets = [
        (ipv4(6, &tcp(4001, 443, SYN)), 20),
        (
            ipv4_with(17, &udp(4001, 443), |header| header.options = options),
            20,
        ),
        (ipv6(0, &chain), 40),
        (ipv6(17, &udp(4001, 443)), 40),
    ];
    for (packet, fixed) in packets {
        for tags in 0..=2 {
            let whole = frame(tags, &packet);
            for length in 0..whole.len() {
                let bytes = &whole[..length];
                if length < 14 + 4 * tags + fixed {
                    assert_eq!(network(&bytes), Err(Reason::PassTruncated), "{length}");
                } else {
                    assert_eq!(parse(bytes).1, Err(Reason::DropTruncated), "{length}");
                }
            }
            assert!(parse(&whole).1.is_ok());
        }
    }
}

/// The transport header ends before it should, by the IP header's own account.
#[test]
fn a_transport_header_cut_by_the_ip_length_is_truncated() {
    for (protocol, header) in [(6, 20), (17, 8), (132, 12), (58, 8)] {
        for length in 0..=header {
            let mut payload = vec![0; length];
            if let Some(offset) = payload.get_mut(12) {
                *offset = 0x50;
            }
            for chained in [false, true] {
                let packet = if chained {
                    ipv6(60, &[raw(protocol, 0), payload.clone()].concat())
                } else {
                    ipv6(protocol, &payload)
                };
                let mut bytes = frame(0, &packet);
                bytes.extend([0x50; 40]);
                let (_, transport) = parse(&bytes);
                if length < header {
                    assert_eq!(transport, Err(Reason::DropTruncated), "{protocol} {length}");
                } else {
                    assert!(transport.is_ok(), "{protocol} {length}");
                }
            }
        }
    }
}

/// RFC 9260: INIT is the first chunk of a packet with the verification tag 0.
#[test]
fn an_init_opens_as_a_syn_does() {
    let sctp = |tag: u32, chunk: &[u8]| {
        let ports = [0x0f, 0xa1, 0x01, 0xbb];
        [&ports[..], &tag.to_be_bytes(), &[0; 4], chunk].concat()
    };
    let opens = |packet: &[u8]| parse(&frame(0, packet)).1.map(|transport| transport.opens());
    let init = sctp(0, &[1, 0, 0, 20]);
    for (packet, expected) in [
        (init.clone(), true),
        (sctp(7, &[1, 0, 0, 20]), false),
        (sctp(0, &[0, 0, 0, 20]), false),
        (sctp(0, &[2, 0, 0, 20]), false),
        // Nothing but the common header, or less than a chunk's.
        (sctp(0, &[]), false),
        (sctp(0, &[1, 0, 0]), false),
    ] {
        assert_eq!(opens(&ipv4(132, &packet)), Ok(expected), "{packet:02x?}");
        assert_eq!(opens(&ipv6(132, &packet)), Ok(expected), "{packet:02x?}");
    }
    // The same bytes are an INIT in a first fragment, and nothing in a later one.
    let piece = |offset: u16, more| {
        opens(&ipv4_with(132, &init, |header| {
            header.fragment_offset = offset.try_into().expect("13 bits");
            header.more_fragments = more;
        }))
    };
    assert_eq!(piece(0, true), Ok(true));
    assert_eq!(piece(1, true), Ok(false));
    assert_eq!(piece(1, false), Ok(false));
}

#[test]
fn headers_that_contradict_themselves_are_malformed() {
    let good = frame(0, &ipv4(6, &tcp(4001, 443, SYN)));
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        parse(&bytes).1
    };
    for version_and_length in [0x05, 0x55, 0x65, 0x44, 0x40, 0x41] {
        assert_eq!(with(14, version_and_length), Err(Reason::DropMalformed));
    }
    // Total length: less than the header, more than the frame, exact.
    assert_eq!(with(17, 19), Err(Reason::DropMalformed));
    assert_eq!(with(17, 41), Err(Reason::DropTruncated));
    assert_eq!(with(16, 1), Err(Reason::DropTruncated));
    assert!(with(17, 40).is_ok());
    // The header is longer than the packet.
    assert_eq!(with(14, 0x4f), Err(Reason::DropMalformed));
    // TCP data offsets of less than a header.
    for offset in 0..5 {
        assert_eq!(with(14 + 20 + 12, offset << 4), Err(Reason::DropMalformed));
    }
    let mut bytes = frame(0, &ipv6(6, &tcp(4001, 443, SYN)));
    for version in [0x00, 0x40, 0x50, 0x70] {
        bytes[14] = version;
        assert_eq!(parse(&bytes).1, Err(Reason::DropMalformed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_panics_on_any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..200), shape in 0..6usize) {
        // Shaped, so that more than the EtherType is looked at.
        let shapes: [&[u8]; 6] = [&[], &[8, 0], &[0x86, 0xdd], &[0x81, 0, 0, 1, 8, 0], &[0x88, 0xa8, 0, 1, 0x86, 0xdd], &[0x81, 0, 0, 1, 0x81, 0]];
        for (at, byte) in shapes[shape].iter().enumerate() {
            if let Some(target) = bytes.get_mut(12 + at) {
                *target = *byte;
            }
        }
        let bytes = bytes.as_slice();
        if let Ok(mut network) = network(&bytes) {
            prop_assert!(network.l3 <= 22);
            let _ = skip_extensions(&bytes, &mut network);
            let _ = transport(&bytes, &network);
            if let Quoted::Packet(mut inner) = quoted(&bytes, &network) {
                let _ = skip_extensions(&bytes, &mut inner);
                let _ = transport(&bytes, &inner);
            }
        }
    }

    #[test]
    fn nothing_panics_on_damaged_packets(
        which in 0..6usize,
        tags in 0..=2usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let packets = [
            ipv4(6, &tcp(1, 2, SYN)),
            ipv6(17, &udp(1, 2)),
            ipv6(0, &[raw(60, 1), raw(44, 0), fragment6(6, 0, true), tcp(1, 2, ACK)].concat()),
            ipv4(1, &[&[3, 4, 0, 0, 0, 0, 5, 0], &ipv4(6, &tcp(1, 2, ACK))[..28]].concat()),
            ipv6(58, &[&[2, 0, 0, 0, 0, 0, 5, 0], &ipv6(44, &[fragment6(17, 0, true), udp(1, 2)].concat())[..]].concat()),
            ipv6(60, &[&raw(58, 1)[..], &[2, 0, 0, 0, 0, 0, 5, 0], &ipv6(0, &[raw(6, 0), tcp(1, 2, ACK)].concat())].concat()),
        ];
        let mut bytes = frame(tags, &packets[which]);
        for (at, value) in damage {
            let length = bytes.len();
            bytes[at.index(length)] = value;
        }
        let bytes = &bytes[..=cut.index(bytes.len())];
        if let Ok(mut network) = network(&bytes)
            && skip_extensions(&bytes, &mut network).is_ok()
            && let Ok(transport) = transport(&bytes, &network)
        {
            // What was read lies inside the packet.
            prop_assert!(network.l3 + network.length <= bytes.len());
            prop_assert!(transport.class() < Class::ALL.len() as u32);
        }
        if let Ok(mut network) = network(&bytes)
            && skip_extensions(&bytes, &mut network).is_ok()
            && let Quoted::Packet(mut inner) = quoted(&bytes, &network)
        {
            prop_assert!(inner.l3 < network.l3 + network.length);
            if skip_extensions(&bytes, &mut inner).is_ok()
                && let Ok(transport) = transport(&bytes, &inner) {
                prop_assert!(!transport.is_first_fragment() && !transport.opens());
            }
        }
    }
}
