//! The token file: a line for each token, `TOKEN ROLE`, where the token stands as it is or as `sha256:` and the 64
//! hexadecimal digits of its SHA-256. Empty lines and what follows `#` at a line's begin are skipped.
//!
//! The file is looked at with each request and read again when it was changed. One that is at fault lets nobody in until
//! it is right again. No message repeats a token.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use super::Role;
use crate::server::error::{ApiError, ApiResult};

/// In characters: nobody guesses so long a token.
const SHORTEST: usize = 16;
const LARGEST_FILE: u64 = 1 << 20;
/// Group-writable, or anything for others.
const FORBIDDEN_MODE: u32 = 0o027;

type Digest = [u8; 32];

#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    version: Option<Version>,
    tokens: Result<Vec<(Digest, Role)>, String>,
}

/// Differs when the file does.
type Version = (u64, u64, u64, i64, i64, i64, i64);

#[derive(Debug, thiserror::Error)]
#[error("the token file {} can't be used: {reason}", path.display())]
pub struct TokenFileError {
    path: PathBuf,
    reason: String,
}

impl TokenFile {
    pub fn open(path: &Path) -> Result<Self, TokenFileError> {
        let fail = |reason| TokenFileError {
            path: path.to_owned(),
            reason,
        };
        let (version, tokens) = load(path).map_err(fail)?;
        Ok(Self {
            path: path.to_owned(),
            known: Mutex::new(Known {
                version: Some(version),
                tokens: Ok(tokens),
            }),
        })
    }

    /// The role of whoever presents the token.
    pub(super) fn role_of(&self, token: &str) -> ApiResult<Role> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh(&mut known);
        let Ok(tokens) = &known.tokens else {
            let why = "The daemon's token file can't be used; its log says why.";
            return Err(ApiError::unauthorized(true, why));
        };
        let refused = || {
            let why = "Request had invalid authentication credentials. Expected a token of the daemon's token file.";
            ApiError::unauthorized(true, why)
        };
        role_of(tokens, token).ok_or_else(refused)
    }

    fn refresh(&self, known: &mut Known) {
        let version = std::fs::metadata(&self.path)
            .ok()
            .map(|metadata| version(&metadata));
        if version.is_some() && version == known.version {
            return;
        }
        let (version, tokens) = match load(&self.path) {
            Ok((version, tokens)) => (Some(version), Ok(tokens)),
            Err(reason) => (version, Err(reason)),
        };
        if tokens != known.tokens {
            match &tokens {
                Ok(tokens) => tracing::info!(tokens = tokens.len(), "read the token file again"),
                Err(reason) => {
                    tracing::error!(
                        "the token file {} can't be used, so no token counts: {reason}",
                        self.path.display()
                    );
                }
            }
        }
        *known = Known { version, tokens };
    }
}

/// Takes as long for one token as for any other: all digests are compared, to their ends.
fn role_of(tokens: &[(Digest, Role)], token: &str) -> Option<Role> {
    let presented: Digest = Sha256::digest(token).into();
    let mut found = 0_u8;
    for (digest, role) in tokens {
        let same: Choice = digest.ct_eq(&presented);
        found.conditional_assign(&(*role as u8 + 1), same);
    }
    Role::ALL.into_iter().find(|role| *role as u8 + 1 == found)
}

fn version(metadata: &Metadata) -> Version {
    (
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    )
}

