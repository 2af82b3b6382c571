//! Frames in, frames out; `live` has the same with another host's kernel.

mod live;

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;

use etherparse::{
    ArpEthIpv4Packet, ArpOperation, Icmpv6Slice, Icmpv6Type, NetSlice, PacketBuilder, SlicedPacket,
    TransportSlice,
};
use proptest::prelude::*;

use super::worker::Heard;
use super::*;
use crate::net::testing::{HERE_MAC, THERE_MAC};

const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 101);
const ASKER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const VIP_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 1, 0, 0);
/// Another address of the same /96.
const VIP_6_MEMBER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 1, 0x1234, 0x5678);
const OTHER_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 2, 0, 0);
const ASKER_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

fn ranges() -> BTreeSet<VipRange> {
    BTreeSet::from([VipRange::host(VIP.into()), VipRange::whole_96(VIP_6)])
}

fn ours(address: IpAddr) -> bool {
    ranges().iter().any(|range| range.contains(address))
}

/// The answer to a frame, if it is a question about one of ours.
fn answer(frame: &[u8], mac: MacAddr, ours: impl Fn(IpAddr) -> bool) -> Option<Vec<u8>> {
    let heard = Heard::parse(frame)?;
    let asked = heard.asks_for.filter(|asked| ours(*asked));
    asked.map(|_| heard.reply(mac))
}

fn arp_packet(operation: ArpOperation, sender: Ipv4Addr, target: Ipv4Addr) -> ArpEthIpv4Packet {
    ArpEthIpv4Packet {
        operation,
        sender_mac: THERE_MAC,
        sender_ipv4: sender.octets(),
        target_mac: [0; 6],
        target_ipv4: target.octets(),
    }
}

fn arp_frame(packet: ArpEthIpv4Packet) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(packet.sender_mac, [0xff; 6])
        .arp(packet.into())
        .write(&mut frame)
        .unwrap();
    frame
}

fn arp_request(sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    arp_frame(arp_packet(ArpOperation::REQUEST, sender, target))
}

fn parse_arp(frame: &[u8]) -> (MacAddr, MacAddr, ArpEthIpv4Packet) {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    let ethernet = match sliced.link {
        Some(etherparse::LinkSlice::Ethernet2(slice)) => slice.to_header(),
        other => panic!("{other:?}"),
    };
    match sliced.net {
        Some(NetSlice::Arp(slice)) => (
            ethernet.source,
            ethernet.destination,
            slice.to_packet().try_eth_ipv4().unwrap(),
        ),
        other => panic!("not ARP: {other:?}"),
    }
}

struct Asked {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    hop_limit: u8,
    kind: Icmpv6Type,
    target: Ipv6Addr,
    options: Vec<u8>,
}

impl Asked {
    fn about(target: Ipv6Addr) -> Self {
        Self {
            source: ASKER_6,
            destination: ndp::solicited_node_group(target),
            hop_limit: 255,
            kind: Icmpv6Type::NeighborSolicitation,
            target,
            options: [&[1, 1][..], &THERE_MAC].concat(),
        }
    }

    fn frame(&self) -> Vec<u8> {
        let payload = [&self.target.octets()[..], &self.options].concat();
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2, 9, 9, 9, 9, 9], [0x33, 0x33, 0xff, 0, 0, 0])
            .ipv6(self.source.octets(), self.destination.octets(), self.hop_limit)
            .icmpv6(self.kind)
            .write(&mut frame, &payload)
            .unwrap();
        frame
    }
}

#[derive(Debug, PartialEq)]
struct Advertised {
    to_mac: MacAddr,
    destination: Ipv6Addr,
    solicited: bool,
    overrides: bool,
    target: Ipv6Addr,
    mac: MacAddr,
}

