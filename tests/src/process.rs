//! A child process that never outlives its handle.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cleanup;
use crate::condition::eventually;

/// Killed and reaped on drop. The kernel kills it too when the *thread* that started it ends, so start it from one that
/// lives as long as the test.
pub struct Process {
    name: String,
    child: Child,
}

impl Process {
    pub fn start(name: &str, command: &mut Command) -> Self {
        // SAFETY: prctl is async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
                Ok(())
            })
        };
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("starting {name} ({command:?}): {error}"));
        cleanup::register_process(child.id() as i32);
        Self {
            name: name.to_owned(),
            child,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn stdin(&mut self) -> ChildStdin {
        self.child
            .stdin
            .take()
            .expect("started with a pipe for stdin, taken once")
    }

    pub fn stdout(&mut self) -> ChildStdout {
        self.child
            .stdout
            .take()
            .expect("started with a pipe for stdout, taken once")
    }

    pub fn stderr(&mut self) -> ChildStderr {
        self.child
            .stderr
            .take()
            .expect("started with a pipe for stderr, taken once")
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal)
            .unwrap_or_else(|error| panic!("sending {signal} to {}: {error}", self.name));
    }

    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child
            .try_wait()
            .unwrap_or_else(|error| panic!("asking after {}: {error}", self.name))
    }

    pub fn wait(&mut self, bound: Duration) -> ExitStatus {
        let name = self.name.clone();
        eventually(bound, || {
            self.exited().ok_or_else(|| format!("{name} still runs"))
        })
    }

    /// SIGKILL, and gone on return.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        cleanup::forget_process(self.child.id() as i32);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A program that the same build made, next to the running one.
pub fn binary(name: &str) -> PathBuf {
    let running = std::env::current_exe().expect("the path of the running program");
    let nearby = running
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join(name));
    let mut found = nearby.filter(|path| path.exists());
    found.next().unwrap_or_else(|| {
        panic!(
            "no program {name} near {}: run `cargo xtask build`",
            running.display()
        )
    })
}
