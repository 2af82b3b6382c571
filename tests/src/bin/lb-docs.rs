//! Writes the documents that are rendered from tests: `lb-docs DIRECTORY`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use lb_tests::conformance::render;

fn main() -> Result<()> {
    let directory = std::env::args_os().nth(1).context("usage: lb-docs DIRECTORY")?;
    let file = PathBuf::from(directory).join("conformance.md");
    std::fs::write(&file, render::document()).with_context(|| format!("writing {}", file.display()))
}
