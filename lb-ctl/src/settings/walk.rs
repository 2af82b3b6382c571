//! A TOML table, key by key: values out, faults collected.

use std::str::FromStr;

use toml::{Table, Value};

use crate::resources::{Fault, FaultKind, nearest};

/// The faults of one file.
pub(super) struct Faults<'a> {
    source: &'a str,
    pub(super) list: Vec<Fault>,
}

impl<'a> Faults<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self {
            source,
            list: Vec::new(),
        }
    }

    pub(super) fn add(
        &mut self,
        path: &str,
        kind: FaultKind,
        value: Option<&Value>,
        reason: impl Into<String>,
    ) {
        self.list.push(Fault {
            path: path.to_owned(),
            value: value.map(quote),
            ..Fault::of_source(self.source, kind, reason)
        });
    }

    pub(super) fn invalid(&mut self, path: &str, value: &Value, reason: impl Into<String>) {
        self.add(path, FaultKind::Invalid, Some(value), reason);
    }

    /// Keys that are none of `known`, each with the nearest that is.
    pub(super) fn refuse_unknown(&mut self, table: &Table, known: &[&str]) {
        for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
            let hint = match nearest(key, known.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("known are {}", known.join(", ")),
            };
            self.add(&path_of(key), FaultKind::UnknownField, None, "is no setting");
            if let Some(fault) = self.list.last_mut() {
                fault.hint = Some(hint);
            }
        }
    }
}

/// The keys of a table, typed. Each getter is nothing when the key is absent or its value is at fault.
pub(super) struct Walk<'a, 'f> {
    pub(super) table: &'a Table,
    pub(super) faults: &'a mut Faults<'f>,
}

impl Walk<'_, '_> {
    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        let value = self.table.get(key)?;
        let boolean = value.as_bool();
        if boolean.is_none() {
            self.faults.invalid(key, value, "expected true or false");
        }
        boolean
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let value = self.table.get(key)?;
        text(self.faults, key, value)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = choices.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            let reason = format!("must be {}", words.join(" or "));
            self.faults.invalid(key, &Value::String(text), reason);
        }
        found.map(|(_, choice)| *choice)
    }

    /// An integer, as `check` judges it.
    pub(super) fn integer<T>(&mut self, key: &str, check: impl Fn(i64) -> Result<T, String>) -> Option<T> {
        let value = self.table.get(key)?;
        let checked = value
            .as_integer()
            .ok_or_else(|| "expected an integer".to_owned())
            .and_then(check);
        checked
            .map_err(|reason| self.faults.invalid(key, value, reason))
            .ok()
    }

    /// A string in the form that `T` reads.
    pub(super) fn parsed<T: FromStr<Err: ToString>>(&mut self, key: &str) -> Option<T> {
        let value = self.table.get(key)?;
        parse(self.faults, key, value)
    }

    /// Like [`parsed`](Self::parsed), for values that no message may repeat.
    pub(super) fn secret<T: FromStr<Err: ToString>>(&mut self, key: &str) -> Option<T> {
        let told = self.faults.list.len();
        let parsed = self.parsed(key);
        for fault in &mut self.faults.list[told..] {
            fault.value = None;
        }
        parsed
    }

    /// A list of strings, each in the form that `T` reads; empty when absent. One string is a list of one.
    pub(super) fn list<T: FromStr<Err: ToString>>(&mut self, key: &str) -> Vec<T> {
        match self.table.get(key) {
            None => Vec::new(),
            Some(Value::Array(items)) => items
                .iter()
                .enumerate()
                .filter_map(|(index, item)| parse(self.faults, &format!("{key}[{index}]"), item))
                .collect(),
            Some(item) => parse(self.faults, key, item).into_iter().collect(),
        }
    }
}

fn text(faults: &mut Faults<'_>, path: &str, value: &Value) -> Option<String> {
    match value.as_str() {
        Some("") => faults.invalid(path, value, "must not be empty"),
        Some(text) => return Some(text.to_owned()),
        None => faults.invalid(path, value, "expected a string"),
    }
    None
}

fn parse<T: FromStr<Err: ToString>>(faults: &mut Faults<'_>, path: &str, value: &Value) -> Option<T> {
    let text = text(faults, path, value)?;
    text.parse()
        .map_err(|error: T::Err| faults.invalid(path, value, error.to_string()))
        .ok()
}

/// A key as a path names it: bare where TOML lets it be.
pub(super) fn path_of(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !key.is_empty() && key.chars().all(is_bare) {
        key.to_owned()
    } else {
        format!("{key:?}")
    }
}

fn quote(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
