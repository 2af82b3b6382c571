use ::http::Response;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::servers::{
    Endpoint, converse, raw, self_signed, serve_http1, tls, tls_config, tls_config_of, tls_config_with,
};
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
        (
            70,
            "the endpoint has neither TLS 1.2 nor TLS 1.3, and health checks speak nothing older: use a TCP check",
        ),
        (
            40,
            "the endpoint refused all that was offered in the TLS handshake (alert HandshakeFailure): if all that it has \
             is RSA key exchange, CBC ciphers or DHE, which health checks can't speak, use a TCP check",
        ),
        (
            80,
            "the endpoint ended the TLS handshake with the alert InternalError",
        ),
    ] {
        let (endpoint, _) = raw("", [21, 3, 3, 0, 2, 2, alert], true).await;
        assert_eq!(reason(&endpoint, &stream(true, "", "")).await, expected);
    }
}

/// An endpoint that answers in TLS 1.0 or 1.1, whatever was asked for, and one that chooses RSA key exchange with CBC.
#[tokio::test]
async fn what_cannot_be_spoken_is_told_with_the_way_out() {
    let hello = |version: u8, suite: [u8; 2]| {
        let mut hello = vec![22, 3, version, 0, 42, 2, 0, 0, 38, 3, version];
        hello.extend([7; 32]);
        hello.extend([0, suite[0], suite[1], 0]);
        hello
    };
    // TLS_RSA_WITH_AES_128_CBC_SHA.
    for (version, suite) in [(1, [0, 0x2f]), (2, [0, 0x2f]), (3, [0, 0x2f])] {
        let (endpoint, _) = raw("", hello(version, suite), true).await;
        let text = reason(&endpoint, &stream(true, "", "")).await;
        assert!(text.ends_with("use a TCP check"), "{version}: {text}");
    }
}

#[tokio::test]
async fn certificates_on_p521_will_do() {
    for version in [&TLS12, &TLS13] {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
        let certificate = rcgen::CertificateParams::new(["somebody.test".to_owned()]).unwrap();
        let config = tls_config_with((certificate.self_signed(&key).unwrap(), key), &[version], &[]);
        let endpoint = Endpoint::start_tls(config, |stream| async {
            converse(stream, b"ping", b"pong", true).await;
        })
        .await;
        let result = ask(&endpoint, &stream(true, "ping", "pong")).await;
        assert_eq!(result, SUCCESS, "{version:?}");
    }
}

/// An endpoint in TLS 1.2 shows its certificate on P-521 only to clients that offer the curve for the exchange.
#[tokio::test]
async fn p521_is_offered_and_can_be_chosen() {
    for version in [&TLS12, &TLS13] {
        let (certificate, key) = self_signed(|_| {});
        let mut provider = super::super::tls::provider();
        provider
            .kx_groups
            .retain(|group| group.name() == rustls::NamedGroup::secp521r1);
        let config = tls_config_of(provider, (certificate, key), &[version], &[]);
        let (heard, mut hearing) = mpsc::unbounded_channel();
        let endpoint = Endpoint::start_tls(config, move |stream| {
            let group = stream.get_ref().1.negotiated_key_exchange_group();
            let _ = heard.send(group.map(|group| group.name()));
            async { drop(converse(stream, b"ping", b"pong", true).await) }
        })
        .await;
        assert_eq!(
            ask(&endpoint, &stream(true, "ping", "pong")).await,
            SUCCESS,
            "{version:?}"
        );
        assert_eq!(hearing.recv().await.unwrap(), Some(rustls::NamedGroup::secp521r1));
    }
}
