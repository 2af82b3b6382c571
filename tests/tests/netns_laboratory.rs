//! The laboratory itself, without the balancer: what later tests take for granted.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use lb_tests::capture::Capture;
use lb_tests::packet;
use lb_tests::topology::{BACKENDS, CLIENT, FAILOVER, LB, Lab, PRIMARIES, VIP4, VIP6};
use lb_tests::traffic::backend::Backend;
use lb_tests::traffic::flow::UdpFlow;
use lb_tests::traffic::tcp::{Broken, Connection};
use lb_tests::traffic::{HEALTH_PORT, TCP_PORT, UDP_PORT};

const TICK: Duration = Duration::from_millis(10);
const VIPS: [IpAddr; 2] = [IpAddr::V4(VIP4), IpAddr::V6(VIP6)];

#[test]
fn every_backend_owns_both_vips() {
    let lab = Lab::flat("own-vips");
    let _backends = Backend::all(&lab, &BACKENDS);
    for name in BACKENDS {
        lab.point_vips_at(name);
        for vip in VIPS {
            let mut connection = Connection::open(lab.client(), SocketAddr::new(vip, TCP_PORT)).unwrap();
            assert_eq!(connection.backend, name);
            assert_eq!(connection.ask().unwrap(), name);
            let flow = UdpFlow::start(lab.client(), SocketAddr::new(vip, UDP_PORT), TICK);
            assert_eq!(flow.answered_by(), name);
        }
    }
}

#[test]
fn nobody_answers_for_the_vips_uncalled() {
    let lab = Lab::flat("silence");
    let _backends = Backend::all(&lab, &PRIMARIES);
    for vip in VIPS {
        let to = SocketAddr::new(vip, TCP_PORT);
        let broken = Connection::open_within(lab.client(), to, Duration::from_millis(300))
            .err()
            .unwrap();
        assert!(
            matches!(broken, Broken::TimedOut | Broken::Unreachable),
            "{broken}"
        );
    }
}

#[test]
fn a_connection_that_changes_backend_is_reset_and_a_flow_moves() {
    let lab = Lab::flat("change");
    let _backends = Backend::all(&lab, &PRIMARIES);
    lab.point_vips_at("backend-1");
    let mut connection = Connection::open(lab.client(), SocketAddr::new(VIP4.into(), TCP_PORT)).unwrap();
    let flow = UdpFlow::start(lab.client(), SocketAddr::new(VIP4.into(), UDP_PORT), TICK);
    assert_eq!(flow.answered_by(), "backend-1");

    lab.point_vips_at("backend-2");
    assert_eq!(connection.ask(), Err(Broken::Reset));
    assert_eq!(flow.answered_by(), "backend-2");
    assert_eq!(flow.record().moves, 1);
}

#[test]
fn bulk_transfers_arrive_whole_both_ways() {
    let lab = Lab::flat("bulk");
    let _backend = Backend::start(&lab, FAILOVER);
    lab.point_vips_at(FAILOVER);
    let capture = Capture::start(&lab.host(FAILOVER).namespace, "eth0");
    let mut connection = Connection::open(lab.client(), SocketAddr::new(VIP6.into(), TCP_PORT)).unwrap();
    assert_eq!(connection.upload(100_000_000, |_| {}), Ok(true));
    assert_eq!(connection.download(20_000_000), Ok(true));
    capture
        .finish_when(|captured| captured.seen > 1000)
        .assert_checksums();
}

