//! Where the daemon is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// `unix:PATH` or `http://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Unix(PathBuf),
    /// `HOST:PORT`.
    Http(String),
}

impl Endpoint {
    /// For the `Host` header.
    pub(super) fn host(&self) -> &str {
        match self {
            Self::Unix(_) => "localhost",
            Self::Http(authority) => authority,
        }
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        let expected = || "expected unix:PATH, or http://HOST:PORT".to_owned();
        let rest = text.strip_prefix("http://").ok_or_else(expected)?;
        let authority: http::uri::Authority = rest.trim_end_matches('/').parse().map_err(|_| expected())?;
        match authority.port_u16() {
            Some(_) if !authority.as_str().contains('@') => Ok(Self::Http(authority.to_string())),
            _ => Err(expected()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Http(authority) => write!(f, "http://{authority}"),
        }
    }
}
