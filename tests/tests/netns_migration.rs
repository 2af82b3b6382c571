//! Another layout of the maps, taken over and given back under traffic, and cut off after every step.

use std::time::Duration;

use lb_ctl::dataplane::migrate::Step;
use lb_ctl::views::FlowCount;
use lb_tests::balanced::Balanced;
use lb_tests::daemon::Daemon;
use lb_tests::documents::{Documents, Service};
use lb_tests::migration::{Traffic, give_back_up_to, layouts, take_over_up_to};
use lb_tests::topology::{Lab, PRIMARIES};

const FLOWS: usize = 12;
const CONNECTIONS: usize = 20;
const START: Duration = Duration::from_secs(60);

fn documents(lab: &Lab) -> Documents {
    Documents::new(lab, &PRIMARIES).both_protocols(|service: Service| service)
}

#[track_caller]
fn give_back(daemon: &Daemon<'_>) {
    let output = daemon.offline_ctl(&["migrate", "--layout", "5"]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    assert!(
        complaint.contains("Start the older version at once"),
        "{complaint}"
    );
    assert_eq!(layouts(daemon), ["v5"]);
}

fn live_flows(daemon: &Daemon<'_>) -> u64 {
    let count = daemon.ctl(&["flows", "count", "--format", "json"]);
    let count: FlowCount = serde_json::from_str(&count).expect("a count");
    count.live
}

/// The daemon starts on what there is, and nobody notices.
#[track_caller]
fn start_and_look(balanced: &mut Balanced<'_>, traffic: &mut Traffic, when: &str) {
    balanced.daemon.start_again();
    assert_eq!(layouts(&balanced.daemon), ["v6"], "{when}");
    assert_eq!(balanced.daemon.verify().differences, [""; 0], "{when}");
    traffic.assert_untouched(when);
    assert!(
        !balanced.daemon.log().contains("connections start anew"),
        "{when}"
    );
}

#[test]
fn a_layout_is_given_back_and_taken_over_under_traffic() {
    let lab = Lab::flat("migration");
    let mut balanced = Balanced::start(&lab, &documents(&lab));
    let mut traffic = Traffic::start(&mut balanced, FLOWS, CONNECTIONS);
    let running = balanced.daemon.offline_ctl(&["migrate", "--layout", "5"]);
    assert!(!running.status.success());
    assert!(String::from_utf8_lossy(&running.stderr).contains("in use by another lb-ctl run"));
    let before = live_flows(&balanced.daemon);
    for round in 0..2 {
        match round {
            0 => drop(balanced.daemon.terminate()),
            _ => balanced.daemon.kill(),
        }
        give_back(&balanced.daemon);
        traffic.assert_untouched("given back");
        start_and_look(&mut balanced, &mut traffic, "taken over");
    }
    assert_eq!(live_flows(&balanced.daemon), before);
    assert!(
        balanced
            .daemon
            .log()
            .contains("taking over what is pinned in /sys/fs/bpf/lb/v5")
    );
    // The maps are its own: changes are taken.
    balanced.daemon.apply(&documents(&lab));
}

#[test]
fn taking_over_may_be_cut_off_after_every_step() {
    let lab = Lab::flat("cut-off");
    let mut balanced = Balanced::start(&lab, &documents(&lab));
    let mut traffic = Traffic::start(&mut balanced, FLOWS, CONNECTIONS);
    for last in [
        Step::Cleared,
        Step::Filled,
        Step::Linked,
        Step::Swapped,
        Step::Quiet,
        Step::Merged,
        Step::Committed,
    ] {
        balanced.daemon.kill();
        give_back(&balanced.daemon);
        take_over_up_to(&balanced.daemon, &lab, last);
        let when = format!("cut off when {last:?}");
        traffic.assert_untouched(&when);
        start_and_look(&mut balanced, &mut traffic, &when);
    }
}

#[test]
fn giving_back_may_be_cut_off_after_every_step() {
    let lab = Lab::flat("cut-back");
    let mut balanced = Balanced::start(&lab, &documents(&lab));
    let mut traffic = Traffic::start(&mut balanced, FLOWS, CONNECTIONS);
    for last in [
        Step::Cleared,
        Step::Filled,
        Step::Kept,
        Step::Linked,
        Step::Merged,
        Step::Committed,
    ] {
        balanced.daemon.kill();
        give_back_up_to(&balanced.daemon, &lab, last);
        let when = format!("cut off when {last:?}");
        traffic.assert_untouched(&when);
        start_and_look(&mut balanced, &mut traffic, &when);
        // What was cut off can also be done again.
        balanced.daemon.kill();
        give_back_up_to(&balanced.daemon, &lab, last);
        give_back(&balanced.daemon);
        start_and_look(&mut balanced, &mut traffic, &when);
    }
}

#[test]
fn a_lost_store_leaves_an_older_layout_as_it_is() {
    let lab = Lab::flat("lost-former");
    let mut balanced = Balanced::start(&lab, &documents(&lab));
    let mut traffic = Traffic::start(&mut balanced, FLOWS, CONNECTIONS);
    balanced.daemon.kill();
    give_back(&balanced.daemon);
    let [state, kept, empty] = ["state", "kept", "empty"].map(|name| balanced.daemon.directory().join(name));
    std::fs::rename(&state, &kept).expect("moving the store away");
    balanced.daemon.launch();
    balanced.daemon.wait_until_frozen(START);
    assert_eq!(layouts(&balanced.daemon), ["v5"]);
    traffic.assert_untouched("while the store is lost");
    balanced.daemon.kill();
    std::fs::rename(&state, &empty).expect("moving the empty one away");
    std::fs::rename(&kept, &state).expect("moving the store back");
    start_and_look(&mut balanced, &mut traffic, "with the store");
}
