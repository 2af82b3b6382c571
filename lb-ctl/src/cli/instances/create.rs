//! `instances create`.

use clap::Args;
use serde_json::Value;

use super::super::resource::{NewArgs, References};
use super::super::scope::Zonal;
use super::super::values::Fields;
use super::super::{Failure, Streams};
use super::flags::AddressFlags;
use crate::control::ResourceMap;
use crate::resources::Kind;

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    #[command(flatten)]
    new: NewArgs<Zonal>,
    /// A text of one's own.
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    addresses: AddressFlags,
}

pub(super) async fn run(args: &CreateArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let kind = Kind::Instance;
    let client = args.new.connection.client();
    let path = args.new.path(&client, kind).await?;
    let references = References {
        resources: &ResourceMap::new(),
        path: &path,
    };
    let mut fields = Fields::default();
    fields.set("description", args.description.clone());
    let interface = Value::from(args.addresses.interface(&references));
    fields.set("networkInterfaces", Some(vec![interface]));
    args.new.insert(&client, kind, &path, fields, streams).await
}
