//! Where resources are: the parts of a canonical path, and the URLs that name it.

use crate::model::ResourcePath;
use crate::resources::Kind;

/// Where in a project a resource is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Location {
    Global,
    Region(String),
    Zone(String),
}

impl Location {
    pub fn may_hold(&self, kind: Kind) -> bool {
        match self {
            Self::Global => kind.may_be_global(),
            Self::Region(_) => !kind.is_zonal(),
            Self::Zone(_) => kind.is_zonal(),
        }
    }

    /// `global`, `regions/R` or `zones/Z`.
    pub fn segment(&self) -> String {
        match self {
            Self::Global => "global".to_owned(),
            Self::Region(name) => format!("regions/{name}"),
            Self::Zone(name) => format!("zones/{name}"),
        }
    }

    /// The region's or zone's name, or `global`.
    pub fn name(&self) -> &str {
        match self {
            Self::Global => "global",
            Self::Region(name) | Self::Zone(name) => name,
        }
    }
}

/// A canonical path taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    pub project: &'a str,
    pub location: Location,
    pub noun: &'a str,
    pub name: &'a str,
}

impl<'a> Parts<'a> {
    pub fn of(path: &'a ResourcePath) -> Option<Self> {
        let segments: Vec<&str> = path.as_str().split('/').collect();
        match segments.as_slice() {
            ["projects", project, "global", noun, name] => Some(Self {
                project,
                location: Location::Global,
                noun,
                name,
            }),
            ["projects", project, "regions", region, noun, name] => Some(Self {
                project,
                location: Location::Region((*region).to_owned()),
                noun,
                name,
            }),
            ["projects", project, "zones", zone, noun, name] => Some(Self {
                project,
                location: Location::Zone((*zone).to_owned()),
                noun,
                name,
            }),
            _ => None,
        }
    }
}

/// The full URL of a canonical path, as the cloud writes it.
pub fn url(path: &str) -> String {
    format!("https://www.googleapis.com/compute/v1/{path}")
}

/// The canonical path that a reference made inside `project` names: a URL, or partial from `projects/`, `regions/`,
/// `zones/` or `global/` on.
pub fn resolve(reference: &str, project: &str) -> Option<ResourcePath> {
    let local = ["regions/", "zones/", "global/"]
        .iter()
        .any(|prefix| reference.starts_with(prefix));
    if local {
        canonical(&format!("projects/{project}/{reference}"))
    } else {
        canonical(reference)
    }
}

/// The canonical path inside any URL of the resource: what follows its first `projects/` segment.
pub fn canonical(reference: &str) -> Option<ResourcePath> {
    let start = match reference.find("/projects/") {
        Some(at) => at + 1,
        None if reference.starts_with("projects/") => 0,
        None => return None,
    };
    let path = ResourcePath::from_canonical(reference[start..].trim_end_matches('/'));
    Parts::of(&path).is_some().then_some(path)
}
