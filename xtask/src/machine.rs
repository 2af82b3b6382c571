//! What the laboratory needs of the machine: root, the `ip` command, and a mounted bpf file system.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::sh;

/// A program, and the Debian package that carries it.
pub(crate) struct Need {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
}

/// Programs that the laboratory starts.
const LABORATORY: [Need; 1] = [Need {
    program: "ip",
    package: "iproute2",
}];

/// What else forwards packets and connections, for the benchmark to compare with.
pub(crate) const RIVALS: [Need; 2] = [
    Need {
        program: "nft",
        package: "nftables",
    },
    Need {
        program: "haproxy",
        package: "haproxy",
    },
];

pub(crate) fn ensure_laboratory(what: &str) -> Result<()> {
    require_root(what)?;
    ensure(&LABORATORY)?;
    ensure_bpf_file_system()
}

fn require_root(what: &str) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("`cargo xtask {what}` makes network namespaces and loads kernel programs: run it as root");
    }
    Ok(())
}

/// Installs the packages of the programs that can't be started.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing = needs.iter().filter(|need| !sh::exists(need.program));
    let missing: Vec<&str> = missing.map(|need| need.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    install(&missing)
}

pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let named = packages.join(" ");
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
            install.extend(packages);
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
