//! References between resources: full URLs of any host and version, partial ones, and bare names. Two of them are
//! the same when they agree from `projects/` on.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::draft::{Drafts, Report};
use super::fault::FaultKind;
use super::hint::nearest;
use super::kind::{Kind, Scope};
use super::schema;
use crate::model::ResourcePath;

/// A hint is worth so many comparisons: a large configuration may have many dangling references.
const MOST_COMPARED: usize = 200;

const ROOT: &str = "https://www.googleapis.com/compute/v1/";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    Global,
    Region(String),
    Zone(String),
}

/// The parts of `projects/P/regions/R/COLLECTION/NAME` and its kin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) project: String,
    pub(super) location: Location,
    pub(super) collection: String,
    pub(super) name: String,
}

/// The full URL that a stored resource shows.
pub(super) fn url(path: &ResourcePath) -> String {
    format!("{ROOT}{path}")
}

/// Makes a full URL of any host and version one of ours; other texts stay.
pub(super) fn rewrite_root(text: &mut String) {
    let partial = from_projects(text);
    if partial.len() < text.len() && text.contains("://") {
        *text = format!("{ROOT}{partial}");
    }
}

/// The URL of the region or zone that a resource is in; none for a global one.
pub(super) fn location_url(path: &ResourcePath) -> Option<(&'static str, String)> {
    let named = named(path.as_str())?;
    match named.location {
        Location::Global => None,
        Location::Region(region) => Some((
            "region",
            format!("{ROOT}projects/{}/regions/{region}", named.project),
        )),
        Location::Zone(zone) => Some(("zone", format!("{ROOT}projects/{}/zones/{zone}", named.project))),
    }
}

pub(super) fn global_path(project: &str, kind: Kind, name: &str) -> ResourcePath {
    ResourcePath::from_canonical(format!("projects/{project}/global/{}/{name}", kind.collection()))
}

/// What a stored resource's own references are relative to; they are full, so this seldom matters.
pub(super) fn scope_of(path: &ResourcePath) -> Scope {
    let mut scope = Scope::default();
    if let Some(named) = named(path.as_str()) {
        scope.project = named.project;
        match named.location {
            Location::Global => {}
            Location::Region(region) => scope.region = region,
            Location::Zone(zone) => scope.zone = zone,
        }
    }
    scope
}

/// The region's or zone's name, for `path` being in one. It does not depend on the name being right.
pub(super) fn location_name(path: &ResourcePath) -> Option<&str> {
    let mut parts = path.as_str().split('/').skip(2);
    parts
        .next()
        .filter(|place| *place != "global")
        .and_then(|_| parts.next())
}

/// The path that a full URL holds, which references have once they are resolved.
pub(super) fn resolved(text: &str) -> Option<ResourcePath> {
    named(from_projects(text)).map(|_| ResourcePath::from_canonical(from_projects(text)))
}

pub(super) fn self_link(object: &Map<String, Value>) -> Option<Named> {
    object
        .get("selfLink")
        .and_then(Value::as_str)
        .and_then(|text| named(from_projects(text)))
}

/// The project, if told, and the name of a `region` or `zone` field.
pub(super) fn location(text: &str, place: &str) -> Option<(Option<String>, String)> {
    let parts: Vec<&str> = from_projects(text).split('/').collect();
    let is_place = |collection: &str| collection.strip_suffix('s') == Some(place);
    let (project, name) = match parts[..] {
        ["projects", project, collection, name] if is_place(collection) => (Some(project), name),
        [collection, name] if is_place(collection) => (None, name),
        [name] => (None, name),
        _ => return None,
    };
    let fine = is_segment(name) && project.is_none_or(is_segment);
    fine.then(|| (project.map(String::from), name.into()))
}

fn named(partial: &str) -> Option<Named> {
    let parts: Vec<&str> = partial.split('/').collect();
    let (project, location, collection, name) = match parts[..] {
        ["projects", project, "global", collection, name] => (project, Location::Global, collection, name),
        ["projects", project, "regions", at, collection, name] => {
            (project, Location::Region(at.into()), collection, name)
        }
        ["projects", project, "zones", at, collection, name] => {
            (project, Location::Zone(at.into()), collection, name)
        }
        _ => return None,
    };
    let whole = parts.iter().all(|part| is_segment(part));
    whole.then(|| Named {
        project: project.into(),
        location,
        collection: collection.into(),
        name: name.into(),
    })
}

