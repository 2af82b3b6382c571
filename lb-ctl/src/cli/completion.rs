//! `completion`: a script for a shell to complete our command lines.

use clap::Args;
use clap_complete::{Shell, generate};

use super::{Failure, Streams};

#[derive(Debug, Args)]
pub(super) struct CompletionArgs {
    /// The shell.
    shell: Shell,
}

pub(super) fn run(args: &CompletionArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(args.shell, &mut super::command_line(), "lb-ctl", &mut script);
    Ok(streams.out.write_all(&script)?)
}
