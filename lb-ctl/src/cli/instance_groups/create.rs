//! `instance-groups create`.

use clap::Args;

use super::super::resource::{NewArgs, References};
use super::super::scope::Zonal;
use super::super::values::Fields;
use super::super::{Failure, Streams};
use crate::control::ResourceMap;
use crate::resources::Kind;

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    #[command(flatten)]
    new: NewArgs<Zonal>,
    /// A text of one's own.
    #[arg(long)]
    description: Option<String>,
    /// The network.
    #[arg(long)]
    network: Option<String>,
}

pub(super) async fn run(args: &CreateArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let kind = Kind::InstanceGroup;
    let client = args.new.connection.client();
    let path = args.new.path(&client, kind).await?;
    let references = References {
        resources: &ResourceMap::new(),
        path: &path,
    };
    let mut fields = Fields::default();
    fields.set("description", args.description.clone());
    fields.set(
        "network",
        args.network.as_ref().map(|name| references.network(name)),
    );
    args.new.insert(&client, kind, &path, fields, streams).await
}
