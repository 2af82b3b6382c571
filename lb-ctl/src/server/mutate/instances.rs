//! `addInstances` and `removeInstances` of an unmanaged instance group.

use std::collections::BTreeSet;

use serde_json::json;

use super::members::{Positions, asked, members, with_members};
use super::write::Written;
use super::{Mutation, Object, SOURCE, fault};
use crate::control::place::{canonical, resolve, url};
use crate::model::ResourcePath;
use crate::resources::{Fault, FaultKind, Kind, is_resource_name, member_faults};
use crate::server::error::ApiResult;

const FIELD: &str = "instances";

/// One entry of a request.
struct Named {
    position: usize,
    path: ResourcePath,
}

pub(super) fn add(mutation: &Mutation, stored: &Object, body: &Object) -> ApiResult<Written> {
    let (named, mut faults) = named(mutation, body);
    let mut members = present(stored);
    let mut known: BTreeSet<ResourcePath> = members.iter().cloned().collect();
    let mut positions = Positions::new(FIELD, members.len(), mutation.target.name());
    for Named { position, path } in named {
        if known.insert(path.clone()) {
            members.push(path);
            positions.push(position);
        } else {
            let reason = format!("Resource '{path}' is already a member of '{}'.", mutation.target);
            faults.push(of_member(position, FaultKind::MemberAlreadyExists, reason));
        }
    }
    Ok(Written {
        positions: Some(positions),
        ..Written::new(with(stored, &members), faults)
    })
}

pub(super) fn remove(mutation: &Mutation, stored: &Object, body: &Object) -> ApiResult<Written> {
    let (named, mut faults) = named(mutation, body);
    let mut members = present(stored);
    let mut known: BTreeSet<ResourcePath> = members.iter().cloned().collect();
    for Named { position, path } in named {
        if !known.remove(&path) {
            let reason = format!("Resource '{path}' is not a member of '{}'.", mutation.target);
            faults.push(of_member(position, FaultKind::MemberNotFound, reason));
        }
    }
    members.retain(|member| known.contains(member));
    Ok(Written::new(with(stored, &members), faults))
}

/// The instances of a request that can be read, and what is wrong with its form.
fn named(mutation: &Mutation, body: &Object) -> (Vec<Named>, Vec<Fault>) {
    let (entries, mut faults) = asked(body, FIELD);
    let wrong = member_faults(Kind::InstanceGroup, &entries.clone().into(), SOURCE);
    let mut named = Vec::new();
    for (position, entry) in entries.iter().enumerate() {
        let Some(text) = entry["instance"].as_str() else {
            continue;
        };
        match instance(mutation, text) {
            Some(path) => named.push(Named { position, path }),
            None => {
                let at = format!("{FIELD}[{position}].instance");
                faults.push(fault(
                    &at,
                    Some(&entry["instance"]),
                    "is no URL or name of an instance",
                ));
            }
        }
    }
    faults.extend(wrong);
    (named, faults)
}

fn instance(mutation: &Mutation, text: &str) -> Option<ResourcePath> {
    if is_resource_name(text) {
        let mut place = mutation.place.clone();
        place.kind = Kind::Instance;
        return Some(place.resource(text));
    }
    resolve(text, &mutation.place.project).filter(|path| Kind::of(path) == Some(Kind::Instance))
}

fn present(stored: &Object) -> Vec<ResourcePath> {
    let members = members(stored, FIELD);
    let paths = members
        .iter()
        .filter_map(|member| canonical(member["instance"].as_str()?));
    paths.collect()
}

fn with(stored: &Object, members: &[ResourcePath]) -> Object {
    let members = members
        .iter()
        .map(|path| json!({ "instance": url(path.as_str()) }));
    with_members(stored, FIELD, members.collect())
}

/// The cloud says this of the instance as a whole, not of the field.
fn of_member(position: usize, kind: FaultKind, reason: String) -> Fault {
    Fault {
        path: format!("$.{FIELD}[{position}].instance"),
        ..Fault::of_source(SOURCE, kind, reason)
    }
}