#[test]
fn health_is_switched_without_disturbing_the_service() {
    let lab = Lab::flat("health");
    let mut backend = Backend::start(&lab, "backend-1");
    lab.point_vips_at("backend-1");
    let mut connection = Connection::open(lab.client(), SocketAddr::new(VIP4.into(), TCP_PORT)).unwrap();
    let health = SocketAddr::new(lab.host("backend-1").ipv4.into(), HEALTH_PORT);
    let probe = || lb_tests::traffic::health_of(lab.lb(), health);
    assert!(probe().unwrap().starts_with("HTTP/1.1 200 "));
    backend.set_health(503);
    backend.set_weight(Some("7"));
    let answer = probe().unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("X-Load-Balancing-Endpoint-Weight: 7\r\n")
    );
    backend.refuse_health();
    lb_tests::condition::eventually(Duration::from_secs(2), || match probe() {
        Err(Broken::Refused) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(connection.ask().unwrap(), "backend-1");

    backend.kill();
    assert!(matches!(connection.ask(), Err(Broken::Reset | Broken::Closed)));
}

#[test]
fn backends_behind_the_router_strip_all_four_pairs_of_families() {
    let lab = Lab::routed("decap");
    let _backend = Backend::start(&lab, "backend-1");
    for vip in VIPS {
        let client = lab.host(CLIENT).address(vip);
        let socket = lab
            .client()
            .run(|| UdpSocket::bind(SocketAddr::new(client, 0)))
            .unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let inner = packet::udp(
            socket.local_addr().unwrap(),
            SocketAddr::new(vip, UDP_PORT),
            b"hello",
        );
        let backend = lab.host("backend-1");
        for outer in [IpAddr::from(backend.ipv4), backend.ipv6.into()] {
            packet::send_encapsulated(lab.lb(), outer, &inner);
            let mut answer = [0; 64];
            let (length, from) = socket
                .recv_from(&mut answer)
                .unwrap_or_else(|error| panic!("{vip} in {outer}: {error}"));
            assert_eq!((&answer[..length], from.ip()), (&b"backend-1 hello"[..], vip));
        }
    }
}

#[test]
fn a_full_packet_fits_inside_an_outer_header() {
    let lab = Lab::routed("full");
    let _backend = Backend::start(&lab, "backend-1");
    let capture = Capture::start(&lab.host("backend-1").namespace, "eth0");
    let from = SocketAddr::new(lab.host(CLIENT).ipv4.into(), 4242);
    let inner = packet::udp(from, SocketAddr::new(VIP4.into(), UDP_PORT), &[b'x'; 1500 - 28]);
    packet::send_encapsulated(lab.lb(), lab.host("backend-1").ipv6.into(), &inner);
    let captured =
        capture.finish_when(|captured| captured.frames.iter().any(|frame| frame.ends_with(&inner)));
    captured.assert_checksums();
}

#[test]
fn what_an_xdp_program_sends_arrives() {
    let mut lab = Lab::flat("xdp-tx");
    let _backends = Backend::all(&lab, &PRIMARIES);
    lab.forward_everything_to("backend-2");
    let capture = Capture::start(&lab.host("backend-2").namespace, "eth0");
    for vip in VIPS {
        let mut connection = Connection::open(lab.client(), SocketAddr::new(vip, TCP_PORT)).unwrap();
        assert_eq!(connection.ask().unwrap(), "backend-2");
        assert_eq!(connection.upload(5_000_000, |_| {}), Ok(true));
        let flow = UdpFlow::start(lab.client(), SocketAddr::new(vip, UDP_PORT), TICK);
        assert_eq!(flow.answered_by(), "backend-2");
    }
    capture
        .finish_when(|captured| captured.seen > 1000)
        .assert_checksums();
}

#[test]
fn the_balancers_host_sends_checksums_that_are_whole() {
    let lab = Lab::flat("checksums");
    let _backend = Backend::start(&lab, "backend-1");
    let capture = Capture::start(&lab.host("backend-1").namespace, "eth0");
    let health = SocketAddr::new(lab.host("backend-1").ipv4.into(), HEALTH_PORT);
    assert!(
        lb_tests::traffic::health_of(&lab.host(LB).namespace, health)
            .unwrap()
            .contains("200")
    );
    // A handshake, a question, an answer, and the end of both directions.
    let captured = capture.finish_when(|captured| captured.frames.len() >= 8);
    captured.assert_checksums();
}

#[test]
fn nothing_is_left_behind() {
    let name = {
        let lab = Lab::flat("leftovers");
        let _backend = Backend::start(&lab, "backend-1");
        lab.client().name().to_owned()
    };
    assert!(
        !std::path::Path::new("/run/netns").join(&name).exists(),
        "{name} is still there"
    );
}

#[test]
fn every_shape_is_connected() {
    let labs = [
        Lab::flat("connected"),
        Lab::routed("connected-routed"),
        Lab::two_armed("connected-two-armed"),
    ];
    for lab in labs {
        let _backend = Backend::start(&lab, "backend-3");
        for like in VIPS {
            let health = SocketAddr::new(lab.host("backend-3").address(like), HEALTH_PORT);
            for from in [CLIENT, LB] {
                let answer = lb_tests::traffic::health_of(&lab.host(from).namespace, health);
                assert!(answer.is_ok(), "{:?}: {from} to {health}: {answer:?}", lab.shape);
            }
        }
    }
}
