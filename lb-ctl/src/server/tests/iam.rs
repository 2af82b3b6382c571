use serde_json::{Value, json};

use super::harness::TestServer;
use crate::control::fake::sample;

const REGION: &str = "/compute/v1/projects/acme/regions/r1";

fn service(verb: &str) -> String {
    format!("{REGION}/backendServices/web/{verb}")
}

fn binding() -> Value {
    json!({"role": "roles/compute.viewer", "members": ["user:a@example.com", "allUsers"]})
}

#[test]
fn a_policy_is_kept_with_its_resource() {
    let server = TestServer::start(sample());
    let untouched = server.get(&service("getIamPolicy")).ok();
    assert_eq!(untouched, json!({"etag": "ACAB"}));
    let asked = json!({"policy": {"bindings": [binding()], "etag": "ACAB"}});
    let set = server.post(&service("setIamPolicy"), &asked).ok();
    assert_eq!(set["bindings"], json!([binding()]));
    let known = server
        .get(&format!(
            "{}?optionsRequestedPolicyVersion=3",
            service("getIamPolicy")
        ))
        .ok();
    assert_eq!(known, set);
    assert_ne!(known["etag"], "ACAB");

    // Someone who has read the policy before it was set.
    let stale = server.post(&service("setIamPolicy"), &asked);
    assert!(stale.error(409, "aborted").contains("concurrent policy changes"));
    // Without an etag, and in the flat form.
    let flat = server
        .post(&service("setIamPolicy"), &json!({"bindings": []}))
        .ok();
    let etag = flat["etag"].clone();
    let again = json!({"etag": etag, "bindings": [binding()]});
    assert_eq!(server.post(&service("setIamPolicy"), &again).ok(), set);

    server.delete(&format!("{REGION}/forwardingRules/web-rule")).ok();
    server.delete(&format!("{REGION}/backendServices/web")).ok();
    server.get(&service("getIamPolicy")).error(404, "notFound");
    server
        .post(&service("setIamPolicy"), &asked)
        .error(404, "notFound");
    server
        .post(
            &format!("{REGION}/backendServices"),
            &json!({"name": "web", "protocol": "TCP"}),
        )
        .ok();
    assert_eq!(server.get(&service("getIamPolicy")).ok(), untouched);
}

#[test]
fn a_reader_of_an_older_version_sees_no_condition_as_none() {
    let server = TestServer::start(sample());
    let condition = json!({"title": "t", "expression": "request.time < timestamp('2030-01-01T00:00:00Z')"});
    let bindings = json!([{"role": "roles/x", "members": ["group:g@example.com"], "condition": condition}]);
    let asked = json!({"policy": {"version": 3, "bindings": bindings}});
    let set = server.post(&service("setIamPolicy"), &asked).ok();
    let old = server.get(&service("getIamPolicy")).ok();
    let role = old["bindings"][0]["role"].as_str().expect("a role");
    assert!(role.starts_with("roles/x_withcond_"), "{role}");
    assert_eq!(
        (&old["version"], old["bindings"][0].get("condition")),
        (&json!(1), None)
    );
    assert_eq!(old["etag"], set["etag"]);
    // What that reader would write back can't pass for the whole.
    let back = json!({"policy": {"etag": set["etag"], "bindings": [binding()]}});
    let message = server.post(&service("setIamPolicy"), &back).error(400, "invalid");
    assert!(message.contains("'resource.policy.version'"), "{message}");
    server
        .get(&format!(
            "{}?optionsRequestedPolicyVersion=2",
            service("getIamPolicy")
        ))
        .error(400, "invalid");
}

#[test]
fn every_fault_of_a_policy_is_told() {
    let server = TestServer::start(sample());
    let asked = json!({
        "polcy": 1,
        "policy": {
            "version": 2,
            "etag": 5,
            "bindngs": [],
            "bindings": [
                {"role": "viewer", "members": []},
                {"role": "roles/x_withcond_0011", "members": ["alice@example.com", 7, "user:"]},
                {"members": ["allUsers"], "condition": {"title": 1}},
                "x",
            ],
            "auditConfigs": [{"service": "", "auditLogConfigs": [{"logType": "ALL", "exemptedMembers": ["bob"]}]}, {}],
        },
    });
    let answer = server.post(&service("setIamPolicy"), &asked);
    answer.error(400, "invalid");
    let faults = answer.body["error"]["faults"].as_array().expect("faults");
    let mut paths: Vec<&str> = faults.iter().filter_map(|fault| fault["path"].as_str()).collect();
    paths.sort_unstable();
    let policy = [
        "auditConfigs[0].auditLogConfigs[0].exemptedMembers[0]",
        "auditConfigs[0].auditLogConfigs[0].logType",
        "auditConfigs[0].service",
        "auditConfigs[1].auditLogConfigs",
        "auditConfigs[1].service",
        "bindings[0].members",
        "bindings[0].role",
        "bindings[1].members[0]",
        "bindings[1].members[1]",
        "bindings[1].members[2]",
        "bindings[1].role",
        "bindings[2].condition.expression",
        "bindings[2].condition.title",
        "bindings[2].role",
        "bindings[3]",
        "bindngs",
        "etag",
        "version",
    ];
    let mut expected: Vec<String> = policy.iter().map(|path| format!("$.policy.{path}")).collect();
    expected.push("$.polcy".to_owned());
    expected.sort_unstable();
    assert_eq!(paths, expected);
    for (body, reason) in [
        (json!({}), "required"),
        (json!({"policy": 1}), "invalid"),
        (json!({"policy": {}, "bindings": []}), "invalid"),
        (
            json!({"policy": {"bindings": [{"role": "roles/x", "members": vec!["user:a"; 1501]}]}}),
            "invalid",
        ),
        (
            json!({"policy": {"version": 1, "bindings": [
                {"role": "roles/x", "members": ["user:a"], "condition": {"expression": "true"}}]}}),
            "invalid",
        ),
        (
            json!({"policy": {"auditConfigs": [{"service": "x".repeat(300_000), "auditLogConfigs": []}]}}),
            "invalid",
        ),
    ] {
        server.post(&service("setIamPolicy"), &body).error(400, reason);
    }
    assert!(server.control.state().policies.is_empty());
    // An empty policy is one.
    server.post(&service("setIamPolicy"), &json!({"policy": {}})).ok();
}

#[test]
fn permissions_are_tested_for_the_caller() {
    let server = TestServer::start(sample());
    let asked = json!({"permissions": ["compute.regionBackendServices.update", "storage.buckets.get"]});
    for path in [
        service("testIamPermissions"),
        "/compute/v1/projects/acme/zones/r1-a/networkEndpointGroups/near/testIamPermissions".to_owned(),
    ] {
        let held = server.post(&path, &asked).ok();
        assert_eq!(
            held,
            json!({"permissions": ["compute.regionBackendServices.update"]})
        );
    }
    let answer = server.post(
        &service("testIamPermissions"),
        &json!({"permissions": ["compute.*", "x", 1, "compute.a.b"], "permission": []}),
    );
    answer.error(400, "invalid");
    assert_eq!(answer.body["error"]["errors"].as_array().map(Vec::len), Some(4));
    assert_eq!(
        server.post(&service("testIamPermissions"), &json!({})).ok(),
        json!({})
    );
    server
        .post(&format!("{REGION}/backendServices/x/testIamPermissions"), &asked)
        .error(404, "notFound");
    server
        .get("/compute/v1/projects/acme/zones/r1-a/networkEndpointGroups/near/getIamPolicy")
        .error(404, "notFound");
}
