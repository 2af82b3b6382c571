//! What the client shows of itself to a daemon that wants to know who asks.

use std::fmt;
use std::str::FromStr;

use http::HeaderValue;

/// A bearer token. Its debug form keeps the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(HeaderValue);

impl Token {
    /// The first word of the file: also of one that says the role after it, as the daemon's own does.
    pub fn read(path: &str) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        let mut lines = text.lines().map(str::trim);
        let line = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
        let word = line.and_then(|line| line.split_whitespace().next());
        word.ok_or_else(|| format!("{path} holds no token"))?.parse()
    }

    pub(super) fn authorization(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let value = HeaderValue::from_str(&format!("Bearer {text}"));
        let mut value = value.map_err(|_| "the token has characters that no header can hold".to_owned())?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}
