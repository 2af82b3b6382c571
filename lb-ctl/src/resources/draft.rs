//! A resource on its way in: located, walked, not yet judged. Rules read it through getters that know which fields
//! are already at fault, so that one mistake is reported once and does not hide the others.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::document::Document;
use super::fault::{Fault, FaultKind, STORED, Warning, quote};
use super::kind::{Kind, Scope};
use super::link;
use super::locate::{Locate, Place};
use super::schema::{self, Finding};
use super::set::Resource;
use crate::model::ResourcePath;

pub(super) type Drafts = BTreeMap<ResourcePath, Draft>;

pub(super) struct Draft {
    pub(super) kind: Kind,
    pub(super) path: ResourcePath,
    /// What short references of this resource are relative to.
    pub(super) scope: Scope,
    pub(super) value: Map<String, Value>,
    /// False for what was there before.
    pub(super) is_new: bool,
    source: String,
    json_path: String,
    faulty: BTreeSet<String>,
}

/// A field as the rules see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Known<T> {
    Absent,
    /// Already reported: conclude nothing from it.
    Invalid,
    Is(T),
}

impl<T> Known<T> {
    /// The value, or the default of an absent one; nothing when it is invalid.
    pub(super) fn or(self, default: T) -> Option<T> {
        match self {
            Self::Absent => Some(default),
            Self::Invalid => None,
            Self::Is(value) => Some(value),
        }
    }

    pub(super) fn get(self) -> Option<T> {
        match self {
            Self::Is(value) => Some(value),
            _ => None,
        }
    }

    fn then<U>(self, convert: impl FnOnce(T) -> Option<U>) -> Known<U> {
        match self {
            Self::Absent => Known::Absent,
            Self::Invalid => Known::Invalid,
            Self::Is(value) => convert(value).map_or(Known::Invalid, Known::Is),
        }
    }
}

impl Draft {
    /// Reads a document; a document of no known kind reports and yields nothing.
    pub(super) fn of_document(document: &Document, scope: &Scope, report: &mut Report) -> Option<Self> {
        let mut locate = Locate { document, report };
        let object = locate.object()?;
        let kind = locate.kind(object)?;
        let scope = locate.scope(object, kind, scope);
        let name = object
            .get("name")
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty());
        let name = name.map_or_else(|| format!("(unnamed {})", document.json_path), String::from);
        let path = match scope {
            Place::Global(ref scope) => link::global_path(&scope.project, kind, &name),
            Place::Local(ref scope) => scope.path(kind, &name),
        };
        let (Place::Global(scope) | Place::Local(scope)) = scope;
        let walked = schema::walk(schema::table(kind), object);
        let mut draft = Self {
            kind,
            path,
            scope,
            value: walked.value,
            is_new: true,
            source: document.source.clone(),
            json_path: document.json_path.clone(),
            faulty: BTreeSet::new(),
        };
        walked
            .findings
            .into_iter()
            .for_each(|finding| report.faults.push(draft.fault(finding)));
        draft.faulty = walked.faulty;
        Some(draft)
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn json_path(&self) -> &str {
        &self.json_path
    }

    /// What is stored, as a draft; it walks through the same table, because a file can be edited.
    pub(super) fn of_stored(path: &ResourcePath, resource: &Resource, report: &mut Report) -> Self {
        let mut value = resource.value.clone();
        if let Some(field) = resource.kind.members_field() {
            value.insert(field.into(), Value::Array(resource.members.clone()));
        }
        let walked = schema::walk(schema::table(resource.kind), &value);
        let mut draft = Self {
            kind: resource.kind,
            path: path.clone(),
            scope: link::scope_of(path),
            value: walked.value,
            is_new: false,
            source: STORED.into(),
            json_path: path.to_string(),
            faulty: BTreeSet::new(),
        };
        walked
            .findings
            .into_iter()
            .for_each(|finding| report.faults.push(draft.fault(finding)));
        draft.faulty = walked.faulty;
        draft
    }

    /// The field at a path of member names with dots; `networkPassThroughLbTrafficPolicy.zonalAffinity.spillover`.
    pub(super) fn get(&self, field: &str) -> Known<&Value> {
        if self.is_faulty(field) {
            return Known::Invalid;
        }
        let mut names = field.split('.');
        let first = names.next().and_then(|name| self.value.get(name));
        names
            .fold(first, |value, name| value.and_then(|value| value.get(name)))
            .map_or(Known::Absent, Known::Is)
    }

