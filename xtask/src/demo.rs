//! The demonstration: builds what it shows, then hands over to the laboratory's own program.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{build, machine, sh};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leave out the live table: one line for each thing that happens
    #[arg(long)]
    plain: bool,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    machine::ensure_laboratory("demo")?;
    let objects = build::run(&build::Options::default())?;
    let binaries = sh::target_dir()?.join("debug");
    let mut demo = sh::command(binaries.join("lb-demo"));
    demo.env("LB_CTL", binaries.join("lb-ctl"));
    objects.announce(&mut demo);
    if options.plain {
        demo.arg("--plain");
    }
    let mut running = demo.spawn().context("starting the demonstration")?;
    ignore_interrupts();
    let status = running.wait().context("waiting for the demonstration")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Ctrl-C reaches the demonstration too, which cleans up and ends; this process waits for that.
fn ignore_interrupts() {
    // SAFETY: an ignored signal runs no code of ours.
    let _ = unsafe {
        nix::sys::signal::signal(
            nix::sys::signal::Signal::SIGINT,
            nix::sys::signal::SigHandler::SigIgn,
        )
    };
}
