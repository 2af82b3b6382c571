//! What a reference names, and what may refer to what; health checks.

use super::*;

#[test]
fn references_take_every_form() {
    for form in [
        "probe",
        "regions/local/healthChecks/probe",
        "projects/local/regions/local/healthChecks/probe",
        "https://www.googleapis.com/compute/v1/projects/local/regions/local/healthChecks/probe",
        "https://compute.googleapis.com/compute/beta/projects/local/regions/local/healthChecks/probe",
        "http://127.0.0.1:8080/compute/alpha/projects/local/regions/local/healthChecks/probe",
    ] {
        expect(internal(), &[("/3/healthChecks/0", json!(form))], &[]);
    }
    for form in [
        "",
        "prob",
        "zones/local/healthChecks/probe",
        "regions/local/instances/probe",
        "a/b",
        "projects//x",
        "global/healthChecks/probe",
    ] {
        let found = expect(
            internal(),
            &[("/3/healthChecks/0", json!(form))],
            &["$[3].healthChecks[0]"],
        );
        assert_eq!(kinds(&found), [FaultKind::Dangling]);
    }
}

#[test]
fn a_dangling_reference_says_what_there_is() {
    let fault = expect(
        internal(),
        &[(
            "/3/backends/0/group",
            json!("zones/other/networkEndpointGroups/one"),
        )],
        &["$[3].backends[0].group"],
    );
    assert_eq!(
        fault[0].hint.as_deref(),
        Some("did you mean projects/local/zones/local-a/networkEndpointGroups/one?")
    );
}

#[test]
fn a_global_check_serves_internal_services_only() {
    let link = json!("projects/local/global/healthChecks/probe");
    let edits = [("/0/selfLink", link.clone()), ("/3/healthChecks/0", link)];
    expect(internal(), &edits, &[]);
    expect_one(external(), &edits, "$[3].healthChecks[0]", "regional");
}

#[test]
fn a_region_keeps_to_itself() {
    let check = [
        ("/0/region", json!("r2")),
        ("/3/healthChecks/0", json!("regions/r2/healthChecks/probe")),
    ];
    expect_one(internal(), &check, "$[3].healthChecks[0]", "another region");
    let rule = [
        ("/4/region", json!("r2")),
        ("/4/backendService", json!("regions/local/backendServices/shop")),
    ];
    expect_one(internal(), &rule, "$[4].backendService", "another region");
}

#[test]
fn a_health_check_agrees_with_itself() {
    expect_one(
        internal(),
        &[("/0/checkIntervalSec", json!(4)), ("/0/timeoutSec", json!(5))],
        "$[0].timeoutSec",
        "at most",
    );
    let fault = expect_one(
        internal(),
        &[("/0/checkIntervalSec", json!(1))],
        "$[0].timeoutSec",
        "at most",
    );
    assert_eq!(fault.hint.as_deref(), Some("an absent timeoutSec is 5"));
    expect_one(
        internal(),
        &[("/0/tcpHealthCheck", json!({"port": 1}))],
        "$[0].tcpHealthCheck",
        "the type is HTTP",
    );
    for (field, bad) in [
        ("requestPath", "alive"),
        ("requestPath", "/a b"),
        ("requestPath", "/alive#now"),
        ("host", "a\r\nX: y"),
        ("host", "a/b"),
        ("host", "me@a"),
        ("host", "a:b:c"),
        ("response", "né"),
    ] {
        let pointer = format!("/0/httpHealthCheck/{field}");
        expect(
            internal(),
            &[(&pointer, json!(bad))],
            &[&format!("$[0].httpHealthCheck.{field}")],
        );
    }
    let grpc = [("/0/type", json!("GRPC")), ("/0/httpHealthCheck", Value::Null)];
    expect_one(internal(), &grpc, "$[0].grpcHealthCheck", "no default port");
    let named = [
        ("/0/type", json!("GRPC_WITH_TLS")),
        ("/0/httpHealthCheck", Value::Null),
        (
            "/0/grpcTlsHealthCheck",
            json!({"port": 1, "grpcServiceName": "né"}),
        ),
    ];
    expect_one(
        internal(),
        &named,
        "$[0].grpcTlsHealthCheck.grpcServiceName",
        "ASCII",
    );
}
