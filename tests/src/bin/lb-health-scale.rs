//! Measures what health checks by TCP cost this host, and prints it as JSON.

#![allow(clippy::print_stdout, reason = "the result is what was asked for")]

use clap::Parser;
use lb_tests::health_scale::{Load, health_scale};

#[derive(Parser)]
struct Arguments {
    /// Endpoints
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    targets: u32,
    /// checkIntervalSec
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=300))]
    interval: u32,
    /// Intervals to measure
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    intervals: u32,
}

fn main() {
    let arguments = Arguments::parse();
    let measured = health_scale(Load {
        targets: arguments.targets,
        interval_sec: arguments.interval,
        intervals: arguments.intervals,
    });
    println!(
        "{}",
        serde_json::to_string_pretty(&measured).expect("numbers and nothing else")
    );
}
