use serde_json::{Value, json};

use super::harness::{TestServer, exchange};
use crate::control::fake::{path, sample};
use crate::control::place::url;
use crate::resources::Kind;

const REGION: &str = "/compute/v1/projects/acme/regions/r1";
const ZONE: &str = "/compute/v1/projects/acme/zones/r1-a";
const GLOBAL: &str = "/compute/v1/projects/acme/global";

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().expect("items");
    items
        .iter()
        .map(|item| item["name"].as_str().expect("a name"))
        .collect()
}

#[test]
fn every_collection_lists_and_gets() {
    let server = TestServer::start(sample());
    for (collection, kind, name) in [
        (
            format!("{REGION}/backendServices"),
            "compute#backendService",
            "web",
        ),
        (
            format!("{REGION}/forwardingRules"),
            "compute#forwardingRule",
            "web-rule",
        ),
        (format!("{REGION}/healthChecks"), "compute#healthCheck", "hc"),
        (format!("{GLOBAL}/healthChecks"), "compute#healthCheck", "hc"),
        (
            format!("{ZONE}/networkEndpointGroups"),
            "compute#networkEndpointGroup",
            "near",
        ),
        (format!("{ZONE}/instanceGroups"), "compute#instanceGroup", "far"),
    ] {
        let list = server.get(&collection).ok();
        let id = collection.strip_prefix("/compute/v1/").expect("the base");
        assert_eq!(list["kind"], format!("{kind}List"));
        assert_eq!(list["id"], id);
        assert_eq!(list["selfLink"], url(id));
        assert_eq!(names(&list), [name]);
        let resource = server.get(&format!("{collection}/{name}")).ok();
        assert_eq!(resource["kind"], kind);
        assert_eq!(resource, list["items"][0]);
        assert_eq!(
            resource.get("networkEndpoints").or(resource.get("instances")),
            None
        );
        let missing = server.get(&format!("{collection}/missing"));
        assert_eq!(
            missing.error(404, "notFound"),
            format!("The resource '{id}/missing' was not found")
        );
    }
    let elsewhere = server
        .get("/compute/v1/projects/acme/regions/r/backendServices")
        .ok();
    assert_eq!(elsewhere["items"], json!([]));
}

#[test]
fn an_error_has_the_shape_of_the_api() {
    let server = TestServer::start(sample());
    let answer = server.get(&format!("{REGION}/backendServices/x"));
    let message = "The resource 'projects/acme/regions/r1/backendServices/x' was not found";
    let expected = json!({"error": {"code": 404, "message": message,
        "errors": [{"domain": "global", "reason": "notFound", "message": message}]}});
    assert_eq!(answer.body, expected);
}

#[test]
fn tcp_serves_the_same_but_not_to_foreign_pages() {
    let server = TestServer::start(sample());
    let url = format!("{REGION}/backendServices");
    assert_eq!(
        exchange(server.tcp(), "GET", &url, None).ok(),
        server.get(&url).ok()
    );
    let mut stream = server.tcp();
    let request = format!("GET {url} HTTP/1.1\r\nhost: evil.example:80\r\nconnection: close\r\n\r\n");
    std::io::Write::write_all(&mut stream, request.as_bytes()).expect("to write");
    let message = super::harness::read_answer(stream).error(403, "forbidden");
    assert!(message.contains("evil.example"), "{message}");
}

