//! The kernels that are booted: Debian's for virtual machines, of named releases whatever this machine runs, so that everyone
//! counts on the same ones. They are unpacked below the target directory and never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::sh;

/// A release of Debian. Mirrors have it for years.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Release {
    /// What instructions are counted on.
    Counted,
    /// With the oldest kernel that the program is for.
    Oldest,
}

impl Release {
    fn name(self) -> &'static str {
        match self {
            Self::Counted => "trixie",
            Self::Oldest => "bookworm",
        }
    }
}

/// Depends on the kernel's package, whose name changes.
const NEWEST: &str = "linux-image-cloud-amd64";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Downloads it, once.
pub(super) fn ensure(directory: &Path, release: Release) -> Result<PathBuf> {
    let release = release.name();
    let unpacked = directory.join("kernel").join(release);
    if let Some(image) = image(&unpacked) {
        return Ok(image);
    }
    download(directory, &unpacked, release).with_context(|| {
        format!(
            "getting the kernel of Debian {release} by apt; or name another one: \
             `cargo xtask instructions --kernel FILE`"
        )
    })?;
    image(&unpacked).with_context(|| format!("the package {NEWEST} led to no kernel"))
}

fn image(unpacked: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(unpacked.join("boot")).ok()?;
    let mut paths = files.flatten().map(|file| file.path());
    paths.find(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
    })
}

fn download(directory: &Path, unpacked: &Path, release: &str) -> Result<()> {
    println!("downloading the kernel of Debian {release}");
    let apt = Apt::new(directory.join("apt"), release)?;
    sh::run(apt.command("apt-get").args(["-qq", "update"]))?;
    let description = sh::output(
        apt.command("apt-cache")
            .args(["show", "--no-all-versions", NEWEST]),
    )?;
    let package = dependency(&description).with_context(|| format!("{NEWEST} depends on no kernel"))?;
    sh::run(
        apt.command("apt-get")
            .args(["-qq", "download", package])
            .current_dir(&apt.directory),
    )?;
    let archive = apt.archive()?;
    // What was interrupted is not taken for a kernel.
    let partial = unpacked.with_extension("partial");
    make_empty(&partial)?;
    sh::run(
        sh::command("dpkg-deb")
            .arg("--extract")
            .arg(archive)
            .arg(&partial),
    )?;
    fs::rename(&partial, unpacked).with_context(|| format!("renaming {}", partial.display()))?;
    fs::remove_dir_all(&apt.directory).with_context(|| format!("removing {}", apt.directory.display()))
}

fn make_empty(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("removing {}", directory.display()))?;
    }
    fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))
}

/// The kernel that a package depends on.
fn dependency(description: &str) -> Option<&str> {
    let mut lines = description.lines();
    let packages = lines.find_map(|line| line.strip_prefix("Depends: "))?;
    packages
        .split([' ', ','])
        .find(|package| package.starts_with("linux-image-"))
}

/// apt with lists and files of its own, for one release from the mirror that this machine uses.
struct Apt {
    directory: PathBuf,
}

impl Apt {
    fn new(directory: PathBuf, release: &str) -> Result<Self> {
        make_empty(&directory)?;
        for part in ["lists/partial", "cache/archives/partial"] {
            make_empty(&directory.join(part))?;
        }
        let signed = if Path::new(KEYRING).exists() {
            format!(" signed-by={KEYRING}")
        } else {
            String::new()
        };
        let source = format!("deb [arch=amd64{signed}] {} {release} main\n", mirror()?);
        let list = directory.join("sources.list");
        fs::write(&list, source).with_context(|| format!("writing {}", list.display()))?;
        Ok(Self { directory })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = sh::command(program);
        let within = |name: &str| self.directory.join(name).display().to_string();
        for option in [
            format!("Dir::State::lists={}", within("lists")),
            format!("Dir::Cache={}", within("cache")),
            format!("Dir::Etc::sourcelist={}", within("sources.list")),
            "Dir::Etc::sourceparts=-".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            // The user that apt would else become may not write here.
            "APT::Sandbox::User=".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command
    }

    fn archive(&self) -> Result<PathBuf> {
        let files =
            fs::read_dir(&self.directory).with_context(|| format!("reading {}", self.directory.display()))?;
        let mut paths = files.flatten().map(|file| file.path());
        paths
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .context("apt-get downloaded nothing")
    }
}

/// Where this machine gets Debian's packages from.
fn mirror() -> Result<String> {
    if !sh::exists("apt-get") {
        bail!("there is no apt on this machine");
    }
    let known = || -> Result<Option<String>> {
        let mut targets = sh::command("apt-get");
        targets.args([
            "indextargets",
            "--format",
            "$(ORIGIN) $(LABEL) $(SITE)",
            "Created-By: Packages",
        ]);
        let sites = sh::output(&mut targets)?;
        Ok(site(&sites).map(str::to_owned))
    };
    if let Some(site) = known()? {
        return Ok(site);
    }
    // Before its first update apt does not know what its sources are.
    sh::run(sh::command("apt-get").args(["-qq", "update"]))?;
    known()?.context("apt on this machine has no source of Debian's packages")
}

/// Security updates have a label, and a mirror, of their own.
fn site(targets: &str) -> Option<&str> {
    targets
        .lines()
        .find_map(|line| line.strip_prefix("Debian Debian "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_package_is_what_the_newest_depends_on() {
        let description = "Package: linux-image-cloud-amd64\nDepends: linux-base (>= 4), \
                           linux-image-6.1.0-50-cloud-amd64 (= 6.1.176-1)\n";
        assert_eq!(dependency(description), Some("linux-image-6.1.0-50-cloud-amd64"));
        assert_eq!(dependency("Package: x\n"), None);
    }

    #[test]
    fn the_mirror_is_the_one_of_debian_itself() {
        let targets = "nodesource . https://node.example\nDebian Debian-Security http://security.example/x\n\
                       Debian Debian http://mirror.example/debian\n";
        assert_eq!(site(targets), Some("http://mirror.example/debian"));
        assert_eq!(site("$(ORIGIN) $(LABEL) http://mirror.example/debian\n"), None);
    }
}
