//! Network namespaces for the tests of this module: made, entered by threads of their own, and removed even when a
//! test panics. Without root these tests can't run and say so; with root a fault of the set-up is a failure.

use std::fs::File;
use std::future::Future;
use std::process::Command;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

/// What a test waits at most for one thing to happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A namespace that is removed with this value.
#[derive(Debug)]
pub(super) struct Namespace {
    name: String,
}

impl Namespace {
    /// None without root.
    pub(super) fn new(test: &str, role: &str) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("NOT RUN: {test} needs root to make network namespaces");
            return None;
        }
        let namespace = Self {
            name: format!("lb-{test}-{}-{role}", std::process::id()),
        };
        ip(&["netns", "add", &namespace.name]);
        namespace.ip("link set lo up");
        Some(namespace)
    }

    /// Runs `ip` with these words in the namespace.
    pub(super) fn ip(&self, words: &str) {
        let mut arguments = vec!["-n", &self.name];
        arguments.extend(words.split_whitespace());
        ip(&arguments);
    }

    /// As [`Self::ip`], and what it printed.
    pub(super) fn ip_output(&self, words: &str) -> String {
        let mut arguments = vec!["-n", &self.name];
        arguments.extend(words.split_whitespace());
        let output = Command::new("ip").args(&arguments).output();
        let output = output.expect("iproute2 is installed");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {words}: {errors}");
        String::from_utf8(output.stdout).expect("ip prints text")
    }

    /// As [`Self::ip`], with a command a line.
    pub(super) fn ip_batch(&self, lines: &str) {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), lines).expect("written");
        ip(&[
            "-n",
            &self.name,
            "-batch",
            file.path().to_str().expect("a UTF-8 path"),
        ]);
    }

    /// Runs `work` on a thread in the namespace, with a runtime of its own.
    pub(super) fn run<T, W, F>(&self, work: W) -> T
    where
        T: Send,
        W: FnOnce() -> F + Send,
        F: Future<Output = T>,
    {
        let file = File::open(format!("/run/netns/{}", self.name)).expect("the namespace is there");
        let in_namespace = || {
            setns(&file, CloneFlags::CLONE_NEWNET).expect("entering the namespace");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(work())
        };
        std::thread::scope(|scope| match scope.spawn(in_namespace).join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let status = Command::new("ip").args(["netns", "del", &self.name]).status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("the namespace {} could not be removed", self.name);
        }
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .expect("iproute2 is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {errors}", arguments.join(" "));
}

/// Two namespaces and a cable: 192.0.2.1 and 2001:db8::1 here, 192.0.2.2 and 2001:db8::2 there.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) here: Namespace,
    pub(super) there: Namespace,
}

pub(super) const HERE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(super) const THERE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

impl Pair {
    /// None without root. The interface is `cable` on both ends.
    pub(super) fn new(test: &str) -> Option<Self> {
        let pair = Self {
            here: Namespace::new(test, "here")?,
            there: Namespace::new(test, "there")?,
        };
        pair.here.ip(&format!(
            "link add cable address 02:00:00:00:00:01 type veth peer name cable address 02:00:00:00:00:02 netns {}",
            pair.there.name
        ));
        for (namespace, host) in [(&pair.here, 1), (&pair.there, 2)] {
            namespace.ip(&format!("addr add 192.0.2.{host}/24 dev cable"));
            namespace.ip(&format!("addr add 2001:db8::{host}/64 dev cable nodad"));
            namespace.ip("link set cable up");
        }
        Some(pair)
    }
}
