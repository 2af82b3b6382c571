//! Where the program's attachment and maps outlive the daemon.

mod guard;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use aya::programs::links::PinnedLink;
use lb_common::layout::LAYOUT_VERSION;

pub use self::guard::TakenPins;

/// A directory on a BPF file system: `<root>/v<layout>/{maps,links,programs}`. The layout version is part of the path,
/// because a pinned map reopens without any comparison of layouts.
#[derive(Clone, Debug)]
pub struct PinDirectory {
    root: PathBuf,
    maps: PathBuf,
    links: PathBuf,
    programs: PathBuf,
}

impl PinDirectory {
    pub fn new(root: &Path) -> Self {
        let version = root.join(format!("v{LAYOUT_VERSION}"));
        Self {
            root: root.to_owned(),
            maps: version.join("maps"),
            links: version.join("links"),
            programs: version.join("programs"),
        }
    }

    /// Makes the directories below the root. Refuses state of another layout, which this version can neither read nor
    /// replace.
    pub fn prepare(&self) -> Result<()> {
        if let Some(other) = self.other_layouts()?.first() {
            anyhow::bail!(
                "{} holds the state of another version of lb-ctl, which this one can't adopt; \
                 run `lb-ctl detach` (which stops forwarding), then start again",
                other.display()
            );
        }
        for directory in [&self.maps, &self.links, &self.programs] {
            fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        }
        Ok(())
    }

    fn other_layouts(&self) -> Result<Vec<PathBuf>> {
        let current = format!("v{LAYOUT_VERSION}");
        let entries = entries(&self.root)?;
        Ok(entries
            .into_iter()
            .filter(|path| !path.ends_with(&current))
            .collect())
    }

    /// The directory of all layouts.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn maps(&self) -> &Path {
        &self.maps
    }

    /// The pin of the program that is this one.
    pub(super) fn program(&self, identity: u64) -> PathBuf {
        self.programs.join(format!("{identity:016x}"))
    }

    /// Pins of programs that are not this one: no run will take them up.
    pub(super) fn other_programs(&self, identity: u64) -> Result<Vec<PathBuf>> {
        let ours = self.program(identity);
        let programs = entries(&self.programs)?.into_iter();
        Ok(programs.filter(|path| *path != ours).collect())
    }

    /// The pin of an interface's XDP link: by index, because names change.
    pub fn link(&self, index: u32) -> PathBuf {
        self.links.join(index.to_string())
    }

    /// Indices of the interfaces whose links are pinned.
    pub fn linked_interfaces(&self) -> Result<Vec<u32>> {
        Ok(entries(&self.links)?
            .iter()
            .filter_map(|path| link_index(path))
            .collect())
    }
}

impl PinDirectory {
    /// Ends the attachment to an interface, if there is one. It has ended on return: the kernel puts off what the removal
    /// of a last pin ends, but not what the last descriptor does.
    pub fn remove_link(&self, index: u32) -> io::Result<()> {
        let _last = PinnedLink::from_pin(self.link(index));
        match fs::remove_file(self.link(index)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn link_index(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.parse().ok()
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => Ok(entries
            .map(|entry| entry.map(|e| e.path()))
            .collect::<io::Result<_>>()?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("reading {}", directory.display())),
    }
}

/// `statfs` magic of the BPF file system.
const BPF_FS_MAGIC: nix::sys::statfs::FsType = nix::sys::statfs::FsType(libc::BPF_FS_MAGIC);
const BPF_FS: &str = "/sys/fs/bpf";

/// Mounts the BPF file system at its usual place if `root` lies there and it is not mounted yet.
fn ensure_bpf_file_system(root: &Path) -> Result<()> {
    if !is_bpf_file_system(Path::new(BPF_FS)) && root.starts_with(BPF_FS) {
        nix::mount::mount(
            Some("bpf"),
            BPF_FS,
            Some("bpf"),
            nix::mount::MsFlags::empty(),
            None::<&str>,
        )
        .with_context(|| format!("mounting the BPF file system at {BPF_FS}"))?;
    }
    fs::create_dir_all(root).with_context(|| format!("making {}", root.display()))?;
    if !is_bpf_file_system(root) {
        anyhow::bail!(
            "{} is not on a BPF file system, so nothing can be pinned there",
            root.display()
        );
    }
    Ok(())
}

fn is_bpf_file_system(path: &Path) -> bool {
    nix::sys::statfs::statfs(path).is_ok_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC)
}

/// Stops forwarding; the directory is the caller's ([`PinDirectory::take`]): removing the link pins detaches the program, removing the map pins frees the
/// maps. Returns the indices of the interfaces that were attached.
pub fn detach_offline(root: &Path) -> Result<Vec<u32>> {
    let mut interfaces = Vec::new();
    for layout in entries(root)? {
        for link in entries(&layout.join("links"))? {
            fs::remove_file(&link).with_context(|| format!("removing {}", link.display()))?;
            interfaces.extend(link_index(&link));
        }
        for kind in ["programs", "maps"] {
            for pin in entries(&layout.join(kind))? {
                fs::remove_file(&pin).with_context(|| format!("removing {}", pin.display()))?;
            }
        }
        let inner = ["links", "programs", "maps"].map(|kind| layout.join(kind));
        for directory in inner.into_iter().chain([layout.clone()]) {
            match fs::remove_dir(&directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("removing {}", directory.display()));
                }
                _ => {}
            }
        }
    }
    interfaces.sort();
    Ok(interfaces)
}
