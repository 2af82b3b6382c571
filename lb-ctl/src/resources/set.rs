//! The resources as they are kept and shown: what the API's `get` answers, and a group's members beside it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::draft::Draft;
use super::encode;
use super::fault::{Fault, FaultKind};
use super::kind::Kind;
use super::{change, link, schema};
use crate::model::{ResourcePath, TableSlots};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    pub kind: Kind,
    /// The representation of the API, output-only fields included.
    pub value: Map<String, Value>,
    /// `networkEndpoints[]` of a network endpoint group, `instances[]` of an instance group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Value>,
    /// As `setIamPolicy` left it, without its etag. No document has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iam_policy: Option<Value>,
    /// Of a backend service: how large its selection tables are. Absent of one that an older version made, until what
    /// there is is known. No document has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_slots: Option<TableSlots>,
}

/// All resources. They have passed every rule, unless they were read from a file that someone has edited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Resources {
    pub(super) all: BTreeMap<ResourcePath, Resource>,
}

impl Resource {
    /// What the draft says, and what the cloud shows for what it does not say.
    pub(super) fn content(draft: &Draft) -> Map<String, Value> {
        let mut content = draft.value.clone();
        if let Some(field) = type_field(&content).filter(|_| draft.kind == Kind::HealthCheck) {
            content.entry(field).or_insert_with(|| Value::Object(Map::new()));
        }
        schema::add_defaults(schema::table(draft.kind), &mut content);
        // Input only, by the reference.
        content.remove("params");
        for field in ["network", "subnetwork"] {
            if let Some(Value::String(text)) = content.get_mut(field) {
                link::rewrite_root(text);
            }
        }
        if let Some(Value::String(range)) = content
            .get_mut("portRange")
            .filter(|_| draft.kind == Kind::ForwardingRule)
            && !range.is_empty()
            && !range.contains('-')
        {
            *range = format!("{range}-{range}");
        }
        content
    }

    /// Makes the stored form of a valid draft. One that was there before keeps its identity, unless a field changes
    /// that the cloud sets once: then it was deleted, and inserted anew.
    pub(super) fn of_draft(draft: &Draft, before: Option<&Self>, now: Timestamp) -> Self {
        let mut content = Self::content(draft);
        let members = match draft.kind.members_field().and_then(|field| content.remove(field)) {
            Some(Value::Array(members)) => members,
            _ => Vec::new(),
        };
        let before = before.filter(|before| !change::is_another(draft.kind, &before.value, &content));
        let mut value = identity(draft, before, now);
        if draft.kind.has_fingerprint() {
            value.insert("fingerprint".into(), encode::fingerprint(&content).into());
        }
        if draft.kind == Kind::ForwardingRule {
            let labels = content
                .get("labels")
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default();
            value.insert("labelFingerprint".into(), encode::fingerprint(&labels).into());
        }
        if draft.kind.members_field().is_some() {
            value.insert("size".into(), members.len().into());
        }
        value.extend(content);
        Self {
            kind: draft.kind,
            value,
            members,
            iam_policy: before.and_then(|before| before.iam_policy.clone()),
            table_slots: before.and_then(|before| before.table_slots.clone()),
        }
    }

    /// Whether both are the same to whoever reads them. That a size is kept which was not kept before changes nothing.
    pub(super) fn says_what(&self, other: &Self) -> bool {
        self == other
            || Self {
                table_slots: other.table_slots.clone(),
                ..self.clone()
            } == *other
    }

    /// What a file would say: no output-only fields, but the members.
    pub fn document(&self) -> Map<String, Value> {
        let mut value = Map::new();
        value.insert("kind".into(), self.kind.as_api().into());
        value.extend(schema::walk(schema::table(self.kind), &self.value).value);
        for place in ["region", "zone"] {
            value.extend(self.value.get(place).map(|url| (place.to_owned(), url.clone())));
        }
        if let (Some(field), false) = (self.kind.members_field(), self.members.is_empty()) {
            value.insert(field.into(), self.members.clone().into());
        }
        value
    }
}

/// The object that holds the settings of a health check of the value's type.
fn type_field(value: &Map<String, Value>) -> Option<&'static str> {
    value.get("type").and_then(Value::as_str).and_then(probe_field)
}

