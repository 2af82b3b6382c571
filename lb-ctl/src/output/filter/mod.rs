//! gcloud's `--filter`: which resources of a list are wanted, as in `region:europe-west4 AND NOT name~^test-`.
//!
//! It is worked out here and not by the daemon, because it is another language than the API's `filter`.

mod parse;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use regex::Regex;
use serde_json::Value;

use super::expression::Key;
use super::format::{order, text};

#[derive(Clone, Debug)]
pub struct Filter(Expression);

#[derive(Clone, Debug)]
enum Expression {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Term(Key, Test),
}

#[derive(Clone, Debug)]
enum Test {
    /// `:`, with one of several patterns.
    Has(Vec<Pattern>),
    /// `=`, ignoring case, with one of several values.
    Equals(Vec<String>),
    /// `<`, `<=`, `>` and `>=`: the orders that will do.
    Compares(&'static [Ordering], String),
    /// `~`, somewhere in the value.
    Matches(Regex),
}

/// In lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// `*`: there is a value.
    Present,
    Contains(String),
    /// `text*`
    StartsWith(String),
    /// `*text`
    EndsWith(String),
    /// `text*text`
    Between(String, String),
}

impl Filter {
    pub fn admits(&self, resource: &Value) -> bool {
        self.0.holds(resource)
    }
}

impl Expression {
    fn holds(&self, resource: &Value) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(resource)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(resource)),
            Self::Not(part) => !part.holds(resource),
            Self::Term(key, test) => {
                let place = matches!(key.label().as_str(), "ZONE" | "REGION");
                test.holds(&key.get(resource), place)
            }
        }
    }
}

impl Test {
    /// `place`: the value is a zone or a region, whose name means its URL too.
    fn holds(&self, value: &Value, place: bool) -> bool {
        match value {
            Value::Array(items) if !items.is_empty() => items.iter().any(|item| self.holds(item, place)),
            Value::Object(fields) if matches!(self, Self::Has(_)) => fields
                .iter()
                .any(|(name, value)| self.holds(&name.as_str().into(), false) || self.holds(value, false)),
            _ => self.holds_of_one(value, place),
        }
    }

    fn holds_of_one(&self, value: &Value, place: bool) -> bool {
        let whole = text(value);
        let name = place.then(|| whole.rsplit('/').next()).flatten();
        match self {
            Self::Has(patterns) => patterns.iter().any(|pattern| {
                pattern.fits(&whole.to_lowercase())
                    || name.is_some_and(|name| pattern.fits(&name.to_lowercase()))
            }),
            Self::Equals(wanted) => wanted.iter().any(|wanted| {
                equal(value, &whole, wanted) || name.is_some_and(|name| name.eq_ignore_ascii_case(wanted))
            }),
            Self::Compares(orders, wanted) => {
                !value.is_null() && orders.contains(&order(value, &like(value, wanted)))
            }
            Self::Matches(regex) => regex.is_match(&whole),
        }
    }
}

impl Pattern {
    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Present => !text.is_empty(),
            Self::Contains(part) => text.contains(part.as_str()),
            Self::StartsWith(part) => text.starts_with(part.as_str()),
            Self::EndsWith(part) => text.ends_with(part.as_str()),
            Self::Between(start, end) => {
                text.len() >= start.len() + end.len()
                    && text.starts_with(start.as_str())
                    && text.ends_with(end.as_str())
            }
        }
    }
}

fn equal(value: &Value, whole: &str, wanted: &str) -> bool {
    match (value.as_f64(), wanted.parse::<f64>()) {
        (Some(value), Ok(wanted)) => value == wanted,
        _ => whole.to_lowercase() == wanted.to_lowercase(),
    }
}

/// The text as a number, where the value is one.
fn like(value: &Value, wanted: &str) -> Value {
    match wanted.parse::<f64>() {
        Ok(number) if value.is_number() => number.into(),
        _ => wanted.into(),
    }
}
