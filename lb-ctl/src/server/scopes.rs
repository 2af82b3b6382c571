//! Projects, regions and zones: any name is one. They have no settings here; clients look whether they exist.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::ApiState;
use super::collections::{places, region_of};
use super::error::{ApiError, ApiResult};
use super::list::{Item, ListQuery, PARAMETERS, Page};
use super::query::{Pairs, Query};
use crate::control::place::{Location, url};
use crate::resources::{FieldShape, is_resource_name};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScopeKind {
    Region,
    Zone,
}

impl ScopeKind {
    const fn collection(self) -> &'static str {
        match self {
            Self::Region => "regions",
            Self::Zone => "zones",
        }
    }

    const fn as_api(self) -> &'static str {
        match self {
            Self::Region => "compute#region",
            Self::Zone => "compute#zone",
        }
    }

    fn is_of(self, location: &Location) -> bool {
        match location {
            Location::Global => false,
            Location::Region(_) => self == Self::Region,
            Location::Zone(_) => self == Self::Zone,
        }
    }
}

pub(super) fn project(name: &str) -> Value {
    json!({ "kind": "compute#project", "name": name, "selfLink": url(&format!("projects/{name}")) })
}

/// Those in which the project has anything.
pub(super) fn list(state: &ApiState, project: &str, kind: ScopeKind, query: Pairs) -> ApiResult<Value> {
    let path = format!("projects/{project}/{}", kind.collection());
    let query = Query::checked(query, &PARAMETERS)?;
    let query = ListQuery::read(&query, &path, &shape)?;
    let resources = state.control.resources();
    let places = places(&resources, project);
    let values: Vec<Value> = places
        .iter()
        .filter(|place| kind.is_of(place))
        .map(|place| describe(project, place, &places))
        .collect();
    let items = values.iter().map(|value| Item {
        key: value["name"].as_str().unwrap_or_default(),
        value,
    });
    let page = query.page(items, |value| value);
    let page = Page {
        items: page.items.into_iter().cloned().collect(),
        next: page.next,
    };
    Ok(page.into_list(&format!("{}List", kind.as_api()), &path))
}

pub(super) fn get(state: &ApiState, project: &str, location: &Location) -> ApiResult<Value> {
    match is_resource_name(location.name()) {
        true => Ok(describe(
            project,
            location,
            &places(&state.control.resources(), project),
        )),
        false => Err(ApiError::resource_not_found(format!(
            "projects/{project}/{}",
            location.segment()
        ))),
    }
}

fn describe(project: &str, location: &Location, places: &BTreeSet<Location>) -> Value {
    let here = |location: &Location| url(&format!("projects/{project}/{}", location.segment()));
    let kind = match location {
        Location::Zone(_) => ScopeKind::Zone,
        Location::Global | Location::Region(_) => ScopeKind::Region,
    };
    let mut value = json!({
        "kind": kind.as_api(),
        "name": location.name(),
        "status": "UP",
        "selfLink": here(location),
    });
    if let Some(region) = region_of(location) {
        value["region"] = json!(here(&region));
    }
    if kind == ScopeKind::Region {
        let zones = places
            .iter()
            .filter(|place| region_of(place).as_ref() == Some(location));
        value["zones"] = zones.map(here).collect();
    }
    value
}

fn shape(path: &[String]) -> Option<FieldShape> {
    let known = ["kind", "name", "status", "selfLink", "region", "zones", "id"];
    match path {
        [field] if known.contains(&field.as_str()) => Some(FieldShape::Open),
        _ => None,
    }
}
