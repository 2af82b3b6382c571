//! What the numbers were measured on.

use std::{fmt, fs};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Release of the running kernel.
    pub kernel: String,
    /// As /proc/cpuinfo names it.
    pub cpu: String,
    pub cpus: usize,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Whether it is a virtual machine, as far as the CPU tells.
    pub is_virtual: bool,
}

impl Machine {
    pub(super) fn read() -> Result<Self> {
        let system = nix::sys::utsname::uname().context("asking for the kernel's release")?;
        let processors = fs::read_to_string("/proc/cpuinfo").context("reading /proc/cpuinfo")?;
        let memory = fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
        let kib = field(&memory, "MemTotal").and_then(|value| value.split(' ').next()?.parse::<u64>().ok());
        Ok(Self {
            kernel: system.release().to_string_lossy().into_owned(),
            cpu: field(&processors, "model name").unwrap_or("unknown").to_owned(),
            cpus: processors
                .lines()
                .filter(|line| line.starts_with("processor"))
                .count(),
            memory_mib: kib.unwrap_or(0) / 1024,
            is_virtual: field(&processors, "flags")
                .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_virtual {
            "a virtual machine"
        } else {
            "a machine"
        };
        let Self {
            cpus,
            cpu,
            memory_mib,
            kernel,
            ..
        } = self;
        write!(
            f,
            "{kind} of {cpus} CPUs ({cpu}), {memory_mib} MiB, Linux {kernel}"
        )
    }
}

/// The first value of a name in the kernel's `name : value` lines.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(key, _)| key.trim() == name)?;
    Some(value.trim())
}
