//! The instruction gate: what one packet of each kind executes, and what the verifier looks at, against a budget in git.
//!
//! Times are never judged: they differ from machine to machine. A machine that QEMU emulates can count instructions, which are
//! the same everywhere, so a change that makes packets dearer has to say so by changing the budget.

mod budget;
mod emulator;
mod initramfs;
mod kernel;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};

use self::budget::Counts;
use crate::build::{self, Objects};
use crate::sh;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write what was counted to the budget
    #[arg(long)]
    update: bool,
    /// Boot this kernel instead of Debian's
    #[arg(long, value_name = "FILE", conflicts_with = "update")]
    kernel: Option<PathBuf>,
}

/// Why this machine can't have the gate, if it can't.
pub(crate) fn impossible() -> Option<&'static str> {
    (!cfg!(target_arch = "x86_64")).then_some("instructions are counted on x86-64 only")
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let objects = build::run(&build::Options::default())?;
    let counted = count(&objects, options.kernel.clone())?;
    if options.update {
        budget::update(&counted)?;
    } else {
        budget::judge(&counted)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The gate, on a debug build that is already there.
pub(crate) fn check(objects: &Objects) -> Result<()> {
    budget::judge(&count(objects, None)?)
}

fn count(objects: &Objects, kernel: Option<PathBuf>) -> Result<Counts> {
    if let Some(reason) = impossible() {
        bail!("{reason}");
    }
    let directory = sh::target_dir()?.join("instructions");
    let kernel = kernel.map_or_else(|| kernel::ensure(&directory), Ok)?;
    let initramfs = initramfs::pack(&directory, objects)?;
    emulator::count(&directory, &kernel, &initramfs)
}
