//! Both sides of the build: the kernel programs first, because the daemon carries one of them inside.
//!
//! The kernel side has a target directory of its own, so that neither side's flags invalidate the other, and its object
//! is copied only when it changed, so that an unchanged program rebuilds nothing on the host.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{object, sh, toolchain};

/// Where `lb-ctl`'s build script looks for the object to embed.
const OBJECT_VARIABLE: &str = "LB_BPF_OBJECT";

#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Build the host side with optimisation
    #[arg(long)]
    pub(crate) release: bool,
    /// Also prove that the kernel programs build without the two optional code-generation flags
    #[arg(long)]
    pub(crate) portable: bool,
    /// Build the kernel program with its per-packet trace records
    #[arg(long)]
    pub(crate) trace: bool,
}

/// The kernel objects that a build leaves behind.
pub(crate) struct Objects {
    pub(crate) balancer: PathBuf,
    pub(crate) laboratory: PathBuf,
}

impl Objects {
    /// Tells a host build, or a test, where the objects are.
    pub(crate) fn announce(&self, command: &mut Command) {
        command
            .env(OBJECT_VARIABLE, &self.balancer)
            .env("LB_TESTS_BPF_OBJECT", &self.laboratory);
    }
}

pub(crate) fn run(options: &Options) -> Result<Objects> {
    let objects = kernel(options.trace)?;
    if options.portable {
        portable()?;
    }
    host(&objects, options.release)?;
    Ok(objects)
}

/// Builds the kernel programs and leaves their objects in the target directory.
pub(crate) fn kernel(trace: bool) -> Result<Objects> {
    let linker = toolchain::ensure()?;
    let directory = sh::target_dir()?;
    let built = |package: &str, variant: Variant| -> Result<PathBuf> {
        let copy = directory.join(format!("{package}.o"));
        copy_if_changed(&compile(package, variant, &linker)?, &copy)?;
        Ok(copy)
    };
    let variant = if trace { Variant::Trace } else { Variant::Tuned };
    Ok(Objects {
        balancer: built("lb-ebpf", variant)?,
        laboratory: built("lb-tests-ebpf", Variant::Tuned)?,
    })
}

/// Builds of the kernel program that only the benchmark loads, to compare with: each with one feature, beside the
/// variable that names its object.
pub(crate) const COMPARED: [(&str, &str); 2] = [
    ("lru", "LB_BENCH_LRU_OBJECT"),
    ("without-tuples", "LB_BENCH_WITHOUT_TUPLES_OBJECT"),
];

/// Builds what the benchmark compares with, and tells it where the objects are.
pub(crate) fn compared(bench: &mut Command) -> Result<()> {
    let linker = toolchain::ensure()?;
    for (feature, variable) in COMPARED {
        let object = sh::target_dir()?.join(format!("lb-ebpf-{feature}.o"));
        copy_if_changed(&compile("lb-ebpf", Variant::Compared(feature), &linker)?, &object)?;
        bench.env(variable, object);
    }
    Ok(())
}

/// Builds the kernel program with only what every supported linker and machine understands.
pub(crate) fn portable() -> Result<()> {
    let linker = toolchain::ensure()?;
    compile("lb-ebpf", Variant::Portable, &linker).map(|_| ())
}

/// Lints the kernel programs, which the host's clippy never sees.
pub(crate) fn clippy() -> Result<()> {
    let linker = toolchain::ensure()?;
    let directory = sh::target_dir()?.join("bpf-clippy");
    let mut cargo = for_kernel("clippy", &directory, Variant::Tuned, &linker);
    cargo.args([
        "--quiet",
        "--package",
        "lb-ebpf",
        "--package",
        "lb-tests-ebpf",
        "--",
        "-D",
        "warnings",
    ]);
    sh::run(&mut cargo)
}

fn host(objects: &Objects, release: bool) -> Result<()> {
    let mut cargo = sh::cargo();
    cargo.args(["build", "--bins"]);
    if release {
        cargo.arg("--release");
    }
    objects.announce(&mut cargo);
    sh::run(&mut cargo)
}

#[derive(Clone, Copy, PartialEq)]
enum Variant {
    Tuned,
    Trace,
    Portable,
    /// With one feature.
    Compared(&'static str),
}

impl Variant {
    fn directory(self) -> &'static str {
        match self {
            Self::Tuned | Self::Compared(_) => "bpf",
            Self::Trace => "bpf-trace",
            Self::Portable => "bpf-portable",
        }
    }

    fn flags(self, linker: &Path) -> String {
        let mut flags = vec![
            "-Ctarget-cpu=v3".to_owned(),
            "-Cdebuginfo=2".to_owned(),
            "-Clink-arg=--btf".to_owned(),
            format!("-Clinker={}", linker.display()),
        ];
        if self != Self::Portable {
            // Without these, an unaligned wire read is a load for each byte, and so is every memset.
            flags.push("-Ctarget-feature=+allows-misaligned-mem-access".to_owned());
            flags.push("-Clink-arg=--disable-expand-memcpy-in-order".to_owned());
        }
        flags.join("\x1f")
    }
}

fn compile(package: &str, variant: Variant, linker: &Path) -> Result<PathBuf> {
    let directory = sh::target_dir()?.join(variant.directory());
    let mut cargo = for_kernel("build", &directory, variant, linker);
    cargo.args(["--package", package]);
    match variant {
        Variant::Trace => drop(cargo.args(["--features", "trace"])),
        Variant::Compared(feature) => drop(cargo.args(["--features", feature])),
        Variant::Tuned | Variant::Portable => {}
    }
    sh::run(&mut cargo)?;
    let built = directory.join("bpfel-unknown-none/bpf").join(package);
    object::check(&built)?;
    Ok(built)
}

fn for_kernel(verb: &str, directory: &Path, variant: Variant, linker: &Path) -> Command {
    let mut cargo = sh::cargo();
    cargo
        .args([
            verb,
            "-Z",
            "build-std=core",
            "--target",
            "bpfel-unknown-none",
            "--profile",
            "bpf",
        ])
        .arg("--target-dir")
        .arg(directory)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", variant.flags(linker))
        .env_remove("RUSTFLAGS");
    cargo
}

fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let new = std::fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    if std::fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    std::fs::write(to, new).with_context(|| format!("writing {}", to.display()))
}
