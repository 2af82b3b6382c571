//! How packets get from the balancer to a backend, and what stays when the daemon doesn't.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lb_tests::balanced::{Balanced, backends_of};
use lb_tests::capture::{Capture, Captured};
use lb_tests::condition::eventually;
use lb_tests::documents::{Documents, Families};
use lb_tests::packet::Received;
use lb_tests::topology::{LB, Lab, PRIMARIES, ROUTER, VIP4, VIP6};
use lb_tests::traffic::tcp::{Broken, Connection};
use lb_tests::traffic::{GUE_PORT, TCP_PORT};

const VIPS: [IpAddr; 2] = [IpAddr::V4(VIP4), IpAddr::V6(VIP6)];
const MANY: usize = 30;
const UDP: u8 = 17;

fn documents(lab: &Lab) -> Documents {
    Documents::new(lab, &PRIMARIES).both_protocols(|service| service)
}

/// Every backend is delivered to in this way, once its next hop is known.
#[track_caller]
fn assert_delivery(balanced: &Balanced, expected: &str) {
    eventually(Duration::from_secs(10), || {
        let services = balanced.daemon.stats().services;
        let backends = services.iter().flat_map(|service| &service.backends);
        match backends.clone().find(|backend| backend.delivery != expected) {
            Some(other) => Err(format!("{:?} by {}", other.instance, other.delivery)),
            None => Ok(()),
        }
    });
}

/// Connections, flows and a transfer to every VIP, with every checksum right.
#[track_caller]
fn assert_traffic(balanced: &Balanced, vips: &[IpAddr]) {
    let capture = Capture::start(&balanced.lab.host("backend-1").namespace, "eth0");
    for &vip in vips {
        let mut connections = balanced.connect_many(vip, MANY);
        assert_eq!(backends_of(&connections), BTreeSet::from(PRIMARIES));
        for connection in &mut connections {
            assert_eq!(connection.ask().as_deref(), Ok(connection.backend.as_str()));
        }
        assert_eq!(connections[0].upload(10_000_000, |_| {}), Ok(true));
        assert_eq!(connections[1].download(10_000_000), Ok(true));
        assert!(PRIMARIES.contains(&balanced.flow(vip).answered_by().as_str()));
    }
    capture
        .finish_when(|captured| captured.seen > 0)
        .assert_checksums();
}

#[test]
fn on_link_backends_get_the_packet_itself() {
    let lab = Lab::flat("l2");
    let balanced = Balanced::start(&lab, &documents(&lab));
    assert_delivery(&balanced, "l2");
    assert_traffic(&balanced, &VIPS);
    balanced.daemon.assert_quiet(&[]);
}

#[test]
fn backends_on_another_interface_are_reached_by_redirect() {
    let lab = Lab::two_armed("redirect");
    let balanced = Balanced::start(&lab, &documents(&lab));
    assert_delivery(&balanced, "l2");
    assert_traffic(&balanced, &VIPS);
    balanced.daemon.assert_quiet(&[]);
}

#[test]
fn routed_backends_get_the_packet_inside_another() {
    let lab = Lab::routed("ipip");
    let balanced = Balanced::start(&lab, &documents(&lab));
    assert_delivery(&balanced, "ipip");
    assert_traffic(&balanced, &VIPS);
    balanced.daemon.assert_quiet(&[]);
}

#[test]
fn annotated_backends_get_the_packet_inside_a_udp_datagram() {
    let lab = Lab::routed("gue");
    let balanced = Balanced::start(&lab, &documents(&lab).annotate("lb/delivery", "gue"));
    assert_delivery(&balanced, "gue");
    let outer = Capture::start(&lab.host(ROUTER).namespace, "eth0");
    assert_traffic(&balanced, &VIPS);
    balanced.daemon.assert_quiet(&[]);
    assert_source_ports_spread(&outer.finish_when(|captured| captured.seen > 1000));
}

/// Outer datagrams to port 6080 have right checksums and a source port for each flow, of the dynamic ports.
#[track_caller]
fn assert_source_ports_spread(captured: &Captured) {
    captured.assert_checksums();
    let datagrams = captured
        .frames
        .iter()
        .filter_map(|frame| Received::of_frame(frame));
    let ports: BTreeSet<u16> = datagrams
        .filter(|packet| packet.protocol == UDP && packet.payload[2..4] == GUE_PORT.to_be_bytes())
        .map(|packet| u16::from_be_bytes([packet.payload[0], packet.payload[1]]))
        .collect();
    assert!(
        ports.len() >= MANY,
        "{MANY} connections and more share {} source ports",
        ports.len()
    );
    assert!(ports.iter().all(|port| *port >= 49_152), "{ports:?}");
}

