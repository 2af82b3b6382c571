//! The benchmark: builds what it measures, optimised, then hands over to the tests' own program.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::build::{self, Objects};
use crate::{machine, sh};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    part: Part,
    /// A smaller run, to see that everything works
    #[arg(long, global = true)]
    quick: bool,
    /// Only rows of packets whose title contains this
    #[arg(long, global = true, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Also write the results to this file, as JSON
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(clap::Subcommand, Clone, Copy, PartialEq)]
enum Part {
    /// What each kind of packet costs, by test runs of the loaded program
    Packet,
    /// What changes of the configuration and of health cost, up to 100,000 endpoints
    Control,
    /// What the flow table takes of memory, and what a flood of packets that never repeat does to it
    Flows,
    /// Packets and connections a second in network namespaces, beside nftables, HAProxy and the bare kernel
    Forward,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Packet => "packet",
            Self::Control => "control",
            Self::Flows => "flows",
            Self::Forward => "forward",
        }
    }

    /// What is measured beside the balancer.
    fn ensure_rivals(self) -> Result<()> {
        match self {
            Self::Forward => machine::ensure(&machine::RIVALS),
            Self::Packet | Self::Control | Self::Flows => Ok(()),
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    machine::ensure_laboratory("bench")?;
    options.part.ensure_rivals()?;
    // What a quick run is for does not need the host's side optimised; the kernel's always is.
    let release = !options.quick;
    let objects = build::run(&build::Options {
        release,
        ..build::Options::default()
    })?;
    let mut bench = command(&objects, if release { "release" } else { "debug" }, options.part)?;
    bench.arg("--filter").arg(&options.filter);
    if options.quick {
        bench.arg("--quick");
    }
    if let Some(path) = &options.json {
        let path = std::path::absolute(path).context("the path of the results")?;
        bench.arg("--json").arg(path);
    }
    let status = bench.status().context("starting the benchmark")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// That the benchmark works, on a debug build that is already there. What it measures is not looked at.
pub(crate) fn check(objects: &Objects) -> Result<()> {
    for part in [Part::Packet, Part::Control, Part::Flows, Part::Forward] {
        part.ensure_rivals()?;
        sh::run(command(objects, "debug", part)?.arg("--quick"))?;
    }
    Ok(())
}

fn command(objects: &Objects, profile: &str, part: Part) -> Result<Command> {
    let mut bench = sh::command(sh::target_dir()?.join(profile).join("lb-bench"));
    objects.announce(&mut bench);
    if matches!(part, Part::Packet | Part::Flows) {
        build::compared(&mut bench)?;
    }
    bench.arg(part.name());
    Ok(bench)
}
