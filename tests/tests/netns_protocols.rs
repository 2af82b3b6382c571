//! What is neither a TCP connection nor a small datagram: fragments, ICMP echo, and protocols without ports.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use lb_tests::balanced::Balanced;
use lb_tests::condition::eventually;
use lb_tests::documents::{Documents, Service};
use lb_tests::packet::{self, Received};
use lb_tests::topology::{CLIENT, LB, Lab, PRIMARIES, VIP4, VIP6};
use lb_tests::traffic::UDP_PORT;
use lb_tests::traffic::datagram::Dialogue;
use lb_tests::traffic::echo::Ping;
use lb_tests::witness::{Witness, one_backend_each};

const VIPS: [IpAddr; 2] = [IpAddr::V4(VIP4), IpAddr::V6(VIP6)];
const SOON: Duration = Duration::from_secs(5);
/// Longer than an answer takes, short enough to be waited for in vain.
const IN_VAIN: Duration = Duration::from_millis(300);
/// Clients enough for every backend to get some.
const CLIENTS: u8 = 30;

const GRE: u8 = 47;
const ESP: u8 = 50;
const AH: u8 = 51;
const SCTP: u8 = 132;
const SCTP_PORT: u16 = 2905;

/// More than two fragments on the internet's MTU, and no two bytes the same for long.
fn large_payload() -> Vec<u8> {
    (0..4000_u32).map(|index| (index * 7 % 251) as u8).collect()
}

fn everything(lab: &Lab) -> Documents {
    Documents::new(lab, &PRIMARIES).service(Service::of_everything())
}

fn by_ports(lab: &Lab) -> Documents {
    Documents::new(lab, &PRIMARIES).service(Service::udp())
}

/// Every client gets a large datagram to one backend and back, and together they use all backends.
#[track_caller]
fn assert_large_datagrams_arrive(lab: &Lab, documents: &Documents) {
    let balanced = Balanced::start(lab, documents);
    let payload = large_payload();
    for vip in VIPS {
        let mut seen = BTreeSet::new();
        for client in lab.client_addresses(vip, CLIENTS) {
            let dialogue = Dialogue::open_from(lab.client(), client, SocketAddr::new(vip, UDP_PORT));
            let backend = dialogue.ask(&payload);
            assert_eq!(dialogue.ask(&payload), backend, "{client} was moved");
            seen.insert(backend);
        }
        assert_eq!(seen, PRIMARIES.map(str::to_owned).into(), "by {vip}");
    }
    assert!(balanced.daemon.verdict_packets("forward_fragment") > 0);
    balanced.daemon.assert_quiet(&[]);
}

#[test]
fn fragmented_datagrams_arrive_whole_by_a_rule_with_ports() {
    let lab = Lab::flat("fragments-ports");
    assert_large_datagrams_arrive(&lab, &by_ports(&lab));
}

#[test]
fn fragmented_datagrams_arrive_whole_by_l3_default() {
    let lab = Lab::flat("fragments-l3");
    assert_large_datagrams_arrive(&lab, &everything(&lab));
}

#[test]
fn fragmented_datagrams_arrive_whole_inside_other_packets() {
    let lab = Lab::routed("fragments-ipip");
    assert_large_datagrams_arrive(&lab, &by_ports(&lab));
    assert_large_datagrams_arrive(
        &Lab::routed("fragments-gue"),
        &everything(&lab).annotate("lb/delivery", "gue"),
    );
}

#[test]
fn fragments_for_other_destinations_pass() {
    let lab = Lab::flat("fragments-host");
    let balanced = Balanced::start(&lab, &everything(&lab));
    let payload = large_payload();
    for vip in VIPS {
        let own = SocketAddr::new(lab.host(LB).address(vip), 7000);
        let server = lab.lb().run(|| UdpSocket::bind(own)).unwrap();
        server.set_read_timeout(Some(SOON)).unwrap();
        Dialogue::open(lab.client(), own).send(&payload);
        let mut received = vec![0; 65_536];
        let length = server.recv(&mut received).unwrap();
        assert!(received[..length] == payload, "{length} bytes arrived");
    }
    assert_eq!(balanced.daemon.verdict_packets("drop_fragment"), 0);
}

#[test]
fn packets_with_ip_options_are_balanced_and_pass() {
    let lab = Lab::flat("options");
    let balanced = Balanced::start(&lab, &by_ports(&lab));
    let to_vip = Dialogue::open(lab.client(), SocketAddr::new(VIP4.into(), UDP_PORT));
    to_vip.add_ip_options();
    let small = to_vip.ask(b"hello");
    assert_eq!(to_vip.ask(b"hello again"), small);
    let large = to_vip.ask(&large_payload());
    assert_eq!(to_vip.ask(&large_payload()), large);

    let own = SocketAddr::new(lab.host(LB).ipv4.into(), 7000);
    let server = lab.lb().run(|| UdpSocket::bind(own)).unwrap();
    server.set_read_timeout(Some(SOON)).unwrap();
    let to_host = Dialogue::open(lab.client(), own);
    to_host.add_ip_options();
    to_host.send(b"hello");
    assert_eq!(server.recv(&mut [0; 64]).unwrap(), 5);
    balanced.daemon.assert_quiet(&[]);
}

