//! Interfaces that go and come back, attachments that others end, and flags that change from start to start.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use lb_tests::balanced::Balanced;
use lb_tests::condition::eventually;
use lb_tests::documents::Documents;
use lb_tests::pins::detach_link;
use lb_tests::topology::{LB, Lab, PRIMARIES, VIP4, VIP6};

const FOLLOWED: Duration = Duration::from_secs(20);
const VIPS: [IpAddr; 2] = [IpAddr::V4(VIP4), IpAddr::V6(VIP6)];

fn documents(lab: &Lab) -> Documents {
    Documents::new(lab, &PRIMARIES).both_protocols(|service| service)
}

/// New connections to the VIPs of both families open again.
#[track_caller]
fn assert_served(balanced: &Balanced<'_>) {
    for vip in VIPS {
        eventually(FOLLOWED, || match balanced.connect(vip) {
            Ok(_) => Ok(()),
            Err(broken) => Err(format!("{vip}: {broken}; {:?}", balanced.daemon.judged_status())),
        });
    }
}

/// What `ip` says of the program on an interface of the balancer; nothing where there is none.
fn program_on(lab: &Lab, interface: &str) -> Option<String> {
    let shown = lab.lb().ip_output(&["-details", "link", "show", interface]);
    let mut words = shown
        .split_whitespace()
        .skip_while(|word| !word.starts_with("prog/xdp"));
    words.next()?;
    let mode = match shown.contains("xdpgeneric") {
        true => "generic",
        false => "native",
    };
    Some(mode.to_owned())
}

#[test]
fn an_interface_that_is_made_again_is_balanced_again() {
    let lab = Lab::flat("recreated");
    let balanced = Balanced::start(&lab, &documents(&lab));
    lab.point_vips_at(LB);
    let mut kept = balanced.connect_many(VIP4, 8);
    let before = balanced.daemon.link_pins();
    lab.unplug(0);
    balanced.daemon.wait_for_trouble(FOLLOWED, "eth0");
    lab.plug_again(0);
    balanced.daemon.wait_until_well(FOLLOWED);
    assert_served(&balanced);
    for connection in &mut kept {
        assert_eq!(connection.ask().as_deref(), Ok(connection.backend.as_str()));
    }
    let after = balanced.daemon.link_pins();
    assert_eq!(after.len(), 1, "the dead attachment is not kept: {after:?}");
    assert_ne!(
        before.keys().collect::<Vec<_>>(),
        after.keys().collect::<Vec<_>>()
    );
    assert_eq!(balanced.daemon.verify().differences, [""; 0]);
}

#[test]
fn the_interface_towards_backends_is_made_again() {
    let lab = Lab::two_armed("rear");
    let mut balanced = Balanced::start(&lab, &documents(&lab));
    assert_served(&balanced);
    lab.unplug(1);
    // The kernel has taken the interface out of the map of devices; what else there is to write must not wait for that.
    eventually(FOLLOWED, || match balanced.daemon.stats().services {
        services
            if services
                .iter()
                .flat_map(|service| &service.backends)
                .all(|backend| backend.delivery == "unresolved") =>
        {
            Ok(())
        }
        services => Err(format!("{services:?}")),
    });
    lab.plug_again(1);
    balanced.daemon.wait_for_delivery();
    for name in PRIMARIES {
        balanced.daemon.wait_for_health(name, true);
    }
    balanced.set_health(PRIMARIES[0], false);
    assert_served(&balanced);
    balanced.daemon.wait_until_well(FOLLOWED);
    assert_eq!(balanced.daemon.verify().differences, [""; 0]);
}

/// Attached again after `end` has ended the attachment of the pin.
fn is_attached_again_after(label: &str, end: impl Fn(&std::path::Path)) {
    let lab = Lab::flat(label);
    let balanced = Balanced::start(&lab, &documents(&lab));
    lab.point_vips_at(LB);
    let mut kept = balanced.connect_many(VIP4, 8);
    let pins: BTreeMap<_, _> = balanced.daemon.link_pins();
    let [pin] = pins.values().collect::<Vec<_>>()[..] else {
        panic!("one interface: {pins:?}");
    };
    end(pin);
    eventually(FOLLOWED, || {
        let is_attached = program_on(&lab, "eth0").is_some();
        let log = balanced.daemon.log();
        let is_told = log
            .lines()
            .any(|line| line.contains("WARN") && line.contains("eth0"));
        match is_attached && pin.exists() && is_told {
            true => Ok(()),
            false => Err(format!(
                "attached: {is_attached}, pinned: {}, told: {is_told}",
                pin.exists()
            )),
        }
    });
    balanced.daemon.wait_until_well(FOLLOWED);
    assert_served(&balanced);
    for connection in &mut kept {
        assert_eq!(connection.ask().as_deref(), Ok(connection.backend.as_str()));
    }
}

#[test]
fn a_link_that_somebody_detached_is_attached_again() {
    is_attached_again_after("detached", detach_link);
}

#[test]
fn a_link_whose_pin_somebody_removed_is_attached_again() {
    is_attached_again_after("unpinned", |pin| {
        std::fs::remove_file(pin).expect("removing a pin")
    });
}

#[test]
fn a_restart_with_another_mode_has_that_mode() {
    let lab = Lab::flat("mode");
    let mut balanced = Balanced::start_generic(&lab, &documents(&lab));
    for mode in ["native", "generic"] {
        balanced.daemon.terminate();
        balanced.daemon.mode = mode;
        balanced.daemon.start_again();
        assert_eq!(program_on(&lab, "eth0").as_deref(), Some(mode));
        eventually(FOLLOWED, || {
            match &balanced.daemon.status().interfaces[0].xdp_mode {
                shown if shown == mode => Ok(()),
                shown => Err(format!("status says {shown}")),
            }
        });
        balanced.daemon.assert_quiet(&["--xdp-mode changed"]);
        assert!(
            balanced.daemon.log().contains("--xdp-mode changed"),
            "the change is told"
        );
    }
}

#[test]
fn a_restart_without_an_interface_lets_go_of_it() {
    let lab = Lab::two_armed("dropped");
    let mut daemon = lb_tests::daemon::Daemon::new(&lab);
    daemon.interfaces = vec!["eth0", "eth1"];
    daemon.start_again();
    assert!(program_on(&lab, "eth0").is_some() && program_on(&lab, "eth1").is_some());
    daemon.terminate();
    daemon.interfaces = vec!["eth0"];
    daemon.start_again();
    assert!(program_on(&lab, "eth0").is_some());
    eventually(FOLLOWED, || match program_on(&lab, "eth1") {
        None => Ok(()),
        Some(mode) => Err(format!("eth1 is still balanced, {mode}")),
    });
    let listed: Vec<String> = daemon
        .status()
        .interfaces
        .into_iter()
        .map(|interface| interface.name)
        .collect();
    assert_eq!(listed, ["eth0"]);
    let log = daemon.log();
    let told = log
        .lines()
        .filter(|line| line.contains("eth1") && line.contains("WARN"));
    assert!(told.count() > 0, "the change is not told:\n{log}");
}
