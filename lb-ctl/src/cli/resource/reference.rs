//! From the names that flags give to the URLs that resources refer by.

use clap::Args;

use super::Failure;
use crate::control::ResourceMap;
use crate::control::place::{Location, Parts, resolve, url};
use crate::model::ResourcePath;
use crate::resources::Kind;

/// What the resource at `path` may refer to.
#[derive(Clone, Copy)]
pub(in crate::cli) struct References<'a> {
    pub(in crate::cli) resources: &'a ResourceMap,
    pub(in crate::cli) path: &'a ResourcePath,
}

impl References<'_> {
    /// The URL of what a flag names: at `location` if that is given; else next to the resource, or wherever in the
    /// project there is just one of the name. `flags` say where it is.
    pub(in crate::cli) fn find(
        &self,
        kind: Kind,
        name: &str,
        location: Option<Location>,
        flags: &str,
    ) -> Result<String, Failure> {
        let (project, own) = self.place();
        if name.contains('/') {
            return match resolve(name, project).filter(|path| Kind::of(path) == Some(kind)) {
                Some(path) => Ok(url(path.as_str())),
                None => Err(Failure::Usage(format!(
                    "'{name}' is neither a name nor the URL of {} {kind}",
                    article(kind)
                ))),
            };
        }
        let at = |location: &Location| {
            ResourcePath::from_canonical(format!(
                "projects/{project}/{}/{}/{name}",
                location.segment(),
                kind.collection()
            ))
        };
        let path = match location {
            Some(location) => at(&location),
            None if self.resources.contains_key(&at(&own)) => at(&own),
            None => match (self.named(kind, name).as_slice(), own.may_hold(kind)) {
                ([only], _) => (*only).clone(),
                // The daemon says of it what it says of any reference to nothing.
                ([], true) => at(&own),
                ([], false) => {
                    return Err(Failure::Usage(format!(
                        "there is no {kind} '{name}'; {flags} says where it will be"
                    )));
                }
                (several, _) => {
                    let several: Vec<String> = several.iter().map(|path| format!("  {path}")).collect();
                    return Err(Failure::Usage(format!(
                        "'{name}' is ambiguous; say which with {flags} or its URL:\n{}",
                        several.join("\n")
                    )));
                }
            },
        };
        Ok(url(path.as_str()))
    }

    /// The resource's own zone, if it has one.
    pub(in crate::cli) fn zone(&self) -> Option<Location> {
        let (_, own) = self.place();
        matches!(own, Location::Zone(_)).then_some(own)
    }

    /// Networks are known by name only.
    pub(in crate::cli) fn network(&self, name: &str) -> String {
        self.unchecked(name, "global/networks")
    }

    pub(in crate::cli) fn subnetwork(&self, name: &str, region: Option<&str>) -> String {
        let (_, own) = self.place();
        let region = match (region, &own) {
            (Some(region), _) => region,
            (None, Location::Zone(zone)) => zone.rsplit_once('-').map_or(zone.as_str(), |(region, _)| region),
            (None, other) => other.name(),
        };
        self.unchecked(name, &format!("regions/{region}/subnetworks"))
    }

    fn unchecked(&self, name: &str, collection: &str) -> String {
        let (project, _) = self.place();
        match name.contains('/') {
            true => name.to_owned(),
            false => url(&format!("projects/{project}/{collection}/{name}")),
        }
    }

    fn named(&self, kind: Kind, name: &str) -> Vec<&ResourcePath> {
        let (project, _) = self.place();
        let fits = |path: &&ResourcePath| {
            Kind::of(path) == Some(kind)
                && path.name() == name
                && Parts::of(path).is_some_and(|parts| parts.project == project)
        };
        self.resources.keys().filter(fits).collect()
    }

    fn place(&self) -> (&str, Location) {
        let parts = Parts::of(self.path).expect("a resource's path is canonical");
        (parts.project, parts.location)
    }
}

pub(super) fn article(kind: Kind) -> &'static str {
    match kind {
        Kind::Instance | Kind::InstanceGroup => "an",
        _ => "a",
    }
}

/// The group that is a backend.
#[derive(Debug, Args)]
pub(in crate::cli) struct GroupFlags {
    /// The network endpoint group.
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "instance_group",
        required_unless_present = "instance_group"
    )]
    network_endpoint_group: Option<String>,
    /// Its zone, if more than one has a group of the name.
    #[arg(long, value_name = "ZONE", requires = "network_endpoint_group")]
    network_endpoint_group_zone: Option<String>,
    /// The instance group.
    #[arg(long, value_name = "NAME")]
    instance_group: Option<String>,
    /// Its zone, if more than one has a group of the name.
    #[arg(long, value_name = "ZONE", requires = "instance_group")]
    instance_group_zone: Option<String>,
}

impl GroupFlags {
    pub(in crate::cli) fn url(&self, references: &References<'_>) -> Result<String, Failure> {
        let (kind, name, zone, flag) = match (&self.network_endpoint_group, &self.instance_group) {
            (Some(name), _) => (
                Kind::NetworkEndpointGroup,
                name,
                &self.network_endpoint_group_zone,
                "--network-endpoint-group-zone",
            ),
            (None, name) => (
                Kind::InstanceGroup,
                name.as_ref().expect("one of the two is required"),
                &self.instance_group_zone,
                "--instance-group-zone",
            ),
        };
        references.find(kind, name, zone.clone().map(Location::Zone), flag)
    }
}
