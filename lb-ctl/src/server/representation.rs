//! How an answer is written: what the standard parameters `alt`, `prettyPrint` and `fields` say of it.
//!
//! `fields` selects parts of a successful answer: `kind,items(name,backends/group)`; `*` stands for every field.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use super::error::{ApiError, ApiResult};
use super::query::{Pairs, Query};

const LONGEST_MASK: usize = 4096;
const DEEPEST_MASK: usize = 32;

pub(super) struct Representation {
    pretty: bool,
    mask: Option<Mask>,
}

impl Representation {
    /// Looks at nothing but its own parameters; the others are the method's.
    pub(super) fn read(pairs: &Pairs) -> ApiResult<Self> {
        let names = ["alt", "$alt", "prettyPrint", "$prettyPrint", "fields"];
        let own = pairs
            .iter()
            .filter(|(name, _)| names.contains(&name.as_str()))
            .cloned();
        let query = Query::checked(own.collect(), &[])?;
        let mut faults: Vec<ApiError> = ["alt", "$alt"]
            .iter()
            .filter_map(|name| check_alt(name, query.get(name)?).err())
            .collect();
        let mut ok = |result: ApiResult<bool>| result.map_err(|fault| faults.push(fault)).unwrap_or(false);
        let pretty = [
            ok(query.boolean("prettyPrint")),
            ok(query.boolean("$prettyPrint")),
        ];
        let mask = query.get("fields").map(|text| {
            Mask::parse(text)
                .map_err(|why| ApiError::invalid("fields", text, &format!("Invalid field selection: {why}.")))
        });
        let mask = mask
            .transpose()
            .map_err(|fault| faults.push(fault))
            .unwrap_or_default();
        match faults.is_empty() {
            true => Ok(Self {
                pretty: pretty.contains(&true),
                mask,
            }),
            false => Err(ApiError::all(faults)),
        }
    }

    pub(super) fn write(&self, mut answer: Value) -> Response {
        if let Some(mask) = &self.mask {
            mask.apply(&mut answer);
        }
        match serde_json::to_string_pretty(&answer) {
            Ok(text) if self.pretty => ([(CONTENT_TYPE, "application/json")], text).into_response(),
            _ => Json(answer).into_response(),
        }
    }
}

/// Some client libraries ask for enums by number, and read names all the same; Compute answers with names.
fn check_alt(name: &str, value: &str) -> ApiResult<()> {
    match value.split_once(';').unwrap_or((value, "")) {
        ("json", "" | "enum-encoding=int") => Ok(()),
        _ => Err(ApiError::invalid(name, value, "Only json is supported.")),
    }
}

/// Of an object: which fields stay, and what of each. Empty is everything.
#[derive(Debug, Default, PartialEq)]
struct Mask(Vec<(String, Mask)>);

impl Mask {
    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST_MASK {
            return Err(format!("it is longer than {LONGEST_MASK} bytes"));
        }
        let mut rest = text;
        let mask = Self::list(&mut rest, 0)?;
        match rest.chars().next() {
            None => Ok(mask),
            Some(c) => Err(format!("unexpected '{c}'")),
        }
    }

    fn list(rest: &mut &str, depth: usize) -> Result<Self, String> {
        if depth > DEEPEST_MASK {
            return Err(format!("more than {DEEPEST_MASK} levels"));
        }
        let mut mask = Self::default();
        loop {
            let (name, inner) = Self::path(rest, depth)?;
            match mask.0.iter_mut().find(|(known, _)| *known == name) {
                // All of it and some of it is all of it.
                Some((_, known)) if known.0.is_empty() || inner.0.is_empty() => known.0.clear(),
                Some((_, known)) => known.0.extend(inner.0),
                None => mask.0.push((name, inner)),
            }
            match rest.strip_prefix(',') {
                Some(after) => *rest = after,
                None => return Ok(mask),
            }
        }
    }

    fn path(rest: &mut &str, depth: usize) -> Result<(String, Self), String> {
        let end = rest.find([',', '/', '(', ')']).unwrap_or(rest.len());
        let name = rest[..end].trim().to_owned();
        if name.is_empty() {
            return Err("the name of a field is missing".to_owned());
        }
        *rest = &rest[end..];
        if let Some(after) = rest.strip_prefix('/') {
            if depth == DEEPEST_MASK {
                return Err(format!("more than {DEEPEST_MASK} levels"));
            }
            *rest = after;
            return Ok((name, Self(vec![Self::path(rest, depth + 1)?])));
        }
        let Some(after) = rest.strip_prefix('(') else {
            return Ok((name, Self::default()));
        };
        *rest = after;
        let inner = Self::list(rest, depth + 1)?;
        *rest = rest.strip_prefix(')').ok_or("a ')' is missing")?;
        Ok((name, inner))
    }

    fn apply(&self, value: &mut Value) {
        match value {
            _ if self.0.is_empty() => {}
            Value::Array(items) => items.iter_mut().for_each(|item| self.apply(item)),
            Value::Object(fields) => {
                let kept = std::mem::take(fields)
                    .into_iter()
                    .filter_map(|(name, value)| self.field(name, value));
                *fields = kept.collect::<Map<_, _>>();
            }
            _ => {}
        }
    }

    fn field(&self, name: String, mut value: Value) -> Option<(String, Value)> {
        let (_, inner) = self
            .0
            .iter()
            .find(|(wanted, _)| *wanted == name || wanted == "*")?;
        inner.apply(&mut value);
        Some((name, value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn select(mask: &str, mut value: Value) -> Value {
        Mask::parse(mask).expect("a mask").apply(&mut value);
        value
    }

    #[test]
    fn a_mask_selects_fields_through_lists() {
        let list = || {
            json!({"kind": "k", "nextPageToken": "t",
                "items": [{"name": "a", "id": 1, "backends": [{"group": "g", "failover": true}]}, {"id": 2}]})
        };
        assert_eq!(select("kind", list()), json!({"kind": "k"}));
        assert_eq!(
            select("items(name,backends/group),nextPageToken", list()),
            json!({"nextPageToken": "t", "items": [{"name": "a", "backends": [{"group": "g"}]}, {}]})
        );
        assert_eq!(
            select("items/id", list()),
            json!({"items": [{"id": 1}, {"id": 2}]})
        );
        assert_eq!(
            select("items/id,items/name", list()),
            json!({"items": [{"name": "a", "id": 1}, {"id": 2}]})
        );
        assert_eq!(select("*", list()), list());
        assert_eq!(
            select("items/*/group", list()),
            json!({"items": [{"name": "a", "id": 1, "backends": [{"group": "g"}]}, {"id": 2}]})
        );
        assert_eq!(
            select("items,items/id", list()),
            json!({"items": list()["items"]})
        );
    }

    #[test]
    fn a_wrong_mask_is_told() {
        let deep = "a(".repeat(50_000);
        let slashes = "a/".repeat(2_000);
        for mask in [
            "", ",", "a,", "a(", "a(b", "a)", "a()", "a//b", "/a", "a(b))", &deep, &slashes,
        ] {
            assert!(Mask::parse(mask).is_err(), "{mask}");
        }
    }
}
