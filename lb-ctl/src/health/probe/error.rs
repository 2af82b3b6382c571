//! Why a probe did not succeed, in sentences for the people who run the endpoint.

use std::error::Error;
use std::io;

const INCOMPLETE: &str = "connection closed before the reply was complete";

/// Why a probe did not succeed.
#[derive(Debug)]
pub(super) enum ProbeError {
    /// The endpoint failed, a sentence.
    Endpoint(String),
    /// This host failed, a sentence.
    Host(String),
}

impl ProbeError {
    pub(super) fn endpoint(reason: impl Into<String>) -> Self {
        Self::Endpoint(reason.into())
    }

    /// `doing` names the step, such as `connect`.
    pub(super) fn from_io(doing: &str, error: &io::Error) -> Self {
        if error.raw_os_error().is_some_and(is_of_this_host) {
            Self::Host(format!("can't {doing} on this host: {error}"))
        } else {
            Self::Endpoint(sentence(doing, error))
        }
    }

    /// Of an exchange over HTTP, of either version.
    pub(super) fn from_hyper(protocol: &str, error: &hyper::Error) -> Self {
        if let Some(cause) = cause::<io::Error>(error) {
            return Self::from_io("exchange", cause);
        }
        let root = root(error);
        Self::Endpoint(if error.is_incomplete_message() {
            INCOMPLETE.to_owned()
        } else if error.is_parse_too_large() {
            "the head of the reply is too large".to_owned()
        } else if error.is_parse() {
            format!("not a reply in {protocol}: {root}")
        } else {
            format!("{protocol} exchange failed: {root}")
        })
    }
}

/// What no packet of an endpoint or a router can bring about: descriptors, memory, ports and buffers are used up, the
/// device is down or gone, or a route or a filter of this host refuses.
fn is_of_this_host(code: i32) -> bool {
    matches!(
        code,
        libc::EMFILE
            | libc::ENFILE
            | libc::ENOBUFS
            | libc::ENOMEM
            | libc::EADDRNOTAVAIL
            | libc::EADDRINUSE
            | libc::EAGAIN
            | libc::ENETDOWN
            | libc::ENODEV
            | libc::ENXIO
            | libc::EACCES
            | libc::EPERM
            | libc::EINVAL
    )
}

/// The first cause of `error` that is an `E`.
pub(super) fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    std::iter::successors(error.source(), |&error| error.source()).find_map(|error| error.downcast_ref())
}

fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    std::iter::successors(Some(error), |&error| error.source())
        .last()
        .unwrap_or(error)
}

fn sentence(doing: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "connection reset by the endpoint".to_owned()
        }
        io::ErrorKind::UnexpectedEof => INCOMPLETE.to_owned(),
        io::ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        io::ErrorKind::TimedOut => format!("{doing} timed out"),
        _ => format!("{doing} failed: {error}"),
    }
}

/// Bytes for a human: escaped, and cut after 32.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const SHOWN: usize = 32;
    let dots = if bytes.len() > SHOWN { "…" } else { "" };
    format!("'{}{dots}'", bytes[..bytes.len().min(SHOWN)].escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_host_lacks_is_not_the_endpoints_fault() {
        let of = |code| ProbeError::from_io("connect", &io::Error::from_raw_os_error(code));
        for code in [
            libc::EMFILE,
            libc::ENFILE,
            libc::EADDRNOTAVAIL,
            libc::ENETDOWN,
            libc::ENODEV,
            libc::EACCES,
            libc::EPERM,
        ] {
            let error = of(code);
            let ProbeError::Host(reason) = &error else {
                panic!("{code}: {error:?}");
            };
            assert!(reason.starts_with("can't connect on this host: "), "{reason}");
        }
        for code in [
            libc::ECONNREFUSED,
            libc::ECONNRESET,
            libc::EHOSTUNREACH,
            libc::ENETUNREACH,
            libc::ETIMEDOUT,
        ] {
            assert!(matches!(of(code), ProbeError::Endpoint(_)), "{code}");
        }
    }
}
