//! `status`, and whether the kernel agrees.

use clap::Args;

use super::options::{Connection, Shape};
use super::{Failure, Streams};
use crate::output;
use crate::views::{Status, Verification};

/// Exit status 1 when something is not as it should be.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Read the kernel's maps back and compare them with what they should hold; exit status 1 when they differ.
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: &StatusArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    if args.verify {
        let verification: Verification = args.connection.client().get("/lb/v1/verify").await?;
        args.shape
            .print(streams, &verification, output::render_verification)?;
        return match verification.differences.is_empty() {
            true => Ok(()),
            false => Err(Failure::failed("the kernel's maps are not as they should be")),
        };
    }
    let status: Status = args.connection.client().get("/lb/v1/status").await?;
    args.shape.print(streams, &status, output::render_status)?;
    match status.troubles.len() {
        0 => Ok(()),
        1 => Err(Failure::failed("something is not as it should be")),
        n => Err(Failure::failed(format!("{n} things are not as they should be"))),
    }
}
