//! Where the loaded program sends packets and what it makes of them: leaders, zones, and the ways of delivery.
//!
//! Needs root. Everything happens in network namespaces of their own, and no map is pinned.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use etherparse::{IpDscp, Ipv4Header, Ipv4HeaderSlice, Ipv6HeaderSlice, UdpHeaderSlice};
use lb_common::verdict::Reason;
use lb_ctl::health::Weight;
use lb_tests::conformance::bench::{Bench, SIZES, XDP_TX, enter_namespace};
use lb_tests::conformance::documents;
use lb_tests::conformance::packet::{Ends, Fragment, Position, frame, network, transport};
use lb_tests::conformance::rows::{self, Case, Policy};
use lb_tests::conformance::world::{State, World};
use serde_json::{Value, json};

const START: u32 = 4003;
const LINK: usize = 14;
const TAG: usize = 4;

fn bench() -> Bench {
    Bench::new(lb_ctl::dataplane::Sizes {
        flow_slots: 1 << 14,
        table_slots: 1 << 18,
        ..SIZES
    })
}

fn case(name: &str, is_ipv6: bool) -> Case {
    let mut cases = rows::cases().into_iter();
    let found = cases.find(|case| case.name == name && case.is_ipv6 == is_ipv6);
    found.unwrap_or_else(|| panic!("no case {name}"))
}

const POLICY: Policy = Policy {
    scheme: "INTERNAL",
    affinity: "NONE",
    mode: "PER_CONNECTION",
    persistence: "DEFAULT_FOR_PROTOCOL",
};

fn vip(is_ipv6: bool) -> IpAddr {
    documents::vip(0, false, is_ipv6)
}

fn states(unhealthy: &str) -> BTreeMap<char, State> {
    let state = |name| State {
        healthy: !unhealthy.contains(name),
        weight: Weight::default(),
    };
    "abcd".chars().map(|name| (name, state(name))).collect()
}

fn group(name: &str, zone: &str, members: &str, annotations: Value) -> Value {
    let mut group = documents::group(name, &members.chars().collect());
    group["zone"] = zone.into();
    group["annotations"] = annotations;
    group
}

fn path(zone: &str, group: &str) -> String {
    format!("projects/lab/zones/{zone}/networkEndpointGroups/{group}")
}

/// A service of a and b in the zone `east`, c and d in `west`, with rules for every protocol.
fn two_zones(fields: Value) -> Value {
    let backends = [("east", "one"), ("west", "two")].map(|(zone, name)| json!({"group": path(zone, name)}));
    let mut service = documents::service(0, &POLICY, backends.to_vec());
    let Value::Object(fields) = fields else {
        unreachable!("fields are an object")
    };
    service.extend(fields);
    service.retain(|_, value| !value.is_null());
    let zone = |zone: &str| format!("projects/lab/zones/{zone}");
    let mut all = vec![
        documents::health_check(),
        group("one", &zone("east"), "ab", json!({})),
        group("two", &zone("west"), "cd", json!({})),
        Value::Object(service),
    ];
    all.extend(documents::rules(0, &POLICY));
    Value::Array(all)
}

/// Where new flows of many clients go.
fn reached(world: &mut World<'_>, is_ipv6: bool) -> BTreeSet<char> {
    let flow = |_| {
        let ends = world.client(vip(is_ipv6));
        world
            .both(&frame(&case("UDP", is_ipv6), &ends, Position::First))
            .backend
    };
    (0..60).filter_map(flow).collect()
}

fn names(text: &str) -> BTreeSet<char> {
    text.chars().collect()
}

#[test]
fn clients_of_a_zone_go_to_its_backends() {
    enter_namespace();
    let mut bench = bench();
    let spillover = |value: &str, ratio: f64| {
        let affinity = json!({"spillover": value, "spilloverRatio": ratio});
        json!({"networkPassThroughLbTrafficPolicy": {"zonalAffinity": affinity}})
    };
    let stay = json!({"networkPassThroughLbTrafficPolicy":
        {"zonalAffinity": {"spillover": "ZONAL_AFFINITY_STAY_WITHIN_ZONE"}}});
    let spill = |ratio| spillover("ZONAL_AFFINITY_SPILL_CROSS_ZONE", ratio);
    for (fields, clients, unhealthy, expected) in [
        (json!({}), "east", "", "abcd"),
        (stay.clone(), "east", "", "ab"),
        (stay.clone(), "west", "", "cd"),
        (stay.clone(), "elsewhere", "", "abcd"),
        (stay.clone(), "east", "a", "b"),
        (stay.clone(), "east", "ab", "ab"),
        (stay, "east", "abcd", "ab"),
        (spill(0.0), "east", "a", "b"),
        (spill(0.0), "east", "ab", "cd"),
        (spill(0.5), "east", "a", "b"),
        (spill(0.6), "east", "a", "bcd"),
        (spill(0.6), "east", "abcd", "abcd"),
    ] {
        let mut world = World::new(&mut bench, START);
        world.clients_are_in(clients, &["10.0.0.0/8", "2001:db8:c11::/48"]);
        world.set_states(&two_zones(fields.clone()), &states(unhealthy));
        for is_ipv6 in [false, true] {
            let what = format!("{fields} from {clients}, {unhealthy:?} unhealthy");
            assert_eq!(reached(&mut world, is_ipv6), names(expected), "{what}");
        }
    }
}

