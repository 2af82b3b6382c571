use serde_json::json;

use super::harness::TestServer;
use crate::control::fake::sample;
use crate::control::place::url;

const PROJECT: &str = "/compute/v1/projects/acme";

#[test]
fn any_project_region_and_zone_is_there() {
    let server = TestServer::start(sample());
    assert_eq!(server.get("/compute/v1/projects/any").ok()["name"], "any");
    let zone = server.get(&format!("{PROJECT}/zones/r7-b")).ok();
    assert_eq!(
        zone,
        json!({"kind": "compute#zone", "name": "r7-b", "status": "UP", "selfLink": url("projects/acme/zones/r7-b"),
            "region": url("projects/acme/regions/r7")})
    );
    let region = server.get(&format!("{PROJECT}/regions/r1")).ok();
    assert_eq!(region["kind"], "compute#region");
    assert_eq!(region["zones"], json!([url("projects/acme/zones/r1-a")]));
    server
        .get(&format!("{PROJECT}/zones/Zone_1"))
        .error(404, "notFound");
    server
        .send("DELETE", &format!("{PROJECT}/zones/r1-a"), None)
        .error(405, "httpMethodNotAllowed");
}

#[test]
fn those_in_use_are_listed() {
    let server = TestServer::start(sample());
    let regions = server
        .get(&format!("{PROJECT}/regions?filter=name%3Dr1&maxResults=500"))
        .ok();
    assert_eq!(regions["kind"], "compute#regionList");
    assert_eq!(regions["items"][0]["name"], "r1");
    let zones = server.get(&format!("{PROJECT}/zones")).ok();
    assert_eq!(zones["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(zones["items"][0]["name"], "r1-a");
    let none = server.get("/compute/v1/projects/empty/zones").ok();
    assert_eq!(none["items"], json!([]));
}

#[test]
fn no_place_has_managers_of_instance_groups() {
    let server = TestServer::start(sample());
    for place in ["zones/r1-a", "regions/r1"] {
        let path = format!("{PROJECT}/{place}/instanceGroupManagers");
        let list = server.get(&format!("{path}?filter=name%3Dx&maxResults=500")).ok();
        assert_eq!(list["kind"], "compute#instanceGroupManagerList");
        assert_eq!(list["items"], json!([]));
        server
            .send("POST", &path, None)
            .error(405, "httpMethodNotAllowed");
        server
            .get(&format!("{path}?maxResults=501"))
            .error(400, "invalid");
    }
}
