//! The members of a group in the requests that add and remove some.

use serde_json::Value;

use super::{Object, fault, only_fields, required};
use crate::resources::Fault;

/// The members that a request names, and what is wrong with its form.
pub(super) fn asked(body: &Object, field: &str) -> (Vec<Value>, Vec<Fault>) {
    let mut faults = only_fields(body, &[field]);
    match body.get(field) {
        Some(Value::Array(members)) if !members.is_empty() => return (members.clone(), faults),
        None | Some(Value::Null | Value::Array(_)) => faults.push(required(field)),
        other => faults.push(fault(field, other, "expected an array")),
    }
    (Vec::new(), faults)
}

/// Those of the stored group.
pub(super) fn members(stored: &Object, field: &str) -> Vec<Value> {
    stored
        .get(field)
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

pub(super) fn with_members(stored: &Object, field: &str, members: Vec<Value>) -> Object {
    let mut resource = stored.clone();
    resource.insert(field.to_owned(), members.into());
    resource
}

/// Where members that are added stand in the request: in the group they stand behind those that were there before.
pub(super) struct Positions {
    /// Up to the index.
    prefix: String,
    before: usize,
    group: String,
    in_request: Vec<usize>,
}

impl Positions {
    pub(super) fn new(field: &str, before: usize, group: &str) -> Self {
        Self {
            prefix: format!("{field}["),
            before,
            group: group.to_owned(),
            in_request: Vec::new(),
        }
    }

    /// The next member of the group is this one of the request.
    pub(super) fn push(&mut self, in_request: usize) {
        self.in_request.push(in_request);
    }

    /// A fault of the group, in terms of the request.
    pub(super) fn translate(&self, mut fault: Fault) -> Fault {
        for text in [&mut fault.path, &mut fault.field, &mut fault.reason] {
            *text = self.translate_text(text);
        }
        fault
    }

    fn translate_text(&self, text: &str) -> String {
        let mut parts = text.split(&self.prefix);
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |told, part| told + &self.translate_index(part))
    }

    /// `part` starts with an index and its bracket.
    fn translate_index(&self, part: &str) -> String {
        let as_it_was = || format!("{}{part}", self.prefix);
        let Some((index, rest)) = part.split_once(']') else {
            return as_it_was();
        };
        match index.parse::<usize>().map(|index| index.checked_sub(self.before)) {
            Ok(Some(added)) => match self.in_request.get(added) {
                Some(position) => format!("{}{position}]{rest}", self.prefix),
                None => as_it_was(),
            },
            Ok(None) => format!("a member of {}{rest}", self.group),
            Err(_) => as_it_was(),
        }
    }
}
