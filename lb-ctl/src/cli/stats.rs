//! `stats`.

use clap::Args;

use super::options::{Connection, Shape};
use super::{Failure, Streams};
use crate::output;
use crate::views::Stats;

#[derive(Debug, Args)]
pub(super) struct StatsArgs {
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: &StatsArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let stats: Stats = args.connection.client().get("/lb/v1/stats").await?;
    args.shape.print(streams, &stats, output::render_stats)
}
