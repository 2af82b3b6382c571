use ::http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::service::TowerToHyperService;
use tonic_health::ServingStatus;
use tonic_health::server::health_reporter;

use super::servers::{Endpoint, http2, serve_http2, tls};
use super::*;

/// The health service of the gRPC project's own library, with a few services.
async fn health(with_tls: bool) -> Endpoint {
    let (reporter, service) = health_reporter();
    for (name, status) in [
        ("up", ServingStatus::Serving),
        ("down", ServingStatus::NotServing),
        ("unsure", ServingStatus::Unknown),
    ] {
        reporter.set_service_status(name, status).await;
    }
    let service = TowerToHyperService::new(service);
    if with_tls {
        Endpoint::start_tls(tls(&["h2"]), move |stream| serve_http2(stream, service.clone())).await
    } else {
        Endpoint::start(move |stream| serve_http2(stream, service.clone())).await
    }
}

#[tokio::test]
async fn only_serving_is_healthy() {
    for with_tls in [false, true] {
        let endpoint = health(with_tls).await;
        for (service, expected) in [
            ("", None),
            ("up", None),
            ("down", Some("gRPC health is NOT_SERVING, expected SERVING")),
            ("unsure", Some("gRPC health is UNKNOWN, expected SERVING")),
            (
                "nowhere",
                Some("gRPC status NOT_FOUND: the endpoint does not know the service 'nowhere'"),
            ),
        ] {
            let result = ask(&endpoint, &grpc(with_tls, service)).await;
            match expected {
                None => assert_eq!(result, SUCCESS, "{service}"),
                Some(reason) => assert_eq!(why(result), reason, "{service}"),
            }
        }
    }
}

#[tokio::test]
async fn the_health_service_is_asked_at_the_endpoints_address() {
    let (heard, mut hearing) = tokio::sync::mpsc::unbounded_channel();
    let endpoint = http2(None, move |request: Request<Incoming>| {
        let content_type = request.headers()["content-type"].to_str().unwrap().to_owned();
        let _ = heard.send((request.method().clone(), request.uri().to_string(), content_type));
        status(12, "")
    })
    .await;
    let text = reason(&endpoint, &grpc(false, "")).await;
    assert_eq!(
        text,
        "gRPC status UNIMPLEMENTED: the endpoint does not serve grpc.health.v1.Health"
    );
    let address = endpoint.destination.address;
    let uri = format!("http://{address}/grpc.health.v1.Health/Check");
    let expected = (::http::Method::POST, uri, "application/grpc".to_owned());
    assert_eq!(hearing.recv().await.unwrap(), expected);
}

/// A reply without a message.
fn status(code: u32, message: &str) -> Response<http_body_util::Full<bytes::Bytes>> {
    Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", code)
        .header("grpc-message", message)
        .body(Default::default())
        .unwrap()
}

#[tokio::test]
async fn other_statuses_are_told_with_their_message() {
    let endpoint = http2(None, |_| status(8, "out%20of%20luck")).await;
    let text = reason(&endpoint, &grpc(false, "")).await;
    assert_eq!(text, "gRPC status RESOURCE_EXHAUSTED: out of luck");
    let long = "x".repeat(4096);
    let endpoint = http2(None, move |_| status(13, &long)).await;
    let text = reason(&endpoint, &grpc(false, "")).await;
    assert_eq!(text, format!("gRPC status INTERNAL: {}", "x".repeat(128)));
}

#[tokio::test]
async fn what_is_no_grpc_server_fails() {
    let fine = |_: Request<Incoming>| Response::new("fine".into());
    let text = reason(&http2(None, fine).await, &grpc(false, "")).await;
    assert!(text.starts_with("gRPC status "), "{text}");
    let missing = |_: Request<Incoming>| Response::builder().status(404).body(Default::default()).unwrap();
    let text = reason(&http2(None, missing).await, &grpc(false, "")).await;
    assert!(text.starts_with("gRPC status UNIMPLEMENTED"), "{text}");
    // A message of five bytes that is no message.
    let garbage = |_: Request<Incoming>| {
        let body: &[u8] = &[0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0xff];
        let response = Response::builder().header("content-type", "application/grpc");
        response.body(body.into()).unwrap()
    };
    let text = reason(&http2(None, garbage).await, &grpc(false, "")).await;
    assert!(text.starts_with("gRPC status INTERNAL: "), "{text}");
}

#[tokio::test]
async fn a_tls_endpoint_must_choose_http2() {
    let (_, service) = health_reporter();
    let service = TowerToHyperService::new(service);
    let endpoint = Endpoint::start_tls(tls(&[]), move |stream| serve_http2(stream, service.clone())).await;
    let text = reason(&endpoint, &grpc(true, "")).await;
    assert_eq!(
        text,
        "the endpoint did not choose HTTP/2 in the TLS handshake (ALPN h2)"
    );
}
