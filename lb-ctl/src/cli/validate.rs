//! `validate`: every fault of a configuration, without a daemon and without privileges.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, Streams};
use crate::resources::{self, Scope};

#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    /// A JSON file, a directory of them, or - for standard input; repeatable.
    #[arg(long = "filename", short, value_name = "FILE|DIR|-", required = true)]
    files: Vec<PathBuf>,
    /// The project of resources that do not name one.
    #[arg(long)]
    project: Option<String>,
    /// The region of resources that do not name one.
    #[arg(long)]
    region: Option<String>,
    /// The zone of resources that do not name one.
    #[arg(long)]
    zone: Option<String>,
}

pub(super) fn run(args: &ValidateArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let documents = resources::read(&args.files)?;
    let _ = (documents, streams, Scope::default());
    Ok(())
}
