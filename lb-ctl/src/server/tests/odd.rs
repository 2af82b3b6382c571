//! Requests that no decent client sends: a clear refusal for each, and the server goes on.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use super::harness::{TestServer, read_answer};
use crate::control::fake::sample;
use crate::control::{Control as _, ResourceMap};

const SERVICES: &str = "/compute/v1/projects/acme/regions/r1/backendServices";

/// The status of the answer to these bytes; nothing when the connection is closed without one.
fn status_of(server: &TestServer, bytes: &[u8]) -> Option<u16> {
    let mut stream = server.unix();
    // The server may have answered and closed before all is written.
    let _ = stream.write_all(bytes);
    first_status(stream)
}

fn first_status(mut stream: UnixStream) -> Option<u16> {
    let mut start = [0; 12];
    stream.read_exact(&mut start).ok()?;
    String::from_utf8_lossy(&start).split(' ').nth(1)?.parse().ok()
}

fn unchanged(server: &TestServer, before: &ResourceMap) {
    assert_eq!(*server.control.resources(), *before);
    server.get(SERVICES).ok();
}

#[test]
fn odd_paths_are_refused() {
    let server = TestServer::start(sample());
    let before = ResourceMap::clone(&server.control.resources());
    for (path, status) in [
        (format!("{SERVICES}%2Fweb"), 400),
        (format!("{SERVICES}/..%2Fweb"), 400),
        (format!("{SERVICES}/%2e%2e/backendServices/web"), 400),
        (format!("{SERVICES}/../backendServices/web"), 400),
        (format!("{SERVICES}/web%00"), 400),
        (format!("{SERVICES}/%ff"), 400),
        (format!("{SERVICES}/web%"), 400),
        (format!("{SERVICES}/web%0d%0aX:y"), 400),
        (format!("{SERVICES}/w%2565b"), 400),
        (format!("{SERVICES}//web"), 404),
        (format!("{SERVICES}/web/"), 404),
        (format!("/{SERVICES}/web"), 404),
        (SERVICES.replace("projects", "projects/"), 404),
        ("/compute/v1/projects/".to_owned(), 404),
        ("*".to_owned(), 404),
    ] {
        let request = format!("DELETE {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        assert_eq!(status_of(&server, request.as_bytes()), Some(status), "{path}");
    }
    assert_eq!(
        server.get(&SERVICES.replace("acme", "%61cme")).ok(),
        server.get(SERVICES).ok()
    );
    unchanged(&server, &before);
}

#[test]
fn odd_requests_are_refused() {
    let server = TestServer::start(sample());
    let before = ResourceMap::clone(&server.control.resources());
    let huge = "x".repeat(200_000);
    let many: String = (0..200).map(|i| format!("x-{i}: y\r\n")).collect();
    let rows = [
        // Without or with several hosts.
        (format!("GET {SERVICES} HTTP/1.1\r\n\r\n"), 400),
        (
            format!("GET {SERVICES} HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"),
            400,
        ),
        // Huge or many headers, a huge path.
        (
            format!("GET {SERVICES} HTTP/1.1\r\nhost: x\r\nx: {huge}\r\n\r\n"),
            431,
        ),
        (format!("GET {SERVICES} HTTP/1.1\r\nhost: x\r\n{many}\r\n"), 431),
        (format!("GET {SERVICES}/{huge} HTTP/1.1\r\nhost: x\r\n\r\n"), 431),
        // Methods.
        (
            format!("BREW {SERVICES} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
            405,
        ),
        (
            format!("TRACE {SERVICES} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
            405,
        ),
        (
            format!("OPTIONS {SERVICES} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
            405,
        ),
        (
            "CONNECT x:80 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned(),
            404,
        ),
        // Not HTTP, or not this one.
        ("hello\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/9.9\r\nhost: x\r\n\r\n".to_owned(), 400),
        (format!("GET {SERVICES}\u{0} HTTP/1.1\r\nhost: x\r\n\r\n"), 400),
        // Bodies whose length is in doubt.
        (
            format!(
                "POST {SERVICES} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{{}}"
            ),
            400,
        ),
        (
            format!("POST {SERVICES} HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n{{}}"),
            400,
        ),
        (
            format!("POST {SERVICES} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n{{}}"),
            400,
        ),
    ];
    for (request, status) in rows {
        let shown = &request[..request.len().min(100)];
        assert_eq!(status_of(&server, request.as_bytes()), Some(status), "{shown}");
    }
    // A body that ends early: whoever hangs up may miss the answer.
    let mut stream = server.unix();
    let head = format!(
        "POST {SERVICES} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n"
    );
    stream
        .write_all(format!("{head}{{}}").as_bytes())
        .expect("to write");
    stream.shutdown(std::net::Shutdown::Write).expect("to shut down");
    assert!(matches!(first_status(stream), None | Some(400)));
    // The preface of HTTP/2 is made for being hung up on.
    assert_eq!(status_of(&server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), None);
    unchanged(&server, &before);
}

#[test]
fn an_old_client_is_served() {
    let server = TestServer::start(sample());
    let mut stream = server.unix();
    stream
        .write_all(format!("GET {SERVICES} HTTP/1.0\r\n\r\n").as_bytes())
        .expect("to write");
    assert_eq!(read_answer(stream).ok(), server.get(SERVICES).ok());
}

#[test]
fn requests_sent_at_once_are_answered_in_order() {
    let server = TestServer::start(sample());
    let mut stream = server.unix();
    let mut requests = String::new();
    for name in ["web", "none", "web"] {
        requests.push_str(&format!("GET {SERVICES}/{name} HTTP/1.1\r\nhost: x\r\n\r\n"));
    }
    requests.push_str(&format!(
        "GET {SERVICES}?fields=kind HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    ));
    stream.write_all(requests.as_bytes()).expect("to write");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answers");
    let statuses: Vec<&str> = text
        .split("HTTP/1.1 ")
        .skip(1)
        .filter_map(|answer| answer.get(..3))
        .collect();
    assert_eq!(statuses, ["200", "404", "200", "200"]);
    assert!(
        text.ends_with(r#"{"kind":"compute#backendServiceList"}"#),
        "{text}"
    );
}

#[test]
fn deep_and_wide_json_is_refused_by_the_api_too() {
    let server = TestServer::start(sample());
    let before = ResourceMap::clone(&server.control.resources());
    let deep = format!("{}{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
    let lists = format!("{{\"name\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for path in [
        SERVICES.to_owned(),
        format!("{SERVICES}/web/getHealth"),
        format!("{SERVICES}/web/setIamPolicy"),
        format!("{SERVICES}/web/testIamPermissions"),
    ] {
        for body in [&deep, &lists] {
            let answer = server.send("POST", &path, Some(("application/json", body.as_bytes())));
            assert_eq!(answer.status, 400, "{path} {}", answer.body);
        }
        server
            .send("POST", &path, Some(("text/plain", b"{}")))
            .error(415, "unsupportedMediaType");
    }
    unchanged(&server, &before);
}
