//! Walks a JSON value against a table: every fault at once, and the value without what is not input.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Default, Field, Role, Shape};
use crate::resources::fault::{FaultKind, quote};
use crate::resources::hint::nearest;
use crate::resources::kind::Kind;

/// A fault before it knows its document.
pub(crate) struct Finding {
    pub(crate) field: String,
    pub(crate) value: Option<String>,
    pub(crate) reason: String,
    pub(crate) hint: Option<String>,
    pub(crate) kind: FaultKind,
}

/// What a walk leaves.
#[derive(Default)]
pub(crate) struct Walked {
    /// Without output-only members and nulls.
    pub(crate) value: Map<String, Value>,
    pub(crate) findings: Vec<Finding>,
    /// The fields of the findings.
    pub(crate) faulty: BTreeSet<String>,
}

pub(crate) fn walk(fields: &'static [Field], object: &Map<String, Value>) -> Walked {
    let mut walked = Walked::default();
    walked.value = walked.object(fields, object, "");
    walked
}

impl Walked {
    fn object(
        &mut self,
        fields: &'static [Field],
        object: &Map<String, Value>,
        at: &str,
    ) -> Map<String, Value> {
        let mut kept = Map::new();
        for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            let path = join(at, name);
            match fields.iter().find(|field| field.name == name) {
                None => self.unknown(fields, path, name, value),
                Some(Field {
                    role: Role::Output, ..
                }) => {}
                Some(field) => {
                    let value = self.field(field, value, &path);
                    kept.insert(name.clone(), value);
                }
            }
        }
        for field in fields
            .iter()
            .filter(|field| field.required && !is_present(object, field.name))
        {
            self.find(
                join(at, field.name),
                None,
                "is required and missing",
                FaultKind::Required,
            );
        }
        kept
    }

    fn field(&mut self, field: &Field, value: &Value, path: &str) -> Value {
        let why = match field.role {
            Role::Forbidden(why) => Some(why),
            Role::Refused(why) if acts(&field.shape, value) => Some(why),
            _ => None,
        };
        let Some(why) = why else {
            return self.shape(&field.shape, value, path);
        };
        let fits_type = fits(&field.shape, value);
        if !fits_type {
            return self.shape(&field.shape, value, path);
        }
        self.find(path.into(), Some(value), why, FaultKind::Refused);
        if let (Shape::Object(members), Some(object)) = (&field.shape, value.as_object()) {
            self.refused_members(members, object, path, why);
        }
        value.clone()
    }

    /// Names the members of a refused object that would act, too: each is something to take out.
    fn refused_members(
        &mut self,
        fields: &'static [Field],
        object: &Map<String, Value>,
        at: &str,
        why: &str,
    ) {
        self.object(fields, object, at);
        for (name, value) in object {
            let path = join(at, name);
            let known = fields.iter().find(|field| field.name == name);
            if known.is_some_and(|field| acts(&field.shape, value)) && !self.faulty.contains(&path) {
                self.find(path, Some(value), why, FaultKind::Refused);
            }
        }
    }

    fn shape(&mut self, shape: &Shape, value: &Value, path: &str) -> Value {
        match (shape, value) {
            (Shape::Object(fields), Value::Object(object)) => {
                return Value::Object(self.object(fields, object, path));
            }
            (Shape::List(of, most), Value::Array(items)) => return self.list(of, *most, items, path),
            (Shape::Map, Value::Object(object)) => self.map(object, path),
            (Shape::Enum(accepted, elsewhere), Value::String(text)) => {
                self.choice(accepted, elsewhere, text, path)
            }
            _ if !fits(shape, value) => {
                self.find(
                    path.into(),
                    Some(value),
                    format!("expected {}", expected(shape)),
                    FaultKind::Invalid,
                );
            }
            _ => {
                if let Some(why) = out_of_range(shape, value) {
                    self.find(path.into(), Some(value), why, FaultKind::Invalid);
                }
            }
        }
        value.clone()
    }

    fn list(&mut self, of: &Shape, most: usize, items: &[Value], path: &str) -> Value {
        if items.len() > most {
            let reason = format!("has {} entries; at most {most} are allowed", items.len());
            self.find(path.into(), None, reason, FaultKind::Invalid);
        }
        let kept = items
            .iter()
            .enumerate()
            .map(|(i, item)| self.shape(of, item, &format!("{path}[{i}]")));
        Value::Array(kept.collect())
    }

    fn map(&mut self, object: &Map<String, Value>, path: &str) {
        for (name, value) in object.iter().filter(|(_, value)| !value.is_string()) {
            self.find(
                join(path, name),
                Some(value),
                "expected a string",
                FaultKind::Invalid,
            );
        }
    }

    fn choice(&mut self, accepted: &[&str], elsewhere: &[(&str, &str)], text: &str, path: &str) {
        if accepted.contains(&text) {
            return;
        }
        let known = elsewhere.iter().find(|(value, _)| *value == text);
        let why = known.map_or("is no value of this field", |(_, why)| *why);
        let kind = if known.is_some() {
            FaultKind::Refused
        } else {
            FaultKind::Invalid
        };
        let near = nearest(text, accepted.iter().copied()).filter(|_| known.is_none());
        let did_you_mean = near
            .map(|near| format!("did you mean {near}? "))
            .unwrap_or_default();
        self.find(path.into(), Some(&Value::String(text.into())), why, kind);
        if let Some(finding) = self.findings.last_mut() {
            finding.hint = Some(format!("{did_you_mean}accepted: {}", accepted.join(", ")));
        }
    }

    fn unknown(&mut self, fields: &[Field], path: String, name: &str, value: &Value) {
        let near = nearest(name, fields.iter().map(|field| field.name));
        self.find(
            path,
            Some(value),
            "is no field of this resource",
            FaultKind::UnknownField,
        );
        if let Some(finding) = self.findings.last_mut() {
            finding.hint = near.map(|near| format!("did you mean {near}?"));
        }
    }

    fn find(&mut self, field: String, value: Option<&Value>, reason: impl Into<String>, kind: FaultKind) {
        self.faulty.insert(field.clone());
        self.findings.push(Finding {
            field,
            value: value.map(quote),
            reason: reason.into(),
            hint: None,
            kind,
        });
    }
}

