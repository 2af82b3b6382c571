//! What compiling for the kernel needs beside the pinned compiler: its `rust-src` component, and the BPF linker, which
//! has to speak the same LLVM bitcode as that compiler.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::sh;

/// The linker is pinned together with the compiler of rust-toolchain.toml; move both or neither.
const LINKER_VERSION: &str = "0.10.4";
const LINKER_LLVM_MAJOR: u32 = 22;

/// Installs what is missing and returns the linker's path.
pub(crate) fn ensure() -> Result<PathBuf> {
    check_llvm()?;
    ensure_component("rust-src", || {
        sysroot_file("lib/rustlib/src/rust/library/core/Cargo.toml")
    })?;
    ensure_linker(&sh::target_dir()?.join("tools"))
}

/// rustfmt and clippy, which only the checks need.
pub(crate) fn ensure_checkers() -> Result<()> {
    ensure_component("rustfmt", || sysroot_file("bin/rustfmt"))?;
    ensure_component("clippy", || sysroot_file("bin/cargo-clippy"))
}

fn check_llvm() -> Result<()> {
    let version = sh::output(sh::command("rustc").arg("-vV"))?;
    let major = llvm_major(&version).context("rustc -vV names no LLVM version")?;
    if major != LINKER_LLVM_MAJOR {
        bail!(
            "rustc is built on LLVM {major}, but bpf-linker {LINKER_VERSION} reads LLVM {LINKER_LLVM_MAJOR}: \
             use the compiler that rust-toolchain.toml pins"
        );
    }
    Ok(())
}

fn llvm_major(version: &str) -> Option<u32> {
    let line = version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?;
    line.split('.').next()?.parse().ok()
}

fn sysroot_file(path: &str) -> Result<bool> {
    let sysroot = sh::output(sh::command("rustc").args(["--print", "sysroot"]))?;
    Ok(Path::new(sysroot.trim()).join(path).exists())
}

fn ensure_component(name: &str, present: impl Fn() -> Result<bool>) -> Result<()> {
    if present()? {
        return Ok(());
    }
    println!("installing the toolchain component {name}");
    sh::run(sh::command("rustup").args(["component", "add", name]))
        .with_context(|| format!("the compiler has no component {name}, and rustup could not add it"))?;
    if !present()? {
        bail!("rustup added {name}, but not to the compiler that cargo uses here");
    }
    Ok(())
}

fn ensure_linker(tools: &Path) -> Result<PathBuf> {
    let linker = tools.join("bin/bpf-linker");
    if installed_version(&linker).as_deref() == Some(LINKER_VERSION) {
        return Ok(linker);
    }
    println!("installing bpf-linker {LINKER_VERSION} (about a minute)");
    sh::run(
        sh::cargo()
            .args([
                "install",
                "bpf-linker",
                "--locked",
                "--force",
                "--version",
                LINKER_VERSION,
            ])
            .arg("--root")
            .arg(tools),
    )?;
    match installed_version(&linker) {
        Some(version) if version == LINKER_VERSION => Ok(linker),
        other => bail!(
            "{} should be version {LINKER_VERSION}, but is {other:?}",
            linker.display()
        ),
    }
}

fn installed_version(linker: &Path) -> Option<String> {
    if !linker.exists() {
        return None;
    }
    let text = sh::output(sh::command(linker).arg("--version")).ok()?;
    text.trim().strip_prefix("bpf-linker ").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_major_is_read_from_rustc() {
        assert_eq!(
            llvm_major("rustc 1.95.0\nhost: x\nLLVM version: 22.1.2\n"),
            Some(22)
        );
        assert_eq!(llvm_major("rustc 1.95.0\n"), None);
    }

    #[test]
    fn the_pinned_compiler_and_linker_agree() {
        check_llvm().unwrap();
    }
}
