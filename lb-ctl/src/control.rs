//! The seam between those who ask (the HTTP server) and the one who decides (the controller).
//!
//! Reading is from a snapshot and never waits for the controller; whatever changes something returns when the data
//! plane holds the change, or holds what it held before.

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
pub(crate) mod judging;
pub mod place;
#[cfg(test)]
mod tests;
pub mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::ResourcePath;
use crate::resources::{
    self, Applied, ChangeKind, Document, Fault, FaultKind, Kind, Mode, Resources, Scope, Warning,
};
use crate::views;

/// Every stored resource by its path, with its output-only fields, and with `networkEndpoints` and `instances`.
pub type ResourceMap = BTreeMap<ResourcePath, Value>;

/// What the controller does for its clients. Object-safe: the server holds an `Arc<dyn Control>`.
pub trait Control: Send + Sync + 'static {
    fn resources(&self) -> Arc<ResourceMap>;

    /// All of the documents or none: on an error nothing has changed.
    fn apply(
        &self,
        documents: Vec<Document>,
        options: ApplyOptions,
    ) -> BoxFuture<'_, Result<ApplyReport, ControlError>>;

    fn delete(&self, path: ResourcePath) -> BoxFuture<'_, Result<(), ControlError>>;

    /// The IAM policy that was set for a resource, without its etag.
    fn iam_policy(&self, path: ResourcePath) -> BoxFuture<'_, Result<Option<Value>, ControlError>>;

    /// Keeps the policy as long as the resource.
    fn set_iam_policy(&self, path: ResourcePath, policy: Value) -> BoxFuture<'_, Result<(), ControlError>>;

    /// The endpoints of one group of the service, or of all of its groups. Empty while nothing is known of it.
    fn endpoint_health(
        &self,
        service: ResourcePath,
        group: Option<ResourcePath>,
    ) -> BoxFuture<'_, Result<Vec<views::EndpointHealth>, ControlError>>;

    /// How large the selection tables of a service are.
    fn table_slots(&self, service: ResourcePath) -> BoxFuture<'_, Result<views::TableSlots, ControlError>>;

    /// Gives the service tables of another size, which moves nearly every flow of it that is not tracked.
    fn set_table_slots(&self, service: ResourcePath, slots: u32) -> BoxFuture<'_, Result<(), ControlError>>;

    fn status(&self) -> BoxFuture<'_, Result<views::Status, ControlError>>;

    /// Compares what the kernel's maps hold with what everything that is known compiles to now.
    fn verify(&self) -> BoxFuture<'_, Result<views::Verification, ControlError>>;

    fn stats(&self) -> BoxFuture<'_, Result<views::Stats, ControlError>>;

    /// At most `limit` rows, of one service or of all.
    fn flows(
        &self,
        limit: usize,
        service: Option<ResourcePath>,
    ) -> BoxFuture<'_, Result<views::FlowList, ControlError>>;

    fn flow_count(&self) -> BoxFuture<'_, Result<views::FlowCount, ControlError>>;

    /// Stops forwarding: programs off the interfaces, pins removed. The daemon itself goes on.
    fn detach(&self) -> BoxFuture<'_, Result<(), ControlError>>;
}

/// How documents are to be applied. The names stand in for what a document does not say of itself; absent, the
/// daemon's own defaults do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ApplyOptions {
    pub project: Option<String>,
    pub region: Option<String>,
    pub zone: Option<String>,
    /// Remove what the documents do not name.
    pub prune: bool,
    /// Answer as if applied, and change nothing.
    pub dry_run: bool,
    /// Only within the daemon.
    #[serde(skip)]
    pub edit: Option<Edit>,
}

/// One resource on its way through a client's hands: read, changed, and written back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub path: ResourcePath,
    /// As it was read; nothing when there was none.
    pub before: Option<Value>,
    /// Refuse to change the fields that are set once.
    pub in_place: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyReport {
    /// By path.
    pub changes: Vec<Change>,
    /// A sentence each.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    pub path: ResourcePath,
    pub action: ChangeAction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChangeAction {
    Created,
    Updated,
    Deleted,
    Unchanged,
}

/// Why the controller did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// What was asked for is wrong, in itself or with what is there. Never empty.
    #[error("{}", summary(.0))]
    Faults(Vec<Fault>),
    #[error("the data plane is not attached to any interface")]
    NotAttached,
    /// Nothing was changed, and nothing can be for now.
    #[error("{0}")]
    Unavailable(String),
    /// Not the asker's fault.
    #[error("{0}")]
    Internal(String),
}

