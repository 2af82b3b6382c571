//! The lists of resources and operations: of one place, and aggregated over all places of a project.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::ApiState;
use super::error::ApiResult;
use super::list::{Item, ListQuery, PARAMETERS, Page};
use super::query::{Pairs, Query};
use super::route::Place;
use crate::control::ResourceMap;
use crate::control::place::{Location, Parts};
use crate::model::ResourcePath;
use crate::resources::{FieldShape, Kind, field_shape};

/// The fields of `compute#operation`.
const OPERATION_FIELDS: [&str; 24] = [
    "clientOperationId",
    "creationTimestamp",
    "description",
    "endTime",
    "error",
    "httpErrorMessage",
    "httpErrorStatusCode",
    "id",
    "insertTime",
    "kind",
    "name",
    "operationGroupId",
    "operationType",
    "progress",
    "region",
    "selfLink",
    "startTime",
    "status",
    "statusMessage",
    "targetId",
    "targetLink",
    "user",
    "warnings",
    "zone",
];

pub(super) fn list(state: &ApiState, place: &Place, query: Pairs) -> ApiResult<Value> {
    let path = place.path();
    let query = list_query(query, &path, place.kind)?;
    let prefix = format!("{path}/");
    let start = match query.after_key() {
        Some(name) => format!("{prefix}{name}"),
        None => prefix.clone(),
    };
    let resources = state.control.resources();
    let items = resources
        .range(ResourcePath::from_canonical(start)..)
        .take_while(|(path, _)| path.as_str().starts_with(&prefix))
        .map(|(path, resource)| Item {
            key: path.name(),
            value: resource,
        });
    let page = query.page(items, |resource| resource);
    Ok(shown(page).into_list(&format!("{}List", place.kind.as_api()), &path))
}

/// Passthrough services can't be referred to by proxies' rules, which is what this list is for; so it is empty.
pub(super) fn list_usable(place: &Place, query: Pairs) -> ApiResult<Value> {
    let path = format!("{}/listUsable", place.path());
    list_query(query, &path, place.kind)?;
    Ok(nothing("compute#usableBackendServiceList", &path))
}

/// Every instance group is an unmanaged one. gcloud asks for the managers to tell which are, whenever it lists groups.
pub(super) fn list_instance_group_managers(place: &str, query: Pairs) -> ApiResult<Value> {
    let path = format!("{place}/instanceGroupManagers");
    let query = Query::checked(query, &PARAMETERS)?;
    ListQuery::read(&query, &path, &|_| Some(FieldShape::Open))?;
    Ok(nothing("compute#instanceGroupManagerList", &path))
}

fn nothing(kind: &str, path: &str) -> Value {
    let page = Page {
        items: Vec::new(),
        next: None,
    };
    page.into_list(kind, path)
}

fn list_query(query: Pairs, path: &str, kind: Kind) -> ApiResult<ListQuery> {
    let query = Query::checked(query, &PARAMETERS)?;
    ListQuery::read(&query, path, &|path| shape(kind, path))
}

/// A group's members have lists of their own, and are no fields of it here.
fn shape(kind: Kind, path: &[String]) -> Option<FieldShape> {
    match path {
        [first, ..] if Some(first.as_str()) == kind.members_field() => None,
        _ => field_shape(kind, path),
    }
}

fn shown(page: Page<&Value>) -> Page<Value> {
    Page {
        items: page.items.into_iter().map(api_shape).collect(),
        next: page.next,
    }
}

/// As the API shows it: members of groups have methods of their own.
pub(super) fn api_shape(resource: &Value) -> Value {
    let Value::Object(fields) = resource else {
        return resource.clone();
    };
    let is_members = |name: &str| matches!(name, "networkEndpoints" | "instances");
    let shown = fields.iter().filter(|(name, _)| !is_members(name));
    Value::Object(shown.map(|(name, value)| (name.clone(), value.clone())).collect())
}

pub(super) fn aggregated(state: &ApiState, project: &str, kind: Kind, query: Pairs) -> ApiResult<Value> {
    let noun = kind.collection();
    let path = format!("projects/{project}/aggregated/{noun}");
    let scoped = ScopedQuery::read(query, &path, &|path| shape(kind, path))?;
    let resources = state.control.resources();
    let items = of_project(&resources, project).filter_map(|(path, resource)| {
        let is_wanted = Kind::of(path) == Some(kind);
        is_wanted.then(|| Item {
            key: path.as_str(),
            value: (path, resource),
        })
    });
    let page = scoped.list.page(items, |(_, resource)| resource);
    let places = places(&resources, project);
    let scopes = places.iter().filter(|place| match scoped.all_scopes {
        true => true,
        false => place.may_hold(kind),
    });
    let mut list = ScopedList::new(noun, scopes);
    for (path, resource) in page.items {
        if let Some(parts) = Parts::of(path) {
            list.add(&parts.location, api_shape(resource));
        }
    }
    Ok(list.finish(&format!("{}AggregatedList", kind.as_api()), &path, page.next))
}

