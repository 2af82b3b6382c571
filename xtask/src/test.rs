//! Every test there is, in phases from cheap to dear, and one honest line at the end.
//!
//! A phase that fails doesn't stop the ones after it, except that nothing runs without the builds it is made of.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::build::{self, Objects};
use crate::report::{self, Count, Runner};
use crate::{bench, clients, instructions, machine, sh, tidy, toolchain};

#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Run only tests whose name contains this, and no checks
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    machine::ensure_laboratory("test")?;
    let everything = options.filter.is_none();
    let mut phases = Phases {
        total: Count::default(),
        failed: Vec::new(),
        notes: Vec::new(),
    };
    if everything {
        toolchain::ensure_checkers()?;
        phases.check("format", || {
            sh::run(sh::cargo().args(["fmt", "--all", "--check"]))
        });
        phases.check("tidy", tidy::check);
    }
    let mut objects = None;
    phases.check("build", || {
        objects = Some(build::run(&build::Options::default())?);
        Ok(())
    });
    if let Some(objects) = objects {
        if everything {
            lints(&mut phases, &objects);
        }
        tests(&mut phases, &objects, options.filter.as_deref());
        if everything {
            phases.check("benchmark, quick", || bench::check(&objects));
            match instructions::impossible() {
                Some(reason) => phases.note(&format!("SKIPPED: {reason}")),
                None => phases.check("instruction budget", || instructions::check(&objects)),
            }
        }
    }
    phases.summary()
}

fn lints(phases: &mut Phases, objects: &Objects) {
    phases.check("clippy", || {
        let mut clippy = sh::cargo();
        clippy.args(["clippy", "--quiet", "--all-targets", "--", "-D", "warnings"]);
        // The daemon's build script runs again whenever this changes.
        objects.announce(&mut clippy);
        sh::run(&mut clippy)
    });
    phases.check("clippy of the kernel programs", build::clippy);
    phases.check("portable kernel build", build::portable);
}

fn tests(phases: &mut Phases, objects: &Objects, filter: Option<&str>) {
    let runner = if has_nextest() {
        Runner::Nextest
    } else {
        Runner::CargoTest
    };
    let clients = clients(phases);
    let mut run = |name: &str, selection: &[&str]| {
        let mut command = test_command(runner, selection, filter);
        objects.announce(&mut command);
        if let Some(clients) = &clients {
            clients.announce(&mut command);
        }
        phases.tests(name, runner, &mut command);
    };
    run(
        "unit tests",
        &[
            "-p",
            "lb-common",
            "-p",
            "lb-ctl",
            "-p",
            "xtask",
            "-p",
            "lb-tests",
            "--lib",
            "--bins",
        ],
    );
    for (name, package, prefix) in [
        ("integration tests of lb-common", "lb-common", ""),
        ("integration tests of lb-ctl", "lb-ctl", ""),
        ("kernel program tests", "lb-tests", "prog_"),
        ("interface tests", "lb-tests", "api_"),
        ("command line tests", "lb-tests", "cli_"),
        ("namespace tests", "lb-tests", "netns_"),
        ("document tests", "lb-tests", "docs_"),
    ] {
        let directory = if package == "lb-tests" { "tests" } else { package };
        if has_test_files(directory, prefix) {
            run(name, &["-p", package, "--test", &format!("{prefix}*")]);
        }
    }
}

/// What others made to use the API with.
fn clients(phases: &mut Phases) -> Option<clients::Clients> {
    let mut installed = None;
    phases.check("clients of the Compute API", || {
        installed = Some(clients::ensure()?);
        Ok(())
    });
    if !clients::has_gcloud() {
        phases.note(
            "SKIPPED: gcloud is not installed here, so the tests that drive the daemon with it did nothing",
        );
    }
    installed
}

/// Cargo refuses a pattern that no test file matches.
fn has_test_files(package: &str, prefix: &str) -> bool {
    let files = std::fs::read_dir(sh::root().join(package).join("tests"))
        .into_iter()
        .flatten()
        .flatten();
    let mut names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    names.any(|name| name.starts_with(prefix) && name.ends_with(".rs"))
}

fn has_nextest() -> bool {
    let quiet = |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet(sh::cargo().args(["nextest", "--version"])).is_ok_and(|status| status.success())
}

fn test_command(runner: Runner, selection: &[&str], filter: Option<&str>) -> Command {
    let mut cargo = sh::cargo();
    if runner == Runner::Nextest {
        cargo.args([
            "nextest",
            "run",
            "--no-fail-fast",
            "--no-tests",
            "pass",
            "--status-level",
            "slow",
        ]);
        cargo.args(["--final-status-level", "fail"]);
    } else {
        cargo.args(["test", "--no-fail-fast"]);
    }
    cargo.args(selection);
    if let Some(text) = filter {
        cargo.arg(text);
    }
    cargo
}

struct Phases {
    total: Count,
    failed: Vec<String>,
    /// To be read again at the end.
    notes: Vec<String>,
}

impl Phases {
    /// A phase that is one check: it passes or fails as a whole.
    fn check(&mut self, name: &str, check: impl FnOnce() -> Result<()>) {
        self.timed(name, || match check() {
            Ok(()) => Count::PASSED,
            Err(error) => {
                println!("error: {error:#}");
                Count::FAILED
            }
        });
    }

    fn tests(&mut self, name: &str, runner: Runner, command: &mut Command) {
        self.timed(name, || match streamed(command) {
            Ok((output, succeeded)) => report::of_run(runner, &output, succeeded),
            Err(error) => {
                println!("error: {error:#}");
                Count::FAILED
            }
        });
    }

    fn timed(&mut self, name: &str, phase: impl FnOnce() -> Count) {
        println!("── {name}");
        let start = Instant::now();
        let count = phase();
        println!("── {name}: {count} ({:.1} s)\n", start.elapsed().as_secs_f64());
        self.total += count;
        if !count.is_success() {
            self.failed.push(name.to_owned());
        }
    }

    fn note(&mut self, note: &str) {
        println!("{note}\n");
        self.notes.push(note.to_owned());
    }

    fn summary(self) -> Result<ExitCode> {
        if !self.failed.is_empty() {
            println!("failed: {}", self.failed.join(", "));
        }
        for note in &self.notes {
            println!("{note}");
        }
        println!("{}", self.total);
        std::io::stdout().flush().context("writing the summary")?;
        Ok(if self.total.is_success() && self.total.passed > 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// Shows the command's output as it comes, and keeps it.
fn streamed(command: &mut Command) -> Result<(String, bool)> {
    let (reader, writer) = std::io::pipe().context("making a pipe")?;
    let stderr = writer.try_clone().context("sharing a pipe")?;
    let mut child = command
        .stdout(writer)
        .stderr(stderr)
        .spawn()
        .context("starting cargo")?;
    // The command holds the pipe's writing ends until it takes other ones; else the reading below would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut kept = String::new();
    for line in BufReader::new(reader).lines() {
        let line = line.context("reading cargo's output")?;
        println!("{line}");
        kept.push_str(&line);
        kept.push('\n');
    }
    let status = child.wait().context("waiting for cargo")?;
    Ok((kept, status.success()))
}
