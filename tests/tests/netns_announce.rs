//! Who answers for VIPs, as links and addresses change and other hosts claim them; what becomes of health while probes
//! can't leave.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use lb_tests::balanced::Balanced;
use lb_tests::condition::{eventually, throughout};
use lb_tests::daemon::Daemon;
use lb_tests::documents::{Documents, Service};
use lb_tests::topology::{CLIENT, LB, Lab, PRIMARIES, VIP4, VIP6};

const SOON: Duration = Duration::from_secs(20);
/// Some rounds of probes.
const A_WHILE: Duration = Duration::from_secs(3);
const ANNOUNCEMENT_INTERVAL: Duration = Duration::from_millis(1_500);
const NOBODY: &str = "02:00:00:00:00:99";
/// On no prefix of the laboratory's.
const LATE_VIP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 100);

fn shown(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// What the client knows of its neighbour, having asked for it if need be.
fn neighbour(lab: &Lab, vip: Ipv4Addr, asks: bool) -> String {
    if asks {
        // An error is that of an earlier try.
        let _ = lab
            .client()
            .run(|| UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"?", (vip, 9))));
    }
    lab.client()
        .ip_output(&["neigh", "show", &vip.to_string(), "dev", "eth0"])
}

#[track_caller]
fn wait_for_neighbour(lab: &Lab, vip: Ipv4Addr, mac: [u8; 6], asks: bool) {
    eventually(SOON, || {
        let known = neighbour(lab, vip, asks);
        match known.contains(&shown(mac)) {
            true => Ok(()),
            false => Err(format!("{vip}: {known}")),
        }
    });
}

/// The client's neighbour cache says that the VIP is at a MAC address that nobody has; only an announcement changes it.
fn mislead(lab: &Lab, vip: Ipv4Addr) {
    let line = format!("neigh replace {vip} lladdr {NOBODY} dev eth0 nud reachable");
    lab.client().ip(&[line]);
}

/// The first announcements come to their end before that: they are a second apart.
#[track_caller]
fn mislead_for_good(lab: &Lab, vip: Ipv4Addr) {
    eventually(SOON, || {
        mislead(lab, vip);
        let start = Instant::now();
        while start.elapsed() < ANNOUNCEMENT_INTERVAL {
            let known = neighbour(lab, vip, false);
            if !known.contains(NOBODY) {
                return Err(known);
            }
        }
        Ok(())
    });
}

#[track_caller]
fn wait_for_warning(daemon: &Daemon, text: &str) {
    eventually(SOON, || {
        let warnings = daemon.status().warnings;
        match warnings.iter().any(|warning| warning.starts_with(text)) {
            true => Ok(()),
            false => Err(format!("no '{text}' in {warnings:#?}")),
        }
    });
}

fn answering(daemon: &Daemon, vip: Ipv4Addr) -> String {
    let vips = daemon.status().vips;
    let of = vips.into_iter().find(|of| of.address == IpAddr::from(vip));
    of.expect("the VIP is in the status").answering
}

#[test]
fn a_vip_is_answered_for_while_its_prefix_is_connected() {
    let lab = Lab::flat("announce-late");
    lab.client().ip(&["address add 10.99.0.2/24 dev eth0".to_owned()]);
    let documents = Documents::new(&lab, &PRIMARIES).service(Service::tcp().vips(&[LATE_VIP.into()]));
    let daemon = Daemon::start(&lab, &documents);
    assert_eq!(
        answering(&daemon, LATE_VIP),
        "on no connected prefix: a router has to lead its packets here"
    );
    lab.lb().ip(&["address add 10.99.0.1/24 dev eth0".to_owned()]);
    let lb = lab.host(LB).mac;
    wait_for_neighbour(&lab, LATE_VIP, lb, true);
    assert_eq!(answering(&daemon, LATE_VIP), "answered for on eth0");

    lab.lb().ip(&["address del 10.99.0.1/24 dev eth0".to_owned()]);
    eventually(SOON, || match answering(&daemon, LATE_VIP) {
        how if how.starts_with("on no connected prefix") => Ok(()),
        how => Err(how),
    });
    lab.client().ip(&[format!("neigh flush {LATE_VIP} dev eth0")]);
    // Asked once: each question would begin anew.
    neighbour(&lab, LATE_VIP, true);
    eventually(SOON, || {
        let known = neighbour(&lab, LATE_VIP, false);
        match known.contains("FAILED") {
            true => Ok(()),
            false => Err(known),
        }
    });
}

#[test]
fn a_link_that_was_away_or_has_another_mac_is_announced_on_again() {
    let lab = Lab::flat("announce-again");
    let documents = Documents::new(&lab, &PRIMARIES).service(Service::tcp());
    let _daemon = Daemon::start(&lab, &documents);
    let mac = lab.host(LB).mac;
    wait_for_neighbour(&lab, VIP4, mac, true);
    mislead_for_good(&lab, VIP4);
    lab.lb()
        .ip(&["link set eth0 down".to_owned(), "link set eth0 up".to_owned()]);
    wait_for_neighbour(&lab, VIP4, mac, false);

    let moved = [2, 0, 0, 0, 0, 0x77];
    lab.lb().ip(&[format!("link set eth0 address {}", shown(moved))]);
    wait_for_neighbour(&lab, VIP4, moved, false);
}

