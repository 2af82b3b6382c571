use ::http::{Request, Response, Version};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use super::servers::{http2, tls};
use super::*;

const HTTP2: HttpVersion = HttpVersion::Http2;

#[tokio::test]
async fn the_path_is_asked_for_and_the_authority_named() {
    let (heard, mut hearing) = mpsc::unbounded_channel();
    let endpoint = http2(Some(tls(&["h2"])), move |request: Request<Incoming>| {
        let _ = heard.send((request.version(), request.uri().to_string()));
        Response::builder()
            .header(WEIGHT_HEADER, "0")
            .body("fine".into())
            .unwrap()
    })
    .await;
    for (host, uri) in [
        ("", "https://127.0.0.1/healthz"),
        ("shop.example:8443", "https://shop.example:8443/healthz"),
    ] {
        let asked = with_host(http(HTTP2, "fine"), host);
        let weight = reported("0");
        assert_eq!(ask(&endpoint, &asked).await, ProbeResult::Success { weight });
        let heard = hearing.recv().await.unwrap();
        assert_eq!(heard, (Version::HTTP_2, uri.to_owned()));
    }
}

#[tokio::test]
async fn status_and_body_are_judged_as_in_http1() {
    for (status, before, reason) in [
        (200, 1020, None),
        (
            200,
            1021,
            Some("'fine' is not within the first 1024 bytes of the body"),
        ),
        (204, 0, Some("HTTP status 204, expected 200")),
        (301, 0, Some("HTTP status 301, expected 200")),
        (500, 0, Some("HTTP status 500, expected 200")),
    ] {
        let endpoint = http2(Some(tls(&["h2"])), move |_| {
            let body = ".".repeat(before) + "fine";
            Response::builder()
                .status(status)
                .header("location", "/fine")
                .body(body.into())
                .unwrap()
        })
        .await;
        let result = ask(&endpoint, &http(HTTP2, "fine")).await;
        let expected = match reason {
            None => SUCCESS_WITHOUT_WEIGHT,
            Some(reason) => ProbeResult::Failure {
                reason: reason.to_owned(),
                weight: WeightReport::Missing,
            },
        };
        assert_eq!(result, expected, "{status} {before}");
    }
}

#[tokio::test]
async fn a_bad_weight_is_reported_as_bad() {
    let endpoint = http2(Some(tls(&["h2"])), |_| {
        let response = Response::builder().header(WEIGHT_HEADER, "1001");
        response.body(Default::default()).unwrap()
    })
    .await;
    let weight = WeightReport::Invalid;
    let result = ask(&endpoint, &http(HTTP2, "")).await;
    assert_eq!(result, ProbeResult::Success { weight });
}

#[tokio::test]
async fn an_endpoint_that_does_not_choose_http2_fails() {
    let fine = |_: Request<Incoming>| Response::new("fine".into());
    let deaf = http2(Some(tls(&[])), fine).await;
    let text = reason(&deaf, &http(HTTP2, "")).await;
    assert_eq!(
        text,
        "the endpoint did not choose HTTP/2 in the TLS handshake (ALPN h2)"
    );
    let other = http2(Some(tls(&["http/1.1"])), fine).await;
    let text = reason(&other, &http(HTTP2, "")).await;
    assert_eq!(
        text,
        "the endpoint refused the protocol that was offered in the TLS handshake (ALPN)"
    );
}