#[test]
fn a_zone_change_moves_no_flow() {
    enter_namespace();
    let mut bench = bench();
    let mut world = World::new(&mut bench, START);
    world.set_states(&two_zones(json!({})), &states(""));
    let tcp = case("TCP", false);
    let flows: Vec<(Ends, Option<char>)> = (0..40)
        .map(|_| {
            let ends = world.client(vip(false));
            (ends, world.both(&frame(&tcp, &ends, Position::First)).backend)
        })
        .collect();
    assert!(flows.iter().any(|(_, backend)| *backend == Some('c')));
    let stay = json!({"networkPassThroughLbTrafficPolicy":
        {"zonalAffinity": {"spillover": "ZONAL_AFFINITY_STAY_WITHIN_ZONE"}}});
    world.clients_are_in("east", &["10.0.0.0/8"]);
    world.set_states(&two_zones(stay), &states(""));
    for (ends, backend) in flows {
        let seen = world.both(&frame(&tcp, &ends, Position::Further));
        assert_eq!((seen.reason, seen.backend), (Reason::ForwardTracked, backend));
    }
    assert_eq!(reached(&mut world, false), names("ab"));
}

/// What a service with a leader does not have.
fn led_by(leader: Value) -> Value {
    let policy = json!({"fastIPMove": "DISABLED", "leader": leader});
    two_zones(json!({
        "haPolicy": policy, "sessionAffinity": null, "connectionTrackingPolicy": null, "healthChecks": null,
    }))
}

#[test]
fn a_leader_gets_every_packet_and_nothing_is_tracked() {
    enter_namespace();
    let mut bench = bench();
    let mut world = World::new(&mut bench, START);
    let leader = json!({"backendGroup": path("west", "two"), "networkEndpoint": {"instance": "d"}});
    for unhealthy in ["", "d", "abcd"] {
        world.set_states(&led_by(leader.clone()), &states(unhealthy));
        for case in rows::cases() {
            for position in [Position::First, Position::Further] {
                let ends = world.client(vip(case.is_ipv6));
                let seen = world.both(&frame(&case, &ends, position));
                assert_eq!(
                    (seen.reason, seen.backend),
                    (Reason::ForwardLeader, Some('d')),
                    "{case:?}"
                );
            }
        }
    }
    world.set_states(&led_by(Value::Null), &states(""));
    for case in rows::cases() {
        let ends = world.client(vip(case.is_ipv6));
        let seen = world.both(&frame(&case, &ends, Position::First));
        assert_eq!(
            (seen.reason, seen.backend),
            (Reason::DropNoLeader, None),
            "{case:?}"
        );
    }
    assert!(
        world.flows().iter().flatten().all(|slot| *slot == 0),
        "an entry was made"
    );
}

/// A service of one endpoint, delivered to as the annotation says.
fn single(delivery: &str) -> Value {
    let backends = vec![json!({"group": path("east", "one")})];
    let mut all = vec![
        documents::health_check(),
        group(
            "one",
            "projects/lab/zones/east",
            "a",
            json!({"lb/delivery": delivery}),
        ),
        Value::Object(documents::service(0, &POLICY, backends)),
    ];
    all.extend(documents::rules(0, &POLICY));
    Value::Array(all)
}

fn delivered_by<'b>(bench: &'b mut Bench, delivery: &str) -> World<'b> {
    let mut world = World::new(bench, START);
    if delivery != "l2" {
        world.move_behind_a_router();
    }
    world.set_states(&single(delivery), &states(""));
    world
}

const DSCP: u8 = 46;
const HOP_LIMIT: u8 = 9;

