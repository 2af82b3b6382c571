//! Health probes: where they go, how they get there, and what they tell about an endpoint that forgot its VIP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use lb_ctl::views::BackendStats;
use lb_tests::balanced::Balanced;
use lb_tests::capture::Capture;
use lb_tests::condition::{eventually, throughout};
use lb_tests::daemon::Daemon;
use lb_tests::documents::{Documents, Families, REGION, Service};
use lb_tests::packet::Received;
use lb_tests::topology::{BACKENDS, LB, Lab, PRIMARIES, ROUTER, VIP4, VIP6};
use lb_tests::traffic::echo::Ping;
use lb_tests::traffic::{GUE_PORT, HEALTH_PORT, TCP_PORT, health_of};
use serde_json::json;

const SOON: Duration = Duration::from_secs(10);
/// Some rounds of probes.
const A_WHILE: Duration = Duration::from_secs(3);
const FORGETFUL: &str = PRIMARIES[0];
/// Another VIP, which the backends get in tests that move probes to it.
const OTHER_VIP: Ipv4Addr = Ipv4Addr::new(10, 66, 0, 101);

fn web(lab: &Lab) -> Documents {
    Documents::new(lab, &PRIMARIES).service(Service::tcp())
}

fn prefix(vip: IpAddr) -> String {
    format!("{vip}/{}", if vip.is_ipv4() { 32 } else { 128 })
}

fn forget(lab: &Lab, name: &str, vip: IpAddr) {
    let line = format!("address del {} dev lo", prefix(vip));
    lab.host(name).namespace.ip(&[line]);
}

fn remember(lab: &Lab, name: &str, vip: IpAddr) {
    let nodad = if vip.is_ipv4() { "" } else { " nodad" };
    let line = format!("address add {} dev lo{nodad}", prefix(vip));
    lab.host(name).namespace.ip(&[line]);
}

/// An endpoint as the service of this VIP's family has it.
#[track_caller]
fn row(daemon: &Daemon, name: &str, vip: IpAddr) -> BackendStats {
    let version = if vip.is_ipv4() { "IPV4" } else { "IPV6" };
    let services = daemon.stats().services;
    let of_family = services
        .into_iter()
        .filter(|service| service.ip_version == version);
    let mut rows = of_family.flat_map(|service| service.backends);
    let row = rows.find(|row| row.instance.as_deref() == Some(name));
    row.unwrap_or_else(|| panic!("no {name} of {version}"))
}

#[track_caller]
fn wait_for_health(daemon: &Daemon, name: &str, vip: IpAddr, healthy: bool) {
    eventually(SOON, || match row(daemon, name, vip).healthy == healthy {
        true => Ok(()),
        false => Err(format!("{name} healthy for {vip}: {}", !healthy)),
    });
}

/// What `get-health` says of the endpoint.
#[track_caller]
fn details(daemon: &Daemon, name: &str) -> String {
    let table = daemon.ctl(&["backend-services", "get-health", "web"]);
    let rows = table.lines().filter(|line| line.contains(name));
    rows.collect::<Vec<_>>().join("\n")
}

/// Every endpoint is healthy by way of its VIPs; one that forgets a VIP is not, until it has it again.
#[track_caller]
fn assert_proves_ownership(lab: &Lab, documents: &Documents, mode: &str, vips: &[IpAddr]) {
    let balanced = Balanced::start(lab, documents);
    let daemon = &balanced.daemon;
    for &vip in vips {
        assert_eq!(row(daemon, FORGETFUL, vip).delivery, mode);
        forget(lab, FORGETFUL, vip);
        wait_for_health(daemon, FORGETFUL, vip, false);
        let endpoint = row(daemon, FORGETFUL, vip).ip_address;
        let to = std::net::SocketAddr::new(vip, HEALTH_PORT);
        let reason = format!(
            "no answer from {endpoint} on {to} delivered by {mode}, while it answers on its own address: \
             does the endpoint own the VIP?"
        );
        // A probe that was under way when the VIP went has another reason.
        eventually(SOON, || {
            let told = details(daemon, FORGETFUL);
            told.contains(&reason)
                .then_some(())
                .ok_or_else(|| format!("no {reason:?} in {told}"))
        });
        for other in vips.iter().filter(|other| **other != vip) {
            assert!(row(daemon, FORGETFUL, *other).healthy, "{other} is not forgotten");
        }
        for other in &PRIMARIES[1..] {
            assert!(row(daemon, other, vip).healthy, "{other} owns {vip}");
        }
        remember(lab, FORGETFUL, vip);
        wait_for_health(daemon, FORGETFUL, vip, true);
    }
    daemon.assert_quiet(&[]);
}

