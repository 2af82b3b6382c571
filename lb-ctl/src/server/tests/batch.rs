//! Several requests in one.

use std::io::{Read as _, Write as _};

use serde_json::{Value, json};

use super::harness::TestServer;
use crate::control::fake::sample;

const REGION: &str = "/compute/v1/projects/acme/regions/r1";
const BOUNDARY: &str = "===============5239601627826340185==";

/// As Python's `email` package writes it, which is what gcloud sends.
fn batch(requests: &[(&str, &str, &str)]) -> String {
    let mut body = String::new();
    for (index, (method, path, content)) in requests.iter().enumerate() {
        body.push_str(&format!(
            "--{BOUNDARY}\nContent-Type: application/http\nMIME-Version: 1.0\nContent-Transfer-Encoding: binary\n\
             Content-ID: <cd0ae938-4850+{index}>\n\n{method} {path} HTTP/1.1\nContent-Type: application/json\n\
             MIME-Version: 1.0\ncontent-length: {}\nuser-agent: x\naccept: application/json\nHost: 127.0.0.1:1\n\n\
             {content}\n",
            content.len()
        ));
    }
    body.push_str(&format!("--{BOUNDARY}--\n"));
    body
}

fn send(server: &TestServer, kind: &str, body: &str) -> (u16, String, String) {
    let mut stream = server.unix();
    let head = format!(
        "POST /batch/compute/v1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("to write");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    (status, head.to_owned(), body.to_owned())
}

fn mixed() -> String {
    format!("multipart/mixed; boundary=\"{BOUNDARY}\"")
}

/// Each part's id, status and body.
fn answers(head: &str, body: &str) -> Vec<(String, u16, Value)> {
    let boundary = head
        .split("boundary=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("a boundary");
    let end = format!("--{boundary}--\r\n");
    let inside = body.strip_suffix(&end).expect("the end");
    let opening = format!("--{boundary}\r\n");
    let parts = inside.split(&opening).skip(1);
    let read = |part: &str| {
        let (header, rest) = part.split_once("\r\n\r\n").expect("a part's header");
        let (inner, content) = rest.split_once("\r\n\r\n").expect("an answer's header");
        let id = header
            .split("Content-ID: ")
            .nth(1)
            .unwrap_or_default()
            .trim()
            .to_owned();
        let status = inner
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status");
        (
            id,
            status,
            serde_json::from_str(content.trim_end()).unwrap_or(Value::Null),
        )
    };
    parts.map(read).collect()
}

#[test]
fn each_part_is_answered_as_if_it_had_come_alone() {
    let server = TestServer::start(sample());
    let check = json!({"name": "new", "type": "TCP", "description": "line\nend -- ä"}).to_string();
    let checks = format!("{REGION}/healthChecks");
    let (status, head, body) = send(
        &server,
        &mixed(),
        &batch(&[
            ("POST", &checks, &check),
            (
                "GET",
                &format!("{checks}/new?alt=json&fields=name,description"),
                "",
            ),
            ("DELETE", &format!("{REGION}/backendServices/web?alt=json"), ""),
            (
                "DELETE",
                &format!("{REGION}/forwardingRules/web-rule?alt=json"),
                "",
            ),
            ("DELETE", &format!("{REGION}/backendServices/web?alt=json"), ""),
            ("GET", "/compute/v1/nowhere", ""),
        ]),
    );
    assert_eq!(status, 200, "{body}");
    let answers = answers(&head, &body);
    let ids: Vec<&str> = answers.iter().map(|(id, ..)| id.as_str()).collect();
    assert_eq!(ids[0], "<response-cd0ae938-4850+0>");
    assert_eq!(ids[5], "<response-cd0ae938-4850+5>");
    let statuses: Vec<u16> = answers.iter().map(|(_, status, _)| *status).collect();
    assert_eq!(statuses, [200, 200, 400, 200, 200, 404], "{body}");
    assert_eq!(answers[0].2["operationType"], "insert");
    assert_eq!(
        answers[1].2,
        json!({"name": "new", "description": "line\nend -- ä"})
    );
    assert_eq!(
        answers[2].2["error"]["errors"][0]["reason"],
        "resourceInUseByAnotherResource"
    );
    server
        .get(&format!("{REGION}/backendServices/web"))
        .error(404, "notFound");
}

#[test]
fn a_wrong_batch_does_nothing() {
    let server = TestServer::start(sample());
    let path = format!("{REGION}/forwardingRules/web-rule");
    let good = batch(&[("DELETE", &path, "")]);
    let many: Vec<(&str, &str, &str)> = vec![("GET", "/compute/v1/projects/p", ""); 1001];
    for (kind, body) in [
        ("application/json".to_owned(), good.clone()),
        ("multipart/mixed".to_owned(), good.clone()),
        ("multipart/form-data; boundary=x".to_owned(), good.clone()),
        ("multipart/mixed; boundary=".to_owned(), good.clone()),
        ("multipart/mixed; boundary=other".to_owned(), good.clone()),
        (mixed(), String::new()),
        (mixed(), format!("--{BOUNDARY}--\n")),
        (mixed(), good.replace(&format!("--{BOUNDARY}--"), "")),
        (mixed(), good.replace("application/http", "text/plain")),
        (
            mixed(),
            batch(&[("DELETE", &path, ""), ("GET", "/lb/v1/status", "")]),
        ),
        (
            mixed(),
            batch(&[("DELETE", &path, ""), ("POST", "/batch/compute/v1", "")]),
        ),
        (
            mixed(),
            batch(&[
                ("DELETE", &path, ""),
                ("GET", "http://x/compute/v1/projects/p", ""),
            ]),
        ),
        (
            mixed(),
            batch(&[("DELETE", &path, ""), ("G ET", "/compute/v1/projects/p", "")]),
        ),
        (mixed(), batch(&many)),
    ] {
        let (status, _, answer) = send(&server, &kind, &body);
        assert_eq!(status, 400, "{kind} {answer}");
    }
    server.get(&path).ok();
    server.get("/batch/compute/v1").error(405, "httpMethodNotAllowed");
    let most: Vec<(&str, &str, &str)> = many[..1000].to_vec();
    let (status, head, body) = send(&server, &mixed(), &batch(&most));
    assert_eq!((status, answers(&head, &body).len()), (200, 1000));
}
