//! Embeds the kernel program: the object that `LB_BPF_OBJECT` names, else the one that the last build left in the
//! workspace's target directory, else nothing, so that code which never loads it compiles anywhere.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LB_BPF_OBJECT");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("lb-ebpf.o");
    let object = source().map_or_else(Vec::new, |path| {
        println!("cargo::rerun-if-changed={}", path.display());
        fs::read(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
    });
    fs::write(&out, object).unwrap_or_else(|error| panic!("writing {}: {error}", out.display()));
}

fn source() -> Option<PathBuf> {
    if let Some(named) = env::var_os("LB_BPF_OBJECT") {
        return Some(named.into());
    }
    let manifest = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let left_behind = Path::new(&manifest).join("../target/lb-ebpf.o");
    left_behind.exists().then_some(left_behind)
}