/// Checks what every advertisement has in common, and gives the rest.
fn parse_advertisement(frame: &[u8]) -> Advertised {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    let ethernet = match &sliced.link {
        Some(etherparse::LinkSlice::Ethernet2(slice)) => slice.to_header(),
        other => panic!("{other:?}"),
    };
    let Some(NetSlice::Ipv6(ip)) = &sliced.net else {
        panic!("not IPv6: {:?}", sliced.net)
    };
    let Some(TransportSlice::Icmpv6(icmp)) = &sliced.transport else {
        panic!("not ICMPv6")
    };
    let icmp: &Icmpv6Slice<'_> = icmp;
    let header = ip.header();
    assert_eq!(header.hop_limit(), 255);
    assert!(icmp.is_checksum_valid(header.source(), header.destination()));
    let Icmpv6Type::NeighborAdvertisement(flags) = icmp.icmp_type() else {
        panic!("{:?}", icmp.icmp_type())
    };
    assert!(!flags.router);
    let (target, option) = icmp.payload().split_first_chunk::<16>().unwrap();
    assert_eq!(header.source(), *target);
    assert_eq!(option[..2], [2, 1], "a target link-layer address");
    assert_eq!(option[2..], ethernet.source);
    Advertised {
        to_mac: ethernet.destination,
        destination: header.destination().into(),
        solicited: flags.solicited,
        overrides: flags.r#override,
        target: (*target).into(),
        mac: ethernet.source,
    }
}

#[test]
fn arp_requests_for_ours_are_answered_to_the_asker() {
    // An ordinary request, and a probe of RFC 5227.
    for sender in [ASKER, Ipv4Addr::UNSPECIFIED] {
        let reply = answer(&arp_request(sender, VIP), HERE_MAC, ours).expect("an answer");
        let (from, to, packet) = parse_arp(&reply);
        assert_eq!((from, to), (HERE_MAC, THERE_MAC));
        assert_eq!(
            packet,
            ArpEthIpv4Packet {
                operation: ArpOperation::REPLY,
                sender_mac: HERE_MAC,
                sender_ipv4: VIP.octets(),
                target_mac: THERE_MAC,
                target_ipv4: sender.octets(),
            }
        );
    }
}

#[test]
fn other_arp_is_not_answered() {
    let reply = arp_frame(arp_packet(ArpOperation::REPLY, ASKER, VIP));
    let from_a_group = arp_frame(ArpEthIpv4Packet {
        sender_mac: [1, 0, 0, 0, 0, 1],
        ..arp_packet(ArpOperation::REQUEST, ASKER, VIP)
    });
    let request = arp_request(ASKER, VIP);
    let mut other_hardware = request.clone();
    other_hardware[15] = 6;
    let frames = [
        ("another address", arp_request(ASKER, OTHER)),
        ("an announcement by another host", arp_request(VIP, VIP)),
        ("a reply", reply),
        ("a sender that is a group", from_a_group),
        ("another kind of hardware", other_hardware),
        ("a cut frame", request[..41].to_vec()),
    ];
    for (what, frame) in frames {
        assert_eq!(answer(&frame, HERE_MAC, ours), None, "{what}");
    }
}

#[test]
fn solicitations_for_ours_are_answered_to_the_asker() {
    for (asked, to_mac) in [
        (Asked::about(VIP_6), THERE_MAC),
        (Asked::about(VIP_6_MEMBER), THERE_MAC),
        // A reachability probe is unicast, and may come without the option: the frame's source counts.
        (
            Asked {
                destination: VIP_6,
                options: vec![],
                ..Asked::about(VIP_6)
            },
            [2, 9, 9, 9, 9, 9],
        ),
    ] {
        let reply = answer(&asked.frame(), HERE_MAC, ours).expect("an answer");
        assert_eq!(
            parse_advertisement(&reply),
            Advertised {
                to_mac,
                destination: ASKER_6,
                solicited: true,
                overrides: true,
                target: asked.target,
                mac: HERE_MAC,
            }
        );
    }
}

#[test]
fn duplicate_address_detection_is_answered_to_all_nodes() {
    let asked = Asked {
        source: Ipv6Addr::UNSPECIFIED,
        options: vec![],
        ..Asked::about(VIP_6)
    };
    let reply = answer(&asked.frame(), HERE_MAC, ours).expect("an answer");
    assert_eq!(
        parse_advertisement(&reply),
        Advertised {
            to_mac: [0x33, 0x33, 0, 0, 0, 1],
            destination: "ff02::1".parse().unwrap(),
            solicited: false,
            overrides: true,
            target: VIP_6,
            mac: HERE_MAC,
        }
    );
}

