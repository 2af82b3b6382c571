//! `status`.

use clap::Args;

use super::options::{Connection, Shape};
use super::{Failure, Streams};
use crate::output;
use crate::views::Status;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: &StatusArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let status: Status = args.connection.client().get("/lb/v1/status").await?;
    args.shape.print(streams, &status, output::render_status)
}
