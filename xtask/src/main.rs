//! The project's own commands: everything that a contributor or a continuous build runs.
//!
//! Each command installs or names what it needs, so that a machine with only rustup, a C compiler and Debian's base is
//! enough. Nothing is fetched beside cargo's registry, rustup's components, Debian's packages and, for the tests, the
//! pinned clients of the Compute API from PyPI and npm.

#![allow(clippy::print_stdout, reason = "xtask reports to the person who started it")]

mod bench;
mod build;
mod chaos;
mod clients;
mod demo;
mod docs;
mod instructions;
mod machine;
mod migration;
mod object;
mod report;
mod sh;
mod test;
mod tidy;
mod toolchain;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Build, test and show the load balancer",
    version
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the kernel programs, then everything that runs on the host
    Build(build::Options),
    /// Run every test there is, with set-up (root)
    Test(test::Options),
    /// Show the balancer at work in a laboratory of network namespaces (root)
    Demo(demo::Options),
    /// Install the clients of the Compute API that `test` uses
    Clients,
    /// Measure: what packets and changes cost (root)
    Bench(bench::Options),
    /// Kill, fill, flood, unplug and flip, all at once and for minutes, and look whether anything is wrong (root)
    Chaos(chaos::Options),
    /// Count the instructions of packets on an emulated machine, and compare them with their budget
    Instructions(instructions::Options),
    /// Render the documents that come from tests and from reports of the benchmark
    Docs,
    /// Put the daemon in the place of an older version of another layout, under traffic, and back (root; builds that version)
    MigrationTest,
    /// Check the house rules that a machine can see
    Tidy,
    /// What the continuous build runs: `test` with nothing left out
    Ci,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Build(options) => build::run(&options).map(|_| ExitCode::SUCCESS),
        Command::Test(options) => test::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Clients => clients::ensure().map(|_| ExitCode::SUCCESS),
        Command::Bench(options) => bench::run(&options),
        Command::Chaos(options) => chaos::run(&options),
        Command::Instructions(options) => instructions::run(&options),
        Command::Docs => docs::run().map(|()| ExitCode::SUCCESS),
        Command::MigrationTest => migration::run(),
        Command::Tidy => tidy::run(),
        Command::Ci => test::run(&test::Options::default()),
    }
}
