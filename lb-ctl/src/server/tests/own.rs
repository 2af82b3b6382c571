use serde_json::json;

use super::harness::TestServer;
use crate::control::fake::{FakeControl, path, sample};
use crate::control::{Control, ResourceMap};
use crate::resources::Kind;
use crate::views::{EndpointHealth, FlowCount, FlowList, Stats, Status};

fn read<T: serde::de::DeserializeOwned>(server: &TestServer, path: &str) -> T {
    serde_json::from_value(server.get(path).ok()).expect("the view")
}

#[test]
fn the_views_arrive() {
    let server = TestServer::start(sample());
    assert_eq!(read::<Status>(&server, "/lb/v1/status").pid, 42);
    assert_eq!(read::<Stats>(&server, "/lb/v1/stats"), Stats::default());
    assert_eq!(read::<FlowCount>(&server, "/lb/v1/flows/count").live, 3);
    assert_eq!(
        read::<ResourceMap>(&server, "/lb/v1/resources"),
        *server.control.resources()
    );
    let web = path(Kind::BackendService, "web");
    let health = read::<Vec<EndpointHealth>>(&server, &format!("/lb/v1/health?service={web}"));
    assert_eq!(
        health.iter().map(|h| h.healthy).collect::<Vec<_>>(),
        [true, false]
    );
    server
        .get("/lb/v1/health?service=projects/acme/regions/r1/backendServices/x")
        .error(404, "notFound");
    server.get("/lb/v1/health").error(400, "required");
}

#[test]
fn the_size_of_tables_is_read_and_set() {
    let server = TestServer::start(crate::control::judging::sample());
    let web = path(Kind::BackendService, "web");
    let slots = |server: &TestServer<_>| {
        let url = format!("/lb/v1/tableSlots?service={web}");
        server.get(&url).ok()["slots"].as_u64()
    };
    assert_eq!(slots(&server), Some(65_536));
    let set = |slots: u64| server.post("/lb/v1/tableSlots", &json!({"service": web, "slots": slots}));
    set(4096).ok();
    assert_eq!(slots(&server), Some(4096));
    let commits = server.control.commits();
    set(4096).ok();
    assert_eq!(server.control.commits(), commits, "there is nothing to change");
    set(5000).error(400, "invalid");
    assert!(
        set(5000).body["error"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("4096, 16384, 65536"))
    );
    server
        .post("/lb/v1/tableSlots", &json!({"service": "web", "slots": 4096}))
        .error(400, "invalid");
    server
        .post(
            "/lb/v1/tableSlots",
            &json!({"service": path(Kind::BackendService, "x"), "slots": 4096}),
        )
        .error(404, "notFound");
    // The compute shape does not have it.
    assert!(
        server
            .get(&format!("/compute/v1/{web}"))
            .ok()
            .get("tableSlots")
            .is_none()
    );
}

#[test]
fn flows_are_limited_and_filtered() {
    let server = TestServer::start(sample());
    let web = path(Kind::BackendService, "web");
    let list = read::<FlowList>(&server, &format!("/lb/v1/flows?limit=2&service={web}"));
    assert!(list.truncated && list.flows.len() == 2);
    read::<FlowList>(&server, "/lb/v1/flows");
    assert_eq!(
        server.control.state().flow_queries,
        [(2, Some(web)), (1000, None)]
    );
    server.get("/lb/v1/flows?limit=x").error(400, "invalid");
    server.get("/lb/v1/flows?limit=1000001").error(400, "invalid");
    server.get("/lb/v1/flows?service=web").error(400, "invalid");
    server.get("/lb/v1/flows?sevrice=web").error(400, "badRequest");
}

#[test]
fn apply_reports_changes_or_every_fault() {
    let server = TestServer::start(FakeControl::default());
    let document = |i: usize, protocol: &str| {
        json!({"source": "lb.json", "jsonPath": format!("$[{i}]"), "value":
            {"kind": "compute#backendService", "name": format!("s{i}"), "protocol": protocol}})
    };
    let bad = json!({"documents": [document(0, "HTTP"), document(1, "TCP"), document(2, "HTTP")]});
    let answer = server.post("/lb/v1/apply", &bad);
    answer.error(400, "invalid");
    let faults = &answer.body["error"]["faults"];
    assert_eq!(faults.as_array().map(Vec::len), Some(2));
    assert_eq!(
        faults[1],
        json!({"source": "lb.json", "path": "$[2].protocol", "value": "HTTP",
            "reason": "no passthrough load balancer speaks HTTP", "hint": "accepted: TCP, UDP, UNSPECIFIED"})
    );
    assert!(server.control.resources().is_empty());

    let good = json!({"documents": [document(1, "TCP")], "options": {"region": "r9", "prune": true}});
    let report = server.post("/lb/v1/apply", &good).ok();
    let path = "projects/acme/regions/r9/backendServices/s1";
    assert_eq!(report["changes"], json!([{"path": path, "action": "created"}]));
    assert_eq!(report["warnings"], json!(["no health check"]));
    assert!(server.control.state().applies[0].prune);

    server
        .post("/lb/v1/apply", &json!({"documents": [], "option": {}}))
        .error(400, "badRequest");
    server.get("/lb/v1/apply").error(405, "httpMethodNotAllowed");
}

#[test]
fn detach_is_told_and_stats_say_so() {
    let server = TestServer::start(sample());
    server.send("POST", "/lb/v1/detach", None).ok();
    assert!(server.control.state().detached);
    server.get("/lb/v1/stats").error(400, "resourceNotReady");
    server
        .post("/lb/v1/detach", &json!({"force": true}))
        .error(400, "badRequest");
    server.get("/lb/v1/detach").error(405, "httpMethodNotAllowed");
}
