use ::http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use super::servers::{Endpoint, raw, serve_http1, tls};
use super::*;

const HTTP: HttpVersion = HttpVersion::Http;
const EMPTY: &str = "HTTP/1.1 200 OK\r\n\r\n";

async fn of_reply(reply: impl Into<Vec<u8>>, expected: &str) -> ProbeResult {
    let (endpoint, _) = raw("\r\n\r\n", reply, false).await;
    ask(&endpoint, &http(HTTP, expected)).await
}

#[tokio::test]
async fn the_path_is_asked_for_and_the_host_named() {
    for (host, line) in [
        ("", "host: 127.0.0.1\r\n"),
        ("www.example.com", "host: www.example.com\r\n"),
    ] {
        let (endpoint, mut heard) = raw("\r\n\r\n", EMPTY, false).await;
        let asked = with_host(http(HTTP, ""), host);
        assert_eq!(ask(&endpoint, &asked).await, SUCCESS_WITHOUT_WEIGHT);
        let request = String::from_utf8(heard.recv().await.unwrap())
            .unwrap()
            .to_lowercase();
        assert!(request.starts_with("get /healthz http/1.1\r\n"), "{request}");
        assert!(request.contains(line), "{request}");
    }
}

#[tokio::test]
async fn the_proxy_header_comes_first() {
    let (endpoint, mut heard) = raw("\r\n\r\n", EMPTY, false).await;
    let asked = with_proxy_header(http(HTTP, ""));
    assert_eq!(ask(&endpoint, &asked).await, SUCCESS_WITHOUT_WEIGHT);
    let request = heard.recv().await.unwrap();
    assert!(request.starts_with(b"PROXY UNKNOWN\r\nGET /healthz HTTP/1.1\r\n"));
}

#[tokio::test]
async fn https_is_the_same_inside_tls() {
    let (heard, mut hearing) = mpsc::unbounded_channel();
    let endpoint = Endpoint::start_tls(tls(&["http/1.1"]), move |stream| {
        let heard = heard.clone();
        serve_http1(stream, move |request: Request<Incoming>| {
            let host = request.headers()["host"].to_str().unwrap().to_owned();
            let _ = heard.send((request.uri().path().to_owned(), host));
            let body = if request.uri() == "/healthz" {
                "all fine"
            } else {
                "lost"
            };
            Response::builder()
                .header(WEIGHT_HEADER, "12")
                .body(body.into())
                .unwrap()
        })
    })
    .await;
    let asked = with_host(http(HttpVersion::Https, "fine"), "shop.example");
    let weight = reported("12");
    assert_eq!(ask(&endpoint, &asked).await, ProbeResult::Success { weight });
    let heard = hearing.recv().await.unwrap();
    assert_eq!(heard, ("/healthz".to_owned(), "shop.example".to_owned()));

    let result = ask(&endpoint, &http(HttpVersion::Https, "bad")).await;
    let reason = "'bad' is not within the first 1024 bytes of the body".to_owned();
    assert_eq!(result, ProbeResult::Failure { reason, weight });
}

#[tokio::test]
async fn the_status_is_200_exactly() {
    for status in [
        "201 Created",
        "204 No Content",
        "404 Not Found",
        "503 Service Unavailable",
    ] {
        let reply = format!("HTTP/1.1 {status}\r\nX-Load-Balancing-Endpoint-Weight: 9\r\n\r\n");
        let expected = ProbeResult::Failure {
            reason: format!("HTTP status {}, expected 200", &status[..3]),
            weight: reported("9"),
        };
        assert_eq!(of_reply(reply, "").await, expected);
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (fine, mut heard) = raw("\r\n\r\n", EMPTY, false).await;
    let location = fine.destination.address;
    let redirect = format!("HTTP/1.1 302 Found\r\nLocation: http://{location}/\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(why(of_reply(redirect, "").await), "HTTP status 302, expected 200");
    assert!(heard.try_recv().is_err());
}

#[tokio::test]
async fn the_response_is_looked_for_in_the_first_1024_bytes() {
    let body = |before: usize| {
        let mut reply = EMPTY.as_bytes().to_vec();
        reply.resize(reply.len() + before, b'.');
        reply.extend_from_slice(b"fine");
        reply
    };
    for before in [0, 1, 1020] {
        let result = of_reply(body(before), "fine").await;
        assert_eq!(result, SUCCESS_WITHOUT_WEIGHT, "{before}");
    }
    for before in [1021, 1024, 5000] {
        let text = why(of_reply(body(before), "fine").await);
        let expected = "'fine' is not within the first 1024 bytes of the body";
        assert_eq!(text, expected, "{before}");
    }
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nfi\r\n2\r\nne\r\n0\r\n\r\n";
    assert_eq!(of_reply(chunked, "fine").await, SUCCESS_WITHOUT_WEIGHT);
}

#[tokio::test]
async fn a_connection_that_ends_in_the_body_is_told() {
    let reply = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfi";
    let text = why(of_reply(reply, "fine").await);
    assert_eq!(text, "connection closed before the reply was complete");
}

#[tokio::test]
async fn the_weight_of_a_head_counts_when_the_body_never_comes() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX-Load-Balancing-Endpoint-Weight: 3\r\n\r\n";
    let (endpoint, _) = raw("\r\n\r\n", head, true).await;
    let result = probe_for(&endpoint.destination, &http(HTTP, "fine"), SHORT).await;
    let expected = ProbeResult::Failure {
        reason: "timed out after 0.3 s waiting for the reply".to_owned(),
        weight: reported("3"),
    };
    assert_eq!(result, expected);
}

/// Other clients take such heads, so they are no reason to call an endpoint unhealthy.
#[tokio::test]
async fn heads_that_are_not_as_they_should_be_are_taken() {
    let folded = "HTTP/1.1 200 OK\r\nServer: old\r\n and\r\n\tfolded\r\nContent-Length: 4\r\n\r\nfine";
    let spaced = "HTTP/1.1 200 OK\r\nContent-Length : 4\r\nX-Load-Balancing-Endpoint-Weight : 5\r\n\r\nfine";
    let bare = "HTTP/1.1 200\nContent-Length: 4\n\nfine";
    for (reply, weight) in [
        (folded, WeightReport::Missing),
        (spaced, reported("5")),
        (bare, WeightReport::Missing),
    ] {
        assert_eq!(
            of_reply(reply, "fine").await,
            ProbeResult::Success { weight },
            "{reply:?}"
        );
    }
    for (count, is_well) in [(250, true), (256, true), (257, false)] {
        let reply = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(count));
        let result = of_reply(reply, "").await;
        assert_eq!(result == SUCCESS_WITHOUT_WEIGHT, is_well, "{count} {result:?}");
    }
}
