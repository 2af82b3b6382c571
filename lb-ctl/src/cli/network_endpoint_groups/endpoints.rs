//! The endpoints of a group: `update`, `attach-network-endpoints`, `detach-network-endpoints` and
//! `list-network-endpoints`.

use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};

use super::super::options::Shape;
use super::super::resource::{NameArgs, Selection, Target, all_pages};
use super::super::scope::Zonal;
use super::super::values::{Fields, KeyValues};
use super::super::{Failure, Streams};
use crate::output::Listing;
use crate::resources::Kind;

#[derive(Debug, Args)]
pub(in crate::cli) struct UpdateArgs {
    #[command(flatten)]
    group: NameArgs<Zonal>,
    /// An endpoint to attach: instance=NAME,ip=ADDRESS,ipv6=ADDRESS,port=PORT; repeatable.
    #[arg(
        long,
        value_name = "KEY=VALUE,…",
        required_unless_present = "remove_endpoint",
        conflicts_with = "remove_endpoint"
    )]
    add_endpoint: Vec<Endpoint>,
    /// An endpoint to detach, written in the same way; repeatable.
    #[arg(long, value_name = "KEY=VALUE,…")]
    remove_endpoint: Vec<Endpoint>,
    #[command(flatten)]
    shape: Shape,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct EndpointsArgs {
    #[command(flatten)]
    group: NameArgs<Zonal>,
    /// An endpoint: instance=NAME,ip=ADDRESS,ipv6=ADDRESS,port=PORT; repeatable.
    #[arg(long, value_name = "KEY=VALUE,…", required = true)]
    network_endpoint: Vec<Endpoint>,
    #[command(flatten)]
    shape: Shape,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    group: NameArgs<Zonal>,
    /// Ask for the endpoints' health too; other formats than the table print it.
    #[arg(long)]
    health: bool,
    #[command(flatten)]
    selection: Selection,
}

/// As `NetworkEndpoint` of the API.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Endpoint(pub(super) Value);

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let KeyValues(pairs) = text.parse()?;
        let mut fields = Fields::default();
        for (key, value) in pairs {
            match key.as_str() {
                "instance" => fields.set("instance", Some(value)),
                "ip" => fields.set("ipAddress", Some(value)),
                "ipv6" => fields.set("ipv6Address", Some(value)),
                "fqdn" => fields.set("fqdn", Some(value)),
                "port" => fields.set("port", Some(port(&value)?)),
                "client-destination-port" => fields.set("clientDestinationPort", Some(port(&value)?)),
                _ => return Err(format!("'{key}' is none of instance, ip, ipv6 and port")),
            }
        }
        match fields.is_empty() {
            true => Err("expected instance=, ip=, ipv6= or port=".to_owned()),
            false => Ok(Self(fields.into())),
        }
    }
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("'{text}' is not a port"))
}

pub(super) async fn update(args: &UpdateArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let (method, endpoints) = match args.add_endpoint.is_empty() {
        true => ("detachNetworkEndpoints", &args.remove_endpoint),
        false => ("attachNetworkEndpoints", &args.add_endpoint),
    };
    change(&args.group, method, endpoints, &args.shape, streams).await
}

pub(super) async fn attach(args: &EndpointsArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    change(
        &args.group,
        "attachNetworkEndpoints",
        &args.network_endpoint,
        &args.shape,
        streams,
    )
    .await
}

pub(super) async fn detach(args: &EndpointsArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    change(
        &args.group,
        "detachNetworkEndpoints",
        &args.network_endpoint,
        &args.shape,
        streams,
    )
    .await
}

async fn change(
    group: &NameArgs<Zonal>,
    method: &str,
    endpoints: &[Endpoint],
    shape: &Shape,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let target = Target::read(Kind::NetworkEndpointGroup, group).await?;
    let endpoints: Vec<&Value> = endpoints.iter().map(|Endpoint(endpoint)| endpoint).collect();
    target
        .call(method, &json!({ "networkEndpoints": endpoints }), streams)
        .await?;
    target.updated(shape, streams).await
}

pub(super) async fn list(args: &ListArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let target = Target::read(Kind::NetworkEndpointGroup, &args.group).await?;
    let body = match args.health {
        true => json!({ "healthStatus": "SHOW" }),
        false => json!({}),
    };
    let url = format!("/compute/v1/{}/listNetworkEndpoints", target.path);
    let items = all_pages(&target.client, &url, Some(&body)).await?;
    args.selection.print(streams, items, Listing::NetworkEndpoints)
}
