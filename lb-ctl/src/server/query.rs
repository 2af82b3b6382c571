//! Query parameters: known ones are taken, unknown ones refused, so that none is silently ignored. Of several faults
//! all are told.

use std::collections::BTreeMap;

use axum::extract::Query as UrlQuery;
use axum::extract::rejection::QueryRejection;
use http::Uri;
use percent_encoding::percent_decode_str;

use super::error::{ApiError, ApiResult};

/// What every method of the API takes, and what changes nothing in our answers.
const WITHOUT_EFFECT: [&str; 6] = [
    "key",
    "quotaUser",
    "userIp",
    "$.xgafv",
    "uploadType",
    "upload_protocol",
];
/// What every method takes and `Representation` reads.
const OF_THE_ANSWER: [&str; 5] = ["alt", "$alt", "prettyPrint", "$prettyPrint", "fields"];
/// Known to the API, and refused with the reason.
const REFUSED: [(&str, &str); 3] = [
    (
        "callback",
        "An answer is JSON, not a script; callbacks are not supported.",
    ),
    (
        "access_token",
        "Tokens don't belong in a URL; send them as 'Authorization: Bearer TOKEN'.",
    ),
    (
        "oauth_token",
        "Tokens don't belong in a URL; send them as 'Authorization: Bearer TOKEN'.",
    ),
];

/// Names and values as decoded from the URL.
pub(super) type Pairs = Vec<(String, String)>;

pub(super) struct Query {
    values: BTreeMap<String, String>,
}

impl Query {
    pub(super) fn pairs(uri: &Uri) -> ApiResult<Pairs> {
        let raw = uri.query().unwrap_or_default();
        if percent_decode_str(raw).decode_utf8().is_err() {
            return Err(ApiError::bad_request("The query of the URL is not UTF-8."));
        }
        let UrlQuery(pairs) = UrlQuery::try_from_uri(uri)
            .map_err(|error: QueryRejection| ApiError::bad_request(error.body_text()))?;
        Ok(pairs)
    }

    /// Of a method of the Compute API: `taken` are its own parameters, beside the standard ones.
    pub(super) fn checked(pairs: Pairs, taken: &[&str]) -> ApiResult<Self> {
        let pairs = pairs
            .into_iter()
            .filter(|(name, _)| !WITHOUT_EFFECT.contains(&name.as_str()));
        Self::exactly(pairs.collect(), &[taken, &OF_THE_ANSWER].concat())
    }

    /// With no parameters but `taken`.
    pub(super) fn exactly(pairs: Pairs, taken: &[&str]) -> ApiResult<Self> {
        let mut values = BTreeMap::new();
        let mut faults = Vec::new();
        for (name, value) in pairs {
            if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
                faults.push(ApiError::invalid(&name, "…", why));
            } else if taken.contains(&name.as_str()) {
                if values.insert(name.clone(), value.clone()).is_some() {
                    let why = "The parameter is given more than once.";
                    faults.push(ApiError::invalid(&name, value, why));
                }
            } else {
                faults.push(ApiError::unknown_parameter(&name, taken));
            }
        }
        match faults.is_empty() {
            true => Ok(Self { values }),
            false => Err(ApiError::all(faults)),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub(super) fn number(&self, name: &str, max: usize) -> ApiResult<Option<usize>> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        match text.parse::<usize>() {
            Ok(n) if n <= max => Ok(Some(n)),
            _ => Err(ApiError::invalid(
                name,
                text,
                &format!("Must be a number from 0 to {max}."),
            )),
        }
    }

    /// In any case; false when absent.
    pub(super) fn boolean(&self, name: &str) -> ApiResult<bool> {
        match self.get(name) {
            None => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("true") || text == "1" => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") || text == "0" => Ok(false),
            Some(text) => Err(ApiError::invalid(name, text, "Must be true or false.")),
        }
    }
}
