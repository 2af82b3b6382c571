//! The methods that change something, under the real rules.

mod checks;
mod endpoints;
mod instances;
mod requests;
mod round_trip;
mod rules;
mod services;

use serde_json::{Value, json};

use super::harness::{Answer, TestServer};
use crate::control::judging::{JudgingControl, sample};

const REGION: &str = "/compute/v1/projects/acme/regions/r1";
const ZONE: &str = "/compute/v1/projects/acme/zones/r1-a";
const GLOBAL: &str = "/compute/v1/projects/acme/global";

type Server = TestServer<JudgingControl>;

fn server() -> Server {
    TestServer::start(sample())
}

/// The canonical path of a resource's URL.
fn path_of(url: &str) -> &str {
    url.strip_prefix("/compute/v1/").expect("a URL of the API")
}

#[track_caller]
fn not_found(answer: &Answer, url: &str) {
    let message = answer.error(404, "notFound");
    assert_eq!(message, format!("The resource '{}' was not found", path_of(url)));
}

/// Refused with these beginnings of messages, each for one fault, and nothing changed.
#[track_caller]
fn refused(server: &Server, url: &str, request: impl FnOnce(&Server) -> Answer, expected: &[&str]) {
    let before = (server.get(url).ok(), server.control.commits());
    let answer = request(server);
    let mut messages = answer.errors(400);
    messages.sort();
    let fit = messages.len() == expected.len()
        && messages
            .iter()
            .zip(expected)
            .all(|(message, start)| message.starts_with(start));
    assert!(fit, "expected {expected:#?}, found {messages:#?}");
    let fault_paths = answer.body["error"]["faults"].as_array().expect("faults");
    assert_eq!(fault_paths.len(), expected.len(), "{}", answer.body);
    assert_eq!((server.get(url).ok(), server.control.commits()), before);
}

/// Refused because a file defines the resource.
#[track_caller]
fn owned(server: &Server, url: &str, request: impl FnOnce(&Server) -> Answer) {
    server.control.own(path_of(url), "/etc/lb/site.json");
    let before = server.get(url).ok();
    let message = request(server).error(400, "invalid");
    assert_eq!(message, "it is defined by /etc/lb/site.json; change it there");
    assert_eq!(server.get(url).ok(), before);
}

/// The operation of a change that was made.
#[track_caller]
fn done(operation: &Value, verb: &str, url: &str) {
    assert_eq!(operation["kind"], "compute#operation", "{operation}");
    assert_eq!(operation["operationType"], verb);
    assert_eq!(operation["status"], "DONE");
    assert_eq!(operation["progress"], 100);
    assert_eq!(
        operation["targetLink"],
        format!("https://www.googleapis.com{url}")
    );
    assert!(operation["targetId"].is_string(), "{operation}");
    assert_eq!(operation.get("error"), None);
}

fn with(mut value: Value, field: &str, new: Value) -> Value {
    value[field] = new;
    value
}

fn fingerprint(server: &Server, url: &str) -> Value {
    server.get(url).ok()["fingerprint"].clone()
}

fn named(name: &str) -> Value {
    json!({ "name": name })
}
