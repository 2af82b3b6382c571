//! The instruction gate: what one packet of each kind executes, and what the verifier looks at, against a budget in git.
//!
//! Times are never judged: they differ from machine to machine. A machine that QEMU emulates can count instructions, which are
//! the same everywhere, so a change that makes packets dearer has to say so by changing the budget.

mod budget;
mod emulator;
mod initramfs;
mod kernel;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

use self::budget::Counts;
use self::kernel::Release;
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
    if let Some(kernel) = &options.kernel {
        budget::judge(&count(&objects, kernel)?)?;
    } else if options.update {
        budget::update(&count_on(&objects, Release::Counted)?)?;
    } else {
        check(&objects)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The gate, on a debug build that is already there. On the oldest kernel it is enough that the program is taken, with room to
/// spare, and does with packets what it should.
pub(crate) fn check(objects: &Objects) -> Result<()> {
    budget::judge(&count_on(objects, Release::Counted)?)?;
    budget::judge_oldest(&count_on(objects, Release::Oldest)?)
}

fn count_on(objects: &Objects, release: Release) -> Result<Counts> {
    let kernel = kernel::ensure(&directory()?, release)?;
    count(objects, &kernel)
}

fn count(objects: &Objects, kernel: &Path) -> Result<Counts> {
    if let Some(reason) = impossible() {
        bail!("{reason}");
    }
    let directory = directory()?;
    let initramfs = initramfs::pack(&directory, objects)?;
    emulator::count(&directory, kernel, &initramfs)
}

fn directory() -> Result<PathBuf> {
    Ok(sh::target_dir()?.join("instructions"))
}
