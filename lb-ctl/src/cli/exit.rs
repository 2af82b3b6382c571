//! How verbs end.

use std::io::{self, Write};

use http::StatusCode;

use crate::client::ClientError;
use crate::control::ControlError;
use crate::control::wire::WireFault;
use crate::output;
use crate::resources::Fault;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    /// The configuration is invalid; nothing changed.
    Invalid = 4,
    /// The daemon is not reachable.
    Unreachable = 5,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// Why a verb did not do its work.
#[derive(Debug)]
pub(super) enum Failure {
    Failed(anyhow::Error),
    Usage(String),
    Invalid(Vec<WireFault>),
    Unreachable(ClientError),
    /// Nobody reads what we write: no reason to say anything.
    BrokenPipe,
}

impl Failure {
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::Failed(anyhow::Error::msg(message.into()))
    }

    pub(super) fn report(self, err: &mut dyn Write) -> ExitCode {
        let (code, written) = match self {
            Self::BrokenPipe => (ExitCode::Ok, Ok(())),
            Self::Failed(error) => (ExitCode::Failed, writeln!(err, "error: {error:#}")),
            Self::Usage(message) => (ExitCode::Usage, writeln!(err, "error: {message}")),
            Self::Unreachable(error) => (ExitCode::Unreachable, writeln!(err, "error: {error}")),
            Self::Invalid(faults) => (ExitCode::Invalid, output::render_faults(err, &faults)),
        };
        // With standard error gone too there is nobody left to tell.
        let _ = written.and_then(|()| err.flush());
        code
    }
}

impl Failure {
    /// For requests that carry a configuration: their faults are the configuration's.
    pub(super) fn of_configuration(error: ClientError) -> Self {
        match error {
            ClientError::Refused { faults, .. } if !faults.is_empty() => Self::Invalid(faults),
            other => other.into(),
        }
    }
}

impl Failure {
    /// For changes of the resource at the path: what is wrong with the resource is a configuration's fault, all else
    /// is said as it was.
    pub(super) fn of_change(error: ClientError, path: &str) -> Self {
        match error {
            ClientError::Refused {
                status: StatusCode::PRECONDITION_FAILED,
                ..
            } => Self::stale(path.rsplit('/').next().unwrap_or(path)),
            ClientError::Refused {
                status: StatusCode::BAD_REQUEST,
                faults,
                ..
            } if !faults.is_empty() => Self::Invalid(faults),
            other => other.into(),
        }
    }

    pub(super) fn stale(name: &str) -> Self {
        Self::failed(format!(
            "'{name}' was changed since it was read: its fingerprint is another now. Read it again, and repeat the change"
        ))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::Failed(error.into()),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unreachable { .. } => Self::Unreachable(error),
            other => Self::Failed(other.into()),
        }
    }
}

impl From<Vec<Fault>> for Failure {
    fn from(faults: Vec<Fault>) -> Self {
        Self::Invalid(faults.iter().map(WireFault::from).collect())
    }
}

/// What the daemon's own code says; an invalid configuration somewhere in the chain decides.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<ControlError>() {
            Ok(ControlError::Faults(faults)) => faults.into(),
            Ok(other) => Self::Failed(other.into()),
            Err(error) => Self::Failed(error),
        }
    }
}
