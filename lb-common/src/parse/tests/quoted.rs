//! What ICMP errors quote, and what names a datagram's fragments.

use super::*;
use crate::layout::FragmentKey;
use crate::wire::ipproto;

/// What follows an ICMP error's header, as far as a router quotes it.
fn error(v6: bool, kind: u8, quote: &[u8]) -> Vec<u8> {
    let message = [&[kind, 0, 0, 0, 0, 0, 0, 0], quote].concat();
    let packet = if v6 {
        ipv6(ipproto::ICMPV6, &message)
    } else {
        ipv4(ipproto::ICMP, &message)
    };
    frame(0, &packet)
}

fn quoted_in(bytes: &[u8]) -> Quoted {
    let (network, _) = parse(bytes);
    quoted(&bytes, &network)
}

fn readable(bytes: &[u8], mut network: Network) -> Result<Transport, Reason> {
    skip_extensions(&bytes, &mut network)?;
    transport(&bytes, &network)
}

/// The quoted packet's transport, by the same steps as a decision.
fn quoted_transport(bytes: &[u8]) -> Result<Transport, Reason> {
    match quoted_in(bytes) {
        Quoted::Packet(network) => readable(bytes, network),
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_error_types_quote() {
    let (v4, v6) = (ipv4(6, &tcp(80, 4001, ACK)), ipv6(6, &tcp(80, 4001, ACK)));
    for kind in 0..=255 {
        let quotes = |v6: bool, packet: &[u8]| quoted_in(&error(v6, kind, packet)) != Quoted::Nothing;
        assert_eq!(quotes(false, &v4), [3, 11, 12].contains(&kind), "ICMP {kind}");
        assert_eq!(quotes(true, &v6), (1..=4).contains(&kind), "ICMPv6 {kind}");
    }
    // The other family's ICMP is no ICMP at all.
    let foreign = frame(
        0,
        &ipv4(ipproto::ICMPV6, &[&[1, 0, 0, 0, 0, 0, 0, 0], &v4[..]].concat()),
    );
    assert_eq!(quoted_in(&foreign), Quoted::Nothing);
}

#[test]
fn eight_bytes_of_transport_header_are_enough_and_fewer_than_four_are_not() {
    for v6 in [false, true] {
        for payload in [
            tcp(80, 4001, SYN),
            udp(80, 4001),
            [&[0, 80, 0x0f, 0xa1], &[0; 8][..]].concat(),
        ] {
            let protocol = match payload.len() {
                20 => ipproto::TCP,
                8 => ipproto::UDP,
                _ => ipproto::SCTP,
            };
            let packet = if v6 {
                ipv6(protocol, &payload)
            } else {
                ipv4(protocol, &payload)
            };
            let header = packet.len() - payload.len();
            for quoted in 0..=payload.len() {
                let found = quoted_transport(&error(v6, if v6 { 2 } else { 3 }, &packet[..header + quoted]));
                if quoted < 4 {
                    assert_eq!(found, Err(Reason::DropIcmpError), "{quoted} bytes of {protocol}");
                } else {
                    let found = found.expect("ports are there");
                    assert_eq!(ports(&found), (80, 4001));
                    assert_eq!(ports(&found.reversed()), (4001, 80));
                    assert!(!found.opens(), "what a backend sent opens nothing");
                }
            }
        }
    }
}

#[test]
fn options_in_the_quotation_are_skipped() {
    for words in 1..=10 {
        let packet = ipv4_with(6, &tcp(80, 4001, ACK), |header| {
            header.options = Ipv4Options::try_from(vec![1; 4 * words].as_slice()).expect("whole words");
        });
        let found = quoted_transport(&error(false, 11, &packet[..20 + 4 * words + 8]));
        assert_eq!(ports(&found.expect("ports are there")), (80, 4001));
    }
    let chain = [raw(60, 1), raw(6, 0), tcp(80, 4001, ACK)].concat();
    let found = quoted_transport(&error(true, 2, &ipv6(0, &chain)));
    assert_eq!(ports(&found.expect("ports are there")), (80, 4001));
}

/// Numbers of the first header and chains that end at `next`.
fn chains(next: u8) -> Vec<(u8, Vec<u8>)> {
    vec![
        (0, raw(next, 0)),
        (60, raw(next, 255)),
        (43, raw(next, 2)),
        (44, fragment6(next, 0, false)),
        (
            0,
            [
                raw(60, 1),
                raw(43, 0),
                raw(44, 0),
                fragment6(60, 0, false),
                raw(next, 3),
            ]
            .concat(),
        ),
        (0, [0, 0, 0, 0, 0, next].map(|next| raw(next, 255)).concat()),
    ]
}

#[test]
fn errors_behind_extension_headers_quote() {
    let plain = ipv6(6, &tcp(80, 4001, ACK));
    let extended = chains(6).into_iter().map(|(first, chain)| {
        let payload = [chain, tcp(80, 4001, ACK)].concat();
        ipv6(first, &payload)
    });
    for quote in [plain].into_iter().chain(extended) {
        for kind in [1, 2, 3, 4, 5, 128] {
            let message = [&[kind, 0, 0, 0, 0, 0, 0, 0], &quote[..]].concat();
            for (first, chain) in chains(ipproto::ICMPV6) {
                let bytes = frame(2, &ipv6(first, &[&chain[..], &message].concat()));
                if kind > 4 {
                    assert_eq!(quoted_in(&bytes), Quoted::Nothing, "type {kind} is no error");
                    continue;
                }
                let found = quoted_transport(&bytes).expect("ports are there");
                assert_eq!((found.protocol(), ports(&found)), (6, (80, 4001)));
            }
        }
    }
}

#[test]
fn of_a_quoted_chain_that_is_too_long_nothing_is_known() {
    let length = EXTENSION_HEADERS as usize + 1;
    let chain = [
        vec![raw(60, 0); length - 1].concat(),
        raw(6, 0),
        tcp(80, 4001, ACK),
    ]
    .concat();
    let found = quoted_transport(&error(true, 2, &ipv6(60, &chain)));
    assert_eq!(found, Err(Reason::DropExtensionHeaders));
}

#[test]
fn an_error_behind_extension_headers_cut_anywhere_quotes_what_there_is() {
    let quote = ipv6(6, &tcp(80, 4001, ACK));
    let message = [&[2, 0, 0, 0, 0, 0, 5, 0], &quote[..]].concat();
    let headers = [raw(0, 0), raw(58, 1)].concat();
    for length in 0..=headers.len() + message.len() {
        let whole = [&headers[..], &message].concat();
        // What the IP header does not count is no part of the packet.
        let bytes = [&frame(0, &ipv6(60, &whole[..length]))[..], &whole[length..]].concat();
        let found = quoted_in(&bytes);
        match length.checked_sub(headers.len() + 8) {
            None => assert_eq!(found, Quoted::Nothing, "{length}"),
            Some(quoted) if quoted < 40 => assert_eq!(found, Quoted::Unreadable, "{length}"),
            Some(quoted) => assert_eq!(quoted_transport(&bytes).is_ok(), quoted >= 44, "{length}"),
        }
    }
}

#[test]
fn a_quotation_cut_anywhere_is_named() {
    let options = ipv4_with(6, &tcp(80, 4001, ACK), |header| {
        header.options = Ipv4Options::try_from([1; 12].as_slice()).expect("whole words");
    });
    let extended = ipv6(0, &[raw(6, 1), tcp(80, 4001, ACK)].concat());
    for (v6, kind, packet, fixed, ports_end) in [(false, 3, options, 20, 36), (true, 2, extended, 40, 60)] {
        for length in 0..=packet.len() {
            let bytes = error(v6, kind, &packet[..length]);
            match quoted_in(&bytes) {
                Quoted::Unreadable => assert!(length < fixed, "{length}"),
                Quoted::Packet(network) => {
                    assert!(length >= fixed, "{length}");
                    assert_eq!(readable(&bytes, network).is_ok(), length >= ports_end, "{length}");
                }
                Quoted::Nothing => panic!("an error quotes, if badly: {length}"),
            }
        }
    }
}

#[test]
fn what_lies_behind_the_packet_is_not_quoted() {
    let flow = ipv4(6, &tcp(80, 4001, ACK));
    for (quoted, expected) in [(0, false), (19, false), (20, true), (24, true), (40, true)] {
        let bytes = [&error(false, 3, &flow[..quoted])[..], &flow[quoted..], &[0; 20]].concat();
        match quoted_in(&bytes) {
            Quoted::Unreadable => assert!(!expected, "{quoted}"),
            Quoted::Packet(network) => {
                assert!(expected, "{quoted}");
                let found = readable(&bytes, network);
                assert_eq!(found.is_ok(), quoted >= 24, "{quoted}");
            }
            Quoted::Nothing => panic!("{quoted}"),
        }
    }
    // The error's own header in the padding: no error at all, but a packet that is too short.
    let short = [&frame(0, &ipv4(1, &[3, 0, 0, 0]))[..], &[0; 4], &flow].concat();
    assert_eq!(quoted_in(&short), Quoted::Nothing);
    assert_eq!(parse(&short).1, Err(Reason::DropTruncated));
}

#[test]
fn nonsense_is_unreadable() {
    let good = ipv4(6, &tcp(80, 4001, ACK));
    let damaged = |place: usize, value: u8| {
        let mut packet = good.clone();
        packet[place] = value;
        quoted_in(&error(false, 3, &packet))
    };
    assert_eq!(damaged(0, 0x65), Quoted::Unreadable, "the other version");
    assert_eq!(damaged(0, 0x44), Quoted::Unreadable, "a header of 16 bytes");
    assert_eq!(damaged(3, 19), Quoted::Unreadable, "shorter than its header");
    assert!(
        matches!(damaged(3, 255), Quoted::Packet(_)),
        "longer than the quotation"
    );
    assert_eq!(quoted_in(&error(true, 1, &[0x45; 60])), Quoted::Unreadable);
}

#[test]
fn a_fragment_of_an_error_is_no_error() {
    let quote = ipv4(6, &tcp(80, 4001, ACK));
    let message = [&[3, 4, 0, 0, 0, 0, 0, 0], &quote[..]].concat();
    for (more, offset) in [(true, 0), (true, 1), (false, 1)] {
        let packet = ipv4_with(1, &message, |header| {
            header.more_fragments = more;
            header.fragment_offset = IpFragOffset::try_new(offset).expect("13 bits");
        });
        assert_eq!(quoted_in(&frame(0, &packet)), Quoted::Nothing);
    }
    let quote = ipv6(6, &tcp(80, 4001, ACK));
    let message = [&[2, 0, 0, 0, 0, 0, 5, 0], &quote[..]].concat();
    for (offset, more, quotes) in [
        (0, false, true),
        (0, true, false),
        (1, true, false),
        (1, false, false),
    ] {
        let packet = ipv6(
            44,
            &[&fragment6(ipproto::ICMPV6, offset, more)[..], &message].concat(),
        );
        let found = quoted_in(&frame(0, &packet));
        assert_eq!(found != Quoted::Nothing, quotes, "offset {offset}, more {more}");
    }
}

/// The keys of a first and of a later fragment.
fn keys(first: &[u8], later: &[u8]) -> [FragmentKey; 2] {
    [first, later].map(|bytes| {
        let (network, transport) = parse(bytes);
        transport.expect("a whole fragment").fragment_key(&network)
    })
}

fn piece4(protocol: u8, identification: u16, offset: u16, client: [u8; 4]) -> Vec<u8> {
    let payload = if offset == 0 {
        tcp(4001, 80, SYN)
    } else {
        vec![0; 8]
    };
    let packet = ipv4_with(protocol, &payload, |header| {
        header.identification = identification;
        header.more_fragments = offset == 0;
        header.fragment_offset = IpFragOffset::try_new(offset).expect("13 bits");
        header.source = client;
    });
    frame(0, &packet)
}

#[test]
fn fragments_of_one_datagram_have_one_key_and_others_another() {
    for protocol in [1, 6, 17, 50, 132] {
        let [first, later] = keys(&piece4(protocol, 7, 0, CLIENT), &piece4(protocol, 7, 3, CLIENT));
        assert_eq!(first, later, "{protocol}");
        for other in [
            piece4(protocol, 8, 3, CLIENT),
            piece4(protocol, 0x0700, 3, CLIENT),
            piece4(51, 7, 3, CLIENT),
            piece4(protocol, 7, 3, [198, 51, 100, 8]),
        ] {
            assert_ne!(keys(&other, &other)[0], first);
        }
    }
    let piece6 = |before: &[u8], offset, payload: &[u8]| {
        let next = if before.is_empty() { 44 } else { 0 };
        let fragment = fragment6(17, offset, offset == 0);
        frame(0, &ipv6(next, &[before, &fragment, payload].concat()))
    };
    let [first, later] = keys(&piece6(&[], 0, &udp(4001, 53)), &piece6(&raw(44, 2), 2, &[0; 8]));
    assert_eq!(first, later, "whatever comes before the fragment header");
    assert_eq!(first.identification.to_ne_bytes(), [0, 0, 0, 7]);
    // The same bits of the other family are another key.
    let [v4, _] = keys(&piece4(17, 7, 0, CLIENT), &piece4(17, 7, 3, CLIENT));
    assert_ne!(v4.kind, first.kind);
}

#[test]
fn neighbor_discovery_and_echo_are_of_their_own_family() {
    let in_ipv4 = |kind| {
        let packet = ipv4_with(ipproto::ICMPV6, &[kind, 0, 0, 0, 0, 0, 0, 0], |header| {
            header.time_to_live = 255;
        });
        parse(&frame(0, &packet)).1.expect("whole")
    };
    for kind in 133..=137 {
        assert!(!in_ipv4(kind).is_neighbor_discovery());
    }
    assert!(!in_ipv4(128).is_echo_request());
    let echo = |v6: bool, protocol, kind| {
        let message = [kind, 0, 0, 0, 0, 0, 0, 0];
        let packet = if v6 {
            ipv6(protocol, &message)
        } else {
            ipv4(protocol, &message)
        };
        parse(&frame(0, &packet)).1.expect("whole").is_echo_request()
    };
    assert!(echo(false, 1, 8) && echo(true, 58, 128));
    assert!(!echo(false, 58, 8) && !echo(true, 1, 128));
    // Behind extension headers too, if the packet has come to its last destination and is whole.
    let behind = |first, chain: &[u8]| {
        let packet = ipv6(first, &[chain, &[128, 0, 0, 0, 0, 0, 0, 0]].concat());
        parse(&frame(0, &packet)).1.expect("whole").is_echo_request()
    };
    for (first, chain) in chains(58) {
        assert!(behind(first, &chain), "header {first}");
    }
    let segments_left = |left: u8| [&[58, 0, 4, left][..], &[0; 4]].concat();
    assert!(behind(43, &segments_left(0)) && !behind(43, &segments_left(1)));
    assert!(!behind(44, &fragment6(58, 0, true)));
    assert!(!echo(false, 1, 0) && !echo(true, 58, 129) && !echo(true, 1, 8) && !echo(true, 58, 8));
}
