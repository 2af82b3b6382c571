//! `docs/performance.md`: what the benchmark found, as people read it. Everything is rendered from the reports that
//! `cargo xtask bench PART --json docs/performance/PART.json` wrote; the words around it are the page's own.

mod bars;
mod katran;
mod page;
mod plot;
mod plots;
mod tables;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;

use crate::bench::report::{self, Report};
use crate::bench::{control, flows, forward};

const PAGE: &str = "performance.md";
/// Where reports and plots are.
const DIRECTORY: &str = "performance";

/// A report of each part.
pub struct Reports {
    packet: Report<report::Case>,
    control: Report<control::Case>,
    forward: Report<forward::Case>,
    flows: Report<flows::Case>,
}

impl Reports {
    fn read(docs: &Path) -> Result<Self> {
        let directory = docs.join(DIRECTORY);
        Ok(Self {
            packet: read(&directory, "packet")?,
            control: read(&directory, "control")?,
            forward: read(&directory, "forward")?,
            flows: read(&directory, "flows")?,
        })
    }
}

fn read<C: DeserializeOwned>(directory: &Path, part: &str) -> Result<Report<C>> {
    let path = directory.join(part).with_extension("json");
    let text = fs::read_to_string(&path).with_context(|| {
        let path = path.display();
        format!("reading {path} (made by `cargo xtask bench {part} --json {path}`)")
    })?;
    serde_json::from_str(&text).with_context(|| format!("reading {} as a report", path.display()))
}

/// The page and its plots, each file with its text, from the reports and the page in the directory `docs`.
pub fn documents(docs: &Path) -> Result<Vec<(PathBuf, String)>> {
    let reports = Reports::read(docs)?;
    let page = docs.join(PAGE);
    let written = fs::read_to_string(&page).with_context(|| format!("reading {}", page.display()))?;
    let rendered = page::filled(&written, &tables::all(&reports))
        .with_context(|| format!("filling in the tables of {}", page.display()))?;
    let mut documents = vec![(page, rendered)];
    for (name, drawing) in plots::all(&reports)? {
        documents.push((docs.join(DIRECTORY).join(name).with_extension("svg"), drawing));
    }
    Ok(documents)
}
