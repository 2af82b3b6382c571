//! Where the program's attachment and maps outlive the daemon.

mod guard;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use aya::programs::links::PinnedLink;
use lb_common::layout::{LAYOUT_VERSION, map};

pub use self::guard::TakenPins;
use super::migrate::v5;

/// A directory on a BPF file system: `<root>/v<layout>/{maps,links,programs}`. The layout version is part of the path,
/// because a pinned map reopens without any comparison of layouts.
#[derive(Clone, Debug)]
pub struct PinDirectory {
    layout: u32,
    root: PathBuf,
    maps: PathBuf,
    links: PathBuf,
    programs: PathBuf,
}

impl PinDirectory {
    pub fn new(root: &Path) -> Self {
        Self::of_layout(root, LAYOUT_VERSION)
    }

    pub(super) fn of_layout(root: &Path, layout: u32) -> Self {
        let version = root.join(format!("v{layout}"));
        Self {
            layout,
            root: root.to_owned(),
            maps: version.join("maps"),
            links: version.join("links"),
            programs: version.join("programs"),
        }
    }

    /// Refuses state of a layout that this version can neither read nor replace.
    pub fn refuse_unknown_layouts(&self) -> Result<()> {
        let known = [LAYOUT_VERSION, v5::LAYOUT].map(|layout| format!("v{layout}"));
        let unknown = |path: &PathBuf| !known.iter().any(|name| path.ends_with(name));
        match entries(&self.root)?.into_iter().find(unknown) {
            Some(other) => anyhow::bail!(
                "{} holds the state of another version of lb-ctl, which this one can't take over; have the newer of the two \
                 write the older layout (`lb-ctl migrate --layout N`), or run `lb-ctl detach` (which stops forwarding)",
                other.display()
            ),
            None => Ok(()),
        }
    }

    /// Makes the directories below the root.
    pub(super) fn make(&self) -> Result<()> {
        for directory in [&self.maps, &self.links, &self.programs] {
            fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        }
        Ok(())
    }

    /// Where this layout pins the map of a name; nothing if it has no such map.
    pub(super) fn map_pin(&self, name: &str) -> Option<PathBuf> {
        let has = !v5::WITHOUT.contains(&name) || self.layout > v5::LAYOUT;
        has.then(|| self.maps.join(name))
    }

    /// The same of maps that this version's program can use as they are.
    pub(super) fn usable_pin(&self, name: &str) -> Option<PathBuf> {
        let is_other = self.layout == v5::LAYOUT && v5::OTHERWISE.contains(&name);
        self.map_pin(name).filter(|_| !is_other)
    }

    /// The directory of all layouts.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn maps(&self) -> &Path {
        &self.maps
    }

    pub(super) fn flows_pin(&self) -> PathBuf {
        self.maps.join(map::FLOWS)
    }

    /// The directory of this layout.
    pub(super) fn layout(&self) -> PathBuf {
        self.root.join(format!("v{}", self.layout))
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
            remove(&link)?;
            interfaces.extend(link_index(&link));
        }
        remove_layout(&layout)?;
    }
    interfaces.sort();
    interfaces.dedup();
    Ok(interfaces)
}

/// Programs, maps and directories of a layout without links.
pub(super) fn remove_layout(layout: &Path) -> Result<()> {
    for kind in ["programs", "maps"] {
        for pin in entries(&layout.join(kind))? {
            remove(&pin)?;
        }
    }
    let inner = ["links", "programs", "maps"].map(|kind| layout.join(kind));
    for directory in inner.into_iter().chain([layout.to_owned()]) {
        match fs::remove_dir(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", directory.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// It may be gone already.
pub(super) fn remove(pin: &Path) -> Result<()> {
    match fs::remove_file(pin) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", pin.display()))
        }
        _ => Ok(()),
    }
}