/// A UDP packet of this class and hop limit, behind a VLAN tag.
fn tagged(ends: &Ends, is_ipv6: bool) -> Vec<u8> {
    let mut bytes = frame(&case("UDP", is_ipv6), ends, Position::First);
    if is_ipv6 {
        bytes[LINK] = 0x60 | (DSCP >> 2);
        bytes[LINK + 1] = (DSCP & 3) << 6;
        bytes[LINK + 7] = HOP_LIMIT;
    } else {
        let (mut header, payload) = Ipv4Header::from_slice(&bytes[LINK..]).expect("an IPv4 packet");
        let payload = payload.to_vec();
        header.dscp = IpDscp::try_new(DSCP).expect("6 bits");
        header.time_to_live = HOP_LIMIT;
        header.header_checksum = header.calc_header_checksum();
        bytes.truncate(LINK);
        header.write_raw(&mut bytes).expect("writing to memory");
        bytes.extend(payload);
    }
    bytes.splice(12..12, [0x81, 0x00, 0x20, 0x2a]);
    bytes
}

/// DSCP and what follows the outer headers, whose checksums are right; DF is set.
fn unwrap_outer(packet: &[u8], is_gue: bool) -> (u8, &[u8]) {
    let (dscp, protocol, inner) = if packet[0] >> 4 == 4 {
        let header = Ipv4HeaderSlice::from_slice(packet).expect("an IPv4 header");
        assert_eq!(
            header.header_checksum(),
            header.to_header().calc_header_checksum()
        );
        assert!(header.dont_fragment());
        assert_eq!(usize::from(header.total_len()), packet.len());
        (header.dcp().value(), header.protocol().0, &packet[20..])
    } else {
        let header = Ipv6HeaderSlice::from_slice(packet).expect("an IPv6 header");
        assert_eq!(usize::from(header.payload_length()), packet.len() - 40);
        (header.traffic_class() >> 2, header.next_header().0, &packet[40..])
    };
    if !is_gue {
        assert!(matches!(protocol, 4 | 41), "{protocol}");
        return (dscp, inner);
    }
    assert_eq!(protocol, 17);
    let udp = UdpHeaderSlice::from_slice(inner).expect("a UDP header");
    assert_eq!(udp.destination_port(), lb_ctl::settings::GUE_PORT);
    assert_eq!(usize::from(udp.length()), inner.len());
    (dscp, &inner[8..])
}

#[test]
fn tags_class_and_hop_limit_are_as_the_way_of_delivery_says() {
    enter_namespace();
    let mut bench = bench();
    for delivery in ["l2", "ipip", "gue"] {
        let mut world = delivered_by(&mut bench, delivery);
        for is_ipv6 in [false, true] {
            let what = format!("{delivery} ipv6 {is_ipv6}");
            let sent = tagged(&world.client(vip(is_ipv6)), is_ipv6);
            let (action, got) = world.run(&sent);
            assert_eq!(action, XDP_TX, "{what}");
            assert_eq!(got[..6], [2, 0, 0, 0, 0, b'a'], "{what}");
            assert_eq!(got[12..16], sent[12..16], "the tag of {what}");
            let (before, after) = (&sent[LINK + TAG..], &got[LINK + TAG..]);
            if delivery == "l2" {
                assert_eq!(got[16..], sent[16..], "nothing but the addresses of the frame");
                continue;
            }
            let (dscp, inner) = unwrap_outer(after, delivery == "gue");
            assert_eq!(dscp, DSCP, "{what}");
            let mut routed = before.to_vec();
            if is_ipv6 {
                routed[7] -= 1;
            } else {
                let (header, _) = Ipv4Header::from_slice(before).expect("an IPv4 packet");
                let mut header = header;
                header.time_to_live -= 1;
                routed[8] = header.time_to_live;
                routed[10..12].copy_from_slice(&header.calc_header_checksum().to_be_bytes());
            }
            assert_eq!(inner, routed, "{what}");
        }
    }
}

#[test]
fn a_hop_limit_of_one_ends_where_the_packet_is_routed_and_not_on_the_link() {
    enter_namespace();
    let mut bench = bench();
    for (delivery, expected) in [
        ("l2", Reason::ForwardNew),
        ("ipip", Reason::DropTtlExpired),
        ("gue", Reason::DropTtlExpired),
    ] {
        let mut world = delivered_by(&mut bench, delivery);
        for is_ipv6 in [false, true] {
            let ends = world.client(vip(is_ipv6));
            let mut sent = frame(&case("UDP", is_ipv6), &ends, Position::First);
            sent[LINK + if is_ipv6 { 7 } else { 8 }] = 1;
            assert_eq!(world.send(&sent).1.reason, expected, "{delivery} ipv6 {is_ipv6}");
        }
    }
}

