//! Why a handshake failed, in sentences.

use std::io;

use rustls::{AlertDescription, Error, PeerIncompatible, PeerMisbehaved};

use super::super::error::ProbeError;

/// What no provider of the library has. An endpoint that has nothing else serves old clients, but not this one.
const UNSPOKEN: &str = "if all that it has is RSA key exchange, CBC ciphers or DHE, which health checks can't speak, \
                        use a TCP check";
const TOO_OLD: &str =
    "the endpoint has neither TLS 1.2 nor TLS 1.3, and health checks speak nothing older: use a TCP check";

pub(super) fn from_handshake(error: &io::Error) -> ProbeError {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let text = match (tls, error.kind()) {
        (Some(tls), _) => sentence(tls),
        (None, io::ErrorKind::UnexpectedEof) => "connection closed in the TLS handshake".to_owned(),
        (None, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
            "connection reset by the endpoint in the TLS handshake".to_owned()
        }
        _ => return ProbeError::from_io("shake hands", error),
    };
    ProbeError::Endpoint(text)
}

fn sentence(error: &Error) -> String {
    use AlertDescription as Alert;
    match error {
        Error::InvalidMessage(_) => "the endpoint's answer is not TLS".to_owned(),
        Error::AlertReceived(Alert::NoApplicationProtocol) => {
            "the endpoint refused the protocol that was offered in the TLS handshake (ALPN)".to_owned()
        }
        Error::AlertReceived(Alert::ProtocolVersion)
        | Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => TOO_OLD.to_owned(),
        Error::AlertReceived(alert @ (Alert::HandshakeFailure | Alert::InsufficientSecurity)) => {
            format!(
                "the endpoint refused all that was offered in the TLS handshake (alert {alert:?}): {UNSPOKEN}"
            )
        }
        Error::PeerIncompatible(_) | Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedCipherSuite) => {
            format!("TLS handshake failed: {error}: {UNSPOKEN}")
        }
        // Ed448 in TLS 1.2, of which only TLS 1.3 leaves the verification to others.
        Error::PeerMisbehaved(PeerMisbehaved::SignedKxWithWrongAlgorithm) => {
            format!("TLS handshake failed: {error}: use a TCP check")
        }
        Error::AlertReceived(alert) => {
            format!("the endpoint ended the TLS handshake with the alert {alert:?}")
        }
        _ => format!("TLS handshake failed: {error}"),
    }
}