const BOTH: [IpAddr; 2] = [IpAddr::V4(VIP4), IpAddr::V6(VIP6)];

#[test]
fn on_link_endpoints_have_to_own_the_vip() {
    let lab = Lab::flat("probe-l2");
    assert_proves_ownership(&lab, &web(&lab), "l2", &BOTH);
}

/// A rule on an address owns that address alone: the balancer and the backends are its neighbours in one /96.
#[test]
fn an_ipv6_vip_lives_beside_hosts() {
    let lab = Lab::flat("probe-beside");
    let vip: IpAddr = Ipv6Addr::new(0x2001, 0xdb8, 0x66, 0, 0, 0, 0, 0x100).into();
    let own = lab.host(LB).ipv6;
    assert_eq!(own.segments()[..6], [0x2001, 0xdb8, 0x66, 0, 0, 0]);
    BACKENDS.iter().for_each(|name| remember(&lab, name, vip));
    let service = Service::of_everything().vips(&[vip]);
    let documents = Documents::new(&lab, &PRIMARIES).service(service);
    let _balanced = Balanced::start(&lab, &documents);
    // A client finds the VIP by neighbour discovery.
    health_of(lab.client(), (vip, HEALTH_PORT).into()).expect("an answer from the VIP");
    let mut echo = Ping::to(lab.client(), own.into());
    assert!(echo.is_answered(b"who is there", SOON), "the balancer itself");
    let neighbours = lab.client().ip_output(&["-6", "neigh", "show", "dev", "eth0"]);
    let lb = lab.host(LB).mac.map(|byte| format!("{byte:02x}")).join(":");
    let of_lb = neighbours
        .lines()
        .filter(|line| line.contains(&lb) && line.starts_with("2001:"));
    assert_eq!(of_lb.count(), 2, "{neighbours}");
}

#[test]
fn endpoints_on_another_interface_have_to_own_the_vip() {
    let lab = Lab::two_armed("probe-arms");
    assert_proves_ownership(&lab, &web(&lab), "l2", &BOTH);
}

#[test]
fn routed_endpoints_have_to_own_the_vip() {
    let lab = Lab::routed("probe-ipip");
    assert_proves_ownership(&lab, &web(&lab), "ipip", &BOTH);
}

#[test]
fn endpoints_behind_gue_have_to_own_the_vip() {
    let lab = Lab::routed("probe-gue");
    let documents = web(&lab).annotate("lb/delivery", "gue");
    assert_proves_ownership(&lab, &documents, "gue", &BOTH);
}

/// The endpoints have one family, and the VIP is of the other.
#[test]
fn endpoints_of_the_other_family_have_to_own_the_vip() {
    for (label, families, vip) in [
        ("probe-6in4", Families::Ipv4, BOTH[1]),
        ("probe-4in6", Families::Ipv6, BOTH[0]),
    ] {
        for mode in ["ipip", "gue"] {
            let lab = Lab::routed(&format!("{label}-{mode}"));
            let documents = Documents::with_families(&lab, &PRIMARIES, families)
                .service(Service::tcp().vips(&[vip]))
                .annotate("lb/delivery", mode);
            assert_proves_ownership(&lab, &documents, mode, &[vip]);
        }
    }
}

/// It would send the probe back to the balancer, which would have another endpoint answer.
#[test]
fn an_endpoint_that_forwards_what_it_does_not_own_is_found_out() {
    let lab = Lab::flat("probe-forwards");
    let balanced = Balanced::start(&lab, &web(&lab));
    lab.host(FORGETFUL).namespace.sysctl(&[("ipv4/ip_forward", "1")]);
    forget(&lab, FORGETFUL, VIP4.into());
    wait_for_health(&balanced.daemon, FORGETFUL, VIP4.into(), false);
    throughout(A_WHILE, || {
        match row(&balanced.daemon, FORGETFUL, VIP4.into()).healthy {
            false => Ok(()),
            true => Err("another endpoint answered".to_owned()),
        }
    });
    assert!(details(&balanced.daemon, FORGETFUL).contains("does the endpoint own the VIP?"));
}

