//! Path MTU discovery on every way to a backend, from both ends, and the other ICMP errors that a flow depends on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use lb_tests::balanced::Balanced;
use lb_tests::condition::eventually;
use lb_tests::documents::{Documents, Service};
use lb_tests::packet::{self, Received};
use lb_tests::topology::{CLIENT, Lab, PRIMARIES, VIP4, VIP6};
use lb_tests::traffic::TCP_PORT;
use lb_tests::traffic::tcp::Connection;
use lb_tests::witness::Witness;

const VIPS: [IpAddr; 2] = [IpAddr::V4(VIP4), IpAddr::V6(VIP6)];
const BULK: u64 = 10_000_000;
const SOON: Duration = Duration::from_secs(5);
/// Of the last link to the client.
const NARROW: u32 = 1300;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const ICMPV6: u8 = 58;

fn documents(lab: &Lab) -> Documents {
    Documents::new(lab, &PRIMARIES).both_protocols(|service| service.persistence("ALWAYS_PERSIST"))
}

fn by_gue(lab: &Lab) -> Documents {
    documents(lab).annotate("lb/delivery", "gue")
}

/// Transfers in both directions arrive whole, and the client has learnt what fits towards each VIP.
#[track_caller]
fn assert_client_learns(lab: &Lab, documents: &Documents, expected: [u32; 2]) {
    let balanced = Balanced::start(lab, documents);
    for (vip, path_mtu) in VIPS.into_iter().zip(expected) {
        let mut connection = balanced.connect(vip).unwrap();
        assert_eq!(connection.upload(BULK, |_| {}), Ok(true));
        assert_eq!(connection.download(BULK), Ok(true));
        let route = lab.client().ip_output(&["route", "get", &vip.to_string()]);
        assert!(
            route.contains(&format!(" mtu {path_mtu} ")),
            "the client learnt {route:?}"
        );
    }
    assert!(balanced.daemon.verdict_packets("reply_packet_too_big") >= 2);
    balanced.daemon.assert_quiet(&[]);
}

#[test]
fn the_client_learns_the_mtu_of_another_interface() {
    let lab = Lab::two_armed_and_narrow("mtu-l2", 1400);
    assert_client_learns(&lab, &documents(&lab), [1400, 1400]);
}

#[test]
fn the_client_learns_what_fits_inside_an_ip_packet() {
    let lab = Lab::routed_and_narrow("mtu-ipip");
    assert_client_learns(&lab, &documents(&lab), [1500 - 20, 1500 - 40]);
}

#[test]
fn the_client_learns_what_fits_inside_a_udp_datagram() {
    let lab = Lab::routed_and_narrow("mtu-gue");
    assert_client_learns(&lab, &by_gue(&lab), [1500 - 20 - 8, 1500 - 40 - 8]);
}

/// A connection whose backend is not the one that a hash would select now.
fn persisting_connection(balanced: &mut Balanced, vip: IpAddr) -> Connection {
    let connection = balanced.connect(vip).unwrap();
    balanced.set_health(&connection.backend, false);
    connection
}

/// What a backend believes to fit towards the client.
fn learnt_by(lab: &Lab, backend: &str, vip: IpAddr) -> String {
    let (client, vip) = (lab.host(CLIENT).address(vip).to_string(), vip.to_string());
    let host = &lab.host(backend).namespace;
    host.ip_output(&["route", "get", &client, "from", &vip])
}

/// The client is behind a narrow link: the backend's answers are too big for it, and the router's complaint, which is
/// addressed to the VIP, comes to the backend that the connection is on, and to no other.
#[track_caller]
fn assert_backend_learns(lab: &Lab, documents: &Documents) {
    let mut balanced = Balanced::start(lab, documents);
    lab.narrow_the_clients_path(NARROW);
    for vip in VIPS {
        let mut connection = persisting_connection(&mut balanced, vip);
        let expected = format!(" mtu {NARROW} ");
        assert_eq!(connection.download(BULK), Ok(true));
        for name in PRIMARIES {
            let route = learnt_by(lab, name, vip);
            assert_eq!(
                route.contains(&expected),
                name == connection.backend,
                "{name} knows {route:?}"
            );
        }
        assert_eq!(connection.ask().as_deref(), Ok(connection.backend.as_str()));
        let backend = connection.backend.clone();
        balanced.set_health(&backend, true);
    }
    assert!(balanced.daemon.verdict_packets("forward_icmp_error") >= 2);
    balanced.daemon.assert_quiet(&PRIMARIES);
}

#[test]
fn an_on_link_backend_learns_of_a_narrow_path_to_the_client() {
    let lab = Lab::two_armed("narrow-l2");
    assert_backend_learns(&lab, &documents(&lab));
}

#[test]
fn a_backend_by_ipip_learns_of_a_narrow_path_to_the_client() {
    let lab = Lab::routed("narrow-ipip");
    assert_backend_learns(&lab, &documents(&lab));
}

#[test]
fn a_backend_by_gue_learns_of_a_narrow_path_to_the_client() {
    let lab = Lab::routed("narrow-gue");
    assert_backend_learns(&lab, &by_gue(&lab));
}

