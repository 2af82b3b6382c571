//! A machine by QEMU's emulation, on which a nanosecond passes with each instruction. It has nothing that could differ from one
//! start, or from one host, to the next: a named processor, one of it, no devices, a clock that starts at a fixed date.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::budget::Counts;
use super::initramfs::LABORATORY;
use crate::machine::{self, Need};
use crate::sh;

const QEMU: Need = Need {
    program: "qemu-system-x86_64",
    package: "qemu-system-x86",
};
/// Seconds that the machine may run; it takes a tenth of that.
const BOUND: &str = "400";
/// The line that holds the result begins with this.
const MARK: &str = "counted: ";
/// A server's, without what QEMU does not emulate, and without random numbers.
const PROCESSOR: &str = "Haswell-v4,-pcid,-x2apic,-tsc-deadline,-invpcid,-spec-ctrl,-rdrand";
/// Lines of the console that are shown when something went wrong.
const LAST: usize = 30;

pub(super) fn count(directory: &Path, kernel: &Path, initramfs: &Path) -> Result<Counts> {
    machine::ensure(&[QEMU])?;
    println!("counting instructions on an emulated machine ({BOUND} s at most)");
    let console = directory.join("console.log");
    let mut machine = command(kernel, initramfs)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting QEMU")?;
    let result = read_console(&mut machine, &console);
    if result.is_err() {
        // It may have ended already.
        let _ = machine.kill();
    }
    let status = machine.wait().context("waiting for QEMU")?;
    if let Some(json) = result? {
        return serde_json::from_str(&json).context("reading what was counted");
    }
    let text = fs::read_to_string(&console).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    println!("{}", lines[lines.len().saturating_sub(LAST)..].join("\n"));
    bail!(
        "the emulated machine counted nothing ({status}); all that it said is in {}",
        console.display()
    );
}

fn command(kernel: &Path, initramfs: &Path) -> Command {
    // `timeout` also ends it when this program is killed.
    let mut command = sh::command("timeout");
    command.args(["--foreground", "--kill-after=5", BOUND, QEMU.program]);
    command.args(["-accel", "tcg", "-icount", "shift=0,sleep=off", "-smp", "1"]);
    command.args(["-machine", "pc", "-cpu", PROCESSOR, "-m", "768"]);
    command.args(["-nodefaults", "-no-user-config", "-no-reboot"]);
    command.args(["-seed", "1", "-rtc", "base=2024-01-01,clock=vm"]);
    command.args(["-display", "none", "-serial", "stdio"]);
    command.arg("-kernel").arg(kernel);
    command.arg("-initrd").arg(initramfs);
    // Mitigations are chosen by the processor's name and would count too. Variables become the first process's.
    let line =
        format!("console=ttyS0 quiet panic=-1 rdinit=/init mitigations=off LB_TESTS_BPF_OBJECT={LABORATORY}");
    command.arg("-append").arg(line);
    command
}

/// Keeps what the console says, and returns the result in it.
fn read_console(machine: &mut Child, log: &Path) -> Result<Option<String>> {
    let output = machine.stdout.take().context("QEMU has no output")?;
    let writing = || format!("writing {}", log.display());
    let mut kept = File::create(log).with_context(writing)?;
    let mut result = None;
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("reading the console")?;
        kept.write_all(&line).with_context(writing)?;
        kept.write_all(b"\n").with_context(writing)?;
        let line = String::from_utf8_lossy(&line);
        if let Some(json) = line.trim().strip_prefix(MARK) {
            result = Some(json.to_owned());
        }
    }
    Ok(result)
}
