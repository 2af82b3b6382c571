//! Writes the documents that are rendered from tests and from measurements: `lb-docs DIRECTORY`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use lb_tests::conformance::render;
use lb_tests::performance;

fn main() -> Result<()> {
    let directory = std::env::args_os().nth(1).context("usage: lb-docs DIRECTORY")?;
    let directory = PathBuf::from(directory);
    write(&directory.join("conformance.md"), &render::document())?;
    for (file, text) in performance::documents(&directory)? {
        write(&file, &text)?;
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}
