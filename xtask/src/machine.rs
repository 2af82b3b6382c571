//! What the laboratory needs of the machine: root, the `ip` command, and a mounted bpf file system.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::sh;

/// Programs that the laboratory starts, each with the Debian package that carries it.
const PROGRAMS: [(&str, &str); 1] = [("ip", "iproute2")];

pub(crate) fn ensure_laboratory(what: &str) -> Result<()> {
    require_root(what)?;
    ensure_packages()?;
    ensure_bpf_file_system()
}

fn require_root(what: &str) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("`cargo xtask {what}` makes network namespaces and loads kernel programs: run it as root");
    }
    Ok(())
}

fn ensure_packages() -> Result<()> {
    let missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| !sh::exists(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let named = missing.join(" ");
    if !sh::exists("apt-get") {
        bail!("these Debian packages, or their like, are missing: {named}");
    }
    println!("installing {named}");
    let apt = |arguments: &[&str]| {
        sh::run(
            sh::command("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .arg("-qq")
                .args(arguments),
        )
    };
    apt(&["update"])
        .and_then(|()| {
            let mut install = vec!["install", "--yes", "--no-install-recommends"];
            install.extend(&missing);
            apt(&install)
        })
        .with_context(|| format!("installing the Debian packages {named}"))
}

fn ensure_bpf_file_system() -> Result<()> {
    let mounts =
        std::fs::read_to_string("/proc/mounts").context("reading /proc/mounts: is /proc mounted?")?;
    if mounts.lines().any(|line| line.split(' ').nth(2) == Some("bpf")) {
        return Ok(());
    }
    if !Path::new("/sys/fs/bpf").exists() {
        bail!("/sys/fs/bpf does not exist: mount sysfs, and use a kernel with BPF");
    }
    println!("mounting the bpf file system on /sys/fs/bpf");
    sh::run(sh::command("mount").args(["-t", "bpf", "bpf", "/sys/fs/bpf"]))
}
