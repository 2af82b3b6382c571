//! What a document is and where it belongs: its kind, and the project, region or zone.

use serde_json::{Map, Value};

use super::document::Document;
use super::draft::Report;
use super::fault::{Fault, FaultKind, quote};
use super::hint::nearest;
use super::kind::{Kind, Scope};
use super::{link, schema};

/// The scope of a resource, which is of its region or zone or global.
pub(super) enum Place {
    Global(Scope),
    Local(Scope),
}

/// Finds out what a document is and where it belongs.
pub(super) struct Locate<'a> {
    pub(super) document: &'a Document,
    pub(super) report: &'a mut Report,
}

impl<'a> Locate<'a> {
    pub(super) fn object(&mut self) -> Option<&'a Map<String, Value>> {
        let object = self.document.value.as_object();
        if object.is_none() {
            self.fault(
                "",
                FaultKind::Malformed,
                "expected a resource, which is an object".into(),
                None,
            );
        }
        object
    }

    pub(super) fn kind(&mut self, object: &Map<String, Value>) -> Option<Kind> {
        let accepted = || format!("accepted: {}", Kind::ALL.map(Kind::as_api).join(", "));
        match object.get("kind") {
            Some(Value::String(text)) => {
                let kind = Kind::from_api(text);
                if kind.is_none() {
                    let near = nearest(text, Kind::ALL.map(Kind::as_api))
                        .map(|near| format!("did you mean {near}? "));
                    let hint = near.unwrap_or_default() + &accepted();
                    self.fault(
                        "kind",
                        FaultKind::Invalid,
                        "is no kind of resource that is known here".into(),
                        Some(hint),
                    );
                }
                kind
            }
            None | Some(Value::Null) => {
                let kind = link::self_link(object).and_then(|place| Kind::from_collection(&place.collection));
                if kind.is_none() {
                    self.fault(
                        "kind",
                        FaultKind::Required,
                        "is required and missing".into(),
                        Some(accepted()),
                    );
                }
                kind
            }
            Some(_) => {
                self.fault(
                    "kind",
                    FaultKind::Invalid,
                    "expected a string".into(),
                    Some(accepted()),
                );
                None
            }
        }
    }

    /// The place says where; else the self link does, as far as it is of this kind; else the defaults do.
    pub(super) fn scope(&mut self, object: &Map<String, Value>, kind: Kind, defaults: &Scope) -> Place {
        let mut scope = defaults.clone();
        let field = if kind.is_zonal() { "zone" } else { "region" };
        match object.get(field) {
            None | Some(Value::Null) => {
                let place = link::self_link(object).filter(|place| place.collection == kind.collection());
                return place.map_or(Place::Local(scope), |place| place.within(defaults));
            }
            Some(Value::String(text)) => match link::location(text, field) {
                Some((project, location)) => {
                    scope.project = project.unwrap_or(scope.project);
                    *(if kind.is_zonal() {
                        &mut scope.zone
                    } else {
                        &mut scope.region
                    }) = location;
                }
                None => self.fault(
                    field,
                    FaultKind::Invalid,
                    format!("is no URL or name of a {field}"),
                    None,
                ),
            },
            Some(_) => self.fault(
                field,
                FaultKind::Invalid,
                format!("expected a string, the URL or name of a {field}"),
                None,
            ),
        }
        Place::Local(scope)
    }

    fn fault(&mut self, field: &str, kind: FaultKind, reason: String, hint: Option<String>) {
        let value = if field.is_empty() {
            Some(&self.document.value)
        } else {
            self.document.value.get(field)
        };
        self.report.faults.push(Fault {
            path: schema::join(&self.document.json_path, field)
                .trim_end_matches('.')
                .into(),
            field: field.into(),
            value: value.map(quote),
            hint,
            ..Fault::of_source(&self.document.source, kind, reason)
        });
    }
}

impl link::Named {
    fn within(self, defaults: &Scope) -> Place {
        let mut scope = Scope {
            project: self.project,
            ..defaults.clone()
        };
        match self.location {
            link::Location::Global => return Place::Global(scope),
            link::Location::Region(region) => scope.region = region,
            link::Location::Zone(zone) => scope.zone = zone,
        }
        Place::Local(scope)
    }
}
