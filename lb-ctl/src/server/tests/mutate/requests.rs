//! `requestId`, concurrent changes, and faults of inserts.

use super::*;

const WEB: &str = "/compute/v1/projects/acme/regions/r1/backendServices/web";
const ID: &str = "6f2c1a4e-0000-4000-8000-000000000001";

#[test]
fn every_mutation_is_done_once_for_a_request_id() {
    let server = server();
    let near = format!("{ZONE}/networkEndpointGroups/near");
    let far = format!("{ZONE}/instanceGroups/far");
    let rule = format!("{REGION}/forwardingRules/web-rule");
    let label_fingerprint = server.get(&rule).ok()["labelFingerprint"].clone();
    let requests = [
        (
            "PATCH",
            WEB.to_owned(),
            json!({"description": "p", "fingerprint": fingerprint(&server, WEB)}),
        ),
        ("PUT", format!("{REGION}/healthChecks/hc"), json!({"type": "TCP"})),
        (
            "POST",
            format!("{near}/attachNetworkEndpoints"),
            json!({"networkEndpoints": [{"ipAddress": "10.0.0.7"}]}),
        ),
        (
            "POST",
            format!("{near}/detachNetworkEndpoints"),
            json!({"networkEndpoints": [{"ipAddress": "10.0.0.7"}]}),
        ),
        (
            "POST",
            format!("{far}/addInstances"),
            json!({"instances": [{"instance": "f2"}]}),
        ),
        (
            "POST",
            format!("{far}/removeInstances"),
            json!({"instances": [{"instance": "f2"}]}),
        ),
        (
            "POST",
            format!("{rule}/setLabels"),
            json!({"labels": {"a": "b"}, "labelFingerprint": label_fingerprint}),
        ),
        ("POST", format!("{WEB}/setSecurityPolicy"), json!({})),
        (
            "POST",
            format!("{REGION}/healthChecks"),
            json!({"name": "fresh", "type": "TCP"}),
        ),
        ("DELETE", format!("{REGION}/healthChecks/fresh"), json!({})),
    ];
    for (i, (method, url, body)) in requests.iter().enumerate() {
        let url = format!("{url}?requestId=6f2c1a4e-0000-4000-8000-{i:012}");
        let text = body.to_string();
        let send = || server.send(method, &url, Some(("application/json", text.as_bytes())));
        let operation = send().ok();
        let id = format!("6f2c1a4e-0000-4000-8000-{i:012}");
        assert_eq!(operation["clientOperationId"], id);
        let commits = server.control.commits();
        assert_eq!(send().ok(), operation, "{method} {url}");
        assert_eq!(server.control.commits(), commits, "{method} {url}");
    }
}

#[test]
fn a_request_id_is_for_one_request() {
    let server = server();
    let url = format!("{WEB}?requestId={ID}");
    let operation = server.patch(&url, &json!({"description": "one"})).ok();
    let name = operation["name"].as_str().expect("a name");
    let expected = format!(
        "Invalid value for field 'requestId': '{ID}'. Another request had this id; its operation is {name}."
    );
    let other_body = server.patch(&url, &json!({"description": "two"}));
    assert_eq!(other_body.error(400, "invalid"), expected);
    let old = format!("{REGION}/backendServices/old?requestId={ID}");
    assert_eq!(
        server
            .patch(&old, &json!({"description": "one"}))
            .error(400, "invalid"),
        expected
    );
    assert_eq!(server.delete(&url).error(400, "invalid"), expected);
    assert_eq!(server.get(WEB).ok()["description"], "one");
}

#[test]
fn a_request_that_failed_may_come_again() {
    let server = server();
    let url = format!("{REGION}/backendServices?requestId={ID}");
    let body = json!({"name": "new", "healthChecks": ["later"]});
    server.post(&url, &body).error(400, "invalid");
    server
        .post(
            &format!("{REGION}/healthChecks"),
            &json!({"name": "later", "type": "TCP"}),
        )
        .ok();
    server.post(&url, &body).ok();
}

#[test]
fn a_request_id_is_a_uuid() {
    let server = server();
    for id in ["7", "00000000-0000-0000-0000-000000000000", ""] {
        let message = server
            .patch(&format!("{WEB}?requestId={id}"), &json!({}))
            .error(400, "invalid");
        assert_eq!(
            message,
            format!("Invalid value for field 'requestId': '{id}'. Must be a UUID, and not the zero UUID.")
        );
    }
    server.delete(&format!("{WEB}?requestId=x")).error(400, "invalid");
}

#[test]
fn no_change_is_lost_between_clients() {
    let server = server();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let server = &server;
            scope.spawn(move || {
                let key = format!("k{n}");
                server.patch(WEB, &json!({"metadatas": { key: "v" }})).ok();
                let endpoint = json!({"networkEndpoints": [{"ipAddress": format!("10.0.7.{n}")}]});
                let near = format!("{ZONE}/networkEndpointGroups/near");
                server
                    .post(&format!("{near}/attachNetworkEndpoints"), &endpoint)
                    .ok();
            });
            scope.spawn(move || {
                let document = json!({"source": "f", "value": {"kind": "compute#healthCheck", "name": format!("c{n}"), "type": "TCP"}});
                server.post("/lb/v1/apply", &json!({"documents": [document]})).ok();
            });
        }
    });
    let metadatas = server.get(WEB).ok()["metadatas"].clone();
    assert_eq!(metadatas.as_object().map(|m| m.len()), Some(8), "{metadatas}");
    assert_eq!(
        server.get(&format!("{ZONE}/networkEndpointGroups/near")).ok()["size"],
        10
    );
    let checks = server.get(&format!("{REGION}/healthChecks")).ok();
    assert_eq!(checks["items"].as_array().map(Vec::len), Some(9));
}

#[test]
fn all_faults_of_an_insert_are_told() {
    let server = server();
    let services = format!("{REGION}/backendServices");
    let wrong = json!({"name": "Wrong", "protocol": "HTTP", "kind": "compute#instance", "backends": [{"group": "none"}]});
    assert_eq!(server.post(&services, &wrong).errors(400).len(), 4);
    let nameless = json!({"protocol": "HTTP", "kind": "compute#instance"});
    let messages = server.post(&services, &nameless).errors(400);
    assert_eq!(messages.len(), 3, "{messages:#?}");
    assert!(
        messages.contains(&"Required field 'resource.name' not specified".to_owned()),
        "{messages:#?}"
    );
    let numbered = json!({"name": 7});
    let message = "Invalid value for field 'resource.name': '7'. Expected a string.";
    assert_eq!(server.post(&services, &numbered).errors(400), [message]);
    let group =
        json!({"name": "g", "networkEndpointType": "SERVERLESS", "networkEndpoints": [], "instances": []});
    let messages = server
        .post(&format!("{ZONE}/networkEndpointGroups"), &group)
        .errors(400);
    assert_eq!(messages.len(), 3, "{messages:#?}");
}

#[test]
fn an_operation_warns_of_its_own_target_only() {
    let server = server();
    let old = format!("{REGION}/backendServices/old");
    let operation = server.patch(&old, &json!({"healthChecks": []})).ok();
    let warning = operation["warnings"][0]["message"].as_str().expect("a warning");
    assert!(warning.contains("no health check"), "{warning}");
    let operation = server.patch(WEB, &json!({"description": "x"})).ok();
    assert_eq!(operation.get("warnings"), None);
}
