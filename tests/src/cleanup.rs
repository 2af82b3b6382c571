//! What must not outlive a test: namespaces and processes, known to one registry from before they are made.
//!
//! Drop removes them in the ordinary case and on panic. On SIGINT and SIGTERM a thread of this module removes all and
//! ends the process. A killed run can do neither, so namespaces carry the maker's pid and start time in their name and
//! the next run removes those whose maker is gone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, MutexGuard, Once, PoisonError};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

const PREFIX: &str = "lbt-";
const NAMED_NAMESPACES: &str = "/run/netns";
const DIRECTORIES: &str = "/run/lbt";
/// The mount inside a working directory.
const BPF_MOUNT: &str = "bpf";
const INTERRUPTED: i32 = 130;

#[derive(Default)]
struct Registry {
    namespaces: BTreeSet<String>,
    directories: BTreeSet<PathBuf>,
    processes: BTreeSet<i32>,
}

static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(Mutex::default);

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A name for a namespace of this process, so far unused and now registered.
pub(crate) fn claim_namespace(label: &str) -> String {
    prepare();
    let name = format!("{PREFIX}{}-{label}", identity());
    assert!(
        registry().namespaces.insert(name.clone()),
        "two laboratories are called {label}"
    );
    name
}

pub(crate) fn remove_namespace(name: &str) {
    delete(name);
    registry().namespaces.remove(name);
}

/// A working directory with a bpf file system of its own in `bpf`, registered.
pub(crate) fn make_directory(label: &str) -> PathBuf {
    prepare();
    let directory = Path::new(DIRECTORIES).join(format!("{PREFIX}{}-{label}", identity()));
    assert!(
        registry().directories.insert(directory.clone()),
        "two balancers are called {label}"
    );
    let bpf = directory.join(BPF_MOUNT);
    fs::create_dir_all(&bpf).unwrap_or_else(|error| panic!("making {}: {error}", bpf.display()));
    mount(Some("bpf"), &bpf, Some("bpf"), MsFlags::empty(), None::<&str>)
        .unwrap_or_else(|error| panic!("mounting a bpf file system on {}: {error}", bpf.display()));
    directory
}

pub(crate) fn remove_directory(directory: &Path) {
    unmake(directory);
    registry().directories.remove(directory);
}

pub(crate) fn register_process(pid: i32) {
    registry().processes.insert(pid);
}

pub(crate) fn forget_process(pid: i32) {
    registry().processes.remove(&pid);
}

/// This process, in a way that a later one with the same pid doesn't share.
fn identity() -> String {
    let pid = std::process::id();
    format!("{pid}.{}", start_time(pid).unwrap_or_default())
}

fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name may hold spaces and brackets; the fields after the last bracket can't.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        remove_leftovers();
        std::thread::spawn(clean_up_when_interrupted);
    });
}

fn clean_up_when_interrupted() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a small runtime");
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).expect("watching for SIGINT");
        let mut terminate = signal(SignalKind::terminate()).expect("watching for SIGTERM");
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    });
    // What the test says now is only about its laboratory being taken away.
    std::panic::set_hook(Box::new(|_| {}));
    let registry = registry();
    for pid in &registry.processes {
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    for name in &registry.namespaces {
        delete(name);
    }
    for directory in &registry.directories {
        unmake(directory);
    }
    eprintln!("interrupted; the laboratory is gone");
    std::process::exit(INTERRUPTED);
}

fn remove_leftovers() {
    for name in leftovers_in(NAMED_NAMESPACES) {
        kill_inhabitants(&name);
        delete(&name);
    }
    for name in leftovers_in(DIRECTORIES) {
        unmake(&Path::new(DIRECTORIES).join(name));
    }
}

fn leftovers_in(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| is_leftover(name)).collect()
}

fn is_leftover(name: &str) -> bool {
    let identity = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
    let Some((pid, started)) = identity.and_then(|identity| identity.split_once('.')) else {
        return false;
    };
    let (Ok(pid), Ok(started)) = (pid.parse(), started.parse()) else {
        return false;
    };
    start_time(pid) != Some(started)
}

/// Ends the processes that a killed run left in a namespace of its making.
fn kill_inhabitants(namespace: &str) {
    let Ok(listed) = Command::new("ip").args(["netns", "pids", namespace]).output() else {
        return;
    };
    for pid in String::from_utf8_lossy(&listed.stdout)
        .lines()
        .filter_map(|line| line.trim().parse().ok())
    {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

fn delete(name: &str) {
    // A namespace that was claimed but never made is no fault: the panic that kept it from being made is.
    let _ = Command::new("ip")
        .args(["netns", "delete", name])
        .stderr(std::process::Stdio::null())
        .status();
}

/// Unmounting is what frees the maps, and detaches the program, that a daemon pinned there.
fn unmake(directory: &Path) {
    for mounted in mounts_below(directory) {
        let _ = umount2(&mounted, MntFlags::MNT_DETACH);
    }
    let _ = fs::remove_dir_all(directory);
}

fn mounts_below(directory: &Path) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let places = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(PathBuf::from);
    places.filter(|place| place.starts_with(directory)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_namespaces_whose_maker_is_gone_are_leftovers() {
        assert!(!is_leftover(&format!("{PREFIX}{}-mine-client", identity())));
        assert!(is_leftover(&format!(
            "{PREFIX}{}.1-mine-client",
            std::process::id()
        )));
        assert!(!is_leftover("somebody-elses"));
        assert!(!is_leftover("lbt-unreadable"));
    }
}
