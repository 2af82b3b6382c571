//! `--project`, `--region`, `--zone` and `--global`: which of the resources of one name is meant, and where a new one
//! goes.

use clap::Args;

use crate::control::place::{Location, Parts};
use crate::model::ResourcePath;
use crate::views::DefaultPlace;

/// What flags say of a place; what is not given says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Given<'a> {
    project: Option<&'a str>,
    regions: &'a [String],
    zones: &'a [String],
    global: bool,
}

impl Given<'_> {
    pub(super) fn project_or<'b>(&'b self, default: &'b str) -> &'b str {
        self.project.unwrap_or(default)
    }

    /// The places that are named.
    pub(super) fn locations(&self) -> Vec<Location> {
        let regions = self.regions.iter().cloned().map(Location::Region);
        let zones = self.zones.iter().cloned().map(Location::Zone);
        regions.chain(zones).collect()
    }

    fn admits(&self, location: &Location) -> bool {
        let nothing_said = self.regions.is_empty() && self.zones.is_empty() && !self.global;
        nothing_said
            || match location {
                Location::Global => self.global,
                Location::Region(name) => self.regions.contains(name),
                Location::Zone(name) => self.zones.contains(name),
            }
    }
}

/// Which resources are meant.
pub(super) trait Within: Args + std::fmt::Debug {
    fn given(&self) -> Given<'_>;

    fn contains(&self, path: &ResourcePath) -> bool {
        let given = self.given();
        Parts::of(path).is_some_and(|parts| {
            given.project.is_none_or(|project| project == parts.project) && given.admits(&parts.location)
        })
    }
}

/// Where a single resource is.
pub(super) trait Scope: Within {
    /// The same for lists, which may be of several places.
    type Several: Within;

    /// Where a new resource goes.
    fn location(&self, defaults: &DefaultPlace) -> Location;

    fn project(&self, defaults: &DefaultPlace) -> String {
        self.given().project_or(&defaults.project).to_owned()
    }
}

#[derive(Debug, Args)]
struct Project {
    /// The project; for a new resource, the daemon's own by default.
    #[arg(long)]
    project: Option<String>,
}

impl Project {
    fn given(&self) -> Given<'_> {
        Given {
            project: self.project.as_deref(),
            ..Given::default()
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Regional {
    #[command(flatten)]
    project: Project,
    /// The region; for a new resource, the daemon's own by default.
    #[arg(long)]
    region: Option<String>,
}

impl Within for Regional {
    fn given(&self) -> Given<'_> {
        Given {
            regions: self.region.as_slice(),
            ..self.project.given()
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Regions {
    #[command(flatten)]
    project: Project,
    /// Only of these regions.
    #[arg(long, visible_alias = "region", value_name = "REGION", value_delimiter = ',')]
    regions: Vec<String>,
}

impl Within for Regions {
    fn given(&self) -> Given<'_> {
        Given {
            regions: &self.regions,
            ..self.project.given()
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct RegionalOrGlobal {
    #[command(flatten)]
    project: Project,
    /// The region.
    #[arg(long, conflicts_with = "global")]
    region: Option<String>,
    /// The resource is global; the default of new ones.
    #[arg(long)]
    global: bool,
}

impl Within for RegionalOrGlobal {
    fn given(&self) -> Given<'_> {
        Given {
            regions: self.region.as_slice(),
            global: self.global,
            ..self.project.given()
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct RegionsOrGlobal {
    #[command(flatten)]
    project: Project,
    /// Only of these regions.
    #[arg(
        long,
        visible_alias = "region",
        value_name = "REGION",
        value_delimiter = ',',
        conflicts_with = "global"
    )]
    regions: Vec<String>,
    /// Only global ones.
    #[arg(long)]
    global: bool,
}

impl Within for RegionsOrGlobal {
    fn given(&self) -> Given<'_> {
        Given {
            regions: &self.regions,
            global: self.global,
            ..self.project.given()
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Zonal {
    #[command(flatten)]
    project: Project,
    /// The zone; for a new resource, the daemon's own by default.
    #[arg(long)]
    zone: Option<String>,
}

impl Within for Zonal {
    fn given(&self) -> Given<'_> {
        Given {
            zones: self.zone.as_slice(),
            ..self.project.given()
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Zones {
    #[command(flatten)]
    project: Project,
    /// Only of these zones.
    #[arg(long, visible_alias = "zone", value_name = "ZONE", value_delimiter = ',')]
    zones: Vec<String>,
}

impl Within for Zones {
    fn given(&self) -> Given<'_> {
        Given {
            zones: &self.zones,
            ..self.project.given()
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct AnyPlace {
    #[command(flatten)]
    project: Project,
    /// The region.
    #[arg(long, conflicts_with_all = ["zone", "global"])]
    region: Option<String>,
    /// The zone.
    #[arg(long, conflicts_with = "global")]
    zone: Option<String>,
    /// It is global.
    #[arg(long)]
    global: bool,
}

impl Within for AnyPlace {
    fn given(&self) -> Given<'_> {
        Given {
            regions: self.region.as_slice(),
            zones: self.zone.as_slice(),
            global: self.global,
            ..self.project.given()
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct AnyPlaces {
    #[command(flatten)]
    project: Project,
    /// Only of these regions.
    #[arg(long, visible_alias = "region", value_name = "REGION", value_delimiter = ',', conflicts_with_all = ["zones", "global"])]
    regions: Vec<String>,
    /// Only of these zones.
    #[arg(
        long,
        visible_alias = "zone",
        value_name = "ZONE",
        value_delimiter = ',',
        conflicts_with = "global"
    )]
    zones: Vec<String>,
    /// Only global ones.
    #[arg(long)]
    global: bool,
}

impl Within for AnyPlaces {
    fn given(&self) -> Given<'_> {
        Given {
            regions: &self.regions,
            zones: &self.zones,
            global: self.global,
            ..self.project.given()
        }
    }
}

impl Scope for Regional {
    type Several = Regions;

    fn location(&self, defaults: &DefaultPlace) -> Location {
        Location::Region(self.region.as_ref().unwrap_or(&defaults.region).clone())
    }
}

impl Scope for RegionalOrGlobal {
    type Several = RegionsOrGlobal;

    fn location(&self, _: &DefaultPlace) -> Location {
        match &self.region {
            Some(region) => Location::Region(region.clone()),
            None => Location::Global,
        }
    }
}

impl Scope for Zonal {
    type Several = Zones;

    fn location(&self, defaults: &DefaultPlace) -> Location {
        Location::Zone(self.zone.as_ref().unwrap_or(&defaults.zone).clone())
    }
}
