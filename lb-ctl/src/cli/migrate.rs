//! `migrate`: gives what is pinned back to an older version.

use std::path::PathBuf;

use clap::Args;

use super::run::{DEFAULT_PIN_DIR, DEFAULT_RUNTIME_DIR, DEFAULT_STATE_DIR};
use super::{Failure, Streams};
use crate::daemon::{GivenBack, give_back};
use crate::dataplane::migrate::FORMER_LAYOUT;
use crate::settings::FileSettings;

/// The only layout that is given back.
const FORMER: i64 = FORMER_LAYOUT as i64;

#[derive(Args, Clone, Debug)]
pub(super) struct MigrateArgs {
    /// The layout of the older version, as its `status` shows it. What is pinned by an older version needs no such step:
    /// `run` takes it over.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(FORMER..=FORMER))]
    layout: u32,
    /// The settings file of `run`, for the directories.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// As with `run`.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// As with `run`.
    #[arg(long, value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
    /// As with `run`.
    #[arg(long, value_name = "DIR")]
    pin_dir: Option<PathBuf>,
}

pub(super) fn run(args: MigrateArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let file = match &args.settings {
        Some(path) => FileSettings::read(path)?,
        None => FileSettings::default(),
    };
    let directory = |given: Option<PathBuf>, file: Option<PathBuf>, default: &str| {
        given.or(file).unwrap_or_else(|| default.into())
    };
    let places = GivenBack {
        state_dir: directory(args.state_dir, file.flags.state_dir, DEFAULT_STATE_DIR),
        runtime_dir: directory(args.runtime_dir, file.flags.runtime_dir, DEFAULT_RUNTIME_DIR),
        pin_dir: directory(args.pin_dir, file.flags.pin_dir, DEFAULT_PIN_DIR),
    };
    give_back(&places)?;
    writeln!(
        streams.err,
        "What is pinned has layout {} now. Start the older version at once: connections that are new until then are \
         forwarded, and not remembered.",
        args.layout
    )?;
    Ok(())
}
