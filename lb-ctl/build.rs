//! Embeds the kernel program that `cargo xtask build` made, or nothing, so that the host side builds alone.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-env-changed=LB_BPF_OBJECT");
    let object = env::var_os("LB_BPF_OBJECT").map_or_else(default_object, PathBuf::from);
    println!("cargo:rerun-if-changed={}", object.display());
    let target = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("lb-ebpf.o");
    let content = if object.exists() {
        fs::read(&object).expect("reading the object")
    } else {
        Vec::new()
    };
    fs::write(target, content).expect("writing the object");
}

fn default_object() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    Path::new(&manifest).join("../target/lb-ebpf.o")
}
