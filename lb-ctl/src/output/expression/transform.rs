//! The functions of a key, such as `.basename()`. Those of single values do their work on every item of a list.

use serde_json::{Value, json};

use super::cursor::{Cursor, SyntaxError};
use crate::output::format::text;

const NAMES: &str =
    "basename, join, len, list, map, notnull, scope, scoped_suffixes, segment, sort, split, uri, yesno";

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Transform {
    /// What follows the last slash.
    Basename,
    /// What follows `regions/` or `zones/`, or these segments.
    Scope(Vec<String>),
    /// One part of a URL's path; from the end when negative.
    Segment(i64),
    Join(String),
    Split(String),
    Len,
    NotNull,
    Sort,
    /// The resource's own URL.
    Uri,
    /// For a value that is there and not false, and for any other; absent, the value itself.
    YesNo(Option<String>, Option<String>),
    /// What is implied here: transforms of single values look into lists.
    Map,
}

#[derive(Debug, Default)]
pub(super) struct Arguments {
    positional: Vec<String>,
    named: Vec<(String, String)>,
}

impl Arguments {
    /// To the closing parenthesis.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, SyntaxError> {
        let mut arguments = Self::default();
        loop {
            cursor.skip_space();
            if cursor.eat(")") {
                return Ok(arguments);
            }
            let value = argument(cursor)?;
            if cursor.eat("=") {
                arguments.named.push((value, argument(cursor)?));
            } else {
                arguments.positional.push(value);
            }
            cursor.skip_space();
            if !cursor.eat(",") && cursor.peek() != Some(')') {
                return Err(cursor.error("expected ',' or ')'"));
            }
        }
    }

    /// By its place, or by its name.
    fn get(&self, at: usize, name: &str) -> Option<&str> {
        let named = self.named.iter().find(|(given, _)| given == name);
        named
            .map(|(_, value)| value)
            .or(self.positional.get(at))
            .map(String::as_str)
    }

    /// Nothing but these names, and no more than there are.
    fn only(&self, function: &str, names: &[&str]) -> Result<(), String> {
        let unknown = self
            .named
            .iter()
            .find(|(name, _)| !names.contains(&name.as_str()));
        match unknown {
            Some((name, _)) => Err(format!("{function}() has no argument '{name}'")),
            None if self.positional.len() > names.len() => {
                Err(format!("{function}() takes at most {} arguments", names.len()))
            }
            None => Ok(()),
        }
    }
}

fn argument(cursor: &mut Cursor<'_>) -> Result<String, SyntaxError> {
    match cursor.quoted()? {
        Some(text) => Ok(text),
        None => Ok(cursor
            .take_while(|c| !matches!(c, ',' | ')' | '=' | '(' | '"' | '\'') && !c.is_whitespace())
            .to_owned()),
    }
}

impl Transform {
    pub(super) fn new(name: &str, arguments: &Arguments) -> Result<Self, String> {
        let takes = |names: &[&str]| arguments.only(name, names);
        let text = |at, name, default: &str| arguments.get(at, name).unwrap_or(default).to_owned();
        Ok(match name {
            "basename" => takes(&[]).map(|()| Self::Basename)?,
            "scope" => Self::Scope(arguments.positional.clone()),
            "scoped_suffixes" => takes(&[]).map(|()| Self::Scope(Vec::new()))?,
            "segment" => {
                takes(&["index"])?;
                let index = text(0, "index", "-1");
                Self::Segment(
                    index
                        .parse()
                        .map_err(|_| format!("segment() takes a number, not '{index}'"))?,
                )
            }
            "list" => takes(&["separator"]).map(|()| {
                Self::Join(
                    arguments
                        .get(0, "separator")
                        .map_or_else(|| ",".to_owned(), str::to_owned),
                )
            })?,
            "join" => takes(&["sep"]).map(|()| Self::Join(text(0, "sep", "/")))?,
            "split" => takes(&["sep"]).map(|()| Self::Split(text(0, "sep", "/")))?,
            "len" => takes(&[]).map(|()| Self::Len)?,
            "notnull" => takes(&[]).map(|()| Self::NotNull)?,
            "sort" => takes(&[]).map(|()| Self::Sort)?,
            "map" => Self::Map,
            "uri" => takes(&[]).map(|()| Self::Uri)?,
            "yesno" => {
                takes(&["yes", "no"])?;
                let given = |at, name| arguments.get(at, name).map(str::to_owned);
                Self::YesNo(given(0, "yes"), given(1, "no").or(Some("No".to_owned())))
            }
            _ => return Err(format!("there is no transform '{name}()', only {NAMES}")),
        })
    }

    pub(super) fn apply(&self, value: Value, resource: &Value) -> Value {
        match self {
            Self::Map => value,
            Self::Uri => resource["selfLink"].clone(),
            Self::Len => json!(match &value {
                Value::Array(items) => items.len(),
                Value::Object(fields) => fields.len(),
                Value::String(text) => text.chars().count(),
                _ => 0,
            }),
            Self::NotNull => match value {
                Value::Array(items) => items.into_iter().filter(|item| !item.is_null()).collect(),
                other => other,
            },
            Self::Sort => match value {
                Value::Array(mut items) => {
                    items.sort_by_key(text);
                    Value::Array(items)
                }
                other => other,
            },
            Self::Join(separator) => join(value, separator),
            Self::YesNo(yes, no) => {
                let chosen = if is_true(&value) { yes } else { no };
                chosen.as_deref().map_or(value, Value::from)
            }
            Self::Basename | Self::Scope(_) | Self::Segment(_) | Self::Split(_) => self.each(value),
        }
    }

    fn each(&self, value: Value) -> Value {
        match value {
            Value::Array(items) => items.into_iter().map(|item| self.each(item)).collect(),
            Value::Null => Value::Null,
            other => self.of_text(&text(&other)),
        }
    }

    fn of_text(&self, value: &str) -> Value {
        match self {
            Self::Basename => json!(value.rsplit('/').next()),
            Self::Scope(scopes) => json!(after_scope(value, scopes)),
            Self::Segment(at) => {
                let segments: Vec<&str> = value.split('/').collect();
                let at = if *at < 0 { *at + segments.len() as i64 } else { *at };
                json!(usize::try_from(at).ok().and_then(|at| segments.get(at)))
            }
            Self::Split(separator) => value.split(separator.as_str()).collect(),
            _ => json!(value),
        }
    }
}

/// A global resource is shown from `global` on, as there is no name after it.
fn after_scope(url: &str, scopes: &[String]) -> String {
    let segments: Vec<&str> = url.split('/').collect();
    let position = |scope: &str| segments.iter().position(|segment| *segment == scope);
    let start = match scopes {
        [] => position("regions")
            .or(position("zones"))
            .map(|at| at + 1)
            .or(position("global")),
        _ => scopes.iter().find_map(|scope| position(scope)).map(|at| at + 1),
    };
    match start {
        Some(start) if start < segments.len() => segments[start..].join("/"),
        _ => url.to_owned(),
    }
}

fn join(value: Value, separator: &str) -> Value {
    match value {
        Value::Array(items) => json!(items.iter().map(text).collect::<Vec<_>>().join(separator)),
        Value::Object(fields) => {
            let pairs = fields.iter().map(|(key, value)| format!("{key}={}", text(value)));
            json!(pairs.collect::<Vec<_>>().join(separator))
        }
        other => other,
    }
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(true) => true,
    }
}
