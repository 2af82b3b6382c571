//! `networkEndpointGroups`: attachNetworkEndpoints and detachNetworkEndpoints.

use super::*;

const NEAR: &str = "/compute/v1/projects/acme/zones/r1-a/networkEndpointGroups/near";

fn attach(server: &Server, endpoints: Value) -> Answer {
    let body = json!({ "networkEndpoints": endpoints });
    server.post(&format!("{NEAR}/attachNetworkEndpoints"), &body)
}

fn detach(server: &Server, endpoints: Value) -> Answer {
    let body = json!({ "networkEndpoints": endpoints });
    server.post(&format!("{NEAR}/detachNetworkEndpoints"), &body)
}

fn addresses(server: &Server) -> Vec<String> {
    let list = server
        .send("POST", &format!("{NEAR}/listNetworkEndpoints"), None)
        .ok();
    let items = list["items"].as_array().expect("items").clone();
    let address = |item: &Value| item["networkEndpoint"]["ipAddress"].as_str().map(str::to_owned);
    items.iter().filter_map(address).collect()
}

#[test]
fn endpoints_come_and_go() {
    let server = server();
    let id = server.get(NEAR).ok()["id"].clone();
    let new = json!([{"instance": "n3", "ipAddress": "10.0.0.3"}, {"ipAddress": "10.0.0.4", "ipv6Address": "fd00::4"}]);
    done(&attach(&server, new).ok(), "attachNetworkEndpoints", NEAR);
    assert_eq!(server.get(NEAR).ok()["size"], 4);
    let gone =
        json!([{"ipAddress": "10.0.0.4"}, {"instance": "n1"}, {"instance": "n2", "ipAddress": "10.0.0.2"}]);
    done(&detach(&server, gone).ok(), "detachNetworkEndpoints", NEAR);
    assert_eq!(addresses(&server), ["10.0.0.3"]);
    let group = server.get(NEAR).ok();
    assert_eq!((&group["size"], &group["id"]), (&json!(1), &id));
    assert_eq!(group.get("networkEndpoints"), None);
}

#[test]
fn attaching_what_is_attached_changes_nothing() {
    let server = server();
    let url = format!("http://127.0.0.1:8080{ZONE}/instances/n2");
    let same =
        json!([{"instance": "n1", "ipAddress": "10.0.0.1"}, {"instance": url, "ipAddress": "10.0.0.2"}]);
    attach(&server, same).ok();
    assert_eq!(addresses(&server), ["10.0.0.1", "10.0.0.2"]);
}

#[test]
fn all_faults_of_an_attach_are_told_in_its_own_terms() {
    let server = server();
    let endpoints = json!([
        {"instance": "n5", "ipAddress": "10.0.0.5"},
        {"instance": "n1", "ipAddress": "10.0.0.1"},
        {"instance": "n5", "ipAddress": "10.0.0.5"},
        {"instance": "other", "ipAddress": "10.0.0.2"},
        {"instance": "n6", "ipAddress": "10.0.0.5"},
        {"ipAddress": "224.0.0.1", "port": 80},
        {"instance": "unknown"},
        {"adress": "10.0.0.7", "ipAddress": "10.0.0.7"},
        7,
    ]);
    let at = |rest: &str| format!("Invalid value for field 'resource.networkEndpoints{rest}");
    let expected = [
        at(
            "[2]': '{\"instance\":\"n5\",\"ipAddress\":\"10.0.0.5\"}'. Is the same endpoint as networkEndpoints[0].",
        ),
        at(
            "[3]': '{\"instance\":\"other\",\"ipAddress\":\"10.0.0.2\"}'. Has the same address as a member of near: 10.0.0.2.",
        ),
        at(
            "[4]': '{\"instance\":\"n6\",\"ipAddress\":\"10.0.0.5\"}'. Has the same address as networkEndpoints[0]: 10.0.0.5.",
        ),
        at("[5].ipAddress': '224.0.0.1'."),
        at("[5].port': '80'."),
        at("[6]': '{\"instance\":\"unknown\"}'. Has no address"),
        at("[7].adress': '10.0.0.7'. Is no field"),
        at("[8]': '7'. Expected an object."),
    ];
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    refused(
        &server,
        NEAR,
        |server| attach(server, endpoints.clone()),
        &expected,
    );
    assert_eq!(addresses(&server), ["10.0.0.1", "10.0.0.2"]);
    let answer = attach(&server, endpoints);
    let paths: Vec<&str> = answer.body["error"]["faults"]
        .as_array()
        .expect("faults")
        .iter()
        .map(|fault| fault["path"].as_str().expect("a path"))
        .collect();
    assert!(paths.contains(&"$.networkEndpoints[5].ipAddress"), "{paths:?}");
}

