//! `regions/…/backendServices`: patch, update, setSecurityPolicy.

use super::*;

const WEB: &str = "/compute/v1/projects/acme/regions/r1/backendServices/web";
const OLD: &str = "/compute/v1/projects/acme/regions/r1/backendServices/old";

#[test]
fn a_patch_merges() {
    let server = server();
    let before = server.get(WEB).ok();
    let body = json!({"sessionAffinity": "CLIENT_IP", "connectionDraining": {"drainingTimeoutSec": 30},
        "failoverPolicy": {"failoverRatio": 0.5}});
    done(&server.patch(WEB, &body).ok(), "patch", WEB);
    let after = server.get(WEB).ok();
    assert_eq!(after["sessionAffinity"], "CLIENT_IP");
    assert_eq!(after["connectionDraining"]["drainingTimeoutSec"], 30);
    for kept in [
        "id",
        "creationTimestamp",
        "selfLink",
        "healthChecks",
        "backends",
        "usedBy",
    ] {
        assert_eq!(after[kept], before[kept], "{kept}");
    }
    assert_ne!(after["fingerprint"], before["fingerprint"]);

    let body = json!({"sessionAffinity": null, "failoverPolicy": {"failoverRatio": null, "dropTrafficIfUnhealthy": true},
        "backends": [{"group": "zones/r1-a/networkEndpointGroups/spare"}]});
    server.patch(WEB, &body).ok();
    let after = server.get(WEB).ok();
    assert_eq!(
        after["sessionAffinity"], "NONE",
        "null deletes, and the default stands again"
    );
    assert_eq!(after["failoverPolicy"], json!({"dropTrafficIfUnhealthy": true}));
    let groups = after["backends"].as_array().expect("backends");
    assert_eq!(groups.len(), 1, "arrays replace");
    let spare = groups[0]["group"].as_str().expect("a group");
    assert!(spare.ends_with("/spare"), "{spare}");
}

#[test]
fn a_patch_may_hold_the_whole_resource() {
    let server = server();
    let whole = with(server.get(WEB).ok(), "description", json!("whole"));
    server.patch(WEB, &whole).ok();
    assert_eq!(server.get(WEB).ok()["description"], "whole");
    let commits = server.control.commits();
    let same = server.get(WEB).ok();
    server.patch(WEB, &same).ok();
    assert_eq!(server.get(WEB).ok(), same, "a patch of nothing changes nothing");
    assert!(server.control.commits() >= commits);
}

#[test]
fn references_have_any_form() {
    let server = server();
    let path = "projects/acme/zones/r1-a/networkEndpointGroups/spare";
    for group in [
        format!("http://127.0.0.1:8080/compute/v1/{path}"),
        format!("https://compute.googleapis.com/compute/v1/{path}"),
        format!("https://www.googleapis.com/compute/beta/{path}"),
        path.to_owned(),
        "zones/r1-a/networkEndpointGroups/spare".to_owned(),
    ] {
        let check = "http://localhost:1/compute/v1/projects/acme/regions/r1/healthChecks/hc";
        let body = json!({"backends": [{ "group": group }], "healthChecks": [check]});
        server.patch(WEB, &body).ok();
        let stored = server.get(WEB).ok();
        let root = "https://www.googleapis.com/compute/v1";
        assert_eq!(
            stored["backends"][0]["group"],
            format!("{root}/{path}"),
            "{group}"
        );
        assert_eq!(
            stored["healthChecks"][0],
            format!("{root}/projects/acme/regions/r1/healthChecks/hc")
        );
        server.patch(WEB, &json!({"backends": []})).ok();
    }
}

#[test]
fn a_stale_fingerprint_is_a_failed_condition() {
    let server = server();
    let seen = fingerprint(&server, WEB);
    let body = json!({"description": "first", "fingerprint": seen});
    server.patch(WEB, &body).ok();
    for method in ["PATCH", "PUT"] {
        let body = json!({"description": "second", "fingerprint": seen}).to_string();
        let answer = server.send(method, WEB, Some(("application/json", body.as_bytes())));
        assert_eq!(answer.error(412, "conditionNotMet"), "Invalid fingerprint.");
    }
    assert_eq!(server.get(WEB).ok()["description"], "first");
    let back = json!({"description": "", "fingerprint": fingerprint(&server, WEB)});
    server.patch(WEB, &back).ok();
    assert_eq!(
        fingerprint(&server, WEB),
        seen,
        "the fingerprint is the content's"
    );
}

