//! Starts that must not be: they touch nothing that is not their own, and leave nothing behind.

use std::time::Duration;

use lb_ctl::dataplane::Sizes;
use lb_tests::balanced::Balanced;
use lb_tests::condition::throughout;
use lb_tests::daemon::Daemon;
use lb_tests::documents::{Documents, Service};
use lb_tests::topology::{Lab, PRIMARIES, VIP4};

const ETH0: [&str; 2] = ["--interface", "eth0"];
/// Longer than a round of probes.
const A_ROUND: Duration = Duration::from_secs(2);
/// An interface that takes no program natively: a start in native mode fails there, late.
const BRIDGE: &str = "br0";
const OWN_ADDRESS: &str = "probe-destination = \"own-address\"\n";

fn documents(lab: &Lab) -> Documents {
    Documents::new(lab, &PRIMARIES).both_protocols(|service: Service| service)
}

/// The daemon goes on as if nothing had been tried: same maps, same program, same way out for probes.
struct Untouched {
    program: String,
    device: String,
}

impl Untouched {
    fn of(lab: &Lab) -> Self {
        Self {
            program: program(lab),
            device: device(lab),
        }
    }

    #[track_caller]
    fn assert(&self, balanced: &Balanced, lab: &Lab) {
        assert_eq!(program(lab), self.program);
        assert_eq!(device(lab), self.device, "the probe device is another one");
        assert_eq!(balanced.daemon.verify().differences, [""; 0]);
        throughout(A_ROUND, || {
            let status = balanced.daemon.status();
            match status.healthy_endpoints == status.endpoints {
                true => Ok(()),
                false => Err(format!("{} are healthy", status.healthy_endpoints)),
            }
        });
        balanced.connect(VIP4).expect("a connection");
    }
}

fn add_bridge(lab: &Lab) {
    lab.lb().ip(&[format!("link add {BRIDGE} type bridge")]);
}

/// The kernel's number of the program on eth0.
fn program(lab: &Lab) -> String {
    let shown = lab.lb().ip_output(&["-o", "link", "show", "eth0"]);
    let (_, after) = shown.split_once("prog/xdp id ").expect("a program");
    after.split_whitespace().next().expect("a number").to_owned()
}

/// The interface index tells whether the device was made anew.
fn device(lab: &Lab) -> String {
    let shown = lab.lb().ip_output(&["-o", "link", "show", "lb-probe"]);
    shown.split(':').next().expect("an index").to_owned()
}

#[test]
fn a_second_daemon_on_the_same_pins_is_refused_before_anything_is_touched() {
    let lab = Lab::flat("second");
    let balanced = Balanced::start(&lab, &documents(&lab));
    let untouched = Untouched::of(&lab);
    let refusal = balanced.daemon.refused_as_another(&ETH0);
    refusal.assert(
        1,
        &["the pin directory /sys/fs/bpf/lb is in use by another lb-ctl run"],
    );
    untouched.assert(&balanced, &lab);
    let detach = ["detach", "--endpoint", "unix:/nowhere.sock"];
    let output = balanced.daemon.lonely_ctl(&detach);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && complaint.contains("in use by"),
        "{complaint}"
    );
    untouched.assert(&balanced, &lab);
}

#[test]
fn a_start_that_fails_leaves_another_daemons_probe_device_alone() {
    let lab = Lab::flat("failing");
    add_bridge(&lab);
    let balanced = Balanced::start(&lab, &documents(&lab));
    let untouched = Untouched::of(&lab);
    let elsewhere = ["--pin-dir", "/sys/fs/bpf/elsewhere"];
    let refusal = balanced.daemon.refused_as_another(&[ETH0, elsewhere].concat());
    refusal.assert(1, &["eth0 already carries an XDP program that is not ours"]);
    untouched.assert(&balanced, &lab);

    let others = ["--interface", BRIDGE, "--xdp-mode", "generic"];
    let refusal = balanced
        .daemon
        .refused_as_another(&[&others[..], &elsewhere].concat());
    let pid = balanced.daemon.pid();
    let whose = format!("another lb-ctl run (process {pid}) leave by the device lb-probe");
    refusal.assert(1, &[&whose, "own-address"]);
    untouched.assert(&balanced, &lab);

    let settings = balanced.daemon.write("own-address.toml", OWN_ADDRESS);
    let settings = ["--settings", settings.to_str().expect("ASCII")];
    let native = ["--interface", BRIDGE, "--xdp-mode", "native"];
    let refusal = balanced
        .daemon
        .refused_as_another(&[&native[..], &elsewhere, &settings].concat());
    refusal.assert(1, &["the driver of br0 can't run this XDP program natively"]);
    untouched.assert(&balanced, &lab);
    let pins = balanced.daemon.bpf_directory().join("elsewhere");
    assert!(!pins.exists(), "pins of a start that failed stay");
}

#[test]
fn a_start_that_fails_leaves_the_pins_of_an_earlier_run() {
    let lab = Lab::flat("failing-again");
    add_bridge(&lab);
    let mut balanced = Balanced::start(&lab, &documents(&lab));
    let mut connection = balanced.connect(VIP4).expect("a connection");
    balanced.daemon.kill();
    let table_slots = Sizes::default().table_slots.to_string();
    let size = ["--table-slots", table_slots.as_str()];
    let native = [
        "--interface",
        "eth0",
        "--interface",
        BRIDGE,
        "--xdp-mode",
        "native",
    ];
    let refusal = balanced.daemon.refused(&[&native[..], &size].concat());
    refusal.assert(1, &["the driver of br0 can't run this XDP program natively"]);
    assert_eq!(connection.ask().as_deref(), Ok(connection.backend.as_str()));
    balanced.daemon.start_again();
    assert_eq!(connection.ask().as_deref(), Ok(connection.backend.as_str()));
    assert_eq!(balanced.daemon.verify().differences, [""; 0]);
}

#[test]
fn a_start_that_fails_the_first_time_leaves_no_pins() {
    let lab = Lab::flat("failing-first");
    add_bridge(&lab);
    let daemon = Daemon::new(&lab);
    let refusal = daemon.refused(&["--interface", BRIDGE, "--xdp-mode", "native"]);
    refusal.assert(1, &["the driver of br0 can't run this XDP program natively"]);
    assert!(!daemon.bpf_directory().join("lb").exists());
    let link = lab.lb().ip_output(&["-o", "link"]);
    assert!(!link.contains("lb-probe"), "{link}");
}