    pub(super) fn text(&self, field: &str) -> Known<&str> {
        self.get(field).then(Value::as_str)
    }

    pub(super) fn int(&self, field: &str) -> Known<i64> {
        self.get(field).then(Value::as_i64)
    }

    /// A flag that is not known to be set is not set.
    pub(super) fn flag(&self, field: &str) -> bool {
        self.get(field).then(Value::as_bool).get().unwrap_or(false)
    }

    pub(super) fn is_present(&self, field: &str) -> bool {
        self.get(field) != Known::Absent
    }

    /// The entries of an array, with the field path of each.
    pub(super) fn list(&self, field: &str) -> Vec<(String, &Value)> {
        let items = self.value.get(field).and_then(Value::as_array);
        items
            .into_iter()
            .flatten()
            .enumerate()
            .map(|(i, item)| (format!("{field}[{i}]"), item))
            .collect()
    }

    /// A member of an entry of `list`, when it is not at fault.
    pub(super) fn member<'a>(&self, (at, item): &(String, &'a Value), name: &str) -> Option<&'a Value> {
        if self.faulty.is_empty() {
            return item.get(name);
        }
        let field = format!("{at}.{name}");
        if self.is_faulty(&field) {
            None
        } else {
            item.get(name)
        }
    }

    /// Whether the field, or what holds it, has been reported.
    pub(super) fn is_faulty(&self, field: &str) -> bool {
        if self.faulty.is_empty() {
            return false;
        }
        let ends = field
            .match_indices(['.', '['])
            .map(|(end, _)| end)
            .chain([field.len()]);
        ends.into_iter().any(|end| self.faulty.contains(&field[..end]))
    }

    pub(super) fn mark_faulty(&mut self, field: &str) {
        self.faulty.insert(field.into());
    }

    pub(super) fn fault(&self, finding: Finding) -> Fault {
        Fault {
            source: self.source.clone(),
            path: schema::join(&self.json_path, &finding.field)
                .trim_end_matches('.')
                .into(),
            field: finding.field,
            resource: Some(self.path.clone()),
            value: finding.value,
            reason: finding.reason,
            hint: finding.hint,
            kind: finding.kind,
        }
    }

    /// How other faults speak of this resource.
    pub(super) fn described(&self) -> String {
        format!("{} {}", self.kind, self.path.name())
    }

    /// The value at any field path, indexes included, for a fault to quote.
    fn quoted(&self, field: &str) -> Option<String> {
        let mut steps = field.split(['.', '[']).map(|step| step.trim_end_matches(']'));
        let first = steps.next().and_then(|name| self.value.get(name))?;
        steps
            .try_fold(first, |value, step| match step.parse::<usize>() {
                Ok(index) if value.is_array() => value.get(index),
                _ => value.get(step),
            })
            .map(quote)
    }
}

/// Collects.
#[derive(Default)]
pub(super) struct Report {
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Warning>,
}

impl Report {
    pub(super) fn invalid(&mut self, draft: &Draft, field: &str, reason: impl Into<String>) {
        self.fault(draft, field, FaultKind::Invalid, reason);
    }

    pub(super) fn fault(&mut self, draft: &Draft, field: &str, kind: FaultKind, reason: impl Into<String>) {
        let value = draft.quoted(field);
        let finding = Finding {
            field: field.into(),
            value,
            reason: reason.into(),
            hint: None,
            kind,
        };
        self.faults.push(draft.fault(finding));
    }

    /// Adds a hint to the last fault.
    pub(super) fn hint(&mut self, hint: impl Into<String>) {
        if let Some(fault) = self.faults.last_mut() {
            fault.hint = Some(hint.into());
        }
    }

    pub(super) fn warn(&mut self, draft: &Draft, field: &str, message: impl Into<String>) {
        self.warnings.push(Warning {
            source: draft.source.clone(),
            path: schema::join(&draft.json_path, field).trim_end_matches('.').into(),
            resource: draft.path.clone(),
            message: message.into(),
        });
    }
}
