//! What happens to live connections and flows when their backend becomes unhealthy, and what doesn't.

use std::collections::BTreeSet;
use std::time::Duration;

use lb_tests::balanced::{Balanced, backends_of};
use lb_tests::condition::{eventually, throughout};
use lb_tests::documents::Documents;
use lb_tests::topology::{Lab, PRIMARIES, VIP4, VIP6};
use lb_tests::traffic::flow::UdpFlow;
use lb_tests::traffic::tcp::{Broken, Connection};

/// Long enough for any packet of a live flow to be diverted, if it ever were.
const A_WHILE: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_secs(5);
const MANY: usize = 30;

fn documents(lab: &Lab, persistence: &str) -> Documents {
    documents_over(lab, &PRIMARIES, persistence)
}

fn documents_over(lab: &Lab, primaries: &[&str], persistence: &str) -> Documents {
    Documents::new(lab, primaries).both_protocols(|service| service.persistence(persistence))
}

/// Connections and flows that cover all primaries, each with the backend that it began on.
struct Traffic {
    connections: Vec<Connection>,
    flows: Vec<(UdpFlow, String)>,
}

impl Traffic {
    fn start(balanced: &Balanced) -> Self {
        let connections = balanced.connect_many(VIP4, MANY);
        let flows = balanced.flows(VIP4, MANY).into_iter().map(|flow| {
            let backend = flow.answered_by();
            (flow, backend)
        });
        let traffic = Self {
            connections,
            flows: flows.collect(),
        };
        assert_eq!(backends_of(&traffic.connections), BTreeSet::from(PRIMARIES));
        let of_flows: BTreeSet<&str> = traffic
            .flows
            .iter()
            .map(|(_, backend)| backend.as_str())
            .collect();
        assert_eq!(of_flows, BTreeSet::from(PRIMARIES));
        traffic
    }

    #[track_caller]
    fn assert_connections_answer(&mut self, which: impl Fn(&str) -> bool) {
        for connection in self
            .connections
            .iter_mut()
            .filter(|connection| which(&connection.backend))
        {
            assert_eq!(connection.ask().as_deref(), Ok(connection.backend.as_str()));
        }
    }

    #[track_caller]
    fn assert_connections_are_reset(&mut self, which: impl Fn(&str) -> bool) {
        for connection in self
            .connections
            .iter_mut()
            .filter(|connection| which(&connection.backend))
        {
            assert_eq!(connection.ask(), Err(Broken::Reset), "on {}", connection.backend);
        }
    }

    #[track_caller]
    fn assert_flows_stay(&self, which: impl Fn(&str) -> bool) {
        for (flow, backend) in self.flows.iter().filter(|(_, backend)| which(backend)) {
            assert_eq!((&flow.answered_by(), flow.record().moves), (backend, 0));
        }
    }

    #[track_caller]
    fn assert_flows_leave(&self, victim: &str) {
        for (flow, _) in self.flows.iter().filter(|(_, backend)| backend == victim) {
            eventually(SOON, || match flow.answered_by() {
                backend if backend != victim => Ok(()),
                backend => Err(format!("a flow is still on {backend}")),
            });
            assert_eq!(flow.record().moves, 1);
        }
    }
}

#[track_caller]
fn assert_new_connections_avoid(balanced: &Balanced, victim: &str) {
    let connections = balanced.connect_many(VIP4, MANY);
    assert!(
        !backends_of(&connections).contains(victim),
        "new connections reach {victim}"
    );
}

#[test]
fn default_for_protocol_keeps_connections_and_moves_flows() {
    let lab = Lab::flat("default");
    let mut balanced = Balanced::start(&lab, &documents(&lab, "DEFAULT_FOR_PROTOCOL"));
    let mut traffic = Traffic::start(&balanced);

    balanced.set_health("backend-2", false);
    traffic.assert_flows_leave("backend-2");
    traffic.assert_flows_stay(|backend| backend != "backend-2");
    traffic.assert_connections_answer(|_| true);
    assert_new_connections_avoid(&balanced, "backend-2");

    balanced.set_health("backend-2", true);
    traffic.assert_connections_answer(|_| true);
    assert!(
        traffic
            .flows
            .iter()
            .all(|(flow, _)| flow.answered_by() != "backend-2"),
        "a flow was pulled back"
    );
    balanced.daemon.assert_quiet(&["backend-2"]);
}

#[test]
fn never_persist_moves_both_at_the_next_packet() {
    let lab = Lab::flat("never");
    let mut balanced = Balanced::start(&lab, &documents(&lab, "NEVER_PERSIST"));
    let mut traffic = Traffic::start(&balanced);

    balanced.set_health("backend-2", false);
    traffic.assert_flows_leave("backend-2");
    traffic.assert_connections_are_reset(|backend| backend == "backend-2");
    traffic.assert_flows_stay(|backend| backend != "backend-2");
    traffic.assert_connections_answer(|backend| backend != "backend-2");
    assert_new_connections_avoid(&balanced, "backend-2");
    balanced.daemon.assert_quiet(&["backend-2"]);
}

