//! Ways in and out that XDP can't take: named where they are, with the reason and with what helps.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use lb_tests::balanced::{Balanced, backends_of};
use lb_tests::condition::eventually;
use lb_tests::daemon::Daemon;
use lb_tests::documents::Documents;
use lb_tests::topology::{BACKENDS, Lab, PRIMARIES, VIP4, VIP6};
use lb_tests::traffic::UDP_PORT;
use lb_tests::traffic::backend::Backend;

const FOLLOWED: Duration = Duration::from_secs(20);

#[test]
fn interfaces_without_ethernet_are_refused_all_at_once() {
    let lab = Lab::flat("no-ethernet");
    lab.lb().ip(&["tuntap add tun0 mode tun".to_owned()]);
    let daemon = Daemon::new(&lab);
    let refusal = daemon.refused(&["--interface", "lo", "--interface", "tun0", "--interface", "eth7"]);
    refusal.assert(
        1,
        &[
            "lo is the loopback device",
            "tun0 carries no Ethernet frames",
            "there is no interface named eth7",
        ],
    );
    assert!(!daemon.bpf_directory().join("lb").exists(), "nothing was touched");
}

/// The peer of the balancer's interface, whose MTU a native program can't live with.
fn widen_the_switch(lab: &Lab) {
    lab.switch().ip(&["link set p-lb-0 mtu 9000".to_owned()]);
}

#[test]
fn a_refusal_of_native_mode_has_the_drivers_own_words() {
    let lab = Lab::flat("refused-native");
    widen_the_switch(&lab);
    let daemon = Daemon::new(&lab);
    let refusal = daemon.refused(&["--interface", "eth0", "--xdp-mode", "native"]);
    let words = "Peer MTU is too large to set XDP; a smaller MTU of the peer of eth0 lets it";
    refusal.assert(1, &[words, "--xdp-mode generic"]);
    let links = lab.lb().ip_output(&["link", "show", "eth0"]);
    assert!(
        !links.contains("xdp"),
        "asking for the words leaves nothing: {links}"
    );
}

#[test]
fn falling_to_generic_mode_is_told_with_the_reason() {
    let lab = Lab::flat("fallen");
    widen_the_switch(&lab);
    let mut daemon = Daemon::new(&lab);
    daemon.mode = "auto";
    daemon.start_again();
    let words = "eth0 is balanced in generic mode, which is slower: its driver takes no program natively: veth: Peer MTU is too large";
    eventually(FOLLOWED, || {
        let status = daemon.status();
        let is_told = status.warnings.iter().any(|warning| warning.contains(words));
        match (status.interfaces[0].xdp_mode.as_str(), is_told) {
            ("generic", true) => Ok(()),
            (mode, _) => Err(format!("{mode}; {:?}", status.warnings)),
        }
    });
    let log = daemon.log();
    let is_warned = |line: &str| line.contains("WARN") && line.contains("Peer MTU is too large");
    assert!(log.lines().any(is_warned), "{log}");
}

fn documents(lab: &Lab) -> Documents {
    Documents::new(lab, &PRIMARIES).both_protocols(|service| service)
}

/// Every endpoint is unhealthy for this reason, which `status` has as a trouble and `get-health` as a detail.
#[track_caller]
fn assert_undeliverable(daemon: &Daemon<'_>, device: &str, helps: &str) {
    daemon.wait_for_trouble(
        FOLLOWED,
        &format!("undeliverable, so they count as unhealthy: {device} "),
    );
    daemon.wait_for_trouble(FOLLOWED, helps);
    for name in PRIMARIES {
        daemon.wait_for_health(name, false);
    }
    let rows = daemon.stats().services;
    let mut backends = rows.iter().flat_map(|service| &service.backends);
    assert!(
        backends.all(|backend| backend.delivery == "undeliverable"),
        "{rows:?}"
    );
    let told = daemon.ctl(&["backend-services", "get-health", "web"]);
    let told = told.matches(&format!("undeliverable by {device}: ")).count();
    assert!(told >= PRIMARIES.len(), "{told}");
}

fn balanced<'lab>(lab: &'lab Lab, daemon: Daemon<'lab>, backends: Vec<Backend>) -> Balanced<'lab> {
    let named = backends.into_iter();
    let named = named.map(|backend| (backend.name.clone(), backend));
    Balanced {
        lab,
        daemon,
        backends: named.collect(),
    }
}

/// Clients are served by all backends.
#[track_caller]
fn assert_served(balanced: &Balanced<'_>) {
    balanced.daemon.wait_until_well(FOLLOWED);
    for name in PRIMARIES {
        balanced.daemon.wait_for_health(name, true);
    }
    for vip in [IpAddr::V4(VIP4), IpAddr::V6(VIP6)] {
        let connections = balanced.connect_many(vip, 30);
        assert_eq!(backends_of(&connections), BTreeSet::from(PRIMARIES), "{vip}");
    }
}

fn bridge(lab: &Lab) {
    let lines = [
        "link set eth1 master br0",
        // Another port, so that the bridge has a choice.
        "link add spare type veth peer name spare-end",
        "link set spare master br0",
        "link set spare up",
        "link set spare-end up",
    ];
    let device = "br0 type bridge stp_state 0 mcast_snooping 0";
    lab.put_upon_the_second("br0", device, &lines.map(str::to_owned));
}