pub(crate) fn join(at: &str, name: &str) -> String {
    if at.is_empty() {
        name.into()
    } else {
        format!("{at}.{name}")
    }
}

fn is_present(object: &Map<String, Value>, name: &str) -> bool {
    object.get(name).is_some_and(|value| !value.is_null())
}

/// Whether a value of a field that we can't serve asks for anything.
fn acts(shape: &Shape, value: &Value) -> bool {
    match (shape, value) {
        (_, Value::Null | Value::Bool(false)) => false,
        (_, Value::Number(number)) => number.as_f64() != Some(0.0),
        (Shape::Enum(disabling, _), Value::String(text)) => {
            !text.is_empty() && !disabling.contains(&text.as_str())
        }
        (Shape::Long, Value::String(text)) => !text.is_empty() && text != "0",
        (_, Value::String(text)) => !text.is_empty(),
        (_, Value::Array(items)) => !items.is_empty(),
        (Shape::Object(fields), Value::Object(object)) => object.iter().any(|(name, value)| {
            fields
                .iter()
                .find(|field| field.name == name)
                .is_none_or(|field| acts(&field.shape, value))
        }),
        (_, Value::Object(object)) => !object.is_empty(),
        (_, Value::Bool(true)) => true,
    }
}

fn fits(shape: &Shape, value: &Value) -> bool {
    match shape {
        Shape::Bool => value.is_boolean(),
        Shape::Int(..) => value.is_i64() || value.is_u64(),
        Shape::Long => is_long(value),
        Shape::Float(..) => value.is_number(),
        Shape::Text(_) | Shape::Name | Shape::Enum(..) | Shape::Reference(_) => value.is_string(),
        Shape::List(..) => value.is_array(),
        Shape::Object(_) | Shape::Map => value.is_object(),
        Shape::Any => true,
    }
}

fn is_long(value: &Value) -> bool {
    let text = value
        .as_str()
        .map(|text| text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok());
    text.unwrap_or(value.is_i64() || value.is_u64())
}

