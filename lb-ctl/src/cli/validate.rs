//! `validate`: every fault of a configuration, without a daemon and without privileges.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::options::DefaultPlace;
use super::{Failure, Streams};
use crate::resources::{self, Mode, Resources, Scope};

#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    /// A JSON file, a directory of them, or - for standard input; repeatable.
    #[arg(long = "filename", short, value_name = "FILE|DIR|-", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    place: DefaultPlace,
}

pub(super) fn run(args: &ValidateArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let documents = resources::read(&args.files)?;
    let scope = args.place.scope(&Scope::default());
    let applied = Resources::default().apply(&documents, &scope, Mode::Additive, Timestamp::UNIX_EPOCH)?;
    for warning in &applied.warnings {
        writeln!(streams.err, "warning: {warning}")?;
    }
    match applied.changes.len() {
        1 => writeln!(streams.err, "1 resource is valid.")?,
        n => writeln!(streams.err, "{n} resources are valid.")?,
    }
    Ok(())
}
