//! The kinds of resource, where each lives in the tree of URLs, and the defaults for what a document leaves out.

use std::fmt;

use crate::model::ResourcePath;

/// In the order in which a reader of a listing wants them: what is referred to comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    #[serde(rename = "compute#healthCheck")]
    HealthCheck,
    #[serde(rename = "compute#networkEndpointGroup")]
    NetworkEndpointGroup,
    #[serde(rename = "compute#instance")]
    Instance,
    #[serde(rename = "compute#instanceGroup")]
    InstanceGroup,
    #[serde(rename = "compute#backendService")]
    BackendService,
    #[serde(rename = "compute#forwardingRule")]
    ForwardingRule,
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::HealthCheck,
        Self::NetworkEndpointGroup,
        Self::Instance,
        Self::InstanceGroup,
        Self::BackendService,
        Self::ForwardingRule,
    ];

    /// The value of `kind`.
    pub const fn as_api(self) -> &'static str {
        match self {
            Self::HealthCheck => "compute#healthCheck",
            Self::NetworkEndpointGroup => "compute#networkEndpointGroup",
            Self::Instance => "compute#instance",
            Self::InstanceGroup => "compute#instanceGroup",
            Self::BackendService => "compute#backendService",
            Self::ForwardingRule => "compute#forwardingRule",
        }
    }

    /// The segment of a URL before the name.
    pub const fn collection(self) -> &'static str {
        match self {
            Self::HealthCheck => "healthChecks",
            Self::NetworkEndpointGroup => "networkEndpointGroups",
            Self::Instance => "instances",
            Self::InstanceGroup => "instanceGroups",
            Self::BackendService => "backendServices",
            Self::ForwardingRule => "forwardingRules",
        }
    }

    pub const fn is_zonal(self) -> bool {
        matches!(
            self,
            Self::NetworkEndpointGroup | Self::Instance | Self::InstanceGroup
        )
    }

    pub const fn may_be_global(self) -> bool {
        matches!(self, Self::HealthCheck)
    }

    /// Whether the cloud gives it a `fingerprint` for optimistic locking.
    pub const fn has_fingerprint(self) -> bool {
        matches!(
            self,
            Self::BackendService | Self::ForwardingRule | Self::InstanceGroup
        )
    }

    /// The field that only files carry: a group's members.
    pub const fn members_field(self) -> Option<&'static str> {
        match self {
            Self::NetworkEndpointGroup => Some("networkEndpoints"),
            Self::InstanceGroup => Some("instances"),
            _ => None,
        }
    }

    pub fn from_api(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_api() == text)
    }

    pub fn from_collection(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.collection() == text)
    }

    /// The kind that a canonical path names.
    pub fn of(path: &ResourcePath) -> Option<Self> {
        path.as_str().rsplit('/').nth(1).and_then(Self::from_collection)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HealthCheck => "health check",
            Self::NetworkEndpointGroup => "network endpoint group",
            Self::Instance => "instance",
            Self::InstanceGroup => "instance group",
            Self::BackendService => "backend service",
            Self::ForwardingRule => "forwarding rule",
        })
    }
}

/// Where a resource is when its document does not say, and what a short reference is relative to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub project: String,
    pub region: String,
    pub zone: String,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            project: "local".into(),
            region: "local".into(),
            zone: "local-a".into(),
        }
    }
}

impl Scope {
    /// The canonical path of a resource of this scope.
    pub fn path(&self, kind: Kind, name: &str) -> ResourcePath {
        let (place, location) = if kind.is_zonal() {
            ("zones", &self.zone)
        } else {
            ("regions", &self.region)
        };
        ResourcePath::from_canonical(format!(
            "projects/{}/{place}/{location}/{}/{name}",
            self.project,
            kind.collection()
        ))
    }
}
