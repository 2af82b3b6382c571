//! The seam between those who ask (the HTTP server) and the one who decides (the controller).
//!
//! Reading is from a snapshot and never waits for the controller; whatever changes something returns when the data
//! plane holds the change, or holds what it held before.

#[cfg(test)]
pub(crate) mod fake;
pub mod place;
#[cfg(test)]
mod tests;
pub mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::ResourcePath;
use crate::resources::{self, Applied, ChangeKind, Document, Fault, FaultKind, Resources, Scope};
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

    /// The endpoints of one group of the service, or of all of its groups. Empty while nothing is known of it.
    fn endpoint_health(
        &self,
        service: ResourcePath,
        group: Option<ResourcePath>,
    ) -> BoxFuture<'_, Result<Vec<views::EndpointHealth>, ControlError>>;

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
    /// Not the asker's fault.
    #[error("{0}")]
    Internal(String),
}

impl ApplyOptions {
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

impl From<&Applied> for ApplyReport {
    fn from(applied: &Applied) -> Self {
        let change = |change: &resources::Change| Change {
            path: change.path.clone(),
            action: match change.kind {
                ChangeKind::Created => ChangeAction::Created,
                ChangeKind::Updated => ChangeAction::Updated,
                ChangeKind::Deleted => ChangeAction::Deleted,
                ChangeKind::Unchanged => ChangeAction::Unchanged,
            },
        };
        Self {
            changes: applied.changes.iter().map(change).collect(),
            warnings: applied.warnings.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The resources as the server shows them, members included.
pub fn resource_map(resources: &Resources) -> ResourceMap {
    let whole = |resource: &resources::Resource| {
        let mut value = resource.value.clone();
        if let Some(field) = resource.kind.members_field() {
            value.insert(field.to_owned(), resource.members.clone().into());
        }
        Value::Object(value)
    };
    resources
        .iter()
        .map(|(path, resource)| (path.clone(), whole(resource)))
        .collect()
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