#[test]
fn all_faults_of_a_detach_are_told() {
    let server = server();
    attach(&server, json!([{"instance": "n1", "ipAddress": "10.0.0.9"}])).ok();
    let endpoints = json!([
        {"instance": "n1"},
        {"instance": "n1", "ipAddress": "10.0.0.1"},
        {"instance": "projects/acme/zones/r1-a/instances/n1", "ipAddress": "10.0.0.1"},
        {"instance": "n1", "ipAddress": "10.0.0.2"},
        {"annotations": {"a": "b"}},
        {"ipAddress": 5},
        {"fqdn": "a.example"},
    ]);
    let at = |rest: &str| format!("Invalid value for field 'resource.networkEndpoints{rest}");
    let expected = [
        at("[0]': '{\"instance\":\"n1\"}'. Names 2 attached endpoints: set ipAddress, too."),
        at("[2]'"),
        at("[3]': '{\"instance\":\"n1\",\"ipAddress\":\"10.0.0.2\"}'. No such endpoint is attached."),
        at("[4]': '{\"annotations\":{\"a\":\"b\"}}'. Names no endpoint"),
        at("[5].ipAddress': '5'. Expected a string."),
        at("[6].fqdn': 'a.example'."),
    ];
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    refused(&server, NEAR, |server| detach(server, endpoints), &expected);
    assert_eq!(addresses(&server).len(), 3);
}

#[test]
fn the_form_of_a_request_is_judged() {
    let server = server();
    for verb in ["attachNetworkEndpoints", "detachNetworkEndpoints"] {
        let url = format!("{NEAR}/{verb}");
        for (body, message) in [
            (
                json!({}),
                "Required field 'resource.networkEndpoints' not specified",
            ),
            (
                json!({"networkEndpoints": []}),
                "Required field 'resource.networkEndpoints' not specified",
            ),
            (
                json!({"networkEndpoints": {"ipAddress": "10.0.0.1"}}),
                "Invalid value for field 'resource.networkEndpoints': '{\"ipAddress\":\"10.0.0.1\"}'. Expected an array.",
            ),
        ] {
            refused(&server, NEAR, |server| server.post(&url, &body), &[message]);
        }
        let body = json!({"networkEndpoint": [{}], "annotations": {"lb/delivery": "l2"}});
        let expected = [
            "Invalid value for field 'resource.annotations': '{\"lb/delivery\":\"l2\"}'. Is no field of this request.",
            "Invalid value for field 'resource.networkEndpoint': '[{}]'. Is no field of this request. (did you mean networkEndpoints?)",
            "Required field 'resource.networkEndpoints' not specified",
        ];
        refused(&server, NEAR, |server| server.post(&url, &body), &expected);
    }
}

#[test]
fn only_a_group_that_is_there_and_free_changes() {
    let server = server();
    let missing = format!("{ZONE}/networkEndpointGroups/missing");
    let body = json!({"networkEndpoints": [{"ipAddress": "10.0.0.7"}]});
    for verb in ["attachNetworkEndpoints", "detachNetworkEndpoints"] {
        not_found(&server.post(&format!("{missing}/{verb}"), &body), &missing);
    }
    owned(&server, NEAR, |server| {
        attach(server, json!([{"ipAddress": "10.0.0.7"}]))
    });
    owned(&server, NEAR, |server| {
        detach(server, json!([{"ipAddress": "10.0.0.1"}]))
    });
    server.patch(NEAR, &json!({})).error(405, "httpMethodNotAllowed");
}

#[test]
fn a_group_in_use_stays() {
    let server = server();
    server.delete(NEAR).error(400, "resourceInUseByAnotherResource");
    let spare = format!("{ZONE}/networkEndpointGroups/spare");
    done(&server.delete(&spare).ok(), "delete", &spare);
    not_found(&server.get(&spare), &spare);
}

#[test]
fn thousands_of_endpoints_come_and_go_at_once() {
    let server = server();
    let endpoint = |n: u32| json!({"instance": format!("m{n}"), "ipAddress": format!("10.1.{}.{}", n / 250, n % 250 + 1)});
    let many: Value = (0..5000).map(endpoint).collect();
    attach(&server, many.clone()).ok();
    assert_eq!(server.get(NEAR).ok()["size"], 5002);
    attach(&server, many.clone()).ok();
    assert_eq!(server.get(NEAR).ok()["size"], 5002);
    detach(&server, many).ok();
    assert_eq!(server.get(NEAR).ok()["size"], 2);
}