/// The object that holds the settings of a probe type.
pub(crate) fn probe_field(probe: &str) -> Option<&'static str> {
    Some(match probe {
        "TCP" => "tcpHealthCheck",
        "SSL" => "sslHealthCheck",
        "HTTP" => "httpHealthCheck",
        "HTTPS" => "httpsHealthCheck",
        "HTTP2" => "http2HealthCheck",
        "GRPC" => "grpcHealthCheck",
        "GRPC_WITH_TLS" => "grpcTlsHealthCheck",
        _ => return None,
    })
}

fn identity(draft: &Draft, before: Option<&Resource>, now: Timestamp) -> Map<String, Value> {
    let kept = |field: &str| before.and_then(|before| before.value.get(field)).cloned();
    let id = || encode::numeric_id(draft.path.as_str(), now.as_nanosecond()).into();
    let created = || format!("{now:.3}").into();
    let mut value = Map::new();
    value.insert("kind".into(), draft.kind.as_api().into());
    value.insert("id".into(), kept("id").unwrap_or_else(id));
    value.insert(
        "creationTimestamp".into(),
        kept("creationTimestamp").unwrap_or_else(created),
    );
    value.insert("selfLink".into(), link::url(&draft.path).into());
    if let Some((field, url)) = link::location_url(&draft.path) {
        value.insert(field.into(), url.into());
    }
    value
}

impl Resources {
    pub fn get(&self, path: &ResourcePath) -> Option<&Resource> {
        self.all.get(path)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&ResourcePath, &Resource)> {
        self.all.iter()
    }

    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&ResourcePath, &Resource)> {
        self.all.iter().filter(move |(_, resource)| resource.kind == kind)
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The resources that need this one: those that refer to it, and the steering rules on a base rule.
    pub fn used_by(&self, path: &ResourcePath) -> Vec<ResourcePath> {
        let refers = |resource: &Resource| {
            link::targets(resource.kind, &resource.value, &resource.members).contains(path)
        };
        let steers = |resource: &Resource| {
            self.get(path)
                .is_some_and(|base| super::rules::steers_from(resource, base))
        };
        let users = self
            .all
            .iter()
            .filter(|(other, resource)| *other != path && (refers(resource) || steers(resource)));
        users.map(|(path, _)| path.clone()).collect()
    }

    /// The resources, with this policy on one of them.
    pub fn with_iam_policy(&self, path: &ResourcePath, policy: Value) -> Result<Self, Box<Fault>> {
        let mut next = self.clone();
        let Some(resource) = next.all.get_mut(path) else {
            let reason = format!("The resource '{path}' was not found");
            return Err(Box::new(Fault::of_resource(path, FaultKind::NotFound, reason)));
        };
        resource.iam_policy = Some(policy);
        Ok(next)
    }

    /// The resources without these, whether or not the rest needs them.
    pub fn without(&self, paths: &BTreeSet<ResourcePath>) -> Self {
        let rest = self.all.iter().filter(|(path, _)| !paths.contains(*path));
        Self {
            all: rest
                .map(|(path, resource)| (path.clone(), resource.clone()))
                .collect(),
        }
    }

    /// The resources without one that nothing needs.
    pub fn delete(&self, path: &ResourcePath) -> Result<Self, Box<Fault>> {
        let fault = |kind, reason: String| Box::new(Fault::of_resource(path, kind, reason));
        if !self.all.contains_key(path) {
            return Err(fault(
                FaultKind::NotFound,
                format!("The resource '{path}' was not found"),
            ));
        }
        if let Some(user) = self.used_by(path).first() {
            let reason = format!("The resource '{path}' is already being used by '{user}'");
            return Err(fault(FaultKind::ResourceInUse, reason));
        }
        let mut rest = self.clone();
        rest.all.remove(path);
        match (self.config(), rest.config()) {
            (Ok(_), Err(faults)) => {
                let needs: Vec<String> = faults.iter().map(Fault::to_string).collect();
                let reason = format!("The resource '{path}' is still needed: {}", needs.join("; "));
                Err(fault(FaultKind::ResourceInUse, reason))
            }
            _ => Ok(rest),
        }
    }
}
