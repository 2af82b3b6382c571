//! TLS as a probe speaks it: versions 1.2 and 1.3, certificates not verified, no resumption.
//!
//! The reference says that probes don't verify certificates: a probe proves that the endpoint serves, not who it is.
//! Every probe is a whole handshake, as a new client's would be.

mod p521;
mod reason;

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, DnsName, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use self::p521::SECP521R1;
use self::reason::from_handshake;
use super::connect::Destination;
use super::error::ProbeError;
use super::line::Line;

/// How a check uses TLS.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tls<'a> {
    pub(super) alpn: Alpn,
    /// The check's host, which is named to the endpoint (SNI) when it is a DNS name. May be empty or carry a port.
    pub(super) host: &'a str,
}

/// The protocol that is offered inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alpn {
    None,
    /// Offered; an endpoint that ignores the offer is taken to speak it.
    Http1,
    /// Offered, and the endpoint must choose it (RFC 9113, section 3.2).
    Http2,
}

static WITHOUT_ALPN: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| config(&[]));
static WITH_HTTP1: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| config(&[b"http/1.1"]));
static WITH_HTTP2: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| config(&[b"h2"]));

/// The library's best, and P-521 in the end.
pub(super) fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups.push(SECP521R1);
    provider
}

fn config(alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let provider = Arc::new(provider());
    let verifier = Arc::new(Anyone(Arc::clone(&provider)));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has ciphers for TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

pub(super) async fn shake_hands(
    stream: Line,
    destination: &Destination,
    tls: Tls<'_>,
) -> Result<TlsStream<Line>, ProbeError> {
    let config = match tls.alpn {
        Alpn::None => &WITHOUT_ALPN,
        Alpn::Http1 => &WITH_HTTP1,
        Alpn::Http2 => &WITH_HTTP2,
    };
    let stream = TlsConnector::from(Arc::clone(config))
        .connect(server_name(tls.host, destination.address.ip()), stream)
        .await
        .map_err(|error| from_handshake(&error))?;
    let chosen = stream.get_ref().1.alpn_protocol();
    if tls.alpn == Alpn::Http2 && chosen != Some(b"h2") {
        return Err(ProbeError::endpoint(
            "the endpoint did not choose HTTP/2 in the TLS handshake (ALPN h2)",
        ));
    }
    Ok(stream)
}

/// An address is never sent as a name (RFC 6066, section 3): it means no SNI.
fn server_name(host: &str, destination: IpAddr) -> ServerName<'static> {
    let name = host.parse::<http::uri::Authority>().ok();
    let name = name.as_ref().map_or(host, http::uri::Authority::host);
    if name.parse::<IpAddr>().is_err()
        && let Ok(name) = DnsName::try_from(name.to_owned())
    {
        return ServerName::DnsName(name);
    }
    ServerName::from(destination)
}

/// Takes every certificate and every signature.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = self.0.signature_verification_algorithms.supported_schemes();
        // Nobody here verifies it, so nobody has to know how.
        [known, vec![SignatureScheme::ED448]].concat()
    }
}