#[test]
fn a_fingerprint_may_come_in_the_alphabet_for_urls() {
    let server = server();
    let mut kinds = std::collections::BTreeSet::new();
    for n in 0..200 {
        let seen = fingerprint(&server, WEB);
        let text = seen.as_str().expect("a fingerprint");
        kinds.insert(text.contains(['+', '/']));
        let sent = text.replace('+', "-").replace('/', "_");
        let body = json!({"description": n.to_string(), "fingerprint": sent});
        server.patch(WEB, &body).ok();
        if kinds.len() == 2 {
            return;
        }
    }
    panic!("no fingerprint of 200 told the alphabets apart");
}

#[test]
fn an_update_replaces_and_needs_the_fingerprint() {
    let server = server();
    let full = json!({"sessionAffinity": "CLIENT_IP", "description": "full", "timeoutSec": 9});
    server.patch(WEB, &full).ok();
    let before = server.get(WEB).ok();
    let body = json!({"name": "web", "protocol": "TCP", "loadBalancingScheme": "INTERNAL",
        "healthChecks": before["healthChecks"], "backends": before["backends"]});
    for stale in [json!(null), json!(""), json!("AAAAAAAAAAA="), json!(7)] {
        let body = with(body.clone(), "fingerprint", stale);
        assert_eq!(
            server.put(WEB, &body).error(412, "conditionNotMet"),
            "Invalid fingerprint."
        );
    }
    assert_eq!(server.get(WEB).ok(), before);
    let body = with(body, "fingerprint", before["fingerprint"].clone());
    done(&server.put(WEB, &body).ok(), "update", WEB);
    let after = server.get(WEB).ok();
    assert_eq!(
        (
            &after["sessionAffinity"],
            &after["description"],
            &after["timeoutSec"]
        ),
        (&json!("NONE"), &json!(""), &json!(30))
    );
    assert_eq!(
        (&after["id"], &after["creationTimestamp"]),
        (&before["id"], &before["creationTimestamp"])
    );
}

#[test]
fn an_update_keeps_what_is_set_once() {
    let server = server();
    let before = server.get(WEB).ok();
    let body = json!({"fingerprint": before["fingerprint"], "backends": before["backends"],
        "healthChecks": before["healthChecks"]});
    server.put(WEB, &body).ok();
    assert_eq!(
        server.get(WEB).ok(),
        before,
        "the absent scheme is the one it has"
    );
}

#[test]
fn what_is_set_once_is_named() {
    let server = server();
    let changes = json!({"loadBalancingScheme": "EXTERNAL", "name": "other", "kind": "compute#instance",
        "network": "global/networks/n", "protocol": "HTTP", "colour": "red"});
    let expected = [
        "Invalid value for field 'resource.colour': 'red'. Is no field of this resource.",
        "Invalid value for field 'resource.kind': 'compute#instance'. Must be 'compute#backendService'.",
        "Invalid value for field 'resource.loadBalancingScheme': 'EXTERNAL'. A backend service keeps this field",
        "Invalid value for field 'resource.name': 'other'. A resource keeps its name. (the URL says old)",
        "Invalid value for field 'resource.network': 'global/networks/n'. A backend service keeps",
        "Invalid value for field 'resource.protocol': 'HTTP'.",
    ];
    server.patch(OLD, &json!({"description": "here"})).ok();
    let internal = with(changes.clone(), "loadBalancingScheme", json!("INTERNAL"));
    let mut of_old = expected;
    of_old[2] = "Invalid value for field 'resource.loadBalancingScheme': 'INTERNAL'. A backend service keeps";
    refused(&server, OLD, |server| server.patch(OLD, &internal), &of_old);
    let update = with(internal, "fingerprint", fingerprint(&server, OLD));
    let update = with(update, "healthChecks", json!(["hc"]));
    refused(&server, OLD, |server| server.put(OLD, &update), &of_old);
}

#[test]
fn null_does_not_delete_what_is_set_once() {
    let server = server();
    let body = json!({"loadBalancingScheme": null});
    let expected = [
        "Invalid value for field 'loadBalancingScheme' of 'projects/acme/regions/r1/forwardingRules/web-rule': 'INTERNAL'. Must",
        "Invalid value for field 'resource.loadBalancingScheme': ''. A backend service keeps",
    ];
    refused(&server, WEB, |server| server.patch(WEB, &body), &expected);
}