#[test]
fn other_neighbour_discovery_is_not_answered() {
    let good = || Asked::about(VIP_6);
    let unspecified = Ipv6Addr::UNSPECIFIED;
    let mut wrong_checksum = good().frame();
    *wrong_checksum.last_mut().unwrap() ^= 1;
    let whole = good().frame();
    let frames = [
        ("another address", Asked::about(OTHER_6).frame()),
        (
            "from beyond the link",
            Asked {
                hop_limit: 254,
                ..good()
            }
            .frame(),
        ),
        (
            "from a group",
            Asked {
                source: "ff02::1".parse().unwrap(),
                ..good()
            }
            .frame(),
        ),
        (
            "an unspecified source with an address",
            Asked {
                source: unspecified,
                ..good()
            }
            .frame(),
        ),
        (
            "an unspecified source, not to the group",
            Asked {
                source: unspecified,
                destination: VIP_6,
                options: vec![],
                ..good()
            }
            .frame(),
        ),
        (
            "an option of no length",
            Asked {
                options: vec![1, 0, 0, 0, 0, 0, 0, 0],
                ..good()
            }
            .frame(),
        ),
        (
            "an option beyond the end",
            Asked {
                options: vec![1, 2, 0, 0, 0, 0, 0, 0],
                ..good()
            }
            .frame(),
        ),
        (
            "half an option",
            Asked {
                options: vec![1],
                ..good()
            }
            .frame(),
        ),
        (
            "a router solicitation",
            Asked {
                kind: Icmpv6Type::RouterSolicitation,
                ..good()
            }
            .frame(),
        ),
        ("a wrong checksum", wrong_checksum),
        ("a cut frame", whole[..whole.len() - 1].to_vec()),
    ];
    for (what, frame) in frames {
        assert_eq!(answer(&frame, HERE_MAC, ours), None, "{what}");
    }
    assert!(answer(&whole, HERE_MAC, ours).is_some());
    let padded = [whole, vec![0; 6]].concat();
    assert!(
        answer(&padded, HERE_MAC, ours).is_some(),
        "padding of the frame is not the packet's"
    );
}

#[test]
fn announcements_say_that_the_address_is_here() {
    let forms = [(ArpOperation::REQUEST, [0; 6]), (ArpOperation::REPLY, HERE_MAC)];
    for (frame, (operation, target_mac)) in arp::announcements(HERE_MAC, VIP).iter().zip(forms) {
        let (from, to, packet) = parse_arp(frame);
        assert_eq!((from, to), (HERE_MAC, [0xff; 6]));
        let said = ArpEthIpv4Packet {
            operation,
            sender_mac: HERE_MAC,
            sender_ipv4: VIP.octets(),
            target_mac,
            target_ipv4: VIP.octets(),
        };
        assert_eq!(packet, said);
    }

    assert_eq!(
        parse_advertisement(&ndp::announcement(HERE_MAC, VIP_6)),
        Advertised {
            to_mac: [0x33, 0x33, 0, 0, 0, 1],
            destination: "ff02::1".parse().unwrap(),
            solicited: false,
            overrides: true,
            target: VIP_6,
            mac: HERE_MAC,
        }
    );
}

proptest! {
    /// Whatever arrives, parsing ends well, and an answer is about one of ours.
    #[test]
    fn damaged_frames_do_no_harm(
        six in any::<bool>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        length in any::<prop::sample::Index>(),
    ) {
        let mut frame = if six { Asked::about(VIP_6).frame() } else { arp_request(ASKER, VIP) };
        for (index, byte) in damage {
            let index = index.index(frame.len());
            frame[index] = byte;
        }
        frame.truncate(length.index(frame.len() + 1));
        if let Some(reply) = answer(&frame, HERE_MAC, ours) {
            match six {
                true => prop_assert!(ours(parse_advertisement(&reply).target.into())),
                false => prop_assert!(ours(parse_arp(&reply).2.sender_ipv4_addr().into())),
            }
        }
    }

    #[test]
    fn anything_may_arrive(frame in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = answer(&frame, HERE_MAC, ours);
    }
}

#[test]
fn questions_of_ours_claim_nothing_and_are_understood() {
    let (from, to, packet) = parse_arp(&arp::probe(HERE_MAC, VIP));
    assert_eq!((from, to), (HERE_MAC, [0xff; 6]));
    assert_eq!(
        packet,
        ArpEthIpv4Packet {
            sender_mac: HERE_MAC,
            ..arp_packet(ArpOperation::REQUEST, Ipv4Addr::UNSPECIFIED, VIP)
        }
    );
    for frame in [arp::probe(HERE_MAC, VIP).to_vec(), ndp::probe(HERE_MAC, VIP_6)] {
        let heard = Heard::parse(&frame).expect("a question");
        assert!(heard.asks_for.is_some_and(ours) && heard.claims.is_none());
    }
}

