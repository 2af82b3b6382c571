//! `apply`: files to the daemon.

use std::path::PathBuf;

use clap::Args;

use super::options::{Connection, DefaultPlace, Shape};
use super::{Failure, Streams};
use crate::control::wire::ApplyRequest;
use crate::control::{ApplyOptions, ApplyReport};
use crate::output;

#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// A JSON file, a directory of them, or - for standard input; repeatable.
    #[arg(long = "filename", short, value_name = "FILE|DIR|-", required = true)]
    files: Vec<PathBuf>,
    /// Delete what the files do not name.
    #[arg(long)]
    prune: bool,
    /// Say what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: DefaultPlace,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: ApplyArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let documents = crate::resources::read(&args.files)?;
    let options = ApplyOptions {
        prune: args.prune,
        dry_run: args.dry_run,
        ..args.place.options()
    };
    let documents = documents.into_iter().map(Into::into).collect();
    let request = ApplyRequest { documents, options };
    let answer = args.connection.client().post("/lb/v1/apply", &request).await;
    let report: ApplyReport = answer.map_err(Failure::of_configuration)?;
    for warning in &report.warnings {
        writeln!(streams.err, "warning: {warning}")?;
    }
    args.shape.print(streams, &report, output::render_apply_report)?;
    if args.dry_run {
        streams.out.flush()?;
        writeln!(streams.err, "Dry run: nothing was changed.")?;
    }
    Ok(())
}
