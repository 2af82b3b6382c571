//! `regions/…/forwardingRules`: patch, setLabels, setTarget.

use super::*;

const RULE: &str = "/compute/v1/projects/acme/regions/r1/forwardingRules/web-rule";

#[test]
fn a_patch_changes_what_the_cloud_lets_change() {
    let server = server();
    let before = server.get(RULE).ok();
    let body = json!({"name": "web-rule", "allowGlobalAccess": true, "networkTier": "PREMIUM"});
    done(&server.patch(RULE, &body).ok(), "patch", RULE);
    let after = server.get(RULE).ok();
    assert_eq!(
        (&after["allowGlobalAccess"], &after["networkTier"]),
        (&json!(true), &json!("PREMIUM"))
    );
    assert_eq!(after["id"], before["id"]);
    assert_ne!(after["fingerprint"], before["fingerprint"]);
    let stale = json!({"allowGlobalAccess": false, "fingerprint": before["fingerprint"]});
    server.patch(RULE, &stale).error(412, "conditionNotMet");
    let current = with(stale, "fingerprint", after["fingerprint"].clone());
    server.patch(RULE, &current).ok();
}

#[test]
fn source_ranges_of_a_steering_rule_change() {
    let server = server();
    let rules = format!("{REGION}/forwardingRules");
    let base = json!({"name": "base", "IPAddress": "192.0.2.1", "IPProtocol": "UDP", "ports": ["53"],
        "backendService": "old"});
    server.post(&rules, &base).ok();
    let steering = with(
        with(base, "name", json!("steer")),
        "sourceIpRanges",
        json!(["198.51.100.0/24"]),
    );
    server.post(&rules, &steering).ok();
    let steer = format!("{rules}/steer");
    let body = json!({"sourceIpRanges": ["203.0.113.0/24"]});
    server.patch(&steer, &body).ok();
    assert_eq!(server.get(&steer).ok()["sourceIpRanges"], body["sourceIpRanges"]);
    let base = format!("{rules}/base");
    let message = server.delete(&base).error(400, "resourceInUseByAnotherResource");
    assert!(
        message.ends_with("'projects/acme/regions/r1/forwardingRules/steer'"),
        "{message}"
    );
}

#[test]
fn the_whole_rule_is_a_patch_of_nothing() {
    let server = server();
    let before = server.get(RULE).ok();
    server.patch(RULE, &before).ok();
    assert_eq!(server.get(RULE).ok(), before);
    let mut other_forms = before.clone();
    other_forms["backendService"] =
        json!("http://127.0.0.1:9/compute/v1/projects/acme/regions/r1/backendServices/web");
    other_forms["allPorts"] = json!(false);
    server.patch(RULE, &other_forms).ok();
}

#[test]
fn what_is_set_once_is_named() {
    let server = server();
    let body = json!({"IPAddress": "10.0.9.10", "IPProtocol": "UDP", "ports": ["81"], "network": "n",
        "description": "new", "labels": {"a": "b"}, "backendService": "old", "target": "t", "allowGlobalAccess": "yes"});
    let field = |name: &str| format!("Invalid value for field 'resource.{name}'");
    let expected = [
        field("IPAddress"),
        field("IPProtocol"),
        field("allowGlobalAccess"),
        field("backendService"),
        field("description"),
        field("labels"),
        // It does not go with the other service's.
        field("loadBalancingScheme"),
        field("network"),
        field("ports"),
        field("target"),
    ];
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    refused(&server, RULE, |server| server.patch(RULE, &body), &expected);
    let messages = server.patch(RULE, &json!({"labels": {"a": "b"}})).errors(400);
    assert!(messages[0].contains("the method is setLabels"), "{messages:?}");
    server.put(RULE, &json!({})).error(405, "httpMethodNotAllowed");
}

#[test]
fn labels_are_set_by_who_has_seen_them() {
    let server = server();
    let url = format!("{RULE}/setLabels");
    let before = server.get(RULE).ok();
    let body =
        json!({"labels": {"team": "a", "tier": "front"}, "labelFingerprint": before["labelFingerprint"]});
    done(&server.post(&url, &body).ok(), "setLabels", RULE);
    let after = server.get(RULE).ok();
    assert_eq!(after["labels"], body["labels"]);
    assert_ne!(after["labelFingerprint"], before["labelFingerprint"]);
    let stale = "Labels fingerprint either invalid or resource labels have changed";
    assert_eq!(server.post(&url, &body).error(412, "conditionNotMet"), stale);
    let unseen = json!({"labels": {}});
    assert_eq!(server.post(&url, &unseen).error(412, "conditionNotMet"), stale);
    let body = json!({"labelFingerprint": after["labelFingerprint"]});
    server.post(&url, &body).ok();
    let last = server.get(RULE).ok();
    assert_eq!(last, before, "no labels again");
}

#[test]
fn wrong_labels_are_told() {
    let server = server();
    let url = format!("{RULE}/setLabels");
    let seen = server.get(RULE).ok()["labelFingerprint"].clone();
    let body = json!({"labels": {"a": 1, "b": true, "c": "fine"}, "lables": {}, "labelFingerprint": seen});
    let expected = [
        "Invalid value for field 'resource.labels.a': '1'. Expected a string.",
        "Invalid value for field 'resource.labels.b': 'true'. Expected a string.",
        "Invalid value for field 'resource.lables': '{}'. Is no field of this request. (did you mean labels?)",
    ];
    refused(&server, RULE, |server| server.post(&url, &body), &expected);
}

#[test]
fn a_target_is_refused() {
    let server = server();
    let url = format!("{RULE}/setTarget");
    let body = json!({"target": "regions/r1/backendServices/old"});
    let expected =
        ["Invalid value for field 'resource.target': 'regions/r1/backendServices/old'. A rule keeps"];
    refused(&server, RULE, |server| server.post(&url, &body), &expected);
    let expected = ["Required field 'resource.target' not specified"];
    refused(&server, RULE, |server| server.post(&url, &json!({})), &expected);
}

#[test]
fn only_a_rule_that_is_there_and_free_changes() {
    let server = server();
    let missing = format!("{REGION}/forwardingRules/missing");
    not_found(&server.patch(&missing, &json!({})), &missing);
    for verb in ["setLabels", "setTarget"] {
        not_found(
            &server.post(&format!("{missing}/{verb}"), &json!({"target": "x"})),
            &missing,
        );
    }
    let seen = server.get(RULE).ok()["labelFingerprint"].clone();
    owned(&server, RULE, |server| {
        server.patch(RULE, &json!({"allowGlobalAccess": true}))
    });
    let labels = json!({"labels": {"a": "b"}, "labelFingerprint": seen});
    owned(&server, RULE, |server| {
        server.post(&format!("{RULE}/setLabels"), &labels)
    });
    owned(&server, RULE, |server| server.delete(RULE));
}
