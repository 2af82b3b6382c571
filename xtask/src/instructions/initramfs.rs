//! All that the emulated machine has: the tests' counting program, the libraries that it is linked with, and the kernel programs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};

use crate::build::Objects;
use crate::machine::{self, Need};
use crate::sh;

const NEEDS: [Need; 3] = [
    Need {
        program: "cpio",
        package: "cpio",
    },
    Need {
        program: "ldd",
        package: "libc-bin",
    },
    Need {
        program: "strip",
        package: "binutils",
    },
];

/// Where the guest finds the generator.
pub(super) const LABORATORY: &str = "/lb-tests-ebpf.o";

pub(super) fn pack(directory: &Path, objects: &Objects) -> Result<PathBuf> {
    machine::ensure(&NEEDS)?;
    let root = directory.join("root");
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("removing {}", root.display()))?;
    }
    for mount_point in ["proc", "sys"] {
        let path = root.join(mount_point);
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
    }
    let program = sh::target_dir()?.join("debug/lb-guest");
    // The emulated machine would be busy with reading names of functions.
    sh::run(
        sh::command("strip")
            .arg("-o")
            .arg(root.join("init"))
            .arg(&program),
    )?;
    copy(&objects.laboratory, &root, Path::new(LABORATORY))?;
    let linked = sh::output(sh::command("ldd").arg(&program))?;
    for library in libraries(&linked) {
        copy(library, &root, library)?;
    }
    let archive = directory.join("initramfs");
    archive_of(&root, &archive)?;
    Ok(archive)
}

/// `to` is where it lies in the archive.
fn copy(from: &Path, root: &Path, to: &Path) -> Result<()> {
    let to = root.join(to.strip_prefix("/").unwrap_or(to));
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    }
    fs::copy(from, &to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// What ldd names by a path: `name => path (address)`, and the loader alone.
fn libraries(linked: &str) -> impl Iterator<Item = &Path> {
    linked
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(Path::new)
}

fn archive_of(root: &Path, archive: &Path) -> Result<()> {
    let mut names = Vec::new();
    collect(root, root, &mut names)?;
    let list = archive.with_extension("list");
    fs::write(&list, names.join("\n")).with_context(|| format!("writing {}", list.display()))?;
    let open = File::open(&list).with_context(|| format!("reading {}", list.display()))?;
    let made = File::create(archive).with_context(|| format!("writing {}", archive.display()))?;
    sh::run(
        sh::command("cpio")
            .args(["--create", "--format=newc", "--reproducible", "--quiet"])
            .current_dir(root)
            .stdin(Stdio::from(open))
            .stdout(Stdio::from(made)),
    )
}

/// Directories before what is in them, as the kernel unpacks.
fn collect(root: &Path, directory: &Path, names: &mut Vec<String>) -> Result<()> {
    let reading = || format!("reading {}", directory.display());
    let entries: Result<Vec<_>, _> = fs::read_dir(directory).with_context(reading)?.collect();
    let mut paths: Vec<PathBuf> = entries
        .with_context(reading)?
        .iter()
        .map(fs::DirEntry::path)
        .collect();
    paths.sort();
    for path in paths {
        names.push(path.strip_prefix(root)?.display().to_string());
        if path.is_dir() {
            collect(root, &path, names)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_what_ldd_found() {
        let linked = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f5c)\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x00007f5d)\n";
        let found: Vec<_> = libraries(linked).collect();
        assert_eq!(
            found,
            [
                Path::new("/lib/x86_64-linux-gnu/libc.so.6"),
                Path::new("/lib64/ld-linux-x86-64.so.2"),
            ]
        );
    }
}
