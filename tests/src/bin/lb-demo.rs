//! The demonstration: a balancer in a laboratory, a backend failure under live traffic, failover and back.
//!
//! It ends with exit code 0 only if the client saw everything that was promised.

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
struct Arguments {
    /// Write a line for each thing that happens instead of redrawing a table
    #[arg(long)]
    plain: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if lb_tests::demo::run(arguments.plain) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