fn is_echo_request(packet: &Received) -> bool {
    matches!(
        (packet.protocol, packet.payload.first()),
        (1, Some(8)) | (58, Some(128))
    )
}

#[test]
fn echo_requests_are_balanced_by_l3_default() {
    let lab = Lab::flat("echo");
    let balanced = Balanced::start(&lab, &everything(&lab));
    for vip in VIPS {
        let witness = Witness::start(&lab);
        for client in lab.client_addresses(vip, CLIENTS) {
            let mut ping = Ping::from_to(lab.client(), client, vip);
            assert!(ping.is_answered(b"one", SOON), "{client} → {vip}");
            assert!(ping.is_answered(b"two", SOON), "{client} → {vip}");
        }
        let requests = witness.exactly(2 * usize::from(CLIENTS), is_echo_request);
        let owners = one_backend_each(&requests, |packet| packet.source);
        assert_eq!(
            owners.values().copied().collect::<BTreeSet<_>>(),
            PRIMARIES.into()
        );
        witness.assert_checksums();
    }
    assert_eq!(balanced.daemon.verdict_packets("reply_echo"), 0);
    balanced.daemon.assert_quiet(&[]);
}

#[test]
fn large_echo_requests_are_balanced_by_l3_default() {
    let lab = Lab::flat("echo-large");
    let balanced = Balanced::start(&lab, &everything(&lab));
    let payload = large_payload();
    for vip in VIPS {
        for client in lab.client_addresses(vip, 5) {
            let mut ping = Ping::from_to(lab.client(), client, vip);
            assert!(ping.is_answered(&payload, SOON), "{client} → {vip}");
        }
    }
    assert!(balanced.daemon.verdict_packets("forward_fragment") > 0);
}

#[test]
fn echo_requests_without_a_rule_are_dropped() {
    let lab = Lab::flat("echo-dropped");
    let balanced = Balanced::start(&lab, &by_ports(&lab));
    let witness = Witness::start(&lab);
    for (vip, dropped) in VIPS.into_iter().zip(1..) {
        assert!(!Ping::to(lab.client(), vip).is_answered(b"anybody?", IN_VAIN));
        assert_eq!(balanced.daemon.verdict_packets("drop_no_rule"), dropped);
    }
    assert!(witness.deliveries(is_echo_request).is_empty());
}

#[test]
fn echo_requests_without_a_rule_are_answered_if_so_configured() {
    let lab = Lab::flat("echo-answered");
    let balanced = Balanced::start_with_settings(&lab, "answer-echo = true\n", &by_ports(&lab));
    let witness = Witness::start(&lab);
    for vip in VIPS {
        let mut ping = Ping::to(lab.client(), vip);
        assert!(ping.is_answered(b"anybody?", SOON), "{vip}");
        assert!(ping.is_answered(&[b'x'; 1400], SOON), "{vip}");
        if vip.is_ipv6() {
            ping.add_destination_options();
            assert!(ping.is_answered(b"behind options", SOON), "{vip}");
        }
    }
    assert_eq!(balanced.daemon.verdict_packets("reply_echo"), 5);
    // Sent to the balancer, and addressed to nobody.
    let nobody = lab.host(CLIENT).ipv4.octets();
    let nobody = IpAddr::from([nobody[0], nobody[1], nobody[2], 77]);
    lab.point_at(nobody, LB);
    assert!(!Ping::to(lab.client(), nobody).is_answered(b"anybody?", IN_VAIN));
    assert_eq!(balanced.daemon.verdict_packets("reply_echo"), 5);
    assert!(witness.deliveries(is_echo_request).is_empty());
}

#[test]
fn the_balancers_own_address_answers_echo_requests_itself() {
    let lab = Lab::flat("echo-own");
    let balanced = Balanced::start(&lab, &everything(&lab));
    for vip in VIPS {
        let own = lab.host(LB).address(vip);
        let mut ping = Ping::to(lab.client(), own);
        assert!(ping.is_answered(b"it is you", SOON), "{own}");
        assert!(ping.is_answered(&large_payload(), SOON), "{own}");
    }
    assert_eq!(balanced.daemon.verdict_packets("reply_echo"), 0);
}

/// A packet of a flow without ports, whose payload differs from packet to packet.
fn portless(protocol: u8, number: u32) -> Vec<u8> {
    let number = number.to_be_bytes();
    match protocol {
        // SPI and sequence number (RFC 4303 §2).
        ESP => [&number[..], &number, b"secret"].concat(),
        // Next header UDP, length, SPI, sequence number and a short check value (RFC 4302 §2).
        AH => [&[17, 2, 0, 0], &number[..], &number, &[0xaa; 4], b"payload"].concat(),
        // A key (RFC 2890), which is no part of the flow.
        GRE => [&[0x20, 0, 0x08, 0], &number[..], &[0x45; 20]].concat(),
        other => panic!("protocol {other} is not portless"),
    }
}

