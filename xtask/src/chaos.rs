//! The long test of everything at once: builds what it needs, then hands over to the tests' own program.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{build, machine, sh};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long, about: 200 kills, 50 interfaces and 10,000 flips of health take ten
    #[arg(long, default_value_t = 10)]
    minutes: u32,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    machine::ensure_laboratory("chaos")?;
    let objects = build::run(&build::Options::default())?;
    let binaries = sh::target_dir()?.join("debug");
    let mut chaos = sh::command(binaries.join("lb-chaos"));
    chaos.env("LB_CTL", binaries.join("lb-ctl"));
    objects.announce(&mut chaos);
    chaos.args(["--minutes", &options.minutes.to_string()]);
    let status = chaos.status().context("starting the chaos")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
