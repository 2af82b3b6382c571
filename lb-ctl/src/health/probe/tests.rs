use std::net::Ipv4Addr;

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::model::ResourcePath;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);

/// A server for one connection: it reads until it has seen `until`, sends `reply`, and ends with what it was sent.
/// With `hold` it keeps the connection open until the client closes.
async fn server(until: &'static [u8], reply: Vec<u8>, hold: bool) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut received = Vec::new();
        while !received.ends_with(until) {
            if stream.read_buf(&mut received).await.unwrap() == 0 {
                break;
            }
        }
        stream.write_all(&reply).await.unwrap();
        if hold {
            while stream.read_buf(&mut received).await.is_ok_and(|count| count > 0) {}
        }
        received
    });
    (address, task)
}

/// An address where nobody listens.
async fn closed_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

fn tcp_exchange(request: &'static [u8], response: &'static [u8]) -> tcp::Exchange<'static> {
    tcp::Exchange {
        proxy_header: ProxyHeader::None,
        request,
        response,
    }
}

fn http_exchange(response: &'static [u8]) -> http::Exchange<'static> {
    http::Exchange {
        proxy_header: ProxyHeader::None,
        host: "",
        request_path: "/healthz",
        response,
    }
}

async fn http_reply(reply: impl Into<Vec<u8>>, expected: &'static [u8]) -> ProbeResult {
    let (address, _task) = server(b"\r\n\r\n", reply.into(), false).await;
    http::probe(address, http_exchange(expected), LONG).await
}

fn reason(result: ProbeResult) -> String {
    match result {
        ProbeResult::Failure { reason, .. } => reason,
        other => panic!("expected a failure: {other:?}"),
    }
}

const TCP_SUCCESS: ProbeResult = ProbeResult::Success {
    weight: WeightReport::NotCarried,
};

#[tokio::test]
async fn tcp_needs_only_a_connection_unless_told_otherwise() {
    let (address, _task) = server(b"never", Vec::new(), true).await;
    assert_eq!(
        tcp::probe(address, tcp_exchange(b"", b""), LONG).await,
        TCP_SUCCESS
    );
    let refused = tcp::probe(closed_port().await, tcp_exchange(b"", b""), LONG).await;
    assert_eq!(
        refused,
        ProbeResult::Failure {
            reason: "connection refused".to_owned(),
            weight: WeightReport::NotCarried
        }
    );
}

#[tokio::test]
async fn tcp_compares_the_first_bytes_only() {
    let (address, task) = server(b"ping", b"pong and more".to_vec(), true).await;
    assert_eq!(
        tcp::probe(address, tcp_exchange(b"ping", b"pong"), LONG).await,
        TCP_SUCCESS
    );
    assert_eq!(task.await.unwrap(), b"ping");
}

#[tokio::test]
async fn tcp_says_what_was_wrong_with_the_response() {
    let (address, _task) = server(b"", b"po\nt".to_vec(), true).await;
    let result = tcp::probe(address, tcp_exchange(b"", b"pong"), LONG).await;
    assert_eq!(reason(result), r"received 'po\nt', expected 'pong'");

    let (address, _task) = server(b"", b"po".to_vec(), false).await;
    let result = tcp::probe(address, tcp_exchange(b"", b"pong"), LONG).await;
    assert_eq!(
        reason(result),
        "connection closed after 2 bytes of the 4 expected"
    );

    let (address, _task) = server(b"", b"po".to_vec(), true).await;
    let result = tcp::probe(address, tcp_exchange(b"", b"pong"), SHORT).await;
    assert_eq!(reason(result), "timed out after 0.1 s");
}

#[tokio::test]
async fn the_proxy_header_comes_first() {
    let (address, task) = server(b"ping", b"pong".to_vec(), true).await;
    let exchange = tcp::Exchange {
        proxy_header: ProxyHeader::ProxyV1,
        ..tcp_exchange(b"ping", b"pong")
    };
    assert_eq!(tcp::probe(address, exchange, LONG).await, TCP_SUCCESS);
    assert_eq!(task.await.unwrap(), b"PROXY UNKNOWN\r\nping");

    let (address, task) = server(b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), false).await;
    let exchange = http::Exchange {
        proxy_header: ProxyHeader::ProxyV1,
        ..http_exchange(b"")
    };
    let result = http::probe(address, exchange, LONG).await;
    assert!(matches!(result, ProbeResult::Success { .. }), "{result:?}");
    assert!(
        task.await
            .unwrap()
            .starts_with(b"PROXY UNKNOWN\r\nGET /healthz HTTP/1.1\r\n")
    );
}

#[tokio::test]
async fn http_asks_for_the_path_and_names_the_host() {
    for (host, line) in [
        ("", "host: 127.0.0.1\r\n"),
        ("www.example.com", "host: www.example.com\r\n"),
    ] {
        let (address, task) = server(b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), false).await;
        let exchange = http::Exchange {
            host,
            ..http_exchange(b"")
        };
        let result = http::probe(address, exchange, LONG).await;
        assert_eq!(
            result,
            ProbeResult::Success {
                weight: WeightReport::Missing
            }
        );
        let request = String::from_utf8(task.await.unwrap()).unwrap().to_lowercase();
        assert!(request.starts_with("get /healthz http/1.1\r\n"), "{request}");
        assert!(request.contains(line), "{request}");
    }
}

