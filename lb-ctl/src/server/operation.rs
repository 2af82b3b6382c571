//! The `compute#operation` that answers every mutation, and the log in which clients look them up again.
//!
//! An operation is made when its work is done, so it is always `DONE`.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::control::place::{Location, url};
use crate::model::ResourcePath;

/// How many operations are remembered.
pub(super) const CAPACITY: usize = 1024;

#[derive(Default)]
pub(super) struct OperationLog {
    entries: VecDeque<Entry>,
    last_id: u64,
}

struct Entry {
    project: String,
    location: Location,
    name: String,
    request: Option<RequestKey>,
    value: Value,
}

/// What a client's `requestId` stands for: the same id for the same request is the same mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestKey {
    pub(super) id: String,
    /// The operation's type.
    pub(super) verb: &'static str,
    pub(super) target: ResourcePath,
    /// The body's fingerprint.
    pub(super) content: String,
}

/// What is known of a request by its id.
#[derive(Debug, PartialEq)]
pub(super) enum Repeat<'a> {
    New,
    /// It is done, by this operation.
    Same(&'a Value),
    /// Another request has used the id; the name of its operation.
    Other(&'a str),
}

/// A mutation that is done.
pub(super) struct Done<'a> {
    pub(super) project: &'a str,
    pub(super) location: &'a Location,
    pub(super) verb: &'static str,
    pub(super) target: &'a ResourcePath,
    /// The resource's numeric id, when it has one.
    pub(super) target_id: Option<&'a str>,
    pub(super) warnings: &'a [String],
    pub(super) started: Timestamp,
    pub(super) request: Option<RequestKey>,
}

impl OperationLog {
    /// Remembers the mutation and returns its operation.
    pub(super) fn record(&mut self, done: &Done<'_>, now: Timestamp) -> Value {
        let id = self.next_id(now);
        let name = format!("operation-{id}");
        let value = operation(done, id, &name, now);
        if self.entries.len() == CAPACITY {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry {
            project: done.project.to_owned(),
            location: done.location.clone(),
            name,
            request: done.request.clone(),
            value: value.clone(),
        });
        value
    }

    /// Unique, and growing over restarts too as long as the clock does.
    fn next_id(&mut self, now: Timestamp) -> u64 {
        let clock = u64::try_from(now.as_microsecond()).unwrap_or(0);
        self.last_id = clock.max(self.last_id + 1);
        self.last_id
    }

    pub(super) fn repeat(&self, project: &str, key: &RequestKey) -> Repeat<'_> {
        let of_project = self.entries.iter().rev().filter(|e| e.project == project);
        let mut requests = of_project.filter_map(|e| Some((e.request.as_ref()?, e)));
        match requests.find(|(request, _)| request.id == key.id) {
            None => Repeat::New,
            Some((request, entry)) if request == key => Repeat::Same(&entry.value),
            Some((_, entry)) => Repeat::Other(&entry.name),
        }
    }

    pub(super) fn get(&self, project: &str, location: &Location, name: &str) -> Option<&Value> {
        let mut entries = self.entries.iter().filter(|e| e.is_at(project, location));
        entries.find(|e| e.name == name).map(|e| &e.value)
    }

    pub(super) fn list(&self, project: &str, location: &Location) -> Vec<Value> {
        self.entries
            .iter()
            .filter(|e| e.is_at(project, location))
            .map(|e| e.value.clone())
            .collect()
    }

    /// False when there was none.
    pub(super) fn delete(&mut self, project: &str, location: &Location, name: &str) -> bool {
        let before = self.entries.len();
        self.entries
            .retain(|e| !(e.is_at(project, location) && e.name == name));
        self.entries.len() < before
    }
}

impl Entry {
    fn is_at(&self, project: &str, location: &Location) -> bool {
        self.project == project && self.location == *location
    }
}

fn operation(done: &Done<'_>, id: u64, name: &str, now: Timestamp) -> Value {
    let place = format!("projects/{}/{}", done.project, done.location.segment());
    let mut value = json!({
        "kind": "compute#operation",
        "id": id.to_string(),
        "name": name,
        "operationType": done.verb,
        "targetLink": url(done.target.as_str()),
        "status": "DONE",
        "progress": 100,
        "insertTime": done.started.to_string(),
        "startTime": done.started.to_string(),
        "endTime": now.to_string(),
        "selfLink": url(&format!("{place}/operations/{name}")),
    });
    match done.location {
        Location::Global => {}
        Location::Region(_) => value["region"] = json!(url(&place)),
        Location::Zone(_) => value["zone"] = json!(url(&place)),
    }
    if let Some(id) = done.target_id {
        value["targetId"] = json!(id);
    }
    if let Some(request) = &done.request {
        value["clientOperationId"] = json!(request.id);
    }
    if !done.warnings.is_empty() {
        let warning = |text: &String| json!({ "code": "NOT_CRITICAL_ERROR", "message": text });
        value["warnings"] = done.warnings.iter().map(warning).collect();
    }
    value
}
