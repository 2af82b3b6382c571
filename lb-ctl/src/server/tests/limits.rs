use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::json;

use super::harness::{TestServer, read_answer};
use crate::control::fake::sample;
use crate::server::ServerConfig;

const APPLY: &str = "/lb/v1/apply";

#[test]
fn only_json_is_taken() {
    let server = TestServer::start(sample());
    let body = br#"{"documents": []}"#;
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "",
    ] {
        let message = server
            .send("POST", APPLY, Some((kind, body)))
            .error(415, "unsupportedMediaType");
        assert!(message.contains("application/json"), "{message}");
    }
    for kind in ["application/json", "Application/JSON; charset=utf-8"] {
        server.send("POST", APPLY, Some((kind, body))).ok();
    }
}

#[test]
fn malformed_and_deep_json_are_refused() {
    let server = TestServer::start(sample());
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in ["", "{", "{\"documents\": [}", "\u{0}", deep.as_str()] {
        let answer = server.send("POST", APPLY, Some(("application/json", body.as_bytes())));
        let message = answer.error(400, "badRequest");
        assert!(
            message.starts_with("Invalid JSON payload received. "),
            "{message}"
        );
    }
    server
        .send(
            "POST",
            APPLY,
            Some(("application/json", b"{\"documents\": [\xff]}")),
        )
        .error(400, "badRequest");
}

#[test]
fn an_oversized_body_is_refused() {
    let config = ServerConfig {
        max_body_bytes: 1000,
        ..ServerConfig::default()
    };
    let server = TestServer::with_config(sample(), config);
    let padded = |n: usize| format!("{{\"documents\": []{}}}", " ".repeat(n - 17));
    assert_eq!(padded(1000).len(), 1000);
    server
        .send("POST", APPLY, Some(("application/json", padded(1000).as_bytes())))
        .ok();
    for length in [1001, 10_000_000] {
        let answer = server.send(
            "POST",
            APPLY,
            Some(("application/json", padded(length).as_bytes())),
        );
        assert_eq!(
            answer.error(413, "uploadTooLarge"),
            "The request body is larger than 1000 bytes"
        );
    }
}

#[test]
fn a_body_that_does_not_come_is_given_up() {
    let config = ServerConfig {
        body_timeout: Duration::from_millis(50),
        ..ServerConfig::default()
    };
    let server = TestServer::with_config(sample(), config);
    let mut stream = server.unix();
    let head = format!(
        "POST {APPLY} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: 10\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).expect("to write");
    read_answer(stream).error(408, "requestTimeout");
}

/// Without an answer. What the server has not read makes the end a reset.
#[track_caller]
fn assert_closed(mut stream: UnixStream) {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => assert!(rest.is_empty(), "{rest:?}"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

#[test]
fn idle_connections_do_not_keep_others_out() {
    let header_timeout = Duration::from_millis(100);
    let config = ServerConfig {
        max_connections: 4,
        header_timeout,
        ..ServerConfig::default()
    };
    let server = TestServer::with_config(sample(), config);
    let mut silent: Vec<UnixStream> = (0..20).map(|_| server.unix()).collect();
    for (i, stream) in silent.iter_mut().enumerate() {
        if i % 2 == 0 {
            stream.write_all(b"GET /lb/v1/status HT").expect("to write");
        }
    }
    server.get("/lb/v1/status").ok();
    silent.into_iter().for_each(assert_closed);
}

#[test]
fn a_connection_that_is_kept_alive_is_closed_when_idle() {
    let config = ServerConfig {
        header_timeout: Duration::from_millis(100),
        ..ServerConfig::default()
    };
    let server = TestServer::with_config(sample(), config);
    let mut stream = server.unix();
    stream
        .write_all(b"GET /lb/v1/stats HTTP/1.1\r\nhost: x\r\n\r\n")
        .expect("to write");
    let answer = read_answer(&mut stream);
    assert_eq!(answer.ok()["services"], json!([]));
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let config = ServerConfig {
        max_connections: 1,
        write_timeout: Duration::from_millis(100),
        ..ServerConfig::default()
    };
    let server = TestServer::with_config(sample(), config);
    for i in 0..300 {
        let name = format!("s{i}");
        let value = json!({"kind": "compute#healthCheck", "name": name, "description": "x".repeat(10_000)});
        let document = json!({"source": "t", "value": value});
        server.post(APPLY, &json!({"documents": [document]})).ok();
    }
    let mut deaf = server.unix();
    deaf.write_all(b"GET /lb/v1/resources HTTP/1.1\r\nhost: x\r\n\r\n")
        .expect("to write");
    server.get("/lb/v1/status").ok();
}

#[test]
fn the_server_ends_with_idle_connections_open() {
    let mut server = TestServer::start(sample());
    let mut idle = server.unix();
    idle.write_all(b"GET /lb/v1/sta").expect("to write");
    let mut kept = server.tcp();
    kept.write_all(b"GET /lb/v1/stats HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .expect("to write");
    let mut first = [0; 12];
    kept.read_exact(&mut first).expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200");
    server.stop();
    assert!(!server.socket.exists());
}

#[test]
fn of_many_idle_connections_the_oldest_go() {
    let config = ServerConfig {
        max_connections: 8,
        ..ServerConfig::default()
    };
    let server = TestServer::with_config(sample(), config);
    let mut kept = server.unix();
    let mut idle: Vec<UnixStream> = Vec::new();
    let ask = |stream: &mut UnixStream| {
        stream
            .write_all(b"GET /lb/v1/stats HTTP/1.1\r\nhost: x\r\n\r\n")
            .expect("to write");
        let mut text = Vec::new();
        while !text.ends_with(b"}") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            text.push(byte[0]);
        }
    };
    // None of the 2,000 waits for a timeout, and the one that is used is never the oldest.
    for round in 0..2000 {
        let mut stream = server.unix();
        if round % 2 == 0 {
            stream.write_all(b"GET /lb/v1/st").expect("to write");
        }
        idle.push(stream);
        ask(&mut kept);
        if idle.len() > 500 {
            assert_closed(idle.remove(0));
        }
    }
    ask(&mut kept);
    server.get("/lb/v1/status").ok();
}

#[test]
fn large_bodies_have_room_for_so_many_at_once() {
    let config = ServerConfig {
        max_body_bytes: 1 << 20,
        max_body_bytes_at_once: 2 << 20,
        ..ServerConfig::default()
    };
    let server = TestServer::with_config(sample(), config);
    let begin = |length: &str| {
        let mut stream = server.unix();
        let head = format!(
            "POST {APPLY} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-type: application/json\r\n{length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("to write");
        let mut line = [0; 12];
        stream.read_exact(&mut line).expect("a line");
        (stream, String::from_utf8_lossy(&line).into_owned())
    };
    // Who is asked for the body has got room for it.
    let first = begin("content-length: 1048576");
    let second = begin("transfer-encoding: chunked");
    assert_eq!(
        (first.1.as_str(), second.1.as_str()),
        ("HTTP/1.1 100", "HTTP/1.1 100")
    );
    assert_eq!(begin("content-length: 500000").1, "HTTP/1.1 503");
    assert_eq!(begin("content-length: 1048577").1, "HTTP/1.1 413");
    // Small ones go on.
    server.post(APPLY, &json!({"documents": []})).ok();
    drop(first);
    let mut third = begin("content-length: 500000");
    while third.1 == "HTTP/1.1 503" {
        third = begin("content-length: 500000");
    }
    assert_eq!(third.1, "HTTP/1.1 100");
}