#[tokio::test]
async fn http_wants_status_200_exactly() {
    for status in [
        "201 Created",
        "204 No Content",
        "404 Not Found",
        "503 Service Unavailable",
    ] {
        let reply = format!("HTTP/1.1 {status}\r\nX-Load-Balancing-Endpoint-Weight: 9\r\n\r\n");
        assert_eq!(
            http_reply(reply, b"").await,
            ProbeResult::Failure {
                reason: format!("HTTP status {}, expected 200", &status[..3]),
                weight: WeightReport::Reported(9),
            }
        );
    }
    let (address, _task) = server(b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), true).await;
    let redirect = format!("HTTP/1.1 302 Found\r\nLocation: http://{address}/\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(
        reason(http_reply(redirect, b"").await),
        "HTTP status 302, expected 200"
    );
}

#[tokio::test]
async fn http_looks_for_the_response_in_the_first_1024_bytes() {
    let body = |before: usize| {
        let mut reply = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        reply.resize(reply.len() + before, b'.');
        reply.extend_from_slice(b"fine");
        reply
    };
    for before in [0, 1, 1020] {
        let result = http_reply(body(before), b"fine").await;
        assert_eq!(
            result,
            ProbeResult::Success {
                weight: WeightReport::Missing
            },
            "{before}"
        );
    }
    for before in [1021, 1024, 5000] {
        let text = reason(http_reply(body(before), b"fine").await);
        assert_eq!(
            text, "'fine' is not within the first 1024 bytes of the body",
            "{before}"
        );
    }
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nfi\r\n2\r\nne\r\n0\r\n\r\n";
    let result = http_reply(chunked, b"fine").await;
    assert_eq!(
        result,
        ProbeResult::Success {
            weight: WeightReport::Missing
        }
    );
}

#[tokio::test]
async fn http_says_what_was_wrong() {
    let refused = http::probe(closed_port().await, http_exchange(b""), LONG).await;
    assert_eq!(
        refused,
        ProbeResult::Failure {
            reason: "connection refused".to_owned(),
            weight: WeightReport::Unavailable
        }
    );
    let text = reason(http_reply("SSH-2.0-OpenSSH_9.9\r\n", b"").await);
    assert!(text.starts_with("not an HTTP/1 reply"), "{text}");
    let closed = http_reply("", b"").await;
    assert_eq!(
        closed,
        ProbeResult::Failure {
            reason: "connection closed before the reply was complete".to_owned(),
            weight: WeightReport::Unavailable
        }
    );
}

#[tokio::test]
async fn http_keeps_the_weight_of_a_head_whose_body_never_comes() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX-Load-Balancing-Endpoint-Weight: 3\r\n\r\n";
    let (address, _task) = server(b"\r\n\r\n", head.to_vec(), true).await;
    let result = http::probe(address, http_exchange(b"fine"), Duration::from_secs(1)).await;
    assert_eq!(
        result,
        ProbeResult::Failure {
            reason: "timed out after 1 s".to_owned(),
            weight: WeightReport::Reported(3)
        }
    );
}

#[test]
fn weights_are_decimal_and_in_range() {
    let table: &[(&[&str], WeightReport)] = &[
        (&[], WeightReport::Missing),
        (&["0"], WeightReport::Reported(0)),
        (&["1000"], WeightReport::Reported(1000)),
        (&["007"], WeightReport::Reported(7)),
        (&["1001"], WeightReport::Invalid),
        (&["-1"], WeightReport::Invalid),
        (&["+1"], WeightReport::Invalid),
        (&["1.5"], WeightReport::Invalid),
        (&["ten"], WeightReport::Invalid),
        (&[""], WeightReport::Invalid),
        (&["99999999999999999999"], WeightReport::Invalid),
        (&["1", "2"], WeightReport::Invalid),
    ];
    for (values, expected) in table {
        let mut headers = ::http::HeaderMap::new();
        for value in *values {
            headers.append(http::WEIGHT_HEADER, value.parse().unwrap());
        }
        assert_eq!(http::weight_of(&headers), *expected, "{values:?}");
    }
}

#[test]
fn want_of_something_on_this_host_is_no_evidence() {
    for code in [libc::EMFILE, libc::ENFILE, libc::EADDRNOTAVAIL] {
        let error = ProbeError::from_io("connect", &io::Error::from_raw_os_error(code));
        let result = error.into_result(WeightReport::Unavailable);
        assert!(matches!(result, ProbeResult::Inconclusive { .. }), "{result:?}");
    }
    let error = ProbeError::from_io("connect", &io::Error::from_raw_os_error(libc::EHOSTUNREACH));
    assert_eq!(
        reason(error.into_result(WeightReport::Unavailable)),
        "host unreachable"
    );
}

#[tokio::test]
async fn the_prober_takes_port_and_kind_from_the_check() {
    let (address, _task) = server(b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), false).await;
    let http = |version| Probe::Http {
        version,
        port: address.port(),
        proxy_header: ProxyHeader::None,
        host: String::new(),
        request_path: "/".to_owned(),
        response: Vec::new(),
    };
    let check = |probe| HealthCheck {
        path: ResourcePath::from_canonical("projects/p/regions/r/healthChecks/h"),
        check_interval_sec: 20,
        timeout_sec: 20,
        healthy_threshold: 2,
        unhealthy_threshold: 2,
        probe,
    };
    let result = SocketProber
        .probe(address.ip(), &check(http(HttpVersion::Http)))
        .await;
    assert_eq!(
        result,
        ProbeResult::Success {
            weight: WeightReport::Missing
        }
    );
    let result = SocketProber
        .probe(address.ip(), &check(http(HttpVersion::Http2)))
        .await;
    assert!(matches!(result, ProbeResult::Inconclusive { .. }), "{result:?}");
}
