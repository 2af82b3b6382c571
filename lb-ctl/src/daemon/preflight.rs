//! What the daemon needs of its host, each with one clear sentence when it is not there.

use anyhow::bail;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::dataplane;

/// The oldest whose verifier is seen to take the program, with what it needs: atomics with fetch, coarse clocks, pinned links.
const OLDEST_KERNEL: (u32, u32) = (6, 1);
const BTF: &str = "/sys/kernel/btf/vmlinux";

pub(super) fn check(trace_packets: bool) -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("lb-ctl run needs root: it loads a program into the kernel and attaches it to interfaces");
    }
    let release = nix::sys::utsname::uname()?
        .release()
        .to_string_lossy()
        .into_owned();
    if kernel_version(&release).is_some_and(|version| version < OLDEST_KERNEL) {
        bail!(
            "Linux {}.{} or newer is needed; this is {release}",
            OLDEST_KERNEL.0,
            OLDEST_KERNEL.1
        );
    }
    if !std::path::Path::new(BTF).exists() {
        bail!("the kernel has no BTF ({BTF} is missing); it must be built with CONFIG_DEBUG_INFO_BTF=y");
    }
    if !dataplane::object_is_embedded() {
        bail!("this lb-ctl was built without the kernel program; build it with `cargo xtask build`");
    }
    if trace_packets && !dataplane::object_can_trace() {
        bail!(
            "--trace-packets needs a kernel program built with traces; build it with `cargo xtask build --trace`"
        );
    }
    Ok(())
}

fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Each probe in flight holds a descriptor.
pub(super) fn raise_limits() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return;
    };
    if soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!("raising the limit of open files from {soft} to {hard}: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_understood() {
        assert_eq!(kernel_version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(kernel_version("5.15.0"), Some((5, 15)));
        assert_eq!(kernel_version("rolling"), None);
    }
}