fn is_segment(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "-_.:".contains(c))
}

/// Drops host and version: the text from its first `projects/` on, if that starts a segment.
pub(super) fn from_projects(text: &str) -> &str {
    if text.starts_with("projects/") {
        return text;
    }
    text.find("/projects/").map_or(text, |start| &text[start + 1..])
}

/// The paths that a text may mean, the likeliest first. Empty when it is no reference to any of `kinds`.
fn candidates(text: &str, kinds: &[Kind], scope: &Scope) -> Vec<ResourcePath> {
    let text = from_projects(text);
    if !text.contains('/') {
        return if is_segment(text) {
            kinds.iter().map(|kind| scope.path(*kind, text)).collect()
        } else {
            Vec::new()
        };
    }
    let partial = match text.split('/').next() {
        Some("projects") => text.to_owned(),
        Some("global" | "regions" | "zones") => format!("projects/{}/{text}", scope.project),
        _ => return Vec::new(),
    };
    let fits = |named: &Named| {
        kinds.iter().any(|kind| {
            named.collection == kind.collection()
                && match named.location {
                    Location::Global => kind.may_be_global(),
                    Location::Region(_) => !kind.is_zonal(),
                    Location::Zone(_) => kind.is_zonal(),
                }
        })
    };
    named(&partial)
        .filter(fits)
        .map(|_| ResourcePath::from_canonical(partial))
        .into_iter()
        .collect()
}

/// Rewrites every reference to the full URL of what it names, and reports those that name nothing.
pub(super) fn resolve(drafts: &mut Drafts, report: &mut Report) {
    let known: BTreeSet<ResourcePath> = drafts.keys().cloned().collect();
    for draft in drafts.values_mut() {
        let mut dangling = Vec::new();
        let scope = draft.scope.clone();
        let mut value = std::mem::take(&mut draft.value);
        schema::each_reference(
            schema::table(draft.kind),
            &mut value,
            &mut |field, kinds, text| match target(text, kinds, &scope, &known) {
                Ok(path) => *text = url(&path),
                Err((reason, hint)) => dangling.push((field.to_owned(), reason, hint)),
            },
        );
        draft.value = value;
        for (field, reason, hint) in dangling {
            report.fault(draft, &field, FaultKind::Dangling, reason);
            hint.into_iter().for_each(|hint| report.hint(hint));
            draft.mark_faulty(&field);
        }
    }
}

fn target(
    text: &str,
    kinds: &[Kind],
    scope: &Scope,
    known: &BTreeSet<ResourcePath>,
) -> Result<ResourcePath, (String, Option<String>)> {
    let candidates = candidates(text, kinds, scope);
    let nouns = kinds.iter().map(Kind::to_string).collect::<Vec<_>>().join(" or ");
    let Some(first) = candidates.first() else {
        return Err((format!("is no URL or name of a {nouns}"), None));
    };
    if let Some(found) = candidates.iter().find(|candidate| known.contains(candidate)) {
        return Ok(found.clone());
    }
    let of_kind = known
        .iter()
        .filter(|path| Kind::of(path).is_some_and(|kind| kinds.contains(&kind)));
    let names: Vec<&str> = of_kind.map(ResourcePath::as_str).collect();
    let near = names
        .iter()
        .find(|path| path.ends_with(&format!("/{}", first.name())))
        .copied();
    let near = near.or_else(|| nearest(first.as_str(), names.iter().copied().take(MOST_COMPARED)));
    Err((
        format!("there is no such {nouns}"),
        near.map(|near| format!("did you mean {near}?")),
    ))
}

/// The resources that a stored value refers to.
pub(super) fn targets(kind: Kind, value: &Map<String, Value>, members: &[Value]) -> Vec<ResourcePath> {
    let mut value = value.clone();
    if let Some(field) = kind.members_field() {
        value.insert(field.into(), Value::Array(members.to_vec()));
    }
    let mut found = Vec::new();
    schema::each_reference(schema::table(kind), &mut value, &mut |_, _, text| {
        found.extend(resolved(text))
    });
    found
}

/// The instance that an endpoint names by URL or name.
pub(super) fn instance(text: &str, scope: &Scope) -> Option<ResourcePath> {
    candidates(text, &[Kind::Instance], scope).into_iter().next()
}
