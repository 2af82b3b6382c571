//! Everything at once, for so many minutes. `cargo xtask chaos` builds what it needs and starts it.

use clap::Parser;
use lb_tests::chaos::{Extent, run};
use lb_tests::random::seed;

#[derive(Parser)]
struct Arguments {
    /// How long, about
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    minutes: u32,
}

fn main() {
    let arguments = Arguments::parse();
    let summary = run(Extent::of_minutes(arguments.minutes, seed("LB_CHAOS_SEED")));
    eprintln!("{summary:#?}");
}