#[test]
fn a_dead_endpoint_is_told_from_a_forgetful_one() {
    let lab = Lab::flat("probe-dead");
    let balanced = Balanced::start(&lab, &web(&lab));
    lab.host(FORGETFUL)
        .namespace
        .ip(&["link set eth0 down".to_owned()]);
    wait_for_health(&balanced.daemon, FORGETFUL, VIP4.into(), false);
    let said = details(&balanced.daemon, FORGETFUL);
    assert!(!said.contains("own the VIP?"), "{said}");
}

fn is_probe(packet: &Received) -> bool {
    const TCP: u8 = 6;
    packet.protocol == TCP && packet.payload[2..4] == HEALTH_PORT.to_be_bytes()
}

/// Waits for a probe that the endpoint gets at this address.
#[track_caller]
fn wait_for_probe(capture: &Capture, destination: IpAddr) -> Received {
    eventually(SOON, || {
        capture.look(|captured| {
            let packets = captured
                .frames
                .iter()
                .filter_map(|frame| Received::of_frame(frame));
            let mut probes = packets.filter(is_probe);
            let found = probes.find(|probe| probe.destination == destination);
            found.ok_or_else(|| format!("no probe came to {destination}"))
        })
    })
}

#[test]
fn probes_come_from_the_balancers_address_and_go_no_further() {
    let lab = Lab::flat("probe-wire");
    let _balanced = Balanced::start(&lab, &web(&lab));
    let capture = Capture::start(&lab.host(FORGETFUL).namespace, "eth0");
    for vip in BOTH {
        let probe = wait_for_probe(&capture, vip);
        assert_eq!(probe.source, lab.host(LB).address(vip));
        assert_eq!(probe.hop_limit, 1);
    }
    capture.finish().assert_checksums();
}

#[test]
fn outer_headers_of_probes_are_those_of_clients_packets() {
    let lab = Lab::routed("probe-outer");
    let documents = web(&lab).annotate("lb/delivery", "gue");
    let balanced = Balanced::start(&lab, &documents);
    let capture = Capture::start(&lab.host(ROUTER).namespace, "eth0");
    let connection = balanced.connect(VIP4).unwrap();
    let chosen = IpAddr::from(lab.host(&connection.backend).ipv4);
    let captured = capture.finish_when(|captured| {
        let both = [HEALTH_PORT, 80].map(|port| outer_of(&captured.frames, chosen, port));
        both.iter().all(Option::is_some)
    });
    captured.assert_checksums();
    let [probe, client] = [HEALTH_PORT, 80].map(|port| outer_of(&captured.frames, chosen, port).unwrap());
    assert_eq!(probe.source, client.source);
    assert_eq!(
        (probe.protocol, probe.hop_limit),
        (client.protocol, client.hop_limit)
    );
    let port =
        |packet: &Received, at: usize| u16::from_be_bytes([packet.payload[at], packet.payload[at + 1]]);
    for packet in [&probe, &client] {
        assert_eq!(port(packet, 2), GUE_PORT);
        assert!(port(packet, 0) >= 49_152, "{}", port(packet, 0));
        assert_eq!(port(packet, 6), 0, "no checksum of its own");
    }
}

/// The outer packet around an IPv4 packet of TCP to this port, on its way to the endpoint.
fn outer_of(frames: &[Vec<u8>], endpoint: IpAddr, port: u16) -> Option<Received> {
    const UDP_HEADER: usize = 8;
    const PORT: usize = UDP_HEADER + 20 + 2;
    let packets = frames.iter().filter_map(|frame| Received::of_frame(frame));
    let mut to_endpoint = packets.filter(|packet| packet.destination == endpoint && packet.protocol == 17);
    to_endpoint.find(|packet| packet.payload.get(PORT..PORT + 2) == Some(&port.to_be_bytes()))
}

