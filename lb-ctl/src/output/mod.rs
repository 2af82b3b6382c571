//! All human output: `render_x(out, x)` for each thing that a verb shows. Nothing else writes to standard output.

mod expression;
mod filter;
mod flows;
mod format;
mod health;
mod number;
mod report;
mod resources;
mod sort;
mod stats;
mod status;
mod table;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use serde::Serialize;

pub use self::expression::SyntaxError;
pub use self::filter::Filter;
pub use self::flows::{render_flow_count, render_flow_list};
pub(crate) use self::format::text;
pub use self::format::{Data, Format, YamlError, from_yaml, to_yaml};
pub use self::health::render_health;
pub use self::number::{human_bytes, human_count, human_duration};
pub use self::report::{render_apply_report, render_faults};
pub use self::resources::Listing;
pub use self::sort::SortKey;
pub use self::stats::render_stats;
pub use self::status::{render_status, render_verification};
pub use self::table::table as render_table;

/// Anything, as JSON for programs and for `describe`.
pub fn render_json(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// Standard output, for the binary to hand to the verbs.
pub fn stdout() -> io::BufWriter<io::Stdout> {
    io::BufWriter::new(io::stdout())
}
