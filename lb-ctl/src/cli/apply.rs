//! `apply`: files to the daemon.

use std::path::PathBuf;

use clap::Args;

use super::options::{Connection, Shape};
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
    /// The project of resources that do not name one.
    #[arg(long)]
    project: Option<String>,
    /// The region of resources that do not name one.
    #[arg(long)]
    region: Option<String>,
    /// The zone of resources that do not name one.
    #[arg(long)]
    zone: Option<String>,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: ApplyArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let documents = crate::resources::read(&args.files)?;
    let options = ApplyOptions {
        project: args.project,
        region: args.region,
        zone: args.zone,
        prune: args.prune,
        dry_run: args.dry_run,
    };
    let documents = documents.into_iter().map(Into::into).collect();
    let request = ApplyRequest { documents, options };
    let report: ApplyReport = args.connection.client().post("/lb/v1/apply", &request).await?;
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
