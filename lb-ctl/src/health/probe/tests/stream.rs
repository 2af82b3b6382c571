use super::servers::{Endpoint, closed_port, converse, raw, tls};
use super::*;

/// An endpoint inside TLS of one scripted conversation for each connection.
async fn raw_tls(until: &'static str, reply: &'static str, hold: bool) -> Endpoint {
    Endpoint::start_tls(tls(&[]), move |stream| async move {
        converse(stream, until.as_bytes(), reply.as_bytes(), hold).await;
    })
    .await
}

#[tokio::test]
async fn tcp_needs_only_a_connection_unless_told_otherwise() {
    let (endpoint, _) = raw("never", "", true).await;
    assert_eq!(ask(&endpoint, &stream(false, "", "")).await, SUCCESS);
    let refused = probe_for(&closed_port().await, &stream(false, "", ""), LONG).await;
    let expected = ProbeResult::Failure {
        reason: "connection refused".to_owned(),
        weight: WeightReport::NotCarried,
    };
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn ssl_needs_only_a_handshake_unless_told_otherwise() {
    let endpoint = raw_tls("never", "", true).await;
    assert_eq!(ask(&endpoint, &stream(true, "", "")).await, SUCCESS);
}

#[tokio::test]
async fn only_the_first_bytes_are_compared() {
    let (endpoint, _) = raw("ping", "pong and more", true).await;
    assert_eq!(ask(&endpoint, &stream(false, "ping", "pong")).await, SUCCESS);
    let endpoint = raw_tls("ping", "pong and more", true).await;
    assert_eq!(ask(&endpoint, &stream(true, "ping", "pong")).await, SUCCESS);
}

#[tokio::test]
async fn an_endpoint_may_speak_first() {
    let (endpoint, _) = raw("", "220 ready", true).await;
    assert_eq!(ask(&endpoint, &stream(false, "", "220")).await, SUCCESS);
    let endpoint = raw_tls("", "220 ready", true).await;
    assert_eq!(ask(&endpoint, &stream(true, "", "220")).await, SUCCESS);
}

#[tokio::test]
async fn a_wrong_response_is_told() {
    let (endpoint, _) = raw("", "po\nt", true).await;
    let expected = r"received 'po\nt', expected 'pong'";
    assert_eq!(reason(&endpoint, &stream(false, "", "pong")).await, expected);
    let endpoint = raw_tls("", "po\nt", true).await;
    assert_eq!(reason(&endpoint, &stream(true, "", "pong")).await, expected);
}

#[tokio::test]
async fn an_end_before_the_response_is_told() {
    let (endpoint, _) = raw("", "po", false).await;
    let expected = "connection closed after 2 bytes of the 4 expected";
    assert_eq!(reason(&endpoint, &stream(false, "", "pong")).await, expected);
}

#[tokio::test]
async fn a_response_that_never_comes_is_told() {
    let (endpoint, _) = raw("", "po", true).await;
    let result = probe_for(&endpoint.destination, &stream(false, "", "pong"), SHORT).await;
    assert_eq!(why(result), "timed out after 0.3 s waiting for the reply");
}

#[tokio::test]
async fn a_request_arrives_whole_when_no_response_is_expected() {
    let request = "x".repeat(1024);
    let (endpoint, mut heard) = raw("never", "", true).await;
    assert_eq!(ask(&endpoint, &stream(false, &request, "")).await, SUCCESS);
    assert_eq!(heard.recv().await.unwrap(), request.as_bytes());
}

#[tokio::test]
async fn the_proxy_header_comes_first() {
    let (endpoint, mut heard) = raw("ping", "pong", true).await;
    let asked = with_proxy_header(stream(false, "ping", "pong"));
    assert_eq!(ask(&endpoint, &asked).await, SUCCESS);
    assert_eq!(heard.recv().await.unwrap(), b"PROXY UNKNOWN\r\nping");
}