fn expected(shape: &Shape) -> &'static str {
    match shape {
        Shape::Bool => "true or false",
        Shape::Int(..) => "a whole number",
        Shape::Long => "a whole number, or one as a string",
        Shape::Float(..) => "a number",
        Shape::Text(_) | Shape::Name | Shape::Enum(..) => "a string",
        Shape::Reference(_) => "a string, the URL or name of a resource",
        Shape::List(..) => "an array",
        Shape::Object(_) => "an object",
        Shape::Map => "an object of strings",
        Shape::Any => "any value",
    }
}

fn out_of_range(shape: &Shape, value: &Value) -> Option<String> {
    match (shape, value) {
        (Shape::Int(least, most), _) => {
            let number = value.as_i64().unwrap_or(i64::MAX);
            (number < *least || number > *most).then(|| format!("must be in {least}..{most}"))
        }
        (Shape::Float(least, most), _) => {
            let number = value.as_f64().unwrap_or(f64::NAN);
            let range = if *most == f64::MAX { format!("at least {least}") } else { format!("in {least}..{most}") };
            (!(*least..=*most).contains(&number)).then(|| format!("must be {range}"))
        }
        (Shape::Text(longest), Value::String(text)) => {
            (text.len() > *longest).then(|| format!("must be at most {longest} bytes long"))
        }
        (Shape::Name, Value::String(text)) => (!is_name(text)).then(|| {
            "must be 1 to 63 lower-case letters, digits and hyphens, start with a letter and not end with a hyphen".into()
        }),
        _ => None,
    }
}

/// `[a-z]([-a-z0-9]{0,61}[a-z0-9])?`
pub(crate) fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inside = bytes
        .iter()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
    let ends = bytes.first().is_some_and(u8::is_ascii_lowercase) && bytes.last() != Some(&b'-');
    bytes.len() <= 63 && inside && ends
}

/// Adds what the cloud shows for fields that were left out.
pub(crate) fn add_defaults(fields: &'static [Field], object: &mut Map<String, Value>) {
    for field in fields {
        if let (Some(default), false) = (field.default, object.contains_key(field.name)) {
            object.insert(field.name.into(), default_value(default));
        }
        let Some(value) = object.get_mut(field.name) else {
            continue;
        };
        match (&field.shape, value) {
            (Shape::Object(members), Value::Object(object)) => add_defaults(members, object),
            (Shape::List(Shape::Object(members), _), Value::Array(items)) => {
                items
                    .iter_mut()
                    .filter_map(Value::as_object_mut)
                    .for_each(|item| add_defaults(members, item));
            }
            _ => {}
        }
    }
}

fn default_value(default: Default) -> Value {
    match default {
        Default::Int(number) => number.into(),
        Default::Text(text) => text.into(),
        Default::Object => Value::Object(Map::new()),
    }
}

/// Calls `visit` with the field path, the kinds that it may name, and the text of every reference.
pub(crate) fn each_reference(
    fields: &'static [Field],
    object: &mut Map<String, Value>,
    visit: &mut dyn FnMut(&str, &'static [Kind], &mut String),
) {
    object_references(fields, object, "", visit);
}

type Visit<'a> = dyn FnMut(&str, &'static [Kind], &mut String) + 'a;

fn object_references(
    fields: &'static [Field],
    object: &mut Map<String, Value>,
    at: &str,
    visit: &mut Visit<'_>,
) {
    for field in fields {
        if let Some(value) = object.get_mut(field.name) {
            value_references(&field.shape, value, &join(at, field.name), visit);
        }
    }
}

fn value_references(shape: &'static Shape, value: &mut Value, path: &str, visit: &mut Visit<'_>) {
    match (shape, value) {
        (Shape::Reference(kinds), Value::String(text)) => visit(path, kinds, text),
        (Shape::Object(fields), Value::Object(object)) => object_references(fields, object, path, visit),
        (Shape::List(of, _), Value::Array(items)) => {
            for (i, item) in items.iter_mut().enumerate() {
                value_references(of, item, &format!("{path}[{i}]"), visit);
            }
        }
        _ => {}
    }
}