#[test]
fn what_others_say_of_an_address_is_a_claim() {
    let claim = |frame: &[u8]| Heard::parse(frame).and_then(|heard| heard.claims);
    let by_them = |address: IpAddr, claim| Some((address, THERE_MAC, claim));
    let vip = IpAddr::from(VIP);
    let reply = arp_frame(arp_packet(ArpOperation::REPLY, VIP, ASKER));
    assert_eq!(claim(&reply), by_them(vip, Claim::Answered));
    for announcement in arp::announcements(THERE_MAC, VIP) {
        assert_eq!(claim(&announcement), by_them(vip, Claim::Announced));
    }
    assert_eq!(
        claim(&arp_request(VIP, OTHER)),
        by_them(vip, Claim::AskedInItsName)
    );
    assert_eq!(claim(&arp_request(Ipv4Addr::UNSPECIFIED, VIP)), None, "a probe");
    let advertised = ndp::announcement(THERE_MAC, VIP_6);
    assert_eq!(claim(&advertised), by_them(VIP_6.into(), Claim::Answered));
    let in_its_name = Asked {
        source: VIP_6,
        ..Asked::about(OTHER_6)
    };
    assert_eq!(
        claim(&in_its_name.frame()),
        by_them(VIP_6.into(), Claim::AskedInItsName)
    );
    let mut wrong = ndp::announcement(THERE_MAC, VIP_6);
    *wrong.last_mut().unwrap() ^= 1;
    assert_eq!(claim(&wrong), None, "a wrong checksum");
}

#[test]
fn an_address_is_found_in_the_range_that_answers_for_it() {
    let answered = Answered::new(&ranges());
    for address in [VIP.into(), VIP_6.into(), VIP_6_MEMBER.into()] {
        let range = answered.find(address).expect("answered for");
        assert!(range.contains(address));
    }
    for address in [OTHER.into(), OTHER_6.into(), ASKER_6.into()] {
        assert_eq!(answered.find(address), None, "{address}");
    }
}

#[test]
fn the_kernel_lets_only_questions_and_answers_through_the_filters() {
    let ask_arp = arp_request(ASKER, VIP);
    let ask_ndp = Asked::about(VIP_6).frame();
    let router = Asked {
        kind: Icmpv6Type::RouterSolicitation,
        ..Asked::about(VIP_6)
    };
    let mut reverse = ask_arp.clone();
    reverse[21] = 3;
    let frames = [
        (ask_arp.clone(), [true, false]),
        (
            arp_frame(arp_packet(ArpOperation::REPLY, ASKER, VIP)),
            [true, false],
        ),
        (reverse, [false, false]),
        (ask_ndp.clone(), [false, true]),
        (
            Asked {
                hop_limit: 64,
                ..Asked::about(VIP_6)
            }
            .frame(),
            [false, false],
        ),
        (ndp::announcement(THERE_MAC, VIP_6), [false, true]),
        (router.frame(), [false, false]),
        (ask_arp[..20].to_vec(), [false, false]),
        (ask_ndp[..54].to_vec(), [false, false]),
    ];
    for (number, filter) in [filter::ARP, filter::NEIGHBOUR_DISCOVERY].into_iter().enumerate() {
        let (sender, receiver) = UnixDatagram::pair().unwrap();
        receiver.set_nonblocking(true).unwrap();
        socket::attach_filter(&receiver, filter).unwrap();
        for (index, (frame, expected)) in frames.iter().enumerate() {
            // A refused datagram is an error for the sender of a Unix socket.
            let sent = sender.send(frame);
            let received = receiver.recv(&mut [0; 2000]);
            match expected[number] {
                true => assert_eq!(received.unwrap(), frame.len(), "filter {number} frame {index}"),
                false => {
                    assert_eq!(
                        received.unwrap_err().kind(),
                        ErrorKind::WouldBlock,
                        "{number} {index} {sent:?}"
                    );
                }
            }
        }
    }
}