/// For a switch that forgets whom it does not hear: the client's side of the balancer never sends anything else.
#[test]
fn a_vip_is_announced_periodically_if_so_set() {
    let lab = Lab::flat("announce-periodic");
    let documents = Documents::new(&lab, &PRIMARIES).service(Service::tcp());
    let mut daemon = Daemon::new(&lab);
    daemon.give("--settings", "lb.toml", "[announce]\ninterval-sec = 5\n");
    daemon.start_again();
    daemon.apply(&documents);
    let mac = lab.host(LB).mac;
    wait_for_neighbour(&lab, VIP4, mac, true);
    for _ in 0..2 {
        mislead_for_good(&lab, VIP4);
        wait_for_neighbour(&lab, VIP4, mac, false);
    }
}

#[test]
fn another_host_that_has_the_ipv6_vip_is_named() {
    let lab = Lab::flat("announce-conflict6");
    let careless = lab.host(PRIMARIES[1]);
    careless
        .namespace
        .ip(&[format!("address add {VIP6}/64 dev eth0 nodad")]);
    let documents = Documents::new(&lab, &PRIMARIES).service(Service::tcp().vips(&[VIP6.into()]));
    let daemon = Daemon::start(&lab, &documents);
    let text = format!(
        "{VIP6} is also answered for by {} (endpoint {}): put the VIP on lo there, not on",
        shown(careless.mac),
        PRIMARIES[1]
    );
    wait_for_warning(&daemon, &text);
}

#[test]
fn a_backend_that_answers_for_the_vip_is_named() {
    let lab = Lab::flat("announce-conflict");
    let forgetful = lab.host(PRIMARIES[1]);
    let ignores = ["all", "eth0"].map(|of| format!("ipv4/conf/{of}/arp_ignore"));
    forgetful
        .namespace
        .sysctl(&[(&ignores[0], "0"), (&ignores[1], "0")]);
    let documents = Documents::new(&lab, &PRIMARIES).service(Service::tcp());
    let daemon = Daemon::start(&lab, &documents);
    let text = format!(
        "{VIP4} is also answered for by {} (endpoint {}): set arp_ignore=1 there",
        shown(forgetful.mac),
        PRIMARIES[1]
    );
    wait_for_warning(&daemon, &text);
    eventually(SOON, || match daemon.log().contains(&text) {
        true => Ok(()),
        false => Err("it is not logged".to_owned()),
    });
    let told: BTreeSet<String> = daemon.status().warnings.into_iter().collect();
    assert_eq!(
        told.iter()
            .filter(|told| told.contains("answered for by"))
            .count(),
        1,
        "{told:#?}"
    );
}

#[test]
fn a_probe_device_that_is_deleted_costs_no_health_and_is_made_again() {
    let lab = Lab::flat("announce-probes");
    let documents = Documents::new(&lab, &PRIMARIES).service(Service::tcp());
    let mut balanced = Balanced::start(&lab, &documents);
    let healthy = || {
        let status = balanced.daemon.status();
        match status.healthy_endpoints == status.endpoints {
            true => Ok(()),
            false => Err(format!(
                "{} of {} are healthy",
                status.healthy_endpoints, status.endpoints
            )),
        }
    };
    eventually(SOON, healthy);
    for _ in 0..3 {
        lab.lb().ip(&["link del lb-probe".to_owned()]);
        throughout(A_WHILE, healthy);
    }
    balanced.daemon.wait_until_well(SOON);
    // Probes see again what becomes of endpoints.
    let name = PRIMARIES[0];
    balanced.set_health(name, false);
    balanced.daemon.wait_for_health(name, false);
    balanced.set_health(name, true);
    balanced.daemon.wait_for_health(name, true);
}

#[test]
fn while_probes_cant_leave_health_stays_and_status_says_why() {
    let lab = Lab::flat("announce-no-way");
    let documents = Documents::new(&lab, &PRIMARIES).service(Service::tcp());
    let balanced = Balanced::start(&lab, &documents);
    // Somebody's rule that the daemon has no business to remove.
    let rule = "pref 1 fwmark 0x3062 lookup main";
    let route = format!("route add default via {}", lab.host(CLIENT).ipv4);
    lab.lb().ip(&[route, format!("rule add {rule}")]);
    balanced.daemon.wait_for_trouble(
        SOON,
        "health probes to VIPs can't leave, so health stays what it was: packets with the mark 0x3062 don't leave by \
         lb-probe",
    );
    throughout(A_WHILE, || {
        let status = balanced.daemon.status();
        match status.healthy_endpoints == status.endpoints {
            true => Ok(()),
            false => Err(format!("{:?}", status.warnings)),
        }
    });
    lab.lb().ip(&[format!("rule del {rule}")]);
    balanced.daemon.wait_until_well(SOON);
}
