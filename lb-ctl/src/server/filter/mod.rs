//! The `filter` of lists, in the two syntaxes of the Compute API: AIP-160 (`name = "x" AND labels.k:*`) and regular
//! expressions (`name eq web-.*`). One request holds one of them.
//!
//! Contract: what parses can be evaluated on any resource in time linear in its size; whatever the API would not
//! understand, a field that the resource does not have among it, is a fault. Values are compared as what they are:
//! numbers, booleans, points in time (RFC 3339, or a date), else text.
//!
//! - `=`, `!=`: the whole value; `*` in the text stands for anything. `!=` is what `=` is not, so it holds where the
//!   field is absent.
//! - `<`, `<=`, `>`, `>=`: order of numbers, of points in time, else of text; never where the field is absent.
//! - `:`: text within the value, in any case; `*` stands for anything, and then the whole value counts; a key of a map.
//!   `:*` holds where the field is there and not empty.
//! - A list is as good as its best element. `OR` binds closer than `AND`, as AIP-160 has it.
//! - `eq`, `ne`: the whole value by a regular expression (RE2's syntax); a number or boolean by its JSON text.

mod literal;
mod parse;
mod regular;
#[cfg(test)]
mod tests;

use regex::Regex;
use serde_json::Value;

use self::literal::{Literal, Operator};
use crate::resources::FieldShape;

/// Longest filter, in bytes.
const LONGEST: usize = 4096;

/// What a path of field names leads to in the listed resources; nothing when they have no such field.
pub(super) type Shapes<'a> = &'a dyn Fn(&[String]) -> Option<FieldShape>;

#[derive(Debug)]
pub(super) struct Filter(Condition);

#[derive(Debug)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Compare(Vec<String>, Operator, Literal),
    Matches(Vec<String>, Regex),
}

/// One thing wrong with a filter, and the character that it begins at, from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why} (at character {at})")]
pub(super) struct FilterFault {
    at: usize,
    why: String,
}

impl Filter {
    /// Every unknown field and unfit value at once; of the grammar, the first fault.
    pub(super) fn parse(text: &str, shapes: Shapes<'_>) -> Result<Self, Vec<FilterFault>> {
        if text.len() > LONGEST {
            let why = format!("it is longer than {LONGEST} bytes");
            return Err(vec![FilterFault { at: 0, why }]);
        }
        let condition = match regular::is_regular(text) {
            true => regular::parse(text, shapes),
            false => parse::parse(text, shapes),
        };
        condition.map(Self)
    }

    pub(super) fn matches(&self, resource: &Value) -> bool {
        self.0.holds(resource)
    }
}

impl Condition {
    fn holds(&self, resource: &Value) -> bool {
        match self {
            Self::All(all) => all.iter().all(|condition| condition.holds(resource)),
            Self::Any(any) => any.iter().any(|condition| condition.holds(resource)),
            Self::Not(condition) => !condition.holds(resource),
            Self::Compare(path, Operator::NotEqual, literal) => {
                !any_value(resource, path, &|value| literal.fits(Operator::Equal, value))
            }
            Self::Compare(path, operator, literal) => {
                any_value(resource, path, &|value| literal.fits(*operator, value))
            }
            Self::Matches(path, regex) => any_value(resource, path, &|value| matches(regex, value)),
        }
    }
}

/// Whether the test holds for a value that the path leads to, through the elements of lists.
fn any_value(value: &Value, path: &[String], test: &dyn Fn(&Value) -> bool) -> bool {
    match (value, path) {
        (Value::Null, _) => false,
        (Value::Array(items), []) => test(value) || items.iter().any(|item| any_value(item, path, test)),
        (Value::Array(items), _) => items.iter().any(|item| any_value(item, path, test)),
        (_, []) => test(value),
        (Value::Object(fields), [name, rest @ ..]) => {
            fields.get(name).is_some_and(|value| any_value(value, rest, test))
        }
        _ => false,
    }
}

fn matches(regex: &Regex, value: &Value) -> bool {
    match value {
        Value::String(text) => regex.is_match(text),
        Value::Number(_) | Value::Bool(_) => regex.is_match(&value.to_string()),
        _ => false,
    }
}
