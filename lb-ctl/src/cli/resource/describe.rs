//! `describe`.

use clap::Args;
use serde_json::{Value, json};

use super::super::options::Shape;
use super::super::scope::Scope;
use super::answering::Answering;
use super::{Failure, NameArgs, Streams, find, load};
use crate::output::{Data, Format, Listing};
use crate::resources::Kind;
use crate::views::TableSlots;

#[derive(Debug, Args)]
pub(in crate::cli) struct DescribeArgs<S: Scope> {
    #[command(flatten)]
    resource: NameArgs<S>,
    #[command(flatten)]
    shape: Shape,
}

pub(super) async fn run<S: Scope>(
    kind: Kind,
    args: &DescribeArgs<S>,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let NameArgs {
        name,
        scope,
        connection,
    } = &args.resource;
    let client = connection.client();
    let path = find(&load(&client).await?, kind, name, scope)?;
    let mut resource: Value = client.get(&format!("/compute/v1/{path}")).await?;
    if kind == Kind::BackendService {
        // What the cloud's shape has no field for.
        let tables: TableSlots = client.get(&format!("/lb/v1/tableSlots?service={path}")).await?;
        resource["lb"] = json!({ "tableSlots": tables.slots });
    }
    if kind == Kind::ForwardingRule {
        Answering::load(&client).await.annotate(&mut resource);
    }
    args.shape.print_data(
        streams,
        Data::One(&resource),
        Listing::Resources(kind),
        Format::yaml(),
    )
}
