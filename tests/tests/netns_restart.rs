//! A daemon that is killed and started again: packets, flows, health, and pins that it can't take up.

use std::time::Duration;

use lb_common::layout::LAYOUT_VERSION;
use lb_tests::balanced::Balanced;
use lb_tests::condition::eventually;
use lb_tests::daemon::Daemon;
use lb_tests::documents::{Documents, Service};
use lb_tests::topology::{Lab, PRIMARIES, VIP4};
use lb_tests::traffic::flow::UdpFlow;

const FLOWS: usize = 12;
const CONNECTIONS: usize = 20;
const RESTARTS: usize = 3;
const SICK: &str = PRIMARIES[2];

fn documents(lab: &Lab) -> Documents {
    Documents::new(lab, &PRIMARIES).both_protocols(|service: Service| service)
}

/// Every datagram so far has its answer, but for the one that is on its way.
#[track_caller]
fn assert_none_lost(flows: &[UdpFlow]) {
    for flow in flows {
        let asked = flow.record().sent;
        eventually(Duration::from_secs(5), || {
            let record = flow.record();
            match record.answered >= asked {
                true => Ok(()),
                false => Err(format!("{asked} datagrams, {} answers", record.answered)),
            }
        });
        assert_eq!(
            flow.record().moves,
            0,
            "{} changed its backend",
            flow.local_address
        );
    }
}

#[test]
fn a_restart_under_load_loses_nothing_moves_nothing_and_knows_health() {
    let lab = Lab::flat("restart");
    let mut balanced = Balanced::start(&lab, &documents(&lab));
    balanced.set_health(SICK, false);
    let flows = balanced.flows(VIP4, FLOWS);
    let mut connections = balanced.connect_many(VIP4, CONNECTIONS);
    flows.iter().for_each(|flow| drop(flow.answered_by()));

    for _ in 0..RESTARTS {
        balanced.daemon.kill();
        balanced.daemon.start_again();
        // At once: what the probes say comes later.
        let status = balanced.daemon.status();
        let sick_addresses = status.endpoints / PRIMARIES.len();
        assert_eq!(status.healthy_endpoints, status.endpoints - sick_addresses);
        assert_eq!(balanced.daemon.verify().differences, [""; 0]);
        flows.iter().for_each(|flow| drop(flow.answered_by()));
    }
    assert_none_lost(&flows);
    for connection in &mut connections {
        assert_eq!(connection.ask().as_deref(), Ok(connection.backend.as_str()));
    }
    let log = balanced.daemon.log();
    assert_eq!(log.matches("adopted the attachment").count(), RESTARTS, "{log}");
}

#[test]
fn verify_finds_what_is_not_as_it_should_be() {
    let lab = Lab::flat("verify");
    let balanced = Balanced::start(&lab, &documents(&lab));
    let verification = balanced.daemon.verify();
    assert_eq!(verification.differences, [""; 0]);
    assert_eq!(verification.services, 4, "two services in two families");

    let map = balanced
        .daemon
        .bpf_directory()
        .join(format!("lb/v{LAYOUT_VERSION}/maps/LB_MEMBERS"));
    let mut members = aya::maps::Array::<_, [u64; 2]>::try_from(aya::maps::Map::Array(
        aya::maps::MapData::from_pin(map).expect("the pinned members"),
    ))
    .expect("an array");
    members.set(1, [0, 0], 0).expect("clearing a member");
    let output = balanced.daemon.run_ctl(&["status", "--verify"]);
    assert_eq!(output.status.code(), Some(1));
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("missing: PutMember(1"), "{shown}");
}

#[test]
fn pins_of_another_layout_are_refused_with_what_to_do() {
    let lab = Lab::flat("layout");
    let mut daemon = Daemon::new(&lab);
    let foreign = daemon.bpf_directory().join("lb/v999");
    std::fs::create_dir_all(foreign.join("maps")).unwrap();
    let refusal = daemon.refused(&["--interface", "eth0"]);
    refusal.assert(
        1,
        &[
            "v999 holds the state of another version of lb-ctl",
            "`lb-ctl detach`",
        ],
    );
    assert!(foreign.exists(), "what others forward by is left alone");
    // What the sentence says helps.
    daemon.run_ctl(&["detach"]);
    daemon.start_again();
}

#[test]
fn maps_of_another_size_are_refused_with_what_to_do() {
    let lab = Lab::flat("map-size");
    let mut daemon = Daemon::start(&lab, &documents(&lab));
    daemon.terminate();
    let refusal = daemon.refused(&["--interface", "eth0", "--table-slots", "1048576"]);
    refusal.assert(1, &["LB_TABLES has", "entries", "`lb-ctl detach`"]);
    daemon.start_again();
    assert_eq!(daemon.verify().differences, [""; 0]);
}