/// No health is lost on the way.
#[test]
fn probes_follow_the_rules() {
    let lab = Lab::flat("probe-moves");
    for name in BACKENDS {
        remember(&lab, name, OTHER_VIP.into());
    }
    let daemon_of = |vips: &[IpAddr]| {
        let service = Service::tcp().vips(vips);
        Documents::new(&lab, &PRIMARIES).service(service)
    };
    let balanced = Balanced::start(&lab, &daemon_of(&[VIP4.into()]));
    let capture = || Capture::start(&lab.host(FORGETFUL).namespace, "eth0");
    wait_for_probe(&capture(), VIP4.into());

    balanced.daemon.apply(&daemon_of(&[OTHER_VIP.into()]));
    let after = capture();
    wait_for_probe(&after, OTHER_VIP.into());
    wait_for_health(&balanced.daemon, FORGETFUL, VIP4.into(), true);

    let rule = "web-ipv4";
    balanced.daemon.ctl(&[
        "forwarding-rules",
        "delete",
        rule,
        "--region",
        "lab-1",
        "--project",
        "lab",
        "--quiet",
    ]);
    let after = capture();
    wait_for_probe(&after, lab.host(FORGETFUL).ipv4.into());

    balanced.daemon.apply(&daemon_of(&[VIP4.into()]));
    let after = capture();
    wait_for_probe(&after, VIP4.into());
    throughout(A_WHILE, || {
        match row(&balanced.daemon, FORGETFUL, VIP4.into()).healthy {
            true => Ok(()),
            false => Err("its health was lost".to_owned()),
        }
    });
    let log = balanced.daemon.log();
    assert!(!log.contains("unhealthy"), "{log}");
}

#[test]
fn endpoints_are_probed_at_their_own_addresses_where_the_settings_say_so() {
    let lab = Lab::flat("probe-own");
    let settings = "probe-destination = \"own-address\"\n";
    let balanced = Balanced::start_with_settings(&lab, settings, &web(&lab));
    let capture = Capture::start(&lab.host(FORGETFUL).namespace, "eth0");
    wait_for_probe(&capture, lab.host(FORGETFUL).ipv4.into());
    assert_eq!(traces(&lab), "");
    forget(&lab, FORGETFUL, VIP4.into());
    throughout(A_WHILE, || {
        match row(&balanced.daemon, FORGETFUL, VIP4.into()).healthy {
            true => Ok(()),
            false => Err("its own address answers".to_owned()),
        }
    });
}

