use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use super::*;
use crate::control::fake::sample;
use crate::server::tests::harness::TestServer;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(work)
}

fn client(endpoint: &str) -> Client {
    Client::new(endpoint.parse().expect("an endpoint"))
}

/// What a server of one connection says to any request.
fn answered(answer: &'static [u8]) -> Result<Value, ClientError> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).expect("to bind");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a request");
            head.push(byte[0]);
        }
        stream.write_all(answer).expect("to answer");
    });
    let result = block_on(client(&format!("unix:{}", path.display())).get("/"));
    server.join().expect("no panic");
    result
}

#[test]
fn endpoints_are_read_as_they_are_written() {
    for text in [
        "unix:/run/lb/lb.sock",
        "http://127.0.0.1:8080",
        "http://[::1]:80",
        "http://lb.example:80",
    ] {
        assert_eq!(text.parse::<Endpoint>().expect("an endpoint").to_string(), text);
    }
    assert_eq!("http://h:1/".parse(), Ok(Endpoint::Http("h:1".to_owned())));
    let bad = [
        "",
        "unix:",
        "/run/lb.sock",
        "https://h:1",
        "http://h",
        "http://u@h:1",
        "http://h:1/x",
        "http://:x",
    ];
    for text in bad {
        assert!(text.parse::<Endpoint>().is_err(), "{text}");
    }
}

#[test]
fn both_transports_reach_the_daemon() {
    let server = TestServer::start(sample());
    let over_unix: Value = block_on(client(&server.endpoint()).get("/lb/v1/status")).expect("an answer");
    let tcp = format!("http://{}", server.tcp);
    let over_tcp: Value = block_on(client(&tcp).get("/lb/v1/status")).expect("an answer");
    assert_eq!(over_unix["pid"], 42);
    assert_eq!(over_unix, over_tcp);
}

#[test]
fn an_answer_larger_than_any_buffer_arrives_whole() {
    let server = TestServer::start(sample());
    let text = "x".repeat(5_000_000);
    let value = json!({"kind": "compute#healthCheck", "name": "big", "description": text});
    let body = json!({"documents": [{"source": "t", "value": value}]});
    let client = client(&server.endpoint());
    let _report: Value = block_on(client.post("/lb/v1/apply", &body)).expect("an answer");
    let path = "/compute/v1/projects/acme/regions/r1/healthChecks/big";
    let stored: Value = block_on(client.get(path)).expect("an answer");
    assert_eq!(stored["description"], text);
}

#[test]
fn a_refusal_carries_its_faults() {
    let server = TestServer::start(sample());
    let value = json!({"kind": "compute#backendService", "name": "x", "protocol": "HTTP"});
    let body = json!({"documents": [{"source": "f.json", "value": value}]});
    let result = block_on(client(&server.endpoint()).post::<Value>("/lb/v1/apply", &body));
    let Err(ClientError::Refused { status, faults, .. }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        (faults[0].source.as_str(), faults[0].path.as_str()),
        ("f.json", "$.protocol")
    );
}

#[test]
fn an_absent_daemon_is_told_from_one_that_answers_nonsense() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("s");
    let endpoint = format!("unix:{}", path.display());
    let unreachable = || block_on(client(&endpoint).get::<Value>("/"));
    assert!(matches!(
        unreachable(),
        Err(ClientError::Unreachable { absent: true, .. })
    ));
    drop(UnixListener::bind(&path).expect("to bind"));
    let result = unreachable();
    assert!(
        matches!(result, Err(ClientError::Unreachable { absent: true, .. })),
        "{result:?}"
    );

    for nonsense in [
        b"".as_slice(),
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}",
        b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 4\r\n\r\noops",
    ] {
        let result = answered(nonsense);
        assert!(
            matches!(result, Err(ClientError::Answer { .. })),
            "{nonsense:?}: {result:?}"
        );
    }
    let fine = answered(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
    assert_eq!(fine.expect("an answer"), json!({}));
}
