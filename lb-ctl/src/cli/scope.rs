//! `--project`, `--region`, `--zone` and `--global`: which of the resources of one name is meant.

use clap::Args;

use crate::control::place::{Location, Parts};
use crate::model::ResourcePath;

/// Whether a resource is within what the flags say. Flags that are not given say nothing.
pub(super) trait Scope: Args + std::fmt::Debug {
    fn project(&self) -> Option<&str>;

    fn admits(&self, location: &Location) -> bool;

    fn contains(&self, path: &ResourcePath) -> bool {
        Parts::of(path).is_some_and(|parts| {
            self.project().is_none_or(|project| project == parts.project) && self.admits(&parts.location)
        })
    }
}

#[derive(Debug, Args)]
pub(super) struct Regional {
    /// The project of the resource.
    #[arg(long)]
    project: Option<String>,
    /// The region of the resource.
    #[arg(long)]
    region: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct RegionalOrGlobal {
    /// The project of the resource.
    #[arg(long)]
    project: Option<String>,
    /// The region of the resource.
    #[arg(long, conflicts_with = "global")]
    region: Option<String>,
    /// The resource is global.
    #[arg(long)]
    global: bool,
}

#[derive(Debug, Args)]
pub(super) struct Zonal {
    /// The project of the resource.
    #[arg(long)]
    project: Option<String>,
    /// The zone of the resource.
    #[arg(long)]
    zone: Option<String>,
}

impl Scope for Regional {
    fn project(&self) -> Option<&str> {
        self.project.as_deref()
    }

    fn admits(&self, location: &Location) -> bool {
        self.region
            .as_deref()
            .is_none_or(|region| is_region(location, region))
    }
}

impl Scope for RegionalOrGlobal {
    fn project(&self) -> Option<&str> {
        self.project.as_deref()
    }

    fn admits(&self, location: &Location) -> bool {
        match &self.region {
            Some(region) => is_region(location, region),
            None => !self.global || *location == Location::Global,
        }
    }
}

impl Scope for Zonal {
    fn project(&self) -> Option<&str> {
        self.project.as_deref()
    }

    fn admits(&self, location: &Location) -> bool {
        let zone = self.zone.as_deref();
        zone.is_none_or(|zone| matches!(location, Location::Zone(name) if name == zone))
    }
}

fn is_region(location: &Location, region: &str) -> bool {
    matches!(location, Location::Region(name) if name == region)
}