/// An SCTP packet without chunks, its checksum (CRC-32c) left out: the balancer never looks at it.
fn sctp(source_port: u16, to_port: u16) -> Vec<u8> {
    [
        &source_port.to_be_bytes()[..],
        &to_port.to_be_bytes(),
        &[1, 2, 3, 4],
        &[0; 4],
    ]
    .concat()
}

/// Two packets from each client come to the same backend, and all backends have clients.
#[track_caller]
fn assert_portless_flows_are_balanced(lab: &Lab, vip: IpAddr, protocol: u8, clients: &[IpAddr]) {
    let witness = Witness::start(lab);
    for (number, client) in (0..).zip(clients) {
        packet::send(
            lab.client(),
            Some(*client),
            vip,
            protocol,
            &portless(protocol, number),
        );
        packet::send(
            lab.client(),
            Some(*client),
            vip,
            protocol,
            &portless(protocol, !number),
        );
    }
    let packets = witness.exactly(2 * clients.len(), |packet| packet.protocol == protocol);
    let owners = one_backend_each(&packets, |packet| packet.source);
    let seen: BTreeSet<_> = owners.values().copied().collect();
    assert_eq!(seen, PRIMARIES.into(), "protocol {protocol} to {vip}");
    assert!(
        packets
            .iter()
            .any(|delivery| delivery.packet.payload == portless(protocol, 0)),
        "the payload was changed"
    );
}

/// The same for connections by port from one client.
#[track_caller]
fn assert_sctp_is_balanced(lab: &Lab, vip: IpAddr) {
    let witness = Witness::start(lab);
    let ports = 40_000..40_000 + u16::from(CLIENTS);
    for port in ports.clone().chain(ports) {
        packet::send(lab.client(), None, vip, SCTP, &sctp(port, SCTP_PORT));
    }
    let packets = witness.exactly(2 * usize::from(CLIENTS), |packet| packet.protocol == SCTP);
    let owners = one_backend_each(&packets, |packet| packet.payload[..2].to_vec());
    assert_eq!(owners.len(), usize::from(CLIENTS));
    assert_eq!(
        owners.values().copied().collect::<BTreeSet<_>>(),
        PRIMARIES.into()
    );
}

#[test]
fn protocols_without_ports_are_balanced_by_l3_default() {
    let lab = Lab::flat("portless");
    let balanced = Balanced::start(&lab, &everything(&lab));
    for vip in VIPS {
        let clients = lab.client_addresses(vip, CLIENTS);
        for protocol in [ESP, AH, GRE] {
            assert_portless_flows_are_balanced(&lab, vip, protocol, &clients);
        }
        assert_sctp_is_balanced(&lab, vip);
    }
    balanced.daemon.assert_quiet(&[]);
}

#[test]
fn protocols_with_rules_of_their_own_are_balanced_and_the_rest_is_dropped() {
    let lab = Lab::flat("own-rules");
    let service = Service::unspecified("tunnels")
        .rule("ESP", None)
        .rule("AH", None)
        .rule("SCTP", Some(SCTP_PORT));
    let balanced = Balanced::start(&lab, &Documents::new(&lab, &PRIMARIES).service(service));
    for vip in VIPS {
        let clients = lab.client_addresses(vip, CLIENTS);
        assert_portless_flows_are_balanced(&lab, vip, ESP, &clients);
        assert_portless_flows_are_balanced(&lab, vip, AH, &clients);
        assert_sctp_is_balanced(&lab, vip);
    }

    let witness = Witness::start(&lab);
    for vip in VIPS {
        packet::send(lab.client(), None, vip, GRE, &portless(GRE, 1));
        packet::send(lab.client(), None, vip, SCTP, &sctp(1, SCTP_PORT + 1));
    }
    eventually(SOON, || match balanced.daemon.verdict_packets("drop_no_rule") {
        4 => Ok(()),
        other => Err(format!("{other} packets were dropped")),
    });
    // Health probes go to the VIPs all the while.
    let arrived = witness.deliveries(|packet| [GRE, SCTP].contains(&packet.protocol));
    assert!(arrived.is_empty(), "{arrived:?}");
}

#[test]
fn protocols_without_ports_travel_inside_other_packets() {
    let ipip = Lab::routed("portless-ipip");
    let gue = Lab::routed("portless-gue");
    let documents = [
        (&ipip, everything(&ipip)),
        (&gue, everything(&gue).annotate("lb/delivery", "gue")),
    ];
    for (lab, documents) in documents {
        let _balanced = Balanced::start(lab, &documents);
        for vip in VIPS {
            let clients = lab.client_addresses(vip, CLIENTS);
            assert_portless_flows_are_balanced(lab, vip, ESP, &clients);
            assert_portless_flows_are_balanced(lab, vip, GRE, &clients);
        }
    }
}
