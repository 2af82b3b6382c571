//! Clients of the Compute API that others made, for the tests: each in its pinned version below `target/clients`, from
//! its own language's registry.
//!
//! A file beside each tells from what it was installed, and is written last: what was interrupted is installed again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::machine::{self, Need};
use crate::sh;

const PYTHON: Need = Need {
    program: "python3",
    package: "python3",
};
const NODE: [Need; 2] = [
    Need {
        program: "node",
        package: "nodejs",
    },
    Need {
        program: "npm",
        package: "npm",
    },
];
/// What Debian splits off the standard library.
const VENV_PACKAGE: &str = "python3-venv";

/// Where the clients are.
pub(crate) struct Clients {
    directory: PathBuf,
}

impl Clients {
    /// Tells a test where to find them.
    pub(crate) fn announce(&self, command: &mut Command) {
        command.env("LB_TESTS_CLIENTS", &self.directory);
    }
}

/// Installs what is missing or in another version.
pub(crate) fn ensure() -> Result<Clients> {
    let directory = sh::target_dir()?.join("clients");
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    ensure_python(&directory.join("python"))?;
    ensure_node(&directory.join("node"))?;
    Ok(Clients { directory })
}

/// Whether the tests of gcloud can run: it is used where it is, and never installed.
pub(crate) fn has_gcloud() -> bool {
    sh::exists("gcloud")
}

fn ensure_python(environment: &Path) -> Result<()> {
    let wanted = sources().join("python/requirements.txt");
    let stamp = Stamp::new(environment, &[&wanted])?;
    let python = environment.join("bin/python");
    // An environment does not outlive the Python that it was made with.
    if stamp.is_current() && sh::succeeds(sh::command(&python).args(["-c", "import google.cloud.compute_v1"]))
    {
        return Ok(());
    }
    machine::ensure(&[PYTHON])?;
    let has_venv = sh::succeeds(sh::command("python3").args(["-c", "import ensurepip, venv"]));
    if !has_venv {
        machine::install(&[VENV_PACKAGE])?;
    }
    println!("installing the Compute API's Python client");
    sh::run(
        sh::command("python3")
            .args(["-m", "venv", "--clear"])
            .arg(environment),
    )?;
    sh::run(
        sh::command(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args([
                "--no-input",
                "--no-deps",
                "--only-binary",
                ":all:",
                "--requirement",
            ])
            .arg(&wanted),
    )?;
    stamp.write()
}

fn ensure_node(directory: &Path) -> Result<()> {
    let wanted = ["package.json", "package-lock.json"].map(|name| sources().join("node").join(name));
    let stamp = Stamp::new(directory, &[&wanted[0], &wanted[1]])?;
    machine::ensure(&NODE)?;
    if stamp.is_current() {
        return Ok(());
    }
    println!("installing the Compute API's Node.js client");
    fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    for file in &wanted {
        let to = directory.join(file.file_name().context("a file's name")?);
        fs::copy(file, &to).with_context(|| format!("copying {} to {}", file.display(), to.display()))?;
    }
    let mut npm = sh::command("npm");
    npm.current_dir(directory).args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel",
        "error",
    ]);
    sh::run(&mut npm)?;
    stamp.write()
}

fn sources() -> PathBuf {
    sh::root().join("tests/clients")
}

/// From what a directory was installed.
struct Stamp {
    path: PathBuf,
    content: String,
}

impl Stamp {
    fn new(directory: &Path, sources: &[&Path]) -> Result<Self> {
        let texts = sources
            .iter()
            .map(|path| fs::read_to_string(path).with_context(|| format!("reading {}", path.display())));
        Ok(Self {
            path: directory.join("installed-from"),
            content: texts.collect::<Result<Vec<_>>>()?.concat(),
        })
    }

    fn is_current(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|found| found == self.content)
    }

    fn write(&self) -> Result<()> {
        fs::write(&self.path, &self.content).with_context(|| format!("writing {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_installed_has_one_version() {
        let requirements = fs::read_to_string(sources().join("python/requirements.txt")).unwrap();
        let mut lines = requirements.lines().filter(|line| !line.starts_with('#'));
        assert!(requirements.contains("google-cloud-compute=="));
        assert_eq!(lines.find(|line| !line.contains("==")), None);
        let lock = fs::read_to_string(sources().join("node/package-lock.json")).unwrap();
        assert!(lock.contains("node_modules/@google-cloud/compute"));
        // Which registry it comes from is the machine's own choice.
        assert!(!lock.contains("\"resolved\""));
    }
}