fn load(path: &Path) -> Result<(Version, Vec<(Digest, Role)>), String> {
    let read = || -> io::Result<(Metadata, String)> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let mut text = String::new();
        file.take(LARGEST_FILE + 1).read_to_string(&mut text)?;
        Ok((metadata, text))
    };
    let (metadata, text) = read().map_err(|error| error.to_string())?;
    let mut faults = Vec::new();
    if !metadata.is_file() {
        faults.push("it is not a file".to_owned());
    }
    if metadata.mode() & FORBIDDEN_MODE != 0 {
        faults.push(format!(
            "its mode is {:03o}; only its owner may write it, and others may not read it: chmod 600",
            metadata.mode() & 0o777
        ));
    }
    if text.len() as u64 > LARGEST_FILE {
        faults.push(format!("it is larger than {LARGEST_FILE} bytes"));
    }
    let tokens = parse(&text).map_err(|more| faults.extend(more));
    match tokens {
        Ok(tokens) if faults.is_empty() => Ok((version(&metadata), tokens)),
        _ => Err(faults.join("; ")),
    }
}

fn parse(text: &str) -> Result<Vec<(Digest, Role)>, Vec<String>> {
    let mut tokens: Vec<(Digest, Role)> = Vec::new();
    let mut faults = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let parsed = match words.as_slice() {
            [] => continue,
            [first, ..] if first.starts_with('#') => continue,
            [token, role] => digest(token).and_then(|digest| Ok((digest, role.parse()?))),
            _ => Err("expected a token and its role".to_owned()),
        };
        match parsed {
            Ok((digest, _)) if tokens.iter().any(|(known, _)| *known == digest) => {
                faults.push(format!("line {}: the token stands here twice", index + 1));
            }
            Ok(entry) => tokens.push(entry),
            Err(why) => faults.push(format!("line {}: {why}", index + 1)),
        }
    }
    if tokens.is_empty() && faults.is_empty() {
        faults.push("it holds no token".to_owned());
    }
    match faults.is_empty() {
        true => Ok(tokens),
        false => Err(faults),
    }
}

fn digest(token: &str) -> Result<Digest, String> {
    if let Some(hex) = token.strip_prefix("sha256:") {
        return from_hex(hex).ok_or_else(|| "expected 64 hexadecimal digits after sha256:".to_owned());
    }
    // RFC 6750's b64token.
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    if !token.chars().all(allowed) {
        return Err("a token is made of letters, digits and -._~+/=".to_owned());
    }
    match token.len() >= SHORTEST {
        true => Ok(Sha256::digest(token).into()),
        false => Err(format!("a token has at least {SHORTEST} characters")),
    }
}

fn from_hex(text: &str) -> Option<Digest> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = Digest::default();
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADMIN: &str = "admin-token-0123456789";

    #[test]
    fn tokens_are_found_plain_and_hashed() {
        let hashed = Sha256::digest("viewer-token-0123456789");
        let hex: String = hashed.iter().map(|byte| format!("{byte:02X}")).collect();
        let text = format!("# who\n\n{ADMIN} admin\n  sha256:{hex}\tviewer  \n");
        let tokens = parse(&text).expect("tokens");
        assert_eq!(role_of(&tokens, ADMIN), Some(Role::Admin));
        assert_eq!(role_of(&tokens, "viewer-token-0123456789"), Some(Role::Viewer));
        for wrong in [
            "",
            "admin-token-012345678",
            "admin-token-0123456789 ",
            &hex,
            &format!("sha256:{hex}"),
        ] {
            assert_eq!(role_of(&tokens, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_fault_is_told_without_the_token() {
        let text = format!(
            "{ADMIN} root\nshort admin\nsha256:12 viewer\n{ADMIN} editor\n{ADMIN} admin\nalone-alone-alone\n\
                            forbidden!characters admin\n"
        );
        let faults = parse(&text).expect_err("faults");
        let lines: Vec<&str> = faults
            .iter()
            .filter_map(|fault| fault.split(':').next())
            .collect();
        assert_eq!(
            lines,
            ["line 1", "line 2", "line 3", "line 5", "line 6", "line 7"]
        );
        for secret in [ADMIN, "short ", "alone-", "forbidden!"] {
            assert!(!faults.join("\n").contains(secret), "{faults:?}");
        }
        assert_eq!(parse("# nothing\n").expect_err("a fault"), ["it holds no token"]);
    }
}
