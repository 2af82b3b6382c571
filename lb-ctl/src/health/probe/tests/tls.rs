use ::http::Response;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::servers::{Endpoint, converse, raw, self_signed, serve_http1, tls, tls_config, tls_config_with};
use super::*;

#[tokio::test]
async fn both_versions_of_tls_will_do() {
    for version in [&TLS12, &TLS13] {
        let endpoint = Endpoint::start_tls(tls_config(&[version], &[]), |stream| async {
            converse(stream, b"ping", b"pong", true).await;
        })
        .await;
        let result = ask(&endpoint, &stream(true, "ping", "pong")).await;
        assert_eq!(result, SUCCESS, "{version:?}");
    }
}

#[tokio::test]
async fn certificates_are_not_verified() {
    let expired = self_signed(|parameters| {
        parameters.not_before = rcgen::date_time_ymd(2001, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let not_yet = self_signed(|parameters| parameters.not_before = rcgen::date_time_ymd(2999, 1, 1));
    let authority = self_signed(|parameters| {
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    for (what, certificate) in [
        ("expired", expired),
        ("future", not_yet),
        ("authority", authority),
    ] {
        for version in [&TLS12, &TLS13] {
            let (certificate, key) = &certificate;
            let key = rcgen::KeyPair::try_from(key.serialize_der()).unwrap();
            let config = tls_config_with((certificate.clone(), key), &[version], &[]);
            let endpoint = Endpoint::start_tls(config, |stream| {
                serve_http1(stream, |_| Response::new(Default::default()))
            })
            .await;
            let asked = with_host(http(HttpVersion::Https, ""), "somebody.else");
            let result = ask(&endpoint, &asked).await;
            assert_eq!(result, SUCCESS_WITHOUT_WEIGHT, "{what} {version:?}");
        }
    }
}

#[tokio::test]
async fn the_host_is_named_when_it_is_a_name() {
    let (heard, mut hearing) = mpsc::unbounded_channel();
    let endpoint = Endpoint::start_tls(tls(&[]), move |stream| {
        let _ = heard.send(stream.get_ref().1.server_name().map(str::to_owned));
        serve_http1(stream, |_| Response::new(Default::default()))
    })
    .await;
    for (host, name) in [
        ("shop.example", Some("shop.example")),
        ("shop.example:8443", Some("shop.example")),
        ("", None),
        ("192.0.2.1", None),
        ("192.0.2.1:443", None),
        ("[2001:db8::1]", None),
    ] {
        let asked = with_host(http(HttpVersion::Https, ""), host);
        assert_eq!(ask(&endpoint, &asked).await, SUCCESS_WITHOUT_WEIGHT, "{host}");
        assert_eq!(hearing.recv().await.unwrap().as_deref(), name, "{host}");
    }
}

#[tokio::test]
async fn no_session_is_resumed() {
    let (heard, mut hearing) = mpsc::unbounded_channel();
    let endpoint = Endpoint::start_tls(tls(&[]), move |stream| {
        let _ = heard.send(stream.get_ref().1.handshake_kind());
        async move { drop(converse(stream, b"ping", b"pong", true).await) }
    })
    .await;
    for _ in 0..3 {
        assert_eq!(ask(&endpoint, &stream(true, "ping", "pong")).await, SUCCESS);
        let kind = hearing.recv().await.unwrap();
        assert_ne!(kind, Some(rustls::HandshakeKind::Resumed));
    }
}

#[tokio::test]
async fn the_proxy_header_comes_before_the_handshake() {
    const HEADER: &[u8] = b"PROXY UNKNOWN\r\n";
    let acceptor = TlsAcceptor::from(std::sync::Arc::new(tls(&[])));
    let endpoint = Endpoint::start(move |mut stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut header = [0; HEADER.len()];
            stream.read_exact(&mut header).await.unwrap();
            assert_eq!(header, HEADER);
            let mut stream = acceptor.accept(stream).await.unwrap();
            stream.write_all(b"pong").await.unwrap();
            stream.flush().await.unwrap();
            // Until the client closes.
            let _ = stream.read(&mut [0]).await;
        }
    })
    .await;
    let asked = with_proxy_header(stream(true, "", "pong"));
    assert_eq!(ask(&endpoint, &asked).await, SUCCESS);
}

#[tokio::test]
async fn what_the_endpoint_objects_to_is_told() {
    // TLS alerts, fatal: protocol version (70), handshake failure (40).
    for (alert, expected) in [
        (70, "the endpoint has neither TLS 1.2 nor TLS 1.3"),
        (
            40,
            "the endpoint ended the TLS handshake with the alert HandshakeFailure",
        ),
    ] {
        let (endpoint, _) = raw("", [21, 3, 3, 0, 2, 2, alert], true).await;
        assert_eq!(reason(&endpoint, &stream(true, "", "")).await, expected);
    }
}
