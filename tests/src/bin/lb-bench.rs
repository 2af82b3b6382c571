//! The benchmark: `lb-bench packet`, `control`, `flows`, `forward`. `cargo xtask bench` builds what it needs and starts it.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use lb_tests::bench::report::{Report, Row};
use lb_tests::bench::{self, Extent};

#[derive(Parser)]
struct Arguments {
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

#[derive(Subcommand)]
enum Part {
    /// What each kind of packet costs
    Packet,
    /// What changes of the configuration and of health cost
    Control,
    /// What the flow table takes of memory, and what a flood does to it
    Flows,
    /// Packets and connections a second in network namespaces
    Forward,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let extent = if arguments.quick {
        Extent::Quick
    } else {
        Extent::Full
    };
    match arguments.part {
        Part::Packet => tell(&bench::packet(extent, &arguments.filter)?, arguments.json),
        Part::Control => tell(&bench::control(extent)?, arguments.json),
        Part::Flows => tell(&bench::flows(extent)?, arguments.json),
        Part::Forward => tell(&bench::forward(extent)?, arguments.json),
    }
}

fn tell(report: &Report<impl Row>, json: Option<PathBuf>) -> Result<()> {
    let mut out = lb_ctl::output::stdout();
    report.render(&mut out)?;
    out.flush().context("writing the table")?;
    if let Some(path) = json {
        let naming = || format!("writing {}", path.display());
        let mut file = BufWriter::new(File::create(&path).with_context(naming)?);
        report.render_json(&mut file).with_context(naming)?;
        file.flush().with_context(naming)?;
    }
    Ok(())
}
