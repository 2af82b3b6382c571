//! An endpoint that means harm: it can neither hold a probe beyond its timeout nor make it keep what it sends.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::http::Response;
use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::servers::{Endpoint, http2, raw, serve_http2, tls};
use super::*;

/// Sends `head`, then one byte at a time, until the client is gone.
async fn drip(mut stream: impl AsyncWrite + Unpin, head: &[u8]) {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let mut sent = stream.write_all(head).await;
    while sent.is_ok() {
        ticks.tick().await;
        sent = stream.write_all(b"x").await;
        if sent.is_ok() {
            sent = stream.flush().await;
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_drips_holds_no_probe() {
    let body: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    // A settings frame without settings, then a frame of 16 kB whose payload drips.
    let frames: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 1];
    // A handshake record of 16 kB whose content drips.
    let record: &[u8] = &[22, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xfc];
    for (asked, head) in [
        (stream(false, "ping", &"x".repeat(1024)), b"".as_slice()),
        (http(HttpVersion::Http, "fine"), b"HTTP/1.1 200 OK\r\nX: "),
        (http(HttpVersion::Http, "fine"), body),
        (grpc(false, ""), frames),
        (stream(true, "", ""), record),
        (http(HttpVersion::Https, ""), record),
        (http(HttpVersion::Http2, ""), record),
        (grpc(true, ""), record),
    ] {
        let (ended, mut ends) = mpsc::unbounded_channel();
        let endpoint = Endpoint::start(move |mut stream| {
            let ended = ended.clone();
            async move {
                stream.read_exact(&mut [0; 4]).await.unwrap();
                drip(stream, head).await;
                let _ = ended.send(());
            }
        })
        .await;
        let text = why(probe_for(&endpoint.destination, &asked, SHORT).await);
        assert!(text.starts_with("timed out after 0.3 s "), "{asked:?}: {text}");
        let end = tokio::time::timeout(LONG, ends.recv()).await;
        assert!(end.is_ok(), "the connection outlived its probe: {asked:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_drips_inside_tls_holds_no_probe() {
    for asked in [
        stream(true, "ping", &"x".repeat(1024)),
        http(HttpVersion::Https, "fine"),
        http(HttpVersion::Http2, "fine"),
        grpc(true, ""),
    ] {
        let (ended, mut ends) = mpsc::unbounded_channel();
        let acceptor = TlsAcceptor::from(Arc::new(tls(&["h2", "http/1.1"])));
        let endpoint = Endpoint::start(move |stream| {
            let (acceptor, ended) = (acceptor.clone(), ended.clone());
            async move {
                let mut stream = acceptor.accept(stream).await.unwrap();
                stream.read_exact(&mut [0; 4]).await.unwrap();
                let head: &[u8] = match stream.get_ref().1.alpn_protocol() {
                    Some(b"h2") => &[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 1],
                    Some(_) => b"HTTP/1.1 200 OK\r\n\r\n",
                    None => b"",
                };
                // In HTTP/1.1 a body of as many bytes as are looked at.
                drip(stream, head).await;
                let _ = ended.send(());
            }
        })
        .await;
        let text = why(probe_for(&endpoint.destination, &asked, SHORT).await);
        let expected = "timed out after 0.3 s waiting for the reply";
        assert_eq!(text, expected, "{asked:?}");
        let end = tokio::time::timeout(LONG, ends.recv()).await;
        assert!(end.is_ok(), "the connection outlived its probe: {asked:?}");
    }
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let head = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(1 << 20));
    let (endpoint, _) = raw("\r\n\r\n", head, true).await;
    let text = reason(&endpoint, &http(HttpVersion::Http, "")).await;
    assert_eq!(text, "the head of the reply is too large");
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(5_000));
    let (endpoint, _) = raw("\r\n\r\n", many, true).await;
    let text = reason(&endpoint, &http(HttpVersion::Http, "")).await;
    assert_eq!(text, "the head of the reply is too large");
}

#[tokio::test]
async fn a_head_without_end_is_refused_in_http2() {
    let large = |_| {
        Response::builder()
            .header("x", "x".repeat(200_000))
            .body(Default::default())
            .unwrap()
    };
    let endpoint = http2(Some(tls(&["h2"])), large).await;
    let text = reason(&endpoint, &http(HttpVersion::Http2, "")).await;
    assert!(text.starts_with("HTTP/2 exchange failed: "), "{text}");
    let endpoint = http2(None, large).await;
    let text = reason(&endpoint, &grpc(false, "")).await;
    assert!(text.starts_with("HTTP/2 exchange failed: "), "{text}");
}

#[tokio::test]
async fn no_more_of_a_body_is_taken_than_is_looked_at() {
    const CHUNK: usize = 16 * 1024;
    let chunks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&chunks);
    let endpoint = Endpoint::start_tls(tls(&["h2"]), move |stream| {
        let counted = Arc::clone(&counted);
        let service = service_fn(move |_| {
            let counted = Arc::clone(&counted);
            let body = futures_util::stream::repeat_with(move || {
                counted.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'.'; CHUNK])))
            });
            async { Ok::<_, Infallible>(Response::new(StreamBody::new(body))) }
        });
        serve_http2(stream, service)
    })
    .await;
    let text = reason(&endpoint, &http(HttpVersion::Http2, "fine")).await;
    assert_eq!(text, "'fine' is not within the first 1024 bytes of the body");
    // What the flow-control window admits, and what the server holds ready.
    let sent = chunks.load(Ordering::Relaxed) * CHUNK;
    assert!(sent <= 1 << 20, "{sent}");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused() {
    let endpoint = http2(None, |_| {
        let mut body = vec![0, 0, 0x0f, 0xff, 0xff];
        body.resize(5 + 0x0f_ffff, 0);
        let response = Response::builder().header("content-type", "application/grpc");
        response.body(body.into()).unwrap()
    })
    .await;
    let text = reason(&endpoint, &grpc(false, "")).await;
    assert!(text.starts_with("gRPC status OUT_OF_RANGE: "), "{text}");
}
