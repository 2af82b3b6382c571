//! The instances of a group: `add-instances`, `remove-instances` and `list-instances`.

use clap::Args;
use serde_json::{Value, json};

use super::super::options::Shape;
use super::super::resource::{NameArgs, Selection, Target, all_pages};
use super::super::scope::Zonal;
use super::super::{Failure, Streams};
use crate::output::Listing;
use crate::resources::Kind;

#[derive(Debug, Args)]
pub(in crate::cli) struct InstancesArgs {
    #[command(flatten)]
    group: NameArgs<Zonal>,
    /// The instances, of the group's zone; names or URLs.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', required = true)]
    instances: Vec<String>,
    #[command(flatten)]
    shape: Shape,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    group: NameArgs<Zonal>,
    #[command(flatten)]
    selection: Selection,
}

pub(super) async fn add(args: &InstancesArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    change(args, "addInstances", streams).await
}

pub(super) async fn remove(args: &InstancesArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    change(args, "removeInstances", streams).await
}

async fn change(args: &InstancesArgs, method: &str, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let target = Target::read(Kind::InstanceGroup, &args.group).await?;
    let references = target.references();
    let url = |name: &String| -> Result<Value, Failure> {
        let url = references.find(Kind::Instance, name, references.zone(), "a URL")?;
        Ok(json!({ "instance": url }))
    };
    let instances = args.instances.iter().map(url).collect::<Result<Vec<_>, _>>()?;
    target
        .call(method, &json!({ "instances": instances }), streams)
        .await?;
    target.updated(&args.shape, streams).await
}

pub(super) async fn list(args: &ListArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let target = Target::read(Kind::InstanceGroup, &args.group).await?;
    let url = format!("/compute/v1/{}/listInstances", target.path);
    let items = all_pages(&target.client, &url, Some(&json!({}))).await?;
    args.selection.print(streams, items, Listing::Instances)
}
