//! `flows list` and `flows count`.

use clap::{Args, Subcommand};

use super::options::{Connection, Shape};
use super::resource::{find, load};
use super::scope::Regional;
use super::{Failure, Streams};
use crate::output;
use crate::resources::Kind;
use crate::views::{FlowCount, FlowList};

#[derive(Debug, Subcommand)]
pub(super) enum Flows {
    /// List flows that the table holds now.
    List(ListArgs),
    /// Count flows that the table holds now.
    Count(CountArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only flows of this backend service; its name or URL.
    #[arg(long)]
    service: Option<String>,
    #[command(flatten)]
    scope: Regional,
    /// List at most so many.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct CountArgs {
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(verb: &Flows, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match verb {
        Flows::List(args) => list(args, streams).await,
        Flows::Count(args) => {
            let count: FlowCount = args.connection.client().get("/lb/v1/flows/count").await?;
            args.shape.print(streams, &count, output::render_flow_count)
        }
    }
}

async fn list(args: &ListArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let client = args.connection.client();
    let mut url = format!("/lb/v1/flows?limit={}", args.limit);
    if let Some(name) = &args.service {
        let kind = Kind::BackendService;
        let path = find(&load(&client).await?, kind, name, &args.scope)?;
        url.push_str(&format!("&service={path}"));
    }
    let list: FlowList = client.get(&url).await?;
    args.shape.print(streams, &list, output::render_flow_list)?;
    if list.truncated {
        streams.out.flush()?;
        writeln!(
            streams.err,
            "There are more than {} flows; --limit shows more.",
            list.flows.len()
        )?;
    }
    Ok(())
}
