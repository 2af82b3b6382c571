//! What goes wrong in the same way for every type of check.

use tokio::io::AsyncReadExt;

use super::servers::{Endpoint, closed_port, raw, tls};
use super::*;

#[tokio::test]
async fn nobody_listens() {
    for (kind, asked) in every_type() {
        let result = probe_for(&closed_port().await, &asked, LONG).await;
        let expected = ProbeResult::Failure {
            reason: "connection refused".to_owned(),
            weight: no_reply(kind),
        };
        assert_eq!(result, expected, "{kind}");
    }
}

#[tokio::test]
async fn the_endpoint_is_silent() {
    let (endpoint, _) = raw("never", "", true).await;
    for (kind, asked) in every_type() {
        let result = probe_for(&endpoint.destination, &asked, SHORT).await;
        let doing = match kind {
            "SSL" | "HTTPS" | "HTTP2" | "GRPC_WITH_TLS" => "in the TLS handshake",
            _ => "waiting for the reply",
        };
        let expected = ProbeResult::Failure {
            reason: format!("timed out after 0.3 s {doing}"),
            weight: no_reply(kind),
        };
        assert_eq!(result, expected, "{kind}");
    }
}

#[tokio::test]
async fn the_endpoint_is_silent_inside_tls() {
    let endpoint = Endpoint::start_tls(tls(&["h2", "http/1.1"]), |mut stream| async move {
        while stream.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {}
    })
    .await;
    for (kind, asked) in tls_types() {
        let result = probe_for(&endpoint.destination, &asked, SHORT).await;
        let reason = why(result);
        assert_eq!(reason, "timed out after 0.3 s waiting for the reply", "{kind}");
    }
}

fn tls_types() -> impl Iterator<Item = (&'static str, Probe)> {
    every_type().into_iter().filter(|(_, probe)| {
        matches!(
            probe,
            Probe::Tcp { tls: true, .. }
                | Probe::Http {
                    version: HttpVersion::Https | HttpVersion::Http2,
                    ..
                }
                | Probe::Grpc { tls: true, .. }
        )
    })
}

/// After it has read something, so that the end is no reset.
#[tokio::test]
async fn the_endpoint_closes_at_once() {
    let endpoint = Endpoint::start(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await;
    for (kind, asked) in every_type() {
        let text = reason(&endpoint, &asked).await;
        assert!(
            text.contains("closed") || text.contains("reset"),
            "{kind}: {text}"
        );
    }
}

#[tokio::test]
async fn the_endpoint_closes_inside_tls() {
    let endpoint = Endpoint::start_tls(tls(&["h2", "http/1.1"]), |mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await;
    for (kind, asked) in tls_types() {
        let text = reason(&endpoint, &asked).await;
        assert!(
            text.contains("closed") || text.contains("reset"),
            "{kind}: {text}"
        );
    }
}

#[tokio::test]
async fn the_endpoint_resets() {
    let endpoint = Endpoint::start(|stream| async move { stream.set_zero_linger().unwrap() }).await;
    for (kind, asked) in every_type() {
        let text = reason(&endpoint, &asked).await;
        assert!(
            text.contains("connection reset by the endpoint"),
            "{kind}: {text}"
        );
    }
}

#[tokio::test]
async fn the_endpoint_speaks_something_else() {
    let (endpoint, _) = raw("", "SSH-2.0-OpenSSH_9.9\r\n".repeat(8), true).await;
    for (kind, asked) in every_type() {
        let text = reason(&endpoint, &asked).await;
        let expected = match kind {
            "TCP" => "received 'SSH-', expected 'pong'",
            // Before the request was sent, it is an answer to nothing.
            "HTTP" if text.ends_with("unexpected message from connection") => continue,
            "HTTP" => "not a reply in HTTP/1.1: ",
            "GRPC" => "HTTP/2 exchange failed: ",
            _ => "the endpoint's answer is not TLS",
        };
        assert!(text.starts_with(expected), "{kind}: {text}");
    }
}

/// A probe in plain text to a TLS port; the other way round is `the_endpoint_speaks_something_else`.
#[tokio::test]
async fn the_endpoint_wants_tls() {
    let endpoint = Endpoint::start_tls(tls(&["h2", "http/1.1"]), |_| async {}).await;
    for (kind, asked) in every_type() {
        if tls_types().any(|(other, _)| other == kind) {
            continue;
        }
        let text = reason(&endpoint, &asked).await;
        assert!(!text.is_empty() && !text.contains("timed out"), "{kind}: {text}");
    }
}
