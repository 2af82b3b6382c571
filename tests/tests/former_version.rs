//! The daemon in the place of a real older one, of another layout, and the older one in its place again.
//!
//! `cargo xtask migration-test` builds the older version and runs this; nothing else does.

use std::path::PathBuf;

use lb_tests::balanced::Balanced;
use lb_tests::documents::{Documents, Service};
use lb_tests::migration::layouts;
use lb_tests::topology::{Lab, PRIMARIES, VIP4};
use lb_tests::traffic::UDP_PORT;
use lb_tests::traffic::crowd::UdpCrowd;
use lb_tests::traffic::tcp::Connection;

const FORMER: &str = "LB_FORMER_CTL";
/// As many connections as flows.
const EACH: usize = 1000;
const AWAY: &str = PRIMARIES[1];

fn documents(lab: &Lab) -> Documents {
    Documents::new(lab, &PRIMARIES).both_protocols(|service: Service| service)
}

#[track_caller]
fn broken(connections: &mut [Connection]) -> usize {
    let broken = |connection: &mut Connection| connection.ask().as_deref() != Ok(connection.backend.as_str());
    connections
        .iter_mut()
        .map(broken)
        .filter(|broken| *broken)
        .count()
}

#[test]
#[ignore = "needs a build of an older version: cargo xtask migration-test"]
fn two_thousand_flows_notice_neither_an_upgrade_nor_its_end() {
    let former = std::env::var_os(FORMER).unwrap_or_else(|| panic!("{FORMER} names no lb-ctl"));
    let former = PathBuf::from(former);
    let lab = Lab::flat("former");
    let documents = documents(&lab);
    let mut balanced = Balanced::start_as(&lab, &documents, Some(&former));
    assert_eq!(layouts(&balanced.daemon), ["v5"]);

    // What would go to that backend if it were chosen anew stays elsewhere, by the flow table alone.
    balanced.set_health(AWAY, false);
    let mut connections = balanced.connect_many(VIP4, EACH);
    let crowd = UdpCrowd::start(lab.client(), (VIP4, UDP_PORT).into(), EACH);
    balanced.set_health(AWAY, true);
    assert!(crowd.backends().iter().all(|backend| backend != AWAY));
    let exceptions = balanced.connect_many(VIP4, EACH / 10);
    assert!(exceptions.iter().any(|connection| connection.backend == AWAY));

    for round in ["killed", "stopped"] {
        match round {
            "killed" => balanced.daemon.kill(),
            _ => drop(balanced.daemon.terminate()),
        }
        balanced.daemon.become_former(None);
        balanced.daemon.start_again();
        assert_eq!(layouts(&balanced.daemon), ["v6"], "{round}");
        assert_eq!(broken(&mut connections), 0, "{round}: after the upgrade");
        assert_eq!(balanced.daemon.verify().differences, [""; 0], "{round}");
        balanced.daemon.apply(&documents);

        balanced.daemon.terminate();
        let output = balanced.daemon.offline_ctl(&["migrate", "--layout", "5"]);
        assert!(output.status.success(), "{output:?}");
        balanced.daemon.become_former(Some(&former));
        balanced.daemon.start_again();
        assert_eq!(layouts(&balanced.daemon), ["v5"], "{round}");
        assert_eq!(broken(&mut connections), 0, "{round}: after the way back");
        assert_eq!(balanced.daemon.verify().differences, [""; 0], "{round}");
    }
    balanced.daemon.kill();
    balanced.daemon.become_former(None);
    balanced.daemon.start_again();
    let toll = crowd.end();
    let broken = broken(&mut connections);
    eprintln!(
        "3 upgrades and 2 ways back: {EACH} connections, {broken} broken; {} flows, {} datagrams, {} lost, {} flows moved",
        toll.flows, toll.sent, toll.lost, toll.moved
    );
    assert_eq!((broken, toll.lost, toll.moved), (0, 0, 0));
    let log = balanced.daemon.log();
    assert!(!log.contains("connections start anew"), "{log}");
}