#[test]
fn backends_behind_a_bridge_are_reached_by_its_port() {
    let lab = Lab::two_armed("bridged");
    bridge(&lab);
    let balanced = Balanced::start(&lab, &documents(&lab));
    assert_served(&balanced);
    balanced.daemon.assert_quiet(&["undeliverable"]);
}

#[test]
fn backends_behind_a_switching_macvlan_are_undeliverable_until_the_hint_is_taken() {
    let lab = Lab::two_armed("macvlan");
    lab.put_upon_the_second("mac0", "mac0 link eth1 type macvlan mode bridge", &[]);
    let backends = Backend::all(&lab, &BACKENDS);
    let daemon = Daemon::start(&lab, &documents(&lab));
    let hint = "ip link set dev mac0 type macvlan mode private";
    assert_undeliverable(&daemon, "mac0", hint);
    lab.lb().ip(&[hint["ip ".len()..].to_owned()]);
    assert_served(&balanced(&lab, daemon, backends));
}

#[test]
fn a_second_arm_that_takes_no_frames_from_xdp_is_named_until_it_does() {
    let lab = Lab::two_armed_and_deaf("deaf");
    let backends = Backend::all(&lab, &BACKENDS);
    let daemon = Daemon::start(&lab, &documents(&lab));
    assert_undeliverable(&daemon, "eth1", "ethtool -K PEER gro on");
    lab.hear();
    assert_served(&balanced(&lab, daemon, backends));
}

#[test]
fn a_route_without_ethernet_is_undeliverable() {
    let lab = Lab::two_armed("by-tun");
    let _backends = Backend::all(&lab, &BACKENDS);
    let daemon = Daemon::start(&lab, &documents(&lab));
    for name in PRIMARIES {
        daemon.wait_for_health(name, true);
    }
    let routes = PRIMARIES.map(|name| {
        let host = lab.host(name);
        [
            format!("route add {}/32 dev tun0", host.ipv4),
            format!("route add {}/128 dev tun0", host.ipv6),
        ]
    });
    lab.lb().ip(&[
        "tuntap add tun0 mode tun".to_owned(),
        "link set tun0 up".to_owned(),
    ]);
    lab.lb().ip(&routes.concat());
    assert_undeliverable(&daemon, "tun0", "over an Ethernet interface");
}

#[test]
fn auto_is_generic_on_a_veth_whose_peer_takes_nothing_and_serves() {
    let lab = Lab::flat_and_deaf("deaf-peer");
    let backends = Backend::all(&lab, &BACKENDS);
    let mut daemon = Daemon::new(&lab);
    daemon.mode = "auto";
    daemon.start_again();
    daemon.apply(&documents(&lab));
    let backends = backends
        .into_iter()
        .map(|backend| (backend.name.clone(), backend));
    let balanced = Balanced {
        lab: &lab,
        daemon,
        backends: backends.collect(),
    };
    assert_served(&balanced);
    let status = balanced.daemon.status();
    assert_eq!(status.interfaces[0].xdp_mode, "generic");
    let sentence =
        "eth0 is balanced in generic mode, which is slower: it is a veth whose peer runs no XDP program";
    assert!(
        status.warnings.iter().any(|warning| warning.contains(sentence)),
        "{:?}",
        status.warnings
    );
}

#[test]
fn native_on_a_veth_whose_peer_takes_nothing_is_undeliverable() {
    let lab = Lab::flat_and_deaf("deaf-native");
    let _backends = Backend::all(&lab, &BACKENDS);
    let daemon = Daemon::start(&lab, &documents(&lab));
    assert_undeliverable(&daemon, "eth0", "an XDP program at the peer");
}

#[test]
fn what_xdp_can_not_send_is_counted_and_told() {
    let lab = Lab::two_armed("lost");
    let balanced = Balanced::start(&lab, &documents(&lab));
    assert!(balanced.daemon.stats().xdp_failures.is_empty());
    // The far end of the cable takes no frame longer than its own MTU allows, which nobody here can know.
    lab.switch().ip(&["link set p-lb-1 mtu 1000".to_owned()]);
    let to = SocketAddr::new(VIP4.into(), UDP_PORT);
    eventually(FOLLOWED, || {
        lab.client().run(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            socket.send_to(&[7; 1400], to).expect("the stack takes it");
        });
        let failures = balanced.daemon.stats().xdp_failures;
        match failures
            .iter()
            .any(|row| row.interface == "eth1" && row.event == "transmit" && row.frames > 0)
        {
            true => Ok(()),
            false => Err(format!("{failures:?}")),
        }
    });
    let (is_well, status) = balanced.daemon.judged_status();
    assert!(
        is_well,
        "one that was too long says nothing of others: {:?}",
        status.troubles
    );
    let sentence = "XDP could not send";
    assert!(status.warnings.iter().any(|warning| warning.contains(sentence)));
    let log = balanced.daemon.log();
    let told = log
        .lines()
        .filter(|line| line.contains("WARN") && line.contains("eth1: XDP could not send"));
    assert_eq!(told.count(), 1, "{log}");
    assert!(balanced.daemon.ctl(&["stats"]).contains("NOT_SENT_BY"));
}
