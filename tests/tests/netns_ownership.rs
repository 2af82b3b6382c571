//! A start whose resources are not those that the pinned maps were made from forgets nothing unasked.

use std::fs;
use std::time::Duration;

use lb_tests::balanced::Balanced;
use lb_tests::condition::throughout;
use lb_tests::documents::{Documents, Service};
use lb_tests::topology::{Lab, PRIMARIES, VIP4};
use lb_tests::traffic::tcp::Connection;

const CONNECTIONS: usize = 20;
const START: Duration = Duration::from_secs(60);
/// Longer than a round of housekeeping and of probes.
const A_WHILE: Duration = Duration::from_secs(3);

fn documents(lab: &Lab) -> Documents {
    Documents::new(lab, &PRIMARIES).both_protocols(|service: Service| service)
}

#[track_caller]
fn assert_all_answer(connections: &mut [Connection]) {
    for connection in connections {
        assert_eq!(connection.ask().as_deref(), Ok(connection.backend.as_str()));
    }
}

/// Answers, says why nothing may be changed, and `status` ends with 1.
#[track_caller]
fn wait_until_frozen(balanced: &mut Balanced) {
    balanced.daemon.launch();
    balanced.daemon.wait_until_frozen(START);
}

#[test]
fn a_lost_store_forgets_nothing_until_it_is_told_to() {
    let lab = Lab::flat("lost-store");
    let mut balanced = Balanced::start(&lab, &documents(&lab));
    let mut connections = balanced.connect_many(VIP4, CONNECTIONS);
    let held = balanced.daemon.contents();
    balanced.daemon.kill();
    let (state, kept) = ["state", "kept"]
        .map(|name| balanced.daemon.directory().join(name))
        .into();
    fs::rename(&state, &kept).expect("moving the store away");

    wait_until_frozen(&mut balanced);
    let refused = balanced.daemon.try_apply(&documents(&lab));
    let complaint = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "{complaint}");
    assert!(
        complaint.contains("--discard-pinned") && complaint.contains("/state"),
        "{complaint}"
    );
    throughout(A_WHILE, || match balanced.daemon.contents() == held {
        true => Ok(()),
        false => Err("the maps were changed".to_owned()),
    });
    assert_all_answer(&mut connections);
    balanced.connect_many(VIP4, CONNECTIONS);
    assert_eq!(balanced.daemon.terminate().code(), Some(0));
    assert_all_answer(&mut connections);

    // The store is back, and with it everything else.
    fs::rename(&state, balanced.daemon.directory().join("empty")).expect("moving the empty one away");
    fs::rename(&kept, &state).expect("moving the store back");
    balanced.daemon.start_again();
    assert_eq!(balanced.daemon.verify().differences, [""; 0]);
    balanced.daemon.apply(&documents(&lab));
    assert_all_answer(&mut connections);

    balanced.daemon.kill();
    fs::remove_dir_all(&state).expect("losing the store");
    wait_until_frozen(&mut balanced);
    balanced.daemon.kill();
    balanced.daemon.switch("--discard-pinned");
    balanced.daemon.start_again();
    assert!(
        balanced
            .daemon
            .contents()
            .services
            .values()
            .all(|service| service.table.is_none())
    );
    balanced.daemon.apply(&documents(&lab));
    balanced.daemon.wait_for_delivery();
    assert_eq!(balanced.daemon.verify().differences, [""; 0]);
    balanced.connect_many(VIP4, CONNECTIONS);

    // It is its own from then on.
    balanced.daemon.kill();
    balanced.daemon.forget_flags();
    balanced.daemon.start_again();
    assert_eq!(balanced.daemon.verify().differences, [""; 0]);
}