#[test]
fn always_persist_keeps_both() {
    let lab = Lab::flat("always");
    let mut balanced = Balanced::start(&lab, &documents(&lab, "ALWAYS_PERSIST"));
    let mut traffic = Traffic::start(&balanced);

    balanced.set_health("backend-2", false);
    assert_new_connections_avoid(&balanced, "backend-2");
    throughout(A_WHILE, || {
        let moved = traffic
            .flows
            .iter()
            .filter(|(flow, _)| flow.record().moves > 0)
            .count();
        if moved == 0 {
            Ok(())
        } else {
            Err(format!("{moved} flows moved"))
        }
    });
    traffic.assert_flows_stay(|_| true);
    traffic.assert_connections_answer(|_| true);
    balanced.daemon.assert_quiet(&["backend-2"]);
}

#[test]
fn nothing_is_diverted_while_every_backend_is_unhealthy() {
    let lab = Lab::flat("none-healthy");
    let mut balanced = Balanced::start(&lab, &documents(&lab, "NEVER_PERSIST"));
    for name in PRIMARIES {
        balanced.set_health(name, false);
    }
    // New connections use all backends as a last resort, and then stay where they are.
    let mut traffic = Traffic::start(&balanced);
    throughout(A_WHILE, || {
        let moved = traffic
            .flows
            .iter()
            .filter(|(flow, _)| flow.record().moves > 0)
            .count();
        if moved == 0 {
            Ok(())
        } else {
            Err(format!("{moved} flows moved"))
        }
    });
    traffic.assert_flows_stay(|_| true);
    traffic.assert_connections_answer(|_| true);
    balanced.daemon.assert_quiet(&PRIMARIES);
}

#[test]
fn connections_and_flows_over_ipv6_obey_too() {
    let lab = Lab::flat("default-v6");
    let mut balanced = Balanced::start(&lab, &documents(&lab, "DEFAULT_FOR_PROTOCOL"));
    let mut connections = balanced.connect_many(VIP6, MANY);
    let flows = balanced.flows(VIP6, MANY);
    let before: Vec<String> = flows.iter().map(UdpFlow::answered_by).collect();
    assert_eq!(backends_of(&connections), BTreeSet::from(PRIMARIES));

    balanced.set_health("backend-1", false);
    for (flow, before) in flows.iter().zip(before) {
        let now = eventually(SOON, || match flow.answered_by() {
            backend if backend != "backend-1" => Ok(backend),
            _ => Err("a flow is still on backend-1".to_owned()),
        });
        assert!(
            before == "backend-1" || now == before,
            "a flow moved from {before} to {now}"
        );
    }
    for connection in &mut connections {
        assert_eq!(connection.ask().as_deref(), Ok(connection.backend.as_str()));
    }
}

#[test]
fn a_bulk_transfer_arrives_whole_while_other_backends_come_and_go() {
    const MEGABYTE: u64 = 1_000_000;
    let lab = Lab::flat("bulk-changes");
    let mut balanced = Balanced::start(&lab, &documents(&lab, "DEFAULT_FOR_PROTOCOL"));
    let mut connection = balanced.connect(VIP4).unwrap();
    let others: Vec<&str> = PRIMARIES
        .into_iter()
        .filter(|name| *name != connection.backend)
        .collect();
    let without_one: Vec<&str> = PRIMARIES.into_iter().filter(|name| *name != others[1]).collect();

    let shrunk = documents_over(&lab, &without_one, "DEFAULT_FOR_PROTOCOL");
    let whole_again = documents(&lab, "DEFAULT_FOR_PROTOCOL");

    type Change<'a> = Box<dyn FnMut(&mut Balanced) + 'a>;
    let mut changes: Vec<(u64, Change<'_>)> = vec![
        (
            20 * MEGABYTE,
            Box::new(|balanced| balanced.set_health(others[0], false)),
        ),
        (
            40 * MEGABYTE,
            Box::new(|balanced| balanced.set_health(others[0], true)),
        ),
        (60 * MEGABYTE, Box::new(|balanced| balanced.daemon.apply(&shrunk))),
        (
            80 * MEGABYTE,
            Box::new(|balanced| balanced.daemon.apply(&whole_again)),
        ),
        (
            100 * MEGABYTE,
            Box::new(|balanced| balanced.backend(others[1]).kill()),
        ),
        (
            110 * MEGABYTE,
            Box::new(|balanced| balanced.daemon.wait_for_health(others[1], false)),
        ),
    ];
    let mut next = changes.iter_mut().peekable();
    let whole = connection.upload(120 * MEGABYTE, |sent| {
        if let Some((_, change)) = next.next_if(|(at, _)| sent >= *at) {
            change(&mut balanced);
        }
    });
    assert_eq!(whole, Ok(true));
    assert!(
        next.next().is_none(),
        "the transfer ended before all changes were made"
    );
}
