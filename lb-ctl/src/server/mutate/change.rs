//! `patch` and `update`: the resource with some of its fields changed, and the resource as the client has it whole.

use serde_json::Value;

use super::write::Written;
use super::{Mutation, Object, SOURCE, fault};
use crate::resources::{Fault, FaultKind, Kind, fixed_fields, probe_field};
use crate::server::error::{ApiError, ApiResult};

/// JSON merge patch (RFC 7396): null deletes, arrays replace.
pub(super) fn patch(mutation: &Mutation, stored: &Object, mut body: Object) -> ApiResult<Written> {
    let kind = mutation.place.kind;
    check_fingerprint(mutation, stored, body.get("fingerprint"), Absent::Passes)?;
    let faults = identity_faults(&mut body, mutation);
    let mut merged = Value::Object(stored.clone());
    if kind == Kind::HealthCheck {
        drop_other_probe(&mut merged, stored, &body);
    }
    json_patch::merge(&mut merged, &Value::Object(body));
    let resource = merged.as_object().cloned().unwrap_or_default();
    Ok(in_place(resource, faults))
}

/// What the client does not say is gone, but for what a resource keeps as long as it is.
pub(super) fn update(mutation: &Mutation, stored: &Object, mut body: Object) -> ApiResult<Written> {
    check_fingerprint(mutation, stored, body.get("fingerprint"), Absent::Fails)?;
    let faults = identity_faults(&mut body, mutation);
    for field in fixed_fields(mutation.place.kind) {
        if let (None | Some(Value::Null), Some(value)) = (body.get(field), stored.get(field)) {
            body.insert(field.to_owned(), value.clone());
        }
    }
    Ok(in_place(body, faults))
}

fn in_place(resource: Object, faults: Vec<Fault>) -> Written {
    Written {
        in_place: true,
        ..Written::new(resource, faults)
    }
}

/// What a request without a fingerprint means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    Passes,
    Fails,
}

fn check_fingerprint(
    mutation: &Mutation,
    stored: &Object,
    sent: Option<&Value>,
    absent: Absent,
) -> ApiResult<()> {
    if !mutation.place.kind.has_fingerprint() || is_current(stored.get("fingerprint"), sent, absent) {
        return Ok(());
    }
    Err(condition_not_met("Invalid fingerprint."))
}

pub(super) fn condition_not_met(message: &str) -> ApiError {
    ApiError::faults(vec![Fault::of_source(
        SOURCE,
        FaultKind::ConditionNotMet,
        message,
    )])
}

/// Whether the client has seen the resource as it is.
pub(super) fn is_current(stored: Option<&Value>, sent: Option<&Value>, absent: Absent) -> bool {
    match sent {
        None | Some(Value::Null) => absent == Absent::Passes,
        Some(Value::String(sent)) if sent.is_empty() => absent == Absent::Passes,
        Some(Value::String(sent)) => stored
            .and_then(Value::as_str)
            .is_some_and(|stored| standard_base64(stored) == standard_base64(sent)),
        Some(_) => false,
    }
}

/// Clients write the same bytes in either alphabet of RFC 4648, with and without padding.
fn standard_base64(text: &str) -> String {
    text.trim_end_matches('=').replace('-', "+").replace('_', "/")
}

/// The URL says what and which it is; a body may only say the same.
fn identity_faults(body: &mut Object, mutation: &Mutation) -> Vec<Fault> {
    let mut faults = kind_faults(body, mutation.place.kind);
    let own = mutation.target.name();
    if let Some(name) = body
        .shift_remove("name")
        .filter(|name| !name.is_null() && name != own)
    {
        faults.push(Fault {
            hint: Some(format!("the URL says {own}")),
            ..fault("name", Some(&name), "a resource keeps its name")
        });
    }
    faults
}

pub(super) fn kind_faults(body: &Object, kind: Kind) -> Vec<Fault> {
    let given = body
        .get("kind")
        .filter(|given| !given.is_null() && *given != kind.as_api());
    let refuse = |given| fault("kind", Some(given), format!("must be '{}'", kind.as_api()));
    given.map(refuse).into_iter().collect()
}

/// A check of another type does not keep the settings of the old one, unless the patch speaks of them.
fn drop_other_probe(merged: &mut Value, stored: &Object, body: &Object) {
    let probe = |check: &Object| check.get("type").and_then(Value::as_str).and_then(probe_field);
    let (Some(old), Some(new)) = (probe(stored), probe(body)) else {
        return;
    };
    if let Some(merged) = merged.as_object_mut().filter(|_| old != new) {
        merged.shift_remove(old);
    }
}