fn is_time_exceeded(packet: &Received) -> bool {
    matches!(
        (packet.protocol, packet.payload.first()),
        (ICMP, Some(11)) | (ICMPV6, Some(3))
    )
}

#[track_caller]
fn assert_time_exceeded_arrives(lab: &Lab, documents: &Documents) {
    let mut balanced = Balanced::start(lab, documents);
    let flows = VIPS.map(|vip| balanced.flow(vip));
    let backends = flows.each_ref().map(|flow| flow.answered_by());
    for backend in &backends {
        balanced.set_health(backend, false);
    }
    let witness = Witness::start(lab);
    lab.expire_answers();
    for (vip, backend) in VIPS.into_iter().zip(&backends) {
        let receivers = witness.receivers(|packet| packet.destination == vip && is_time_exceeded(packet));
        assert_eq!(receivers.into_iter().collect::<Vec<_>>(), [backend]);
    }
    witness.assert_checksums();
}

#[test]
fn time_exceeded_arrives_at_the_backend_that_sent() {
    let on_link = Lab::two_armed("expired-l2");
    assert_time_exceeded_arrives(&on_link, &documents(&on_link));
    let ipip = Lab::routed("expired-ipip");
    assert_time_exceeded_arrives(&ipip, &documents(&ipip));
    let gue = Lab::routed("expired-gue");
    assert_time_exceeded_arrives(&gue, &by_gue(&gue));
}

/// A packet that the VIP sent to the client, as a stingy router quotes it: the IP header and 8 bytes.
fn quote(vip: Ipv4Addr, client: SocketAddrV4, sequence: [u8; 4]) -> Vec<u8> {
    let (from, to) = (vip.octets(), client.ip().octets());
    let mut header = etherparse::Ipv4Header::new(1480, 64, etherparse::IpNumber::TCP, from, to)
        .expect("a length that fits");
    header.dont_fragment = true;
    header.header_checksum = header.calc_header_checksum();
    let ports = [TCP_PORT.to_be_bytes(), client.port().to_be_bytes()].concat();
    [header.to_bytes().to_vec(), ports, sequence.to_vec()].concat()
}

/// What the client expects next of this connection's backend, which believes no error about anything else. Health probes
/// are of the same protocol.
fn expected_sequence(witness: &Witness, client: SocketAddrV4) -> Result<[u8; 4], String> {
    let is_of_client = |packet: &Received| packet.protocol == TCP && packet.source == *client.ip();
    let packets = witness.deliveries(is_of_client);
    let last = packets.last().ok_or("no packet of the connection was seen")?;
    Ok(last.packet.payload[8..12].try_into().expect("a TCP header"))
}

#[test]
fn a_quote_of_8_bytes_is_enough_and_moves_nothing() {
    let lab = Lab::flat("quote");
    let mut balanced = Balanced::start(&lab, &documents(&lab));
    let mut connection = persisting_connection(&mut balanced, VIP4.into());
    let SocketAddr::V4(client) = connection.local_address() else {
        unreachable!("a connection to {VIP4} is of IPv4")
    };
    let witness = Witness::start(&lab);
    assert!(connection.ask().is_ok());
    eventually(SOON, || {
        let message = fragmentation_needed(1200, &quote(VIP4, client, expected_sequence(&witness, client)?));
        packet::send(lab.client(), None, VIP4.into(), ICMP, &message);
        let route = learnt_by(&lab, &connection.backend, VIP4.into());
        let learnt = route.contains(" mtu 1200 ");
        learnt.then_some(()).ok_or(route)
    });
    let receivers = witness.receivers(|packet| packet.protocol == ICMP);
    assert_eq!(receivers.into_iter().collect::<Vec<_>>(), [&connection.backend]);
    assert_eq!(connection.ask().as_deref(), Ok(connection.backend.as_str()));
}

/// RFC 1191 §4.
fn fragmentation_needed(mtu: u16, quote: &[u8]) -> Vec<u8> {
    let [high, low] = mtu.to_be_bytes();
    let mut message = [&[3, 4, 0, 0, 0, 0, high, low], quote].concat();
    let sum = etherparse::checksum::Sum16BitWords::new()
        .add_slice(&message)
        .ones_complement()
        .to_ne_bytes();
    message[2..4].copy_from_slice(&sum);
    message
}

#[test]
fn an_error_about_nothing_is_dropped_and_counted() {
    let lab = Lab::flat("about-nothing");
    let documents = Documents::new(&lab, &PRIMARIES).service(Service::tcp());
    let balanced = Balanced::start(&lab, &documents);
    let witness = Witness::start(&lab);
    packet::send(
        lab.client(),
        None,
        VIPS[0],
        ICMP,
        &fragmentation_needed(1200, &[0; 28]),
    );
    eventually(SOON, || {
        match balanced.daemon.verdict_packets("drop_icmp_error") {
            1 => Ok(()),
            other => Err(format!("{other} errors were dropped")),
        }
    });
    assert!(witness.deliveries(|packet| packet.protocol == ICMP).is_empty());
}
