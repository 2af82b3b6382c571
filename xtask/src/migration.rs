//! The daemon against a real older version of another layout, which is built from this repository's history.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::{build, machine, sh};

/// The last version of layout 5.
const FORMER: &str = "b397d1cab1bd40e9c7281eef0f392db377ed4d86";

pub(crate) fn run() -> Result<ExitCode> {
    machine::ensure_laboratory("migration-test")?;
    let objects = build::run(&build::Options::default())?;
    let former = former()?;
    let mut test = sh::cargo();
    test.args(["test", "-p", "lb-tests", "--test", "former_version", "--"])
        .args(["--ignored", "--nocapture"])
        .env("LB_FORMER_CTL", former);
    objects.announce(&mut test);
    sh::run(&mut test)?;
    Ok(ExitCode::SUCCESS)
}

/// Its `lb-ctl`, built once, in a target directory of its own.
fn former() -> Result<PathBuf> {
    let directory = sh::target_dir()?.join("former").join(FORMER);
    let (source, target) = (directory.join("source"), directory.join("target"));
    let built = target.join("debug/lb-ctl");
    if built.exists() {
        return Ok(built);
    }
    println!("building the version {FORMER} (some minutes)");
    std::fs::create_dir_all(&source).with_context(|| format!("making {}", source.display()))?;
    std::fs::create_dir_all(&target).with_context(|| format!("making {}", target.display()))?;
    unpack(&source)?;
    // The linker is the same.
    let tools = target.join("tools");
    if !tools.exists() {
        std::os::unix::fs::symlink(sh::target_dir()?.join("tools"), &tools).context("sharing the linker")?;
    }
    let mut build = sh::cargo();
    build
        .current_dir(&source)
        .args(["xtask", "build"])
        .env("CARGO_TARGET_DIR", &target);
    sh::run(&mut build)?;
    Ok(built)
}

fn unpack(source: &std::path::Path) -> Result<()> {
    let mut archive = sh::command("git")
        .args(["archive", FORMER])
        .stdout(Stdio::piped())
        .spawn()
        .context("starting git")?;
    let tar = archive.stdout.take().context("git's output")?;
    sh::run(Command::new("tar").arg("-x").arg("-C").arg(source).stdin(tar))?;
    if !archive.wait().context("waiting for git")?.success() {
        bail!("the repository has no {FORMER}: fetch its whole history");
    }
    Ok(())
}
