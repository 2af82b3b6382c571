//! The first process of an emulated machine: counts the instructions of packets, tells the console, and switches off.
//! `cargo xtask instructions` makes the machine and starts it.

#![allow(
    clippy::print_stdout,
    reason = "standard output is the console, where the result is awaited"
)]

use anyhow::{Context as _, Result};
use lb_tests::bench;
use nix::mount::{MsFlags, mount};

/// The line that the host looks for begins with this.
const MARK: &str = "counted: ";

fn main() {
    match count() {
        Ok(json) => println!("\n{MARK}{json}"),
        Err(error) => println!("\nerror: {error:#}"),
    }
    // SAFETY: this machine has no disk that would have to be written to.
    unsafe { libc::reboot(libc::RB_AUTOBOOT) };
}

fn count() -> Result<String> {
    for (name, directory) in [("proc", "/proc"), ("sysfs", "/sys")] {
        mount(Some(name), directory, Some(name), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("mounting {directory}"))?;
    }
    serde_json::to_string(&bench::instructions()?).context("writing the counts")
}
