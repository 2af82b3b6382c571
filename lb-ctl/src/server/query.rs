//! Query parameters: known ones are taken, unknown ones refused, so that none is silently ignored.

use std::collections::BTreeMap;

use super::error::{ApiError, ApiResult};

/// What every method of the API takes, and what changes nothing in our answers.
const STANDARD: [&str; 9] = [
    "alt",
    "$alt",
    "prettyPrint",
    "$prettyPrint",
    "key",
    "quotaUser",
    "userIp",
    "returnPartialSuccess",
    "$.xgafv",
];

pub(super) struct Query {
    values: BTreeMap<String, String>,
}

impl Query {
    /// `pairs` as decoded from the URL; `taken` are the method's own parameters, `unbuilt` those that it will have.
    pub(super) fn checked(pairs: Vec<(String, String)>, taken: &[&str], unbuilt: &[&str]) -> ApiResult<Self> {
        let mut values = BTreeMap::new();
        for (name, value) in pairs {
            if unbuilt.contains(&name.as_str()) {
                return Err(ApiError::not_supported_yet(&format!("The parameter '{name}'")));
            }
            if matches!(name.as_str(), "alt" | "$alt") && !value.starts_with("json") {
                return Err(ApiError::invalid(&name, value, "Only json is supported."));
            }
            if taken.contains(&name.as_str()) {
                values.insert(name, value);
            } else if !STANDARD.contains(&name.as_str()) {
                return Err(ApiError::bad_request(format!(
                    "Invalid JSON payload received. Unknown name \"{name}\": Cannot bind query parameter."
                )));
            }
        }
        Ok(Self { values })
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
}
