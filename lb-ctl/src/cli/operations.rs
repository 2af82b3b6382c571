//! `operations list` and `operations describe`: what was done of late.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::options::{Connection, Shape};
use super::resource::{Selection, all_pages, default_place, load};
use super::scope::{AnyPlace, AnyPlaces, Within};
use super::{Failure, Streams};
use crate::client::{Client, ClientError};
use crate::control::place::{Location, Parts};
use crate::model::ResourcePath;
use crate::output::{Data, Format, Listing};

#[derive(Debug, Subcommand)]
pub(super) enum Operations {
    /// List the operations that the daemon remembers, of all places unless told which.
    List(ListArgs),
    /// Print one operation.
    Describe(DescribeArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    places: AnyPlaces,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct DescribeArgs {
    /// The operation's name.
    name: String,
    #[command(flatten)]
    place: AnyPlace,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(verb: &Operations, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match verb {
        Operations::List(args) => {
            let found = operations(&args.connection.client(), &args.places).await?;
            args.selection.print(streams, found, Listing::Operations)
        }
        Operations::Describe(args) => describe(args, streams).await,
    }
}

async fn describe(args: &DescribeArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let found = operations(&args.connection.client(), &args.place).await?;
    let operation = found
        .iter()
        .find(|operation| operation["name"] == args.name.as_str());
    let operation = operation.ok_or_else(|| {
        Failure::failed(format!(
            "there is no '{}' in operations where the flags say",
            args.name
        ))
    })?;
    args.shape
        .print_data(streams, Data::One(operation), Listing::Operations, Format::yaml())
}

/// The operations of each place that has resources, that the flags name, or that is the daemon's own.
async fn operations(client: &Client, within: &impl Within) -> Result<Vec<Value>, Failure> {
    let own = default_place(client).await?;
    let mut places: BTreeSet<(String, Location)> = load(client)
        .await?
        .keys()
        .filter_map(|path| Parts::of(path).map(|parts| (parts.project.to_owned(), parts.location)))
        .collect();
    let project = within.given().project_or(&own.project).to_owned();
    let named = within.given().locations();
    let own = [
        Location::Global,
        Location::Region(own.region),
        Location::Zone(own.zone),
    ];
    places.extend(own.into_iter().chain(named).map(|place| (project.clone(), place)));
    let mut found = Vec::new();
    for (project, location) in places {
        let collection = format!("projects/{project}/{}/operations", location.segment());
        if within.contains(&ResourcePath::from_canonical(format!("{collection}/any"))) {
            found.extend(list(client, &collection).await?);
        }
    }
    Ok(found)
}

async fn list(client: &Client, collection: &str) -> Result<Vec<Value>, ClientError> {
    all_pages(client, &format!("/compute/v1/{collection}"), None).await
}
