//! The named ports of a group: `set-named-ports` and `get-named-ports`.

use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};

use super::super::options::Shape;
use super::super::resource::{NameArgs, Selection, Target};
use super::super::scope::Zonal;
use super::super::values::Fields;
use super::super::{Failure, Streams};
use crate::output::Listing;
use crate::resources::Kind;

#[derive(Debug, Args)]
pub(in crate::cli) struct SetArgs {
    #[command(flatten)]
    group: NameArgs<Zonal>,
    /// All names, each with its port; none for an empty text.
    #[arg(long, value_name = "NAME:PORT,…", required = true)]
    named_ports: NamedPorts,
    #[command(flatten)]
    shape: Shape,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct GetArgs {
    #[command(flatten)]
    group: NameArgs<Zonal>,
    #[command(flatten)]
    selection: Selection,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct NamedPorts(pub(super) Vec<Value>);

impl FromStr for NamedPorts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |part: &str| {
            let (name, port) = part
                .split_once(':')
                .ok_or_else(|| format!("expected NAME:PORT, not '{part}'"))?;
            let port: u16 = port.parse().map_err(|_| format!("'{port}' is not a port"))?;
            Ok(json!({ "name": name, "port": port }))
        };
        let parts = text.split(',').filter(|part| !part.is_empty());
        parts.map(port).collect::<Result<_, String>>().map(Self)
    }
}

pub(super) async fn set(args: &SetArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let target = Target::read(Kind::InstanceGroup, &args.group).await?;
    let mut body = Fields::default();
    body.set("namedPorts", Some(args.named_ports.0.clone()));
    body.set("fingerprint", target.resource()["fingerprint"].as_str());
    target.call("setNamedPorts", &body.into(), streams).await?;
    target.updated(&args.shape, streams).await
}

pub(super) async fn get(args: &GetArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let target = Target::read(Kind::InstanceGroup, &args.group).await?;
    let ports = target.resource()["namedPorts"].as_array();
    args.selection
        .print(streams, ports.cloned().unwrap_or_default(), Listing::NamedPorts)
}