impl ApplyOptions {
    /// How the documents meet what is there.
    pub fn mode(&self) -> Mode {
        match &self.edit {
            Some(edit) if edit.in_place => Mode::InPlace,
            _ if self.prune => Mode::Prune,
            _ => Mode::Additive,
        }
    }

    /// What the options say of the place, and the rest of `defaults`.
    pub fn scope(&self, defaults: &Scope) -> Scope {
        let or = |given: &Option<String>, default: &String| given.as_ref().unwrap_or(default).clone();
        Scope {
            project: or(&self.project, &defaults.project),
            region: or(&self.region, &defaults.region),
            zone: or(&self.zone, &defaults.zone),
        }
    }
}

impl Edit {
    /// Whether the resource still is what was read.
    pub fn check(&self, now: &ResourceMap) -> Result<(), ControlError> {
        match (&self.before, now.get(&self.path)) {
            (before, now) if before.as_ref() == now => Ok(()),
            (None, Some(_)) => Err(ControlError::already_exists(&self.path)),
            (Some(_), None) => Err(ControlError::not_found(&self.path)),
            _ => Err(ControlError::of_resource(
                &self.path,
                FaultKind::ConditionNotMet,
                format!("The resource '{}' was changed at the same time", self.path),
            )),
        }
    }
}

impl ApplyReport {
    /// Who edits one resource is told what there is to say of that one.
    pub fn new(applied: &Applied, options: &ApplyOptions) -> Self {
        let change = |change: &resources::Change| Change {
            path: change.path.clone(),
            action: match change.kind {
                ChangeKind::Created => ChangeAction::Created,
                ChangeKind::Updated => ChangeAction::Updated,
                ChangeKind::Deleted => ChangeAction::Deleted,
                ChangeKind::Unchanged => ChangeAction::Unchanged,
            },
        };
        let edited = options.edit.as_ref().map(|edit| &edit.path);
        let concerns = |warning: &&Warning| edited.is_none_or(|path| *path == warning.resource);
        let warnings = applied.warnings.iter().filter(concerns);
        Self {
            changes: applied.changes.iter().map(change).collect(),
            warnings: warnings.map(ToString::to_string).collect(),
        }
    }
}

/// The resources as the server shows them, with members and with what refers to them.
pub fn resource_map(resources: &Resources) -> ResourceMap {
    let whole = |resource: &resources::Resource| {
        let mut value = resource.value.clone();
        if let Some(field) = resource.kind.members_field() {
            value.insert(field.to_owned(), resource.members.clone().into());
        }
        Value::Object(value)
    };
    let mut map: ResourceMap = resources
        .iter()
        .map(|(path, resource)| (path.clone(), whole(resource)))
        .collect();
    for (service, rules) in rules_by_service(resources) {
        if let Some(service) = map.get_mut(&service) {
            let references = rules
                .iter()
                .map(|rule| json!({ "reference": place::url(rule.as_str()) }));
            service["usedBy"] = references.collect();
        }
    }
    map
}

fn rules_by_service(resources: &Resources) -> BTreeMap<ResourcePath, Vec<&ResourcePath>> {
    let mut rules: BTreeMap<ResourcePath, Vec<&ResourcePath>> = BTreeMap::new();
    for (path, rule) in resources.of_kind(Kind::ForwardingRule) {
        let service = rule.value.get("backendService").and_then(Value::as_str);
        if let Some(service) = service.and_then(place::canonical) {
            rules.entry(service).or_default().push(path);
        }
    }
    rules
}

impl ControlError {
    /// A fault of a resource that the request names.
    pub fn of_resource(resource: &ResourcePath, kind: FaultKind, reason: impl Into<String>) -> Self {
        Fault::of_resource(resource, kind, reason).into()
    }

    pub fn not_found(resource: &ResourcePath) -> Self {
        Self::of_resource(
            resource,
            FaultKind::NotFound,
            format!("The resource '{resource}' was not found"),
        )
    }

    pub fn already_exists(resource: &ResourcePath) -> Self {
        Self::of_resource(
            resource,
            FaultKind::AlreadyExists,
            format!("The resource '{resource}' already exists"),
        )
    }
}

impl From<Vec<Fault>> for ControlError {
    fn from(faults: Vec<Fault>) -> Self {
        Self::Faults(faults)
    }
}

impl From<Fault> for ControlError {
    fn from(fault: Fault) -> Self {
        Self::Faults(vec![fault])
    }
}

fn summary(faults: &[Fault]) -> String {
    match faults {
        [only] => only.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
        [] => "refused".to_owned(),
    }
}