#[test]
fn lists_come_in_pages() {
    let server = TestServer::start(sample());
    for name in ["a", "b", "c", "d"] {
        server
            .post(
                &format!("{REGION}/healthChecks"),
                &json!({"name": name, "type": "TCP"}),
            )
            .ok();
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = server
            .get(&format!("{REGION}/healthChecks?maxResults=2&pageToken={token}"))
            .ok();
        seen.extend(names(&page).into_iter().map(str::to_owned));
        match page["nextPageToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, ["a", "b", "c", "d", "hc"]);
    let message = server
        .get(&format!("{REGION}/healthChecks?maxResults=501"))
        .error(400, "invalid");
    assert_eq!(
        message,
        "Invalid value for field 'maxResults': '501'. Must be a number from 0 to 500."
    );
}

#[test]
fn query_parameters_are_never_ignored() {
    let server = TestServer::start(sample());
    let list = format!("{REGION}/backendServices");
    server
        .get(&format!(
            "{list}?alt=json&returnPartialSuccess=True&%24alt=json%3Benum-encoding%3Dint"
        ))
        .ok();
    let message = server
        .get(&format!("{list}?filter=name%3Dx"))
        .error(501, "notImplemented");
    assert_eq!(message, "The parameter 'filter' is not supported yet");
    server.get(&format!("{list}?fitler=x")).error(400, "badRequest");
    server.get(&format!("{list}?alt=xml")).error(400, "invalid");
    server
        .get(&format!("{list}/web?maxResults=1"))
        .error(400, "badRequest");
}

#[test]
fn aggregated_lists_are_by_place() {
    let server = TestServer::start(sample());
    let list = server
        .get("/compute/v1/projects/acme/aggregated/healthChecks")
        .ok();
    assert_eq!(list["kind"], "compute#healthCheckAggregatedList");
    assert_eq!(list["items"]["global"]["healthChecks"][0]["type"], "HTTP");
    assert_eq!(list["items"]["regions/r1"]["healthChecks"][0]["type"], "TCP");
    assert_eq!(list["items"].as_object().map(|places| places.len()), Some(2));
}

#[test]
fn an_insert_is_an_operation_that_is_done() {
    let server = TestServer::start(sample());
    let body = json!({"name": "dns", "protocol": "UDP", "loadBalancingScheme": "EXTERNAL"});
    let operation = server.post(&format!("{REGION}/backendServices"), &body).ok();
    assert_eq!(operation["kind"], "compute#operation");
    assert_eq!(operation["status"], "DONE");
    assert_eq!(operation["operationType"], "insert");
    assert_eq!(
        operation["targetLink"],
        url(path(Kind::BackendService, "dns").as_str())
    );
    assert_eq!(operation["region"], url("projects/acme/regions/r1"));
    assert_eq!(operation["warnings"][0]["message"], "no health check");
    let stored = server.get(&format!("{REGION}/backendServices/dns")).ok();
    assert_eq!(
        (&stored["protocol"], &stored["id"]),
        (&json!("UDP"), &operation["targetId"])
    );
    let options = server.control.state().applies.last().cloned().expect("an apply");
    assert_eq!(
        (options.project.as_deref(), options.region.as_deref()),
        (Some("acme"), Some("r1"))
    );
    assert!(!options.prune && !options.dry_run);

    let operations = format!("{REGION}/operations");
    let name = operation["name"].as_str().expect("a name");
    assert_eq!(server.get(&format!("{operations}/{name}")).ok(), operation);
    assert_eq!(
        server
            .send("POST", &format!("{operations}/{name}/wait"), None)
            .ok(),
        operation
    );
    assert_eq!(names(&server.get(&operations).ok()), [name]);
    assert_eq!(server.delete(&format!("{operations}/{name}")).status, 204);
    server.get(&format!("{operations}/{name}")).error(404, "notFound");
}

#[test]
fn an_insert_goes_where_its_url_says() {
    let server = TestServer::start(sample());
    let body = json!({"name": "new", "type": "TCP", "region": url("projects/other/regions/else")});
    server.post(&format!("{GLOBAL}/healthChecks"), &body).ok();
    assert_eq!(
        server
            .get(&format!("{GLOBAL}/healthChecks/new"))
            .ok()
            .get("region"),
        None
    );
    server.post(&format!("{REGION}/healthChecks"), &body).ok();
    let regional = server.get(&format!("{REGION}/healthChecks/new")).ok();
    assert_eq!(regional["region"], url("projects/acme/regions/r1"));
    let zonal = json!({"name": "new", "networkEndpointType": "GCE_VM_IP"});
    server.post(&format!("{ZONE}/networkEndpointGroups"), &zonal).ok();
    let zonal = server.get(&format!("{ZONE}/networkEndpointGroups/new")).ok();
    assert_eq!(zonal["zone"], url("projects/acme/zones/r1-a"));
}

#[test]
fn a_request_id_makes_an_insert_idempotent() {
    let server = TestServer::start(sample());
    let insert = format!("{REGION}/healthChecks?requestId=6f2c1a4e-0000-4000-8000-000000000001");
    let body = json!({"name": "new", "type": "TCP"});
    let first = server.post(&insert, &body).ok();
    assert_eq!(server.post(&insert, &body).ok(), first);
    let again = server.post(&format!("{REGION}/healthChecks"), &body);
    let message = again.error(409, "alreadyExists");
    assert_eq!(
        message,
        "The resource 'projects/acme/regions/r1/healthChecks/new' already exists"
    );
    assert_eq!(server.control.state().applies.len(), 1);
}

#[test]
fn a_wrong_insert_is_told_why() {
    let server = TestServer::start(sample());
    let insert = format!("{REGION}/backendServices");
    let answer = server.post(&insert, &json!({"name": "x", "protocol": "HTTP"}));
    let message = answer.error(400, "invalid");
    assert!(
        message.starts_with("Invalid value for field 'resource.protocol': 'HTTP'. "),
        "{message}"
    );
    assert_eq!(answer.body["error"]["faults"][0]["path"], "$.protocol");
    server
        .post(&insert, &json!({"protocol": "TCP"}))
        .error(400, "required");
    server
        .post(&insert, &json!({"name": "x", "kind": "compute#instance"}))
        .error(400, "invalid");
    server.post(&insert, &json!([])).error(400, "badRequest");
    server
        .post(&insert, &json!([{"name": "x"}]))
        .error(400, "badRequest");
    server
        .send("POST", &insert, Some(("application/json", b"{")))
        .error(400, "parseError");
    let twice = br#"{"name": "x", "protocol": "TCP", "protocol": "UDP"}"#;
    let answer = server.send("POST", &insert, Some(("application/json", twice)));
    assert!(
        answer.error(400, "parseError").contains("twice"),
        "{}",
        answer.body
    );
    let body = json!({"name": "x", "networkEndpoints": [], "instances": []});
    let answer = server.post(&format!("{ZONE}/networkEndpointGroups"), &body);
    assert_eq!(
        answer.body["error"]["errors"].as_array().map(Vec::len),
        Some(2),
        "{}",
        answer.body
    );
    let messages = answer.errors(400);
    for method in ["addInstances", "attachNetworkEndpoints"] {
        assert!(
            messages.iter().any(|message| message.contains(method)),
            "{messages:?}"
        );
    }
    let applies = server.control.state().applies.clone();
    assert!(applies.iter().all(|apply| apply.dry_run), "{applies:?}");
}

#[test]
fn what_is_in_use_stays() {
    let server = TestServer::start(sample());
    let service = format!("{REGION}/backendServices/web");
    let message = server
        .delete(&service)
        .error(400, "resourceInUseByAnotherResource");
    assert!(
        message.ends_with("is already being used by 'projects/acme/regions/r1/forwardingRules/web-rule'")
    );
    let operation = server.delete(&format!("{REGION}/forwardingRules/web-rule")).ok();
    assert_eq!(
        (&operation["operationType"], &operation["status"]),
        (&json!("delete"), &json!("DONE"))
    );
    assert!(operation["targetId"].is_string(), "{operation}");
    server.delete(&service).ok();
    server.get(&service).error(404, "notFound");
    server.delete(&service).error(404, "notFound");
}

#[test]
fn get_health_reports_each_endpoint_of_the_group() {
    let server = TestServer::start(sample());
    let get_health = format!("{REGION}/backendServices/web/getHealth");
    let group = "projects/acme/zones/r1-a/networkEndpointGroups/near";
    for reference in [
        url(group),
        group.to_owned(),
        "zones/r1-a/networkEndpointGroups/near".to_owned(),
    ] {
        let health = server.post(&get_health, &json!({ "group": reference })).ok();
        assert_eq!(
            health,
            json!({
                "kind": "compute#backendServiceGroupHealth",
                "healthStatus": [
                    {
                        "healthState": "HEALTHY",
                        "ipAddress": "10.0.0.1",
                        "instance": url("projects/acme/zones/r1-a/instances/n1"),
                        "port": 80,
                        "weight": "7",
                        "forwardingRule": url("projects/acme/regions/r1/forwardingRules/web-rule"),
                        "forwardingRuleIp": "10.0.0.100",
                    },
                    {
                        "healthState": "UNHEALTHY",
                        "ipAddress": "10.0.0.2",
                        "instance": url("projects/acme/zones/r1-a/instances/n2"),
                        "port": 80,
                        "weightError": "UNAVAILABLE_WEIGHT",
                        "forwardingRule": url("projects/acme/regions/r1/forwardingRules/web-rule"),
                        "forwardingRuleIp": "10.0.0.100",
                    },
                ],
            })
        );
    }
    server
        .post(&get_health, &json!({"group": "zones/r1-a/instanceGroups/far"}))
        .error(400, "invalid");
    server.post(&get_health, &json!({})).error(400, "badRequest");
    let missing = format!("{REGION}/backendServices/x/getHealth");
    server
        .post(&missing, &json!({ "group": group }))
        .error(404, "notFound");
}

#[test]
fn groups_list_their_members() {
    let server = TestServer::start(sample());
    let endpoints = format!("{ZONE}/networkEndpointGroups/near/listNetworkEndpoints");
    let plain = server.send("POST", &endpoints, None).ok();
    assert_eq!(plain["kind"], "compute#networkEndpointGroupsListNetworkEndpoints");
    let bare = json!([
        {"networkEndpoint": {"instance": "n1", "ipAddress": "10.0.0.1"}},
        {"networkEndpoint": {"instance": "n2", "ipAddress": "10.0.0.2"}},
    ]);
    assert_eq!(plain["items"], bare);
    let shown = server.post(&endpoints, &json!({"healthStatus": "SHOW"})).ok();
    let service = json!({"backendService": url("projects/acme/regions/r1/backendServices/web")});
    assert_eq!(
        shown["items"][1]["healths"],
        json!([{"healthState": "UNHEALTHY", "backendService": service}])
    );
    let page = server.post(&format!("{endpoints}?maxResults=1"), &json!({})).ok();
    let token = page["nextPageToken"]
        .as_str()
        .expect("a token")
        .replace(' ', "%20");
    let page = server
        .post(&format!("{endpoints}?pageToken={token}"), &json!({}))
        .ok();
    assert_eq!(page["items"], json!([bare[1]]));
    server
        .post(&endpoints, &json!({"healthStatus": "MAYBE"}))
        .error(400, "invalid");

    let instances = format!("{ZONE}/instanceGroups/far/listInstances");
    let list = server.post(&instances, &json!({"instanceState": "RUNNING"})).ok();
    let f1 = url("projects/acme/zones/r1-a/instances/f1");
    assert_eq!(list["items"], json!([{"instance": f1, "status": "RUNNING"}]));
}

#[test]
fn what_is_not_built_or_not_there_says_so() {
    let server = TestServer::start(sample());
    let service = format!("{REGION}/backendServices/web");
    let policy = format!("{service}/getIamPolicy");
    let message = server.get(&policy).error(501, "notImplemented");
    assert_eq!(message, "backendServices.getIamPolicy is not supported yet");
    server
        .send("PUT", &format!("{REGION}/forwardingRules/x"), None)
        .error(405, "httpMethodNotAllowed");
    server.get(&format!("{REGION}/urlMaps")).error(404, "notFound");
    server
        .get("/compute/beta/projects/acme/regions/r1/backendServices")
        .error(404, "notFound");
    server.get("/").error(404, "notFound");
}
