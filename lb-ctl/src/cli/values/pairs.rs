//! `KEY=VALUE` and lists of them.

use std::collections::BTreeMap;
use std::str::FromStr;

/// `key=value,key=value`, each key once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct KeyValues(pub(in crate::cli) BTreeMap<String, String>);

impl FromStr for KeyValues {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pairs = BTreeMap::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (key, value) = key_value(part)?;
            if pairs.insert(key.clone(), value).is_some() {
                return Err(format!("'{key}' is given twice"));
            }
        }
        Ok(Self(pairs))
    }
}

pub(in crate::cli) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("expected KEY=VALUE, not '{text}'")),
    }
}
