//! Renders the documents that come from tests and from the reports of the benchmark, into `docs/`.

use anyhow::{Context as _, Result};

use crate::sh;

pub(crate) fn run() -> Result<()> {
    let docs = sh::root().join("docs");
    std::fs::create_dir_all(&docs).context("making docs/")?;
    let mut cargo = sh::cargo();
    cargo.args(["run", "--quiet", "-p", "lb-tests", "--bin", "lb-docs", "--"]);
    sh::run(cargo.arg(docs))
}