/// What a host's kernel counts: connections that were accepted, and those that an RST has ended.
fn accepted_and_reset(lab: &Lab, name: &str) -> [u64; 2] {
    // The process has another namespace than this thread.
    let read = || std::fs::read_to_string("/proc/thread-self/net/snmp").expect("the kernel's counters");
    let text = lab.host(name).namespace.run(read);
    let lines: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("Tcp:"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    ["PassiveOpens", "EstabResets"].map(|name| {
        let place = lines[0].iter().position(|word| *word == name).expect(name);
        lines[1][place].parse().expect("a number")
    })
}

/// The servers on the port greet, so whoever leaves without having heard that sends an RST.
#[test]
fn probes_at_the_vip_leave_no_error_with_the_endpoints() {
    let lab = Lab::flat("probe-ends");
    let check = json!({
        "kind": "compute#healthCheck",
        "name": "connects",
        "region": REGION,
        "type": "TCP",
        "checkIntervalSec": 1,
        "timeoutSec": 1,
        "healthyThreshold": 1,
        "unhealthyThreshold": 1,
        "tcpHealthCheck": {"port": TCP_PORT},
    });
    let checks = json!([format!("{REGION}/healthChecks/connects")]);
    let documents = Documents::new(&lab, &PRIMARIES)
        .resource(check)
        .service(Service::tcp().set("healthChecks", checks));
    let balanced = Balanced::start(&lab, &documents);
    let before = PRIMARIES.map(|name| accepted_and_reset(&lab, name));
    eventually(SOON, || {
        for (name, [accepted, _]) in PRIMARIES.iter().zip(before) {
            let [now, _] = accepted_and_reset(&lab, name);
            if now < accepted + 5 {
                return Err(format!("{name}: {} probes", now - accepted));
            }
        }
        Ok(())
    });
    for (name, [_, reset]) in PRIMARIES.iter().zip(before) {
        assert_eq!(accepted_and_reset(&lab, name)[1] - reset, 0, "{name}");
    }
    balanced.daemon.assert_quiet(&[]);
}

/// Whatever of the probes' way out can be seen in the balancer's namespace.
fn traces(lab: &Lab) -> String {
    let shown = [
        lab.lb().ip_output(&["link", "show"]),
        lab.lb().ip_output(&["rule"]),
        lab.lb().ip_output(&["-6", "rule"]),
        lab.lb().ip_output(&["route", "show", "table", "all"]),
        lab.lb().ip_output(&["-6", "route", "show", "table", "all"]),
    ];
    let lines = shown.iter().flat_map(|text| text.lines());
    let ours = lines.filter(|line| line.contains("lb-probe") || line.contains("fwmark"));
    ours.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_restart_keeps_the_health_and_goes_on_probing() {
    let lab = Lab::flat("probe-restart");
    let mut balanced = Balanced::start(&lab, &web(&lab));
    throughout(A_WHILE, || {
        match row(&balanced.daemon, FORGETFUL, VIP4.into()).healthy {
            true => Ok(()),
            false => Err("it was healthy".to_owned()),
        }
    });
    let before = balanced.daemon.log().len();
    balanced.daemon.kill();
    assert!(
        traces(&lab).contains("lb-probe"),
        "a killed daemon can't clean up"
    );
    balanced.daemon.start_again();
    for vip in BOTH {
        assert!(
            PRIMARIES
                .iter()
                .all(|name| row(&balanced.daemon, name, vip).healthy)
        );
    }
    let capture = Capture::start(&lab.host(FORGETFUL).namespace, "eth0");
    wait_for_probe(&capture, VIP4.into());
    let log = &balanced.daemon.log()[before..];
    assert!(!log.contains("healthy"), "no health changed: {log}");
    forget(&lab, FORGETFUL, VIP4.into());
    wait_for_health(&balanced.daemon, FORGETFUL, VIP4.into(), false);
    balanced.daemon.assert_quiet(&[]);
}

#[test]
fn nothing_of_the_probes_stays_behind() {
    let lab = Lab::flat("probe-leaves");
    let mut balanced = Balanced::start(&lab, &web(&lab));
    assert!(balanced.daemon.terminate().success());
    assert_eq!(traces(&lab), "", "after SIGTERM");

    balanced.daemon.start_again();
    assert!(traces(&lab).contains("lb-probe"));
    balanced.daemon.kill();
    balanced.daemon.ctl(&["detach"]);
    assert_eq!(traces(&lab), "", "after a detach without a daemon");

    balanced.daemon.start_again();
    balanced.daemon.ctl(&["detach"]);
    assert_eq!(traces(&lab), "", "after a detach by the daemon");
    throughout(A_WHILE, || {
        match row(&balanced.daemon, FORGETFUL, VIP4.into()).healthy {
            true => Ok(()),
            false => Err("nobody probed it".to_owned()),
        }
    });
    balanced.daemon.assert_quiet(&[]);
}

/// What a kernel can't do is told before any packet is taken.
#[test]
fn a_taken_name_is_told_with_the_setting_that_avoids_it() {
    let lab = Lab::flat("probe-taken");
    lab.lb().ip(&["link add lb-probe type bridge".to_owned()]);
    let daemon = Daemon::new(&lab);
    let refusal = daemon.refused(&["--interface", "eth0"]);
    refusal.assert(
        1,
        &[
            "the name lb-probe is taken by a device of somebody else",
            "probe-destination = \"own-address\"",
        ],
    );
    let link = lab.lb().ip_output(&["link", "show"]);
    assert!(link.contains("lb-probe") && !link.contains("xdp"), "{link}");
}

fn filter_strictly(lab: &Lab, interfaces: &[&str]) {
    for interface in interfaces {
        let path = format!("ipv4/conf/{interface}/rp_filter");
        lab.lb().sysctl(&[(&path, "1")]);
    }
}

#[test]
fn answers_pass_a_strict_reverse_path_filter() {
    let lab = Lab::flat("probe-rp");
    filter_strictly(&lab, &["all", "eth0"]);
    let balanced = Balanced::start(&lab, &web(&lab));
    assert!(row(&balanced.daemon, FORGETFUL, VIP4.into()).healthy);
}

/// Answers come from the VIP, and by an interface that packets to the VIP would not leave by.
#[test]
fn a_reverse_path_filter_that_drops_answers_is_suspected() {
    let lab = Lab::two_armed("probe-rp-arms");
    let balanced = Balanced::start(&lab, &web(&lab));
    filter_strictly(&lab, &["eth1"]);
    wait_for_health(&balanced.daemon, FORGETFUL, VIP4.into(), false);
    let said = details(&balanced.daemon, FORGETFUL);
    assert!(
        said.contains("does eth1 drop its answers (rp_filter is 1, strict)?"),
        "{said}"
    );
    assert!(row(&balanced.daemon, FORGETFUL, VIP6.into()).healthy);
}
