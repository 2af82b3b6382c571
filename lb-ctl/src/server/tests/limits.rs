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
    for mut stream in silent {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("the server to close");
        assert!(rest.is_empty(), "{rest:?}");
    }
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
    assert_eq!(answer.ok(), json!({"verdicts": [], "services": []}));
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