#[test]
fn ipv6_packets_travel_inside_ipv4() {
    let lab = Lab::routed("6in4");
    let documents = Documents::with_families(&lab, &PRIMARIES, Families::Ipv4);
    let balanced = Balanced::start(
        &lab,
        &documents.both_protocols(|service| service.vips(&[VIP6.into()])),
    );
    assert_delivery(&balanced, "ipip");
    assert_traffic(&balanced, &[VIP6.into()]);
}

#[test]
fn ipv4_packets_travel_inside_ipv6() {
    let lab = Lab::routed("4in6");
    let documents = Documents::with_families(&lab, &PRIMARIES, Families::Ipv6);
    let balanced = Balanced::start(
        &lab,
        &documents.both_protocols(|service| service.vips(&[VIP4.into()])),
    );
    assert_delivery(&balanced, "ipip");
    assert_traffic(&balanced, &[VIP4.into()]);
}

#[test]
fn the_program_runs_in_the_driver() {
    let lab = Lab::flat("native");
    let balanced = Balanced::start(&lab, &documents(&lab));
    let interfaces = balanced.daemon.status().interfaces;
    assert_eq!(interfaces.len(), 1);
    assert_eq!(
        (interfaces[0].name.as_str(), interfaces[0].xdp_mode.as_str()),
        ("eth0", "native")
    );

    let links: serde_json::Value =
        serde_json::from_str(&lab.lb().ip_output(&["-j", "-d", "link", "show", "eth0"])).unwrap();
    const NATIVE: u64 = 1;
    assert_eq!(
        links[0]["xdp"]["mode"], NATIVE,
        "the kernel says {}",
        links[0]["xdp"]
    );
}

#[test]
fn the_program_runs_in_generic_mode_too() {
    let lab = Lab::flat("generic");
    let balanced = Balanced::start_generic(&lab, &documents(&lab));
    assert_eq!(balanced.daemon.status().interfaces[0].xdp_mode, "generic");
    assert_delivery(&balanced, "l2");
    assert_traffic(&balanced, &VIPS);
}

#[test]
fn the_balancer_answers_for_the_vips() {
    let lab = Lab::flat("neighbours");
    let balanced = Balanced::start(&lab, &documents(&lab));
    let mac = lab.host(LB).mac.map(|byte| format!("{byte:02x}")).join(":");
    for vip in VIPS {
        balanced.connect(vip).unwrap();
        let known = lab.client().ip_output(&["neigh", "show", &vip.to_string()]);
        assert!(
            known.contains(&mac),
            "the client knows {vip} by {known:?}, not by {mac}"
        );
    }
}

/// In a pair of balancers only one may answer.
#[test]
fn nobody_answers_for_the_vips_where_the_settings_say_so() {
    let lab = Lab::flat("unannounced");
    let _balanced = Balanced::start_with_settings(&lab, "announce = false\n", &documents(&lab));
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
fn a_killed_daemon_leaves_the_packets_flowing() {
    let lab = Lab::flat("killed");
    let mut balanced = Balanced::start(&lab, &documents(&lab));
    let mut connections = balanced.connect_many(VIP4, MANY);

    balanced.daemon.kill();
    assert_all_answer(&mut connections);
    connections.extend(balanced.connect_many(VIP4, MANY));
    assert_eq!(backends_of(&connections), BTreeSet::from(PRIMARIES));

    balanced.daemon.start_again();
    assert_all_answer(&mut connections);
    assert_eq!(balanced.daemon.status().interfaces[0].xdp_mode, "native");
}

#[test]
fn a_terminated_daemon_leaves_the_packets_flowing() {
    let lab = Lab::flat("terminated");
    let mut balanced = Balanced::start(&lab, &documents(&lab));
    let mut connections = balanced.connect_many(VIP4, MANY);
    assert!(balanced.daemon.terminate().success());
    assert_all_answer(&mut connections);
    connections.extend(balanced.connect_many(VIP4, MANY));
    balanced.daemon.assert_quiet(&[]);
}

#[test]
fn detaching_stops_the_forwarding() {
    let lab = Lab::flat("detach");
    let balanced = Balanced::start(&lab, &documents(&lab));
    let mut connection = balanced.connect(VIP4).unwrap();
    balanced.daemon.ctl(&["detach"]);
    assert!(
        connection.ask().is_err(),
        "a packet still reaches {}",
        connection.backend
    );
    assert!(
        !lab.lb().ip_output(&["link", "show", "eth0"]).contains("xdp"),
        "the program is still attached"
    );
}

#[track_caller]
fn assert_all_answer(connections: &mut [Connection]) {
    for connection in connections {
        assert_eq!(connection.ask().as_deref(), Ok(connection.backend.as_str()));
    }
}