#[test]
fn all_faults_of_a_patch_are_told() {
    let server = server();
    let body = json!({"sessionAffinity": "NOPE", "failoverPolicy": {"failoverRatio": 2},
        "connectionDraining": {"drainingTimeoutSec": 4000}, "enableCDN": true, "healthChecks": ["missing"]});
    let expected = [
        "Invalid value for field 'resource.connectionDraining.drainingTimeoutSec': '4000'.",
        "Invalid value for field 'resource.enableCDN': 'true'.",
        "Invalid value for field 'resource.failoverPolicy.failoverRatio': '2'.",
        "Invalid value for field 'resource.healthChecks[0]': 'missing'.",
        "Invalid value for field 'resource.sessionAffinity': 'NOPE'.",
    ];
    refused(&server, WEB, |server| server.patch(WEB, &body), &expected);
    server.patch(WEB, &json!([])).error(400, "badRequest");
    let twice = br#"{"description": "a", "description": "b"}"#;
    let answer = server.send("PATCH", WEB, Some(("application/json", twice)));
    answer.error(400, "parseError");
    server.send("PATCH", WEB, None).error(415, "unsupportedMediaType");
}

#[test]
fn a_security_policy_can_only_be_taken_away() {
    let server = server();
    let url = format!("{WEB}/setSecurityPolicy");
    let before = (server.get(WEB).ok(), server.control.commits());
    for nothing in [
        json!({}),
        json!({"securityPolicy": ""}),
        json!({"securityPolicy": null}),
    ] {
        done(&server.post(&url, &nothing).ok(), "setSecurityPolicy", WEB);
    }
    assert_eq!((server.get(WEB).ok(), server.control.commits()), before);
    let body = json!({"securityPolicy": "global/securityPolicies/p", "securityPolice": 1});
    let expected = [
        "Invalid value for field 'resource.securityPolice': '1'. Is no field of this request. (did you mean",
        "Invalid value for field 'resource.securityPolicy': 'global/securityPolicies/p'. There are no security",
    ];
    refused(&server, WEB, |server| server.post(&url, &body), &expected);
}

#[test]
fn only_a_service_that_is_there_and_free_changes() {
    let server = server();
    let missing = format!("{REGION}/backendServices/missing");
    not_found(&server.patch(&missing, &json!({})), &missing);
    not_found(&server.put(&missing, &json!({})), &missing);
    not_found(
        &server.post(&format!("{missing}/setSecurityPolicy"), &json!({})),
        &missing,
    );
    let body = json!({"description": "mine"});
    owned(&server, WEB, |server| server.patch(WEB, &body));
    let mut whole = with(server.get(WEB).ok(), "description", json!("mine"));
    whole["fingerprint"] = fingerprint(&server, WEB);
    owned(&server, WEB, |server| server.put(WEB, &whole));
    owned(&server, OLD, |server| server.delete(OLD));
}

#[test]
fn rules_that_lead_to_a_service_are_its_users() {
    let server = server();
    let root = "https://www.googleapis.com/compute/v1/projects/acme/regions/r1/forwardingRules";
    assert_eq!(
        server.get(WEB).ok()["usedBy"],
        json!([{"reference": format!("{root}/web-rule")}])
    );
    let before = fingerprint(&server, OLD);
    assert_eq!(server.get(OLD).ok().get("usedBy"), None);
    for (name, port) in [("a", "1"), ("b", "2")] {
        let rule = json!({"name": name, "IPAddress": "192.0.2.1", "IPProtocol": "UDP", "ports": [port],
            "backendService": "regions/r1/backendServices/old"});
        server.post(&format!("{REGION}/forwardingRules"), &rule).ok();
    }
    let users = json!([{"reference": format!("{root}/a")}, {"reference": format!("{root}/b")}]);
    assert_eq!(server.get(OLD).ok()["usedBy"], users);
    let list = server.get(&format!("{REGION}/backendServices")).ok();
    assert_eq!(list["items"][0]["usedBy"], users);
    assert_eq!(fingerprint(&server, OLD), before, "users are not of its content");
    server.delete(&format!("{REGION}/forwardingRules/a")).ok();
    assert_eq!(server.get(OLD).ok()["usedBy"], json!([users[1]]));
}
