//! Who may do what.
//!
//! Whoever may open the Unix socket may do everything: its file mode is the permission. Over TCP a bearer token says who
//! asks, when a token file is given; without one TCP is served on loopback only, and there to everybody.
//!
//! A role holds the permissions of Identity and Access Management by their last word: `viewer` reads, `editor` changes
//! resources too, `admin` also sets policies and detaches the data plane. IAM policies that are kept with resources grant
//! nothing here.

mod permission;
mod tokens;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::AUTHORIZATION;

pub(super) use self::permission::Needed;
pub use self::tokens::{TokenFile, TokenFileError};

use super::error::{ApiError, ApiResult};

/// In the order of what they may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Viewer,
    Editor,
    Admin,
}

impl Role {
    const ALL: [Self; 3] = [Self::Viewer, Self::Editor, Self::Admin];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }

    /// `permission` is as IAM writes it, such as `compute.forwardingRules.create`.
    pub(super) fn holds(self, permission: &str) -> bool {
        let is_ours = permission.starts_with("compute.") || permission.starts_with("lb.");
        is_ours && self >= Self::least(permission)
    }

    fn least(permission: &str) -> Self {
        match permission.rsplit('.').next().unwrap_or_default() {
            "get" | "list" | "getIamPolicy" => Self::Viewer,
            "setIamPolicy" | "detach" => Self::Admin,
            _ => Self::Editor,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let role = Self::ALL.into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| "the role must be viewer, editor or admin".to_owned())
    }
}

/// Who sent a request; an extension of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) role: Role,
}

/// How a listener knows its callers.
#[derive(Clone)]
pub(super) enum Access {
    /// Everybody who can connect may do everything.
    Open,
    Tokens(Arc<TokenFile>),
}

impl Access {
    fn caller(&self, headers: &HeaderMap) -> ApiResult<Caller> {
        match self {
            Self::Open => Ok(Caller { role: Role::Admin }),
            Self::Tokens(file) => {
                let token = bearer_token(headers)?;
                let role = file.role_of(token)?;
                Ok(Caller { role })
            }
        }
    }
}

fn bearer_token(headers: &HeaderMap) -> ApiResult<&str> {
    let missing = || {
        let why =
            "Request is missing required authentication credential. Expected 'Authorization: Bearer TOKEN'.";
        ApiError::unauthorized(false, why)
    };
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else {
        return Err(missing());
    };
    let value = value.to_str().map_err(|_| missing())?;
    let (scheme, token) = value.split_once(' ').ok_or_else(missing)?;
    match scheme.eq_ignore_ascii_case("bearer") {
        true => Ok(token.trim()),
        false => Err(missing()),
    }
}

/// Lets through what the caller may do, and says in the request who that is.
pub(super) async fn authorize(State(access): State<Access>, mut request: Request, next: Next) -> Response {
    let judged = access.caller(request.headers()).and_then(|caller| {
        match permission::needed(request.method(), request.uri().path()) {
            Some(Needed { permission, resource }) if !caller.role.holds(&permission) => {
                Err(ApiError::forbidden(&permission, &resource))
            }
            _ => Ok(caller),
        }
    });
    match judged {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}
