//! Ways in and out that XDP can't take: named where they are, with the reason and with what helps.

use std::time::Duration;

use lb_tests::condition::eventually;
use lb_tests::daemon::Daemon;
use lb_tests::topology::Lab;

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
