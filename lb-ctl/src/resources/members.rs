//! The endpoints of a group, whichever of the two kinds of group names them.

use serde_json::{Map, Value};

use super::draft::{Draft, Drafts};
use super::fault::Fault;
use super::kind::Kind;
use super::{link, schema, typed};
use crate::model::Endpoint;

/// The readable endpoints, each with the field path of its entry. What is unreadable the rules report.
pub(super) fn endpoints(group: &Draft, drafts: &Drafts) -> Vec<(String, Endpoint)> {
    let Some(field) = group.kind.members_field() else {
        return Vec::new();
    };
    let entries = group.list(field);
    let read = |entry: &(String, &Value)| match group.kind {
        Kind::NetworkEndpointGroup => network_endpoint(group, entry, drafts),
        _ => group
            .member(entry, "instance")
            .and_then(Value::as_str)
            .and_then(|text| of_instance(group, text, drafts)),
    };
    entries
        .iter()
        .filter_map(|entry| Some((entry.0.clone(), read(entry)?)))
        .collect()
}

fn network_endpoint(group: &Draft, entry: &(String, &Value), drafts: &Drafts) -> Option<Endpoint> {
    let text = |name: &str| group.member(entry, name).and_then(Value::as_str);
    let instance = text("instance");
    let ipv4 = text("ipAddress").and_then(|text| typed::ipv4(text).ok());
    let ipv6 = text("ipv6Address").and_then(|text| typed::ipv6(text).ok());
    if ipv4.is_none() && ipv6.is_none() {
        return instance.and_then(|instance| of_instance(group, instance, drafts));
    }
    let instance = instance.map(|text| text.rsplit('/').next().unwrap_or(text).to_owned());
    Some(Endpoint { instance, ipv4, ipv6 })
}

/// An instance's addresses: those of its first interface.
fn of_instance(group: &Draft, text: &str, drafts: &Drafts) -> Option<Endpoint> {
    let instance = drafts.get(&link::instance(text, &group.scope)?)?;
    let interfaces = instance.list("networkInterfaces");
    let first = interfaces.first()?;
    let text = |name: &str| instance.member(first, name).and_then(Value::as_str);
    let ipv4 = text("networkIP").and_then(|text| typed::ipv4(text).ok());
    let ipv6 = text("ipv6Address").and_then(|text| typed::ipv6(text).ok());
    (ipv4.is_some() || ipv6.is_some()).then(|| Endpoint {
        instance: Some(instance.path.name().into()),
        ipv4,
        ipv6,
    })
}

/// What is wrong with members of a group, each by itself.
pub(crate) fn member_faults(kind: Kind, members: &Value, source: &str) -> Vec<Fault> {
    let Some(field) = kind.members_field() else {
        return Vec::new();
    };
    let group = Map::from_iter([(field.to_owned(), members.clone())]);
    let findings = schema::walk(schema::table(kind), &group).findings;
    let of_members = findings
        .into_iter()
        .filter(|finding| finding.field.starts_with(field));
    of_members
        .map(|finding| Fault {
            path: schema::join("$", &finding.field),
            field: finding.field,
            value: finding.value,
            hint: finding.hint,
            ..Fault::of_source(source, finding.kind, finding.reason)
        })
        .collect()
}
