//! What is wrong with a configuration: one fault for each place, in a reader's words and in the API's shape.

use std::fmt;

use serde_json::{Value, json};

use crate::model::ResourcePath;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A file or directory that can't be read.
    Unreadable,
    /// Text that is no JSON, or JSON that is no resource.
    Malformed,
    /// A value that the field can't have, alone or together with others.
    Invalid,
    Required,
    UnknownField,
    /// Known to the reference, but no business of a passthrough load balancer.
    Refused,
    /// A reference to a resource that does not exist.
    Dangling,
    /// The resource itself, named in a request, does not exist.
    NotFound,
    AlreadyExists,
    ResourceInUse,
    ConditionNotMet,
    /// An instance is in the group already.
    MemberAlreadyExists,
    /// An instance is not in the group.
    MemberNotFound,
}

impl FaultKind {
    /// The API's `reason`.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed | Self::Unreadable => "parseError",
            Self::Invalid | Self::UnknownField | Self::Refused | Self::Dangling => "invalid",
            Self::Required => "required",
            Self::NotFound => "notFound",
            Self::AlreadyExists => "alreadyExists",
            Self::ResourceInUse => "resourceInUseByAnotherResource",
            Self::ConditionNotMet => "conditionNotMet",
            Self::MemberAlreadyExists => "memberAlreadyExists",
            Self::MemberNotFound => "memberNotFound",
        }
    }

    pub const fn http_code(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::AlreadyExists => 409,
            Self::ConditionNotMet => 412,
            _ => 400,
        }
    }
}

/// The source of what is not in the documents but was there before.
pub(super) const STORED: &str = "stored";

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// File name, `-`, or what the caller named the documents.
    pub source: String,
    /// From the root of the source, such as `$[3].backends[0].group`.
    pub path: String,
    /// From the root of the resource, such as `backends[0].group`; empty for the resource as a whole.
    pub field: String,
    pub resource: Option<ResourcePath>,
    pub value: Option<String>,
    pub reason: String,
    pub hint: Option<String>,
    pub kind: FaultKind,
}

impl Fault {
    /// A fault of a whole source.
    pub fn of_source(source: &str, kind: FaultKind, reason: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            path: "$".into(),
            field: String::new(),
            resource: None,
            value: None,
            reason: reason.into(),
            hint: None,
            kind,
        }
    }

    /// A fault of a resource that a request names.
    pub fn of_resource(resource: &ResourcePath, kind: FaultKind, reason: impl Into<String>) -> Self {
        Self {
            resource: Some(resource.clone()),
            path: resource.to_string(),
            ..Self::of_source("request", kind, reason)
        }
    }

    /// Whether it is of what was there before.
    pub fn is_stored(&self) -> bool {
        self.source == STORED
    }

    /// The message of the API's error.
    pub fn message(&self) -> String {
        let hint = self
            .hint
            .as_deref()
            .map(|hint| format!(" ({hint})"))
            .unwrap_or_default();
        if self.field.is_empty() {
            return format!("{}{hint}", self.reason);
        }
        if let (STORED, Some(resource)) = (self.source.as_str(), &self.resource) {
            let (field, value, why) = (&self.field, self.value.as_deref(), sentence(&self.reason));
            let value = value.unwrap_or_default();
            return format!("Invalid value for field '{field}' of '{resource}': '{value}'. {why}{hint}");
        }
        if self.kind == FaultKind::Required && self.value.is_none() {
            return format!("Required field 'resource.{}' not specified{hint}", self.field);
        }
        let value = self.value.as_deref().unwrap_or_default();
        let why = sentence(&self.reason);
        format!(
            "Invalid value for field 'resource.{}': '{value}'. {why}{hint}",
            self.field
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", self.source, self.path)?;
        if let Some(value) = &self.value {
            write!(f, "'{value}': ")?;
        }
        f.write_str(&self.reason)?;
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// The API's error document; its code is the first fault's.
pub fn error_body(faults: &[Fault]) -> Value {
    let errors: Vec<_> = faults
        .iter()
        .map(|fault| json!({"domain": "global", "reason": fault.kind.reason(), "message": fault.message()}))
        .collect();
    let code = faults.first().map_or(500, |fault| fault.kind.http_code());
    let message = faults.first().map(Fault::message).unwrap_or_default();
    json!({"error": {"code": code, "message": message, "errors": errors}})
}

/// Accepted, but worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub source: String,
    pub path: String,
    pub resource: ResourcePath,
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.source, self.path, self.message)
    }
}

/// A value as a fault quotes it: strings bare, the rest as JSON, long ones cut.
pub(super) fn quote(value: &Value) -> String {
    const LONGEST: usize = 100;
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars
        .next()
        .map(|first| first.to_uppercase().to_string())
        .unwrap_or_default();
    format!("{first}{}.", chars.as_str().trim_end_matches('.'))
}
