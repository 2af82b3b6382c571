//! The daemon's own views.

use super::super::*;
use super::with;
use crate::control::fake::{path, sample};
use crate::server::tests::harness::TestServer;

#[test]
fn the_daemons_views_are_shown() {
    let server = TestServer::start(sample());
    assert_eq!(with(&server, &["status", "--format", "json"]).json()["pid"], 42);
    assert!(
        with(&server, &["status"])
            .is(ExitCode::Ok)
            .out
            .contains("1 of 2 healthy")
    );
    assert_eq!(
        with(&server, &["stats"]).is(ExitCode::Ok).out,
        "No packet was seen yet.\n"
    );
    assert_eq!(
        with(&server, &["flows", "count", "--format", "json"]).json()["live"],
        3
    );
    let flows = with(&server, &["flows", "list", "--service", "web", "--limit", "2"]);
    flows
        .is(ExitCode::Ok)
        .says("There are more than 2 flows; --limit shows more.");
    assert_eq!(flows.out.lines().count(), 3);
    assert_eq!(
        server.control.state().flow_queries,
        [(2, Some(path(Kind::BackendService, "web")))]
    );
}

#[test]
fn the_size_of_tables_is_shown_and_set() {
    let server = TestServer::start(sample());
    let shown = |server: &TestServer<_>| {
        with(
            server,
            &["backend-services", "describe", "web", "--format", "json"],
        )
        .json()["lb"]["tableSlots"]
            .clone()
    };
    assert_eq!(shown(&server), 65_536);
    with(
        &server,
        &["backend-services", "set-table-slots", "web", "1048576"],
    )
    .is(ExitCode::Ok)
    .says("The tables of web have 1048576 slots now.");
    assert_eq!(shown(&server), 1_048_576);
    with(
        &server,
        &["backend-services", "set-table-slots", "web", "1048576"],
    )
    .is(ExitCode::Ok)
    .says("have 1048576 slots already");
    with(&server, &["backend-services", "set-table-slots", "web", "many"]).is(ExitCode::Usage);
}

#[test]
fn detach_asks_the_daemon() {
    let server = TestServer::start(sample());
    with(&server, &["detach"])
        .is(ExitCode::Ok)
        .says("The daemon has detached.");
    assert!(server.control.state().detached);
    with(&server, &["stats"])
        .is(ExitCode::Failed)
        .says("the data plane is not attached to any interface");
}
