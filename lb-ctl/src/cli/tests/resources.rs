//! What every kind of resource has, without changes.

use super::super::*;
use super::with;
use crate::control::Control;
use crate::control::fake::{path, sample};
use crate::server::tests::harness::TestServer;

#[test]
fn lists_are_over_all_places_unless_told() {
    let server = TestServer::start(sample());
    let all = with(&server, &["health-checks", "list"]);
    assert_eq!(
        all.is(ExitCode::Ok).out,
        "NAME  REGION  PROTOCOL\nhc            HTTP\nhc    r1      TCP\n"
    );
    let global = with(&server, &["health-checks", "list", "--global"]);
    assert_eq!(
        global.is(ExitCode::Ok).out,
        "NAME  REGION  PROTOCOL\nhc            HTTP\n"
    );
    let rows = with(
        &server,
        &["health-checks", "list", "--region", "r1", "--format", "json"],
    )
    .json();
    assert_eq!(rows.as_array().map(Vec::len), Some(1));
    assert_eq!(rows[0]["type"], "TCP");
    let none = with(
        &server,
        &["network-endpoint-groups", "list", "--project", "other"],
    );
    assert_eq!(none.is(ExitCode::Ok).says("Listed 0 items.").out, "");
    let services = with(&server, &["backend-services", "list"]);
    assert_eq!(
        services.is(ExitCode::Ok).out,
        "NAME  BACKENDS                         PROTOCOL  LOAD_BALANCING_SCHEME  HEALTH_CHECKS\n\
         web   r1-a/networkEndpointGroups/near  TCP       INTERNAL               hc\n"
    );
}

#[test]
fn describe_finds_the_one_or_names_the_candidates() {
    let server = TestServer::start(sample());
    let rule = with(
        &server,
        &["forwarding-rules", "describe", "web-rule", "--format", "json"],
    )
    .json();
    assert_eq!(rule["IPAddress"], "10.0.0.100");
    let ambiguous = with(&server, &["health-checks", "describe", "hc"]);
    ambiguous
        .is(ExitCode::Usage)
        .says("'hc' is ambiguous in health-checks");
    ambiguous
        .says("  projects/acme/global/healthChecks/hc\n")
        .says("  projects/acme/regions/r1/healthChecks/hc\n");
    assert_eq!(
        with(
            &server,
            &["health-checks", "describe", "hc", "--global", "--format", "json"]
        )
        .json()["type"],
        "HTTP"
    );
    let url = "https://www.googleapis.com/compute/v1/projects/acme/regions/r1/healthChecks/hc";
    assert_eq!(
        with(&server, &["health-checks", "describe", url, "--format", "json"]).json()["type"],
        "TCP"
    );
    let missing = with(&server, &["backend-services", "describe", "x"]);
    missing
        .is(ExitCode::Failed)
        .says("there is no 'x' in backend-services");
    let elsewhere = with(
        &server,
        &["backend-services", "describe", "web", "--region", "r2"],
    );
    elsewhere
        .is(ExitCode::Failed)
        .says("but there is\n  projects/acme/regions/r1/backendServices/web");
}

#[test]
fn delete_tells_and_refuses_what_is_in_use() {
    let server = TestServer::start(sample());
    let ran = with(&server, &["backend-services", "delete", "web", "--quiet"]);
    ran.is(ExitCode::Failed).says("is already being used by");
    let ran = with(&server, &["forwarding-rules", "delete", "web-rule", "--quiet"]);
    ran.is(ExitCode::Ok)
        .says("Deleted [https://www.googleapis.com/compute/v1/projects/acme/regions/r1/");
    with(&server, &["backend-services", "delete", "web", "-q"]).is(ExitCode::Ok);
    assert!(
        !server
            .control
            .resources()
            .contains_key(&path(Kind::BackendService, "web"))
    );
}

#[test]
fn only_yes_is_a_confirmation() {
    for (answer, confirmed) in [
        ("y\n", true),
        ("Yes\n", true),
        ("\n", false),
        ("n\n", false),
        ("", false),
    ] {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut streams = Streams {
            out: &mut out,
            err: &mut err,
        };
        let result = prompt::ask("These will go.", &mut answer.as_bytes(), &mut streams);
        assert_eq!(result.is_ok(), confirmed, "{answer:?}");
        assert!(String::from_utf8_lossy(&err).starts_with("These will go.\n"));
        assert!(out.is_empty());
    }
}

#[test]
fn members_and_health_are_shown() {
    let server = TestServer::start(sample());
    let endpoints = with(
        &server,
        &["network-endpoint-groups", "list-network-endpoints", "near"],
    );
    assert_eq!(
        endpoints.is(ExitCode::Ok).out,
        "INSTANCE  IP_ADDRESS  IPV6_ADDRESS  PORT\nn1        10.0.0.1\nn2        10.0.0.2\n"
    );
    let instances = with(&server, &["instance-groups", "list-instances", "far"]);
    assert_eq!(instances.is(ExitCode::Ok).out, "NAME  STATUS\nf1    RUNNING\n");
    let health = with(&server, &["backend-services", "get-health", "web"]);
    assert_eq!(
        health.is(ExitCode::Ok).out,
        "GROUP  INSTANCE  IP_ADDRESS  PORT  HEALTH     WEIGHT              DETAIL\n\
         near   n1        10.0.0.1    80    HEALTHY    7\n\
         near   n2        10.0.0.2    80    UNHEALTHY  UNAVAILABLE_WEIGHT  connection refused\n"
    );
    let health = with(
        &server,
        &["backend-services", "get-health", "web", "--format", "json"],
    )
    .json();
    assert_eq!(health[0]["status"]["healthStatus"][0]["healthState"], "HEALTHY");
    assert!(
        health[0]["backend"]
            .as_str()
            .is_some_and(|url| url.ends_with("/near")),
        "{health}"
    );
}
