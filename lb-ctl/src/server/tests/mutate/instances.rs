//! `instances` and `instanceGroups`: insert, delete, addInstances, removeInstances.

use super::*;

const FAR: &str = "/compute/v1/projects/acme/zones/r1-a/instanceGroups/far";

fn url_of(name: &str) -> String {
    format!("http://127.0.0.1:8080{ZONE}/instances/{name}")
}

fn call(server: &Server, verb: &str, names: &[&str]) -> Answer {
    let instances: Vec<Value> = names.iter().map(|name| json!({ "instance": name })).collect();
    server.post(&format!("{FAR}/{verb}"), &json!({ "instances": instances }))
}

fn members(server: &Server) -> Vec<String> {
    let list = server.send("POST", &format!("{FAR}/listInstances"), None).ok();
    let items = list["items"].as_array().expect("items").clone();
    let name = |item: &Value| {
        item["instance"]
            .as_str()
            .and_then(|url| url.rsplit('/').next())
            .map(str::to_owned)
    };
    items.iter().filter_map(name).collect()
}

#[test]
fn instances_come_and_go() {
    let server = server();
    let added = call(&server, "addInstances", &[&url_of("f2")]).ok();
    done(&added, "compute.instanceGroups.addInstances", FAR);
    assert_eq!(members(&server), ["f1", "f2"]);
    assert_eq!(server.get(FAR).ok()["size"], 2);
    let removed = call(&server, "removeInstances", &["zones/r1-a/instances/f1"]).ok();
    done(&removed, "compute.instanceGroups.removeInstances", FAR);
    call(&server, "removeInstances", &["f2"]).ok();
    assert_eq!(server.get(FAR).ok()["size"], 0);
}

#[test]
fn a_member_is_not_added_again() {
    let server = server();
    let before = server.control.commits();
    let answer = call(&server, "addInstances", &["f2", "f1", "missing", "f2"]);
    let member = |name: &str| {
        format!(
            "Resource 'projects/acme/zones/r1-a/instances/{name}' is already a member of 'projects/acme/zones/r1-a/instanceGroups/far'."
        )
    };
    answer.error(400, "memberAlreadyExists");
    let messages = answer.errors(400);
    assert_eq!(messages.len(), 3, "{messages:#?}");
    assert_eq!([&messages[0], &messages[2]], [&member("f1"), &member("f2")]);
    let dangling = "Invalid value for field 'resource.instances[2].instance'";
    assert!(messages[1].starts_with(dangling), "{}", messages[1]);
    assert_eq!(
        (members(&server), server.control.commits()),
        (vec!["f1".to_owned()], before)
    );
}

#[test]
fn who_is_no_member_is_not_removed() {
    let server = server();
    let answer = call(&server, "removeInstances", &["f1", "f2", "not a name"]);
    let mut messages = answer.errors(400);
    messages.sort();
    assert_eq!(
        messages,
        [
            "Invalid value for field 'resource.instances[2].instance': 'not a name'. Is no URL or name of an instance.",
            "Resource 'projects/acme/zones/r1-a/instances/f2' is not a member of 'projects/acme/zones/r1-a/instanceGroups/far'.",
        ]
    );
    assert_eq!(members(&server), ["f1"]);
}

#[test]
fn the_form_of_a_request_is_judged() {
    let server = server();
    for verb in ["addInstances", "removeInstances"] {
        let url = format!("{FAR}/{verb}");
        let missing = ["Required field 'resource.instances' not specified"];
        refused(&server, FAR, |server| server.post(&url, &json!({})), &missing);
        let body =
            json!({"instances": [{}, {"instance": 1}, {"name": "f2", "instance": "f2"}], "namedPorts": []});
        let answer = server.post(&url, &body);
        let messages = answer.errors(400);
        for told in [
            "Required field 'resource.instances[0].instance' not specified",
            "Invalid value for field 'resource.instances[1].instance': '1'. Expected a string, the URL or name of a resource.",
            "Invalid value for field 'resource.instances[2].name': 'f2'. Is no field of this resource.",
            "Invalid value for field 'resource.namedPorts': '[]'. Is no field of this request.",
        ] {
            assert!(
                messages.iter().any(|message| message == told),
                "{told}: {messages:#?}"
            );
        }
    }
    assert_eq!(members(&server), ["f1"]);
}

#[test]
fn named_ports_are_refused() {
    let server = server();
    let body = json!({"namedPorts": [{"name": "http", "port": 80}], "fingerprint": "AAAA"});
    let expected = ["Invalid value for field 'resource.namedPorts'"];
    let url = format!("{FAR}/setNamedPorts");
    refused(&server, FAR, |server| server.post(&url, &body), &expected);
}

#[test]
fn only_a_group_that_is_there_and_free_changes() {
    let server = server();
    let missing = format!("{ZONE}/instanceGroups/missing");
    for verb in ["addInstances", "removeInstances", "setNamedPorts"] {
        let body = json!({"instances": [{"instance": "f1"}]});
        not_found(&server.post(&format!("{missing}/{verb}"), &body), &missing);
    }
    owned(&server, FAR, |server| call(server, "addInstances", &["f2"]));
    owned(&server, FAR, |server| call(server, "removeInstances", &["f1"]));
}

#[test]
fn an_instance_is_inserted_and_deleted() {
    let server = server();
    let instances = format!("{ZONE}/instances");
    let body = json!({"name": "f9", "networkInterfaces": [{"networkIP": "10.0.5.9"}], "machineType": "zones/z/machineTypes/m"});
    let url = format!("{instances}/f9");
    done(&server.post(&instances, &body).ok(), "insert", &url);
    assert_eq!(server.get(&url).ok()["machineType"], body["machineType"]);
    let message = server.post(&instances, &body).error(409, "alreadyExists");
    assert_eq!(
        message,
        format!("The resource '{}' already exists", path_of(&url))
    );
    done(&server.delete(&url).ok(), "delete", &url);
    not_found(&server.delete(&url), &url);
    let member = format!("{instances}/f1");
    let message = server
        .delete(&member)
        .error(400, "resourceInUseByAnotherResource");
    assert!(
        message.contains("'projects/acme/zones/r1-a/instanceGroups/far'"),
        "{message}"
    );
    let wrong = json!({"name": "F9", "networkInterfaces": [{}], "colour": "red"});
    assert_eq!(server.post(&instances, &wrong).errors(400).len(), 3);
    server
        .patch(&member, &named("f1"))
        .error(405, "httpMethodNotAllowed");
}
