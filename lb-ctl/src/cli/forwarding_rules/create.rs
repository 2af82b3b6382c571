//! `forwarding-rules create`.

use std::str::FromStr;

use clap::Args;
use serde_json::json;

use super::super::resource::{NewArgs, References, load};
use super::super::scope::Regional;
use super::super::values::{EnumName, Fields, switch};
use super::super::{Failure, Streams};
use crate::control::place::Location;
use crate::resources::Kind;

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    #[command(flatten)]
    new: NewArgs<Regional>,
    #[command(flatten)]
    pub(super) flags: CreateFlags,
}

#[derive(Debug, Args)]
pub(super) struct CreateFlags {
    /// The service.
    #[arg(long, value_name = "NAME", required = true)]
    backend_service: Option<String>,
    /// The service's region, which is the rule's.
    #[arg(long, value_name = "REGION")]
    backend_service_region: Option<String>,
    /// The VIP, or a prefix of IPv6 addresses.
    #[arg(long)]
    address: Option<String>,
    /// The protocol; TCP by default.
    #[arg(long, value_parser = EnumName(&["TCP", "UDP", "SCTP", "ESP", "AH", "ICMP", "L3_DEFAULT"]))]
    ip_protocol: Option<String>,
    /// The version of the VIP.
    #[arg(long, value_parser = EnumName(&["IPV4", "IPV6"]))]
    ip_version: Option<String>,
    /// The ports: ALL, or ports and ranges of them.
    #[arg(long, value_name = "ALL|PORT|FROM-TO,…", conflicts_with = "port_range")]
    ports: Option<Ports>,
    /// The ports of an external rule; --ports does the same.
    #[arg(long, value_name = "PORT|FROM-TO")]
    port_range: Option<Range>,
    /// Where clients are.
    #[arg(long, value_name = "SCHEME", default_value = "EXTERNAL", value_parser = EnumName(&["INTERNAL", "EXTERNAL"]))]
    load_balancing_scheme: String,
    /// Only for packets from these prefixes.
    #[arg(long, value_name = "PREFIX,…", value_delimiter = ',')]
    source_ip_ranges: Vec<String>,
    /// Clients may be in any region.
    #[arg(long, overrides_with = "no_allow_global_access")]
    allow_global_access: bool,
    /// Clients must be in the rule's region.
    #[arg(long, overrides_with = "allow_global_access")]
    no_allow_global_access: bool,
    /// The network of an internal rule.
    #[arg(long)]
    network: Option<String>,
    /// The subnetwork of an internal rule.
    #[arg(long)]
    subnet: Option<String>,
    /// The subnetwork's region.
    #[arg(long, value_name = "REGION", requires = "subnet")]
    subnet_region: Option<String>,
    /// The network tier of an external rule; stored.
    #[arg(long, value_parser = EnumName(&["PREMIUM", "STANDARD"]))]
    network_tier: Option<String>,
    /// A text of one's own.
    #[arg(long)]
    description: Option<String>,
}

impl CreateFlags {
    pub(super) fn fields(&self, references: &References<'_>) -> Result<Fields, Failure> {
        let mut fields = Fields::default();
        fields.set("description", self.description.clone());
        fields.set("IPAddress", self.address.clone());
        fields.set("IPProtocol", self.ip_protocol.clone());
        fields.set("ipVersion", self.ip_version.clone());
        fields.set("loadBalancingScheme", Some(self.load_balancing_scheme.clone()));
        fields.set("networkTier", self.network_tier.clone());
        self.ports(&mut fields);
        let ranges = &self.source_ip_ranges;
        fields.set("sourceIpRanges", (!ranges.is_empty()).then(|| json!(ranges)));
        fields.set(
            "allowGlobalAccess",
            switch(self.allow_global_access, self.no_allow_global_access),
        );
        fields.set(
            "network",
            self.network.as_ref().map(|name| references.network(name)),
        );
        let subnet = self.subnet.as_ref();
        fields.set(
            "subnetwork",
            subnet.map(|name| references.subnetwork(name, self.subnet_region.as_deref())),
        );
        if let Some(name) = &self.backend_service {
            let region = self.backend_service_region.clone().map(Location::Region);
            let url = references.find(Kind::BackendService, name, region, "--backend-service-region")?;
            fields.set("backendService", Some(url));
        }
        Ok(fields)
    }

    /// A single range of an external rule is its `portRange`; all else is the list `ports`, in which every port stands
    /// for itself.
    fn ports(&self, fields: &mut Fields) {
        fields.set("portRange", self.port_range.map(|range| range.to_string()));
        match &self.ports {
            None => {}
            Some(Ports::All) => fields.set("allPorts", Some(true)),
            Some(Ports::Some(ranges)) => match ranges.as_slice() {
                [range] if self.load_balancing_scheme == "EXTERNAL" => {
                    fields.set("portRange", Some(range.to_string()));
                }
                ranges => {
                    let ports = ranges.iter().flat_map(|range| range.from..=range.to);
                    let ports: Vec<String> = ports.map(|port| port.to_string()).collect();
                    fields.set("ports", Some(ports));
                }
            },
        }
    }
}

pub(super) async fn run(args: &CreateArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let kind = Kind::ForwardingRule;
    let client = args.new.connection.client();
    let path = args.new.path(&client, kind).await?;
    let resources = load(&client).await?;
    let references = References {
        resources: &resources,
        path: &path,
    };
    let fields = args.flags.fields(&references)?;
    args.new.insert(&client, kind, &path, fields, streams).await
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ports {
    All,
    Some(Vec<Range>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    from: u16,
    to: u16,
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("all") {
            return Ok(Self::All);
        }
        text.split(',')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(Self::Some)
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        match (from.trim().parse(), to.trim().parse()) {
            (Ok(from), Ok(to)) if from <= to => Ok(Self { from, to }),
            _ => Err(format!("expected a port, or FROM-TO, not '{text}'")),
        }
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.from == self.to {
            write!(f, "{}", self.from)
        } else {
            write!(f, "{}-{}", self.from, self.to)
        }
    }
}
