//! `BackendService.logConfig`: what may be said about the log of connections.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::draft::{Draft, Known, Report};
use super::super::hint::nearest;
use super::super::typed;
use crate::model::InstanceField;

const ENABLE: &str = "logConfig.enable";
pub(in crate::resources) const SAMPLE_RATE: &str = "logConfig.sampleRate";
const MODE: &str = "logConfig.optionalMode";
const FIELDS: &str = "logConfig.optionalFields";

/// The optional field that is here, whole; its parts are `serverInstance.…`.
const SERVER_INSTANCE: &str = "serverInstance";
const GKE: &str = "serverGkeDetails";

pub(super) fn check(service: &Draft, report: &mut Report) {
    if !service.is_faulty(ENABLE) && !service.flag(ENABLE) {
        need_enable(service, report);
    }
    if let Known::Is(rate) = service.get(SAMPLE_RATE)
        && typed::ratio(rate).is_none()
    {
        report.invalid(service, SAMPLE_RATE, "has more than 18 digits after the point");
    }
    optional_fields(service, report);
}

/// What the cloud shows of a service that logs nothing says nothing.
fn need_enable(service: &Draft, report: &mut Report) {
    let rate = service.get(SAMPLE_RATE).get().and_then(Value::as_f64);
    if rate.is_some_and(|rate| rate != 0.0 && rate != 1.0) {
        report.invalid(service, SAMPLE_RATE, "needs logConfig.enable");
    }
    if service
        .text(MODE)
        .get()
        .is_some_and(|mode| mode != "EXCLUDE_ALL_OPTIONAL")
    {
        report.invalid(service, MODE, "needs logConfig.enable");
    }
}

fn optional_fields(service: &Draft, report: &mut Report) {
    let fields = service.get(FIELDS).get().and_then(Value::as_array);
    let Some(fields) = fields.filter(|fields| !fields.is_empty()) else {
        return;
    };
    let custom = matches!(service.text(MODE), Known::Is("CUSTOM") | Known::Invalid);
    if !custom {
        report.invalid(service, FIELDS, "needs optionalMode CUSTOM");
    }
    for (index, field) in fields.iter().enumerate() {
        let at = format!("{FIELDS}[{index}]");
        match field.as_str() {
            Some(name) if !service.is_faulty(&at) => {
                if let Err(why) = optional_field(name) {
                    report.invalid(service, &at, why);
                }
            }
            _ => {}
        }
    }
}

/// What one name of `optionalFields` stands for, or why it can't be had.
fn optional_field(name: &str) -> Result<BTreeSet<InstanceField>, String> {
    if name == SERVER_INSTANCE {
        return Ok(InstanceField::ALL.into());
    }
    let part = name.strip_prefix("serverInstance.");
    if let Some(field) = part.and_then(InstanceField::from_log) {
        return Ok([field].into());
    }
    if name == GKE || name.starts_with("serverGkeDetails.") {
        return Err("endpoints here belong to no GKE cluster; there is serverInstance".to_owned());
    }
    let known: Vec<String> = InstanceField::ALL
        .iter()
        .map(|field| format!("{SERVER_INSTANCE}.{}", field.as_log()))
        .collect();
    let names = || std::iter::once(SERVER_INSTANCE).chain(known.iter().map(String::as_str));
    Err(match nearest(name, names()) {
        Some(near) => format!("is no optional field of the log; did you mean {near}?"),
        None => format!(
            "is no optional field of the log; there are {}",
            names().collect::<Vec<_>>().join(", ")
        ),
    })
}

/// The optional fields that a service's lines have.
pub(in crate::resources) fn chosen(service: &Draft) -> Option<BTreeSet<InstanceField>> {
    Some(match service.text(MODE).or("EXCLUDE_ALL_OPTIONAL")? {
        "EXCLUDE_ALL_OPTIONAL" => BTreeSet::new(),
        "INCLUDE_ALL_OPTIONAL" => InstanceField::ALL.into(),
        "CUSTOM" => {
            let names = service.get(FIELDS).get().and_then(Value::as_array);
            let mut fields = BTreeSet::new();
            for name in names.into_iter().flatten() {
                fields.extend(optional_field(name.as_str()?).ok()?);
            }
            fields
        }
        _ => return None,
    })
}