#[test]
fn a_link_local_source_is_delivered_on_its_link_only() {
    enter_namespace();
    let mut bench = bench();
    for (delivery, expected) in [
        ("l2", Reason::ForwardNew),
        ("ipip", Reason::DropLinkLocalSource),
        ("gue", Reason::DropLinkLocalSource),
    ] {
        let mut world = delivered_by(&mut bench, delivery);
        for (source, is_ipv6) in [("169.254.3.4", false), ("fe80::7", true), ("febf::7", true)] {
            let ends = Ends {
                source: source.parse().expect("an address"),
                ..world.client(vip(is_ipv6))
            };
            for name in ["TCP SYN", "UDP"] {
                let sent = frame(&case(name, is_ipv6), &ends, Position::First);
                assert_eq!(world.send(&sent).1.reason, expected, "{delivery} from {source}");
            }
        }
        // Their neighbours are no link's.
        for source in ["169.253.3.4", "169.255.3.4", "fec0::7", "fe00::7"] {
            let source: IpAddr = source.parse().expect("an address");
            let ends = Ends {
                source,
                ..world.client(vip(source.is_ipv6()))
            };
            let sent = frame(&case("UDP", source.is_ipv6()), &ends, Position::First);
            assert_eq!(
                world.send(&sent).1.reason,
                Reason::ForwardNew,
                "{delivery} from {source}"
            );
        }
    }
}

/// A packet of 1500 bytes, of UDP or of another protocol.
fn full(ends: &Ends, name: &str, header: &[u8], fragment: Option<Fragment>) -> Vec<u8> {
    let case = case(name, ends.destination.is_ipv6());
    let fixed = match (case.is_ipv6, fragment) {
        (false, _) => 20,
        (true, None) => 40,
        (true, Some(_)) => 48,
    };
    let mut payload = header.to_vec();
    payload.resize(1500 - fixed, 0x5a);
    network(&case, ends, &payload, fragment)
}

/// The same without DF.
fn without_df(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[LINK + 6] &= !0x40;
    let (header, _) = Ipv4Header::from_slice(&bytes[LINK..]).expect("an IPv4 packet");
    let sum = header.calc_header_checksum().to_be_bytes();
    bytes[LINK + 10..LINK + 12].copy_from_slice(&sum);
    bytes
}

#[test]
fn what_does_not_fit_is_told_to_the_client_with_or_without_df() {
    enter_namespace();
    let mut bench = bench();
    for (delivery, overheads) in [("ipip", [20, 40]), ("gue", [28, 48])] {
        let mut world = delivered_by(&mut bench, delivery);
        for (is_ipv6, overhead) in [false, true].into_iter().zip(overheads) {
            let ends = world.client(vip(is_ipv6));
            let udp = full(&ends, "UDP", &transport(17, &ends, true)[..8], None);
            let mut packets = vec![udp.clone()];
            if !is_ipv6 {
                packets.push(without_df(udp));
            }
            for sent in packets {
                let (action, got) = world.run(&sent);
                assert_eq!(action, XDP_TX);
                assert_eq!(
                    (&got[..6], &got[6..12]),
                    (&sent[6..12], &sent[..6]),
                    "back to the client"
                );
                let icmp = LINK + if is_ipv6 { 40 } else { 20 };
                let mtu = 1500 - overhead;
                let told = u32::from_be_bytes(got[icmp + 4..icmp + 8].try_into().expect("4 bytes"));
                let kind = if is_ipv6 { [2, 0] } else { [3, 4] };
                assert_eq!((&got[icmp..icmp + 2], told), (&kind[..], mtu), "{delivery}");
                assert_eq!(world.send(&sent).1.reason, Reason::ReplyTooBig, "it is counted");
            }
        }
    }
}

#[test]
fn no_error_is_sent_about_an_error_or_a_later_fragment() {
    enter_namespace();
    let mut bench = bench();
    for delivery in ["ipip", "gue"] {
        let mut world = delivered_by(&mut bench, delivery);
        for is_ipv6 in [false, true] {
            let ends = world.client(vip(is_ipv6));
            let quote = frame(&case("TCP", is_ipv6), &ends.swapped(), Position::Further);
            let kind = if is_ipv6 { 1 } else { 3 };
            let error = [&[kind, 1, 0, 0, 0, 0, 0, 0], &quote[LINK..]].concat();
            let error = full(&ends, "ICMP echo", &error, None);
            assert_eq!(world.send(&error).1.reason, Reason::DropTooBig, "{delivery}");
            for more in [false, true] {
                let later = Fragment {
                    identification: 7,
                    offset: 185,
                    more,
                };
                let later = full(&ends, "UDP", &[], Some(later));
                assert_eq!(world.send(&later).1.reason, Reason::DropTooBig, "{delivery}");
            }
            // The first fragment is reported as any packet is.
            let first = full(
                &ends,
                "UDP",
                &transport(17, &ends, true)[..8],
                Some(Fragment::FIRST),
            );
            assert_eq!(world.send(&first).1.reason, Reason::ReplyTooBig, "{delivery}");
        }
    }
}
