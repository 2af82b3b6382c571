//! Writing back what a method made of a resource.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::members::Positions;
use super::{Object, SOURCE};
use crate::control::place::{Location, url};
use crate::control::{ApplyOptions, ControlError, Edit};
use crate::model::ResourcePath;
use crate::resources::{Document, Fault, sorted};
use crate::server::ApiState;
use crate::server::error::{ApiError, ApiResult};
use crate::server::route::Place;

/// What a resource shall be.
pub(super) struct Written {
    pub(super) resource: Object,
    /// What is wrong with the request already; then only the rest of the faults is asked for.
    pub(super) faults: Vec<Fault>,
    /// Whether fields that are set once stay.
    pub(super) in_place: bool,
    /// Where the members that are added stand in the request.
    pub(super) positions: Option<Positions>,
}

impl Written {
    pub(super) fn new(resource: Object, faults: Vec<Fault>) -> Self {
        Self {
            resource,
            faults,
            in_place: false,
            positions: None,
        }
    }

    /// All faults: those of the request itself, and those found elsewhere.
    fn faults(mut self, found: Vec<Fault>) -> Vec<Fault> {
        let told: BTreeSet<String> = self.faults.iter().map(|fault| fault.path.clone()).collect();
        let translate = |fault| match &self.positions {
            Some(positions) => positions.translate(fault),
            None => fault,
        };
        let found = found.into_iter().map(translate);
        self.faults
            .extend(found.filter(|fault| !told.contains(&fault.path)));
        sorted(self.faults)
    }
}

/// Applies what the resource shall be instead of `before`, if nothing is wrong with it; returns the warnings.
pub(super) async fn write(
    state: &ApiState,
    place: &Place,
    target: &ResourcePath,
    before: Option<Value>,
    mut written: Written,
) -> ApiResult<Vec<String>> {
    let mut resource = std::mem::take(&mut written.resource);
    locate(&mut resource, place, target);
    let document = Document {
        source: SOURCE.to_owned(),
        json_path: "$".to_owned(),
        value: Value::Object(resource),
    };
    let edit = Edit {
        path: target.clone(),
        before,
        in_place: written.in_place,
    };
    let options = ApplyOptions {
        edit: Some(edit),
        dry_run: !written.faults.is_empty(),
        ..options(place)
    };
    let found = match state.control.apply(vec![document], options).await {
        Ok(report) if written.faults.is_empty() => return Ok(report.warnings),
        Ok(_) => Vec::new(),
        Err(ControlError::Faults(found)) => found,
        Err(error) => return Err(error.into()),
    };
    Err(ApiError::faults(written.faults(found)))
}

/// Says in the resource where the URL puts it.
fn locate(resource: &mut Object, place: &Place, target: &ResourcePath) {
    resource.insert("kind".to_owned(), json!(place.kind.as_api()));
    resource.insert("selfLink".to_owned(), json!(url(target.as_str())));
    let own = url(&format!(
        "projects/{}/{}",
        place.project,
        place.location.segment()
    ));
    for (field, here) in [
        ("region", matches!(place.location, Location::Region(_))),
        ("zone", matches!(place.location, Location::Zone(_))),
    ] {
        if here {
            resource.insert(field.to_owned(), json!(own));
        } else {
            resource.shift_remove(field);
        }
    }
}

fn options(place: &Place) -> ApplyOptions {
    let (region, zone) = match &place.location {
        Location::Global => (None, None),
        Location::Region(name) => (Some(name.clone()), None),
        Location::Zone(name) => (None, Some(name.clone())),
    };
    ApplyOptions {
        project: Some(place.project.clone()),
        region,
        zone,
        ..ApplyOptions::default()
    }
}
