//! The daemon.

use std::path::Path;

use crate::cli::RunArgs;

/// Runs until it is told to stop.
pub fn run(_args: RunArgs) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}

/// Detaches what a daemon that runs no more has left pinned.
pub fn detach_offline(_pin_dir: &Path) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}
