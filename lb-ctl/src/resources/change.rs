//! What of a resource may become another value: the schema says for each field, this judges.

use serde_json::{Map, Value};

use super::draft::{Draft, Report};
use super::kind::Kind;
use super::set::Resource;
use super::{link, schema};
use crate::resources::schema::{Change, Field};

/// Reports every field of the draft that a method of the API can't change.
pub(super) fn check(draft: &Draft, before: &Resource, report: &mut Report) {
    let after = Resource::content(draft);
    for (field, instead) in changed(draft.kind, &before.value, &after) {
        if draft.is_faulty(field.name) {
            continue;
        }
        report.invalid(
            draft,
            field.name,
            format!("a {} keeps this field as it was inserted", draft.kind),
        );
        let is = shown(before.value.get(field.name));
        report.hint(instead.map_or_else(
            || format!("it is {is}"),
            |instead| format!("it is {is}; {instead}"),
        ));
    }
}

/// Whether what the draft names is to be another resource than the one of the same path before.
pub(super) fn is_another(kind: Kind, before: &Map<String, Value>, after: &Map<String, Value>) -> bool {
    changed(kind, before, after).any(|(field, _)| field.change == Change::Never)
}

/// The fields that no method of the API changes, other than by deleting and inserting.
pub(crate) fn fixed_fields(kind: Kind) -> impl Iterator<Item = &'static str> {
    let fixed = schema::table(kind)
        .iter()
        .filter(|field| field.change == Change::Never);
    fixed.map(|field| field.name)
}

fn changed<'a>(
    kind: Kind,
    before: &'a Map<String, Value>,
    after: &'a Map<String, Value>,
) -> impl Iterator<Item = (&'static Field, Option<&'static str>)> + 'a {
    schema::table(kind).iter().filter_map(|field| {
        let instead = match field.change {
            Change::Free => return None,
            Change::NotByApi(instead) => Some(instead),
            Change::Never => None,
        };
        let same = same(before.get(field.name), after.get(field.name));
        (!same).then_some((field, instead))
    })
}

/// Whether both say the same: what is empty is as good as absent, and URLs agree from `projects/` on.
fn same(one: Option<&Value>, other: Option<&Value>) -> bool {
    match (one.filter(|value| says(value)), other.filter(|value| says(value))) {
        (Some(Value::String(one)), Some(Value::String(other))) => {
            link::from_projects(one) == link::from_projects(other)
        }
        (one, other) => one == other,
    }
}

fn says(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

fn shown(value: Option<&Value>) -> String {
    value
        .filter(|value| says(value))
        .map_or_else(|| "not set".to_owned(), ToString::to_string)
}
