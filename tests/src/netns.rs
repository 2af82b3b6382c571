//! One named network namespace, the ways into it, and its links.
//!
//! Only the network is entered, never the mounts: `ip netns exec` would hide the bpf file system.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, setns};

use crate::cleanup;

pub struct Namespace {
    name: String,
    handle: File,
}

impl Namespace {
    pub fn new(label: &str) -> Self {
        let name = cleanup::claim_namespace(label);
        ip(&[format!("netns add {name}")]);
        let handle = File::open(format!("/run/netns/{name}"))
            .unwrap_or_else(|error| panic!("opening the namespace {name}: {error}"));
        Self { name, handle }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The command that a person types to look inside.
    pub fn shell_hint(&self) -> String {
        format!("nsenter --net=/run/netns/{} bash", self.name)
    }

    /// Runs `inside` on a thread in this namespace. Sockets opened there stay there, whoever uses them.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        let outcome = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(&self.handle, CloneFlags::CLONE_NEWNET)
                    .unwrap_or_else(|error| panic!("entering the namespace {}: {error}", self.name));
                inside()
            });
            thread.join()
        });
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Starts a thread that lives in this namespace.
    pub fn spawn(&self, inside: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
        let handle = self
            .handle
            .try_clone()
            .expect("another descriptor of the namespace");
        std::thread::spawn(move || {
            setns(handle, CloneFlags::CLONE_NEWNET)
                .unwrap_or_else(|error| panic!("entering a namespace: {error}"));
            inside();
        })
    }

    /// A command that will run in this namespace.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let handle = self.handle.as_raw_fd();
        // SAFETY: setns is async-signal-safe, and the descriptor is open in the child until it executes the program.
        unsafe {
            command.pre_exec(move || match libc::setns(handle, libc::CLONE_NEWNET) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            })
        };
        command
    }

    /// Lines for `ip`, all in this namespace.
    pub fn ip(&self, lines: &[String]) {
        batch(&["-n", &self.name], lines);
    }

    /// What one `ip` command prints here.
    pub fn ip_output(&self, words: &[&str]) -> String {
        let output = Command::new("ip")
            .args(["-n", &self.name])
            .args(words)
            .output()
            .expect("starting ip");
        assert!(
            output.status.success(),
            "ip {words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("ip prints text")
    }

    /// Settings below `/proc/sys/net`, such as (`ipv4/ip_forward`, `1`).
    pub fn sysctl(&self, settings: &[(&str, &str)]) {
        self.run(|| {
            for (path, value) in settings {
                std::fs::write(format!("/proc/sys/net/{path}"), value)
                    .unwrap_or_else(|error| panic!("setting {path} to {value}: {error}"));
            }
        });
    }

    /// Makes the kernel fill in checksums before a frame leaves: a partial one is useless behind an XDP program.
    pub fn disable_tx_offload(&self, interface: &str) {
        self.run(|| ethtool_set(interface, ETHTOOL_STXCSUM, 0));
    }

    /// Makes a veth end take what its peer sends by XDP although no program is there.
    pub fn enable_gro(&self, interface: &str) {
        self.run(|| ethtool_set(interface, ETHTOOL_SGRO, 1));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        cleanup::remove_namespace(&self.name);
    }
}

/// Lines for `ip`, in the namespace of the caller.
pub(crate) fn ip(lines: &[String]) {
    batch(&[], lines);
}

fn batch(options: &[&str], lines: &[String]) {
    let mut child = Command::new("ip")
        .args(options)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starting ip (package iproute2)");
    let text = lines.join("\n") + "\n";
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(text.as_bytes())
        .expect("writing to ip");
    let output = child.wait_with_output().expect("waiting for ip");
    assert!(
        output.status.success(),
        "ip {options:?}: {}\n{text}",
        String::from_utf8_lossy(&output.stderr)
    );
}

const ETHTOOL_STXCSUM: u32 = 0x17;
const ETHTOOL_SGRO: u32 = 0x2c;

#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

fn ethtool_set(interface: &str, command: u32, data: u32) {
    let socket = std::net::UdpSocket::bind("[::]:0").expect("a socket to configure an interface by");
    let mut value = EthtoolValue { command, data };
    // SAFETY: all zeros is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    assert!(
        interface.len() < request.ifr_name.len(),
        "the interface name {interface} is too long"
    );
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the request names an interface and points to a value that outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    assert_eq!(
        result,
        0,
        "ethtool on {interface}: {}",
        std::io::Error::last_os_error()
    );
}
