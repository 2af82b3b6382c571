use jiff::Timestamp;
use serde_json::{Value, json};

use crate::control::place::Location;
use crate::model::ResourcePath;
use crate::server::operation::{CAPACITY, Done, OperationLog, Repeat, RequestKey};

fn record(log: &mut OperationLog, name: &str, request_id: Option<&str>, now: i64) -> Value {
    let location = Location::Region("r".to_owned());
    let target = ResourcePath::from_canonical(format!("projects/p/regions/r/backendServices/{name}"));
    let now = Timestamp::from_second(now).expect("a valid time");
    let done = Done {
        project: "p",
        location: &location,
        verb: "insert",
        target: &target,
        target_id: Some("7"),
        warnings: &["no health check".to_owned()],
        started: now,
        request: request_id.map(|id| key(id, name)),
    };
    log.record(&done, now)
}

fn key(id: &str, name: &str) -> RequestKey {
    RequestKey {
        id: id.to_owned(),
        verb: "insert",
        target: ResourcePath::from_canonical(format!("projects/p/regions/r/backendServices/{name}")),
        content: "body".to_owned(),
    }
}

#[test]
fn an_operation_is_done_and_says_what_it_did() {
    let value = record(&mut OperationLog::default(), "web", None, 1_000_000_000);
    let base = "https://www.googleapis.com/compute/v1/projects/p/regions/r";
    assert_eq!(
        value,
        json!({
            "kind": "compute#operation",
            "id": "1000000000000000",
            "name": "operation-1000000000000000",
            "operationType": "insert",
            "targetLink": format!("{base}/backendServices/web"),
            "status": "DONE",
            "progress": 100,
            "insertTime": "2001-09-09T01:46:40Z",
            "startTime": "2001-09-09T01:46:40Z",
            "endTime": "2001-09-09T01:46:40Z",
            "selfLink": format!("{base}/operations/operation-1000000000000000"),
            "region": base,
            "targetId": "7",
            "warnings": [{ "code": "NOT_CRITICAL_ERROR", "message": "no health check" }],
        })
    );
}

#[test]
fn ids_are_unique_when_the_clock_stands_or_goes_back() {
    let mut log = OperationLog::default();
    let ids: Vec<u64> = [100, 100, 50, 101]
        .into_iter()
        .map(|now| {
            record(&mut log, "web", None, now)["id"]
                .as_str()
                .and_then(|id| id.parse().ok())
        })
        .map(|id| id.expect("a numeric id"))
        .collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
}

#[test]
fn the_oldest_is_forgotten_when_the_log_is_full() {
    let mut log = OperationLog::default();
    let location = Location::Region("r".to_owned());
    let first = record(&mut log, "web", Some("id-1"), 1)["name"]
        .as_str()
        .expect("a name")
        .to_owned();
    for n in 1..CAPACITY {
        record(&mut log, &format!("s{n}"), None, 1);
    }
    assert!(log.get("p", &location, &first).is_some());
    record(&mut log, "last", None, 1);
    assert!(log.get("p", &location, &first).is_none());
    assert_eq!(log.list("p", &location).len(), CAPACITY);
    assert!(log.list("q", &location).is_empty());
}

#[test]
fn a_request_id_stands_for_one_request_of_a_project() {
    let mut log = OperationLog::default();
    let operation = record(&mut log, "web", Some("id-1"), 1);
    let same = key("id-1", "web");
    assert_eq!(log.repeat("p", &same), Repeat::Same(&operation));
    let name = operation["name"].as_str().expect("a name");
    let (verb, content) = ("delete", "other".to_owned());
    for other in [
        RequestKey { verb, ..same.clone() },
        RequestKey {
            content,
            ..same.clone()
        },
        key("id-1", "other"),
    ] {
        assert_eq!(log.repeat("p", &other), Repeat::Other(name), "{other:?}");
    }
    assert_eq!(log.repeat("p", &key("id-2", "web")), Repeat::New);
    assert_eq!(log.repeat("q", &same), Repeat::New);
}