pub(super) fn operations(
    state: &ApiState,
    project: &str,
    location: &Location,
    query: Pairs,
) -> ApiResult<Value> {
    let path = format!("projects/{project}/{}/operations", location.segment());
    let query = Query::checked(query, &PARAMETERS)?;
    let query = ListQuery::read(&query, &path, &operation_shape)?;
    let operations = state.operations();
    let here = operations.of_project(project).filter(|(at, ..)| *at == location);
    let items = here.map(|(_, name, value)| Item { key: name, value });
    let page = query.page(items, |operation| operation);
    Ok(shown(page).into_list("compute#operationList", &path))
}

pub(super) fn aggregated_operations(state: &ApiState, project: &str, query: Pairs) -> ApiResult<Value> {
    let path = format!("projects/{project}/aggregated/operations");
    let scoped = ScopedQuery::read(query, &path, &operation_shape)?;
    let operations = state.operations();
    // A name is unique in its project.
    let items = operations
        .of_project(project)
        .map(|(location, name, value)| Item {
            key: name,
            value: (location, value),
        });
    let page = scoped.list.page(items, |(_, operation)| operation);
    let places = places(&state.control.resources(), project);
    let mut list = ScopedList::new("operations", places.iter());
    for (location, operation) in page.items {
        list.add(location, operation.clone());
    }
    Ok(list.finish("compute#operationAggregatedList", &path, page.next))
}

fn operation_shape(path: &[String]) -> Option<FieldShape> {
    match path.first()?.as_str() {
        "progress" | "httpErrorStatusCode" if path.len() == 1 => Some(FieldShape::Number),
        "error" | "warnings" => Some(FieldShape::Open),
        field if path.len() == 1 && OPERATION_FIELDS.contains(&field) => Some(FieldShape::Open),
        _ => None,
    }
}

fn of_project<'a>(
    resources: &'a ResourceMap,
    project: &str,
) -> impl Iterator<Item = (&'a ResourcePath, &'a Value)> {
    let prefix = format!("projects/{project}/");
    resources
        .range(ResourcePath::from_canonical(prefix.clone())..)
        .take_while(move |(path, _)| path.as_str().starts_with(&prefix))
}

/// Where in the project anything is, the regions of its zones, and the global place, which is everywhere.
pub(super) fn places(resources: &ResourceMap, project: &str) -> BTreeSet<Location> {
    let mut places = BTreeSet::from([Location::Global]);
    // Neighbours in the map mostly share their place.
    let mut last = None;
    for (path, _) in of_project(resources, project) {
        let location = Parts::of(path).map(|parts| parts.location);
        if location != last {
            places.extend(location.clone());
            last = location;
        }
    }
    let regions: Vec<Location> = places.iter().filter_map(region_of).collect();
    places.extend(regions);
    places
}

/// The region of a zone whose name is made as the cloud makes names.
pub(super) fn region_of(location: &Location) -> Option<Location> {
    match location {
        Location::Zone(zone) => match zone.rsplit_once('-') {
            Some((region, letter)) if letter.len() == 1 && !region.is_empty() => {
                Some(Location::Region(region.to_owned()))
            }
            _ => None,
        },
        Location::Global | Location::Region(_) => None,
    }
}

struct ScopedQuery {
    list: ListQuery,
    all_scopes: bool,
}

impl ScopedQuery {
    fn read(query: Pairs, path: &str, shapes: super::filter::Shapes<'_>) -> ApiResult<Self> {
        let parameters = [
            PARAMETERS.as_slice(),
            &["includeAllScopes", "serviceProjectNumber"],
        ]
        .concat();
        let query = Query::checked(query, &parameters)?;
        query.number("serviceProjectNumber", i64::MAX as usize)?;
        Ok(Self {
            all_scopes: query.boolean("includeAllScopes")?,
            list: ListQuery::read(&query, path, shapes)?,
        })
    }
}

/// Items by place; a place without any says so.
struct ScopedList {
    noun: &'static str,
    scopes: Map<String, Value>,
}

impl ScopedList {
    fn new<'a>(noun: &'static str, places: impl Iterator<Item = &'a Location>) -> Self {
        let scopes = places.map(|place| (place.segment(), json!({})));
        Self {
            noun,
            scopes: scopes.collect(),
        }
    }

    fn add(&mut self, location: &Location, item: Value) {
        let scope = self.scopes.entry(location.segment()).or_insert_with(|| json!({}));
        match scope[self.noun].as_array_mut() {
            Some(items) => items.push(item),
            None => scope[self.noun] = json!([item]),
        }
    }

    fn finish(mut self, kind: &str, path: &str, next: Option<String>) -> Value {
        for (scope, content) in &mut self.scopes {
            if content.get(self.noun).is_none() {
                content["warning"] = json!({
                    "code": "NO_RESULTS_ON_PAGE",
                    "message": format!("There are no results for scope '{scope}' on this page."),
                    "data": [{ "key": "scope", "value": scope }],
                });
            }
        }
        let page = Page {
            items: Vec::new(),
            next,
        };
        let mut list = page.into_list(kind, path);
        list["items"] = Value::Object(self.scopes);
        list
    }
}
