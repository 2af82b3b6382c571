//! Clients of the Compute API that others made, unmodified, against a daemon that was given nothing.
//!
//! They run in the balancer's namespace, where its loopback address is the only way to anything: a client that wanted
//! the network would fail. `cargo xtask test` installs them below `target/clients`.

mod gcloud;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

pub use self::gcloud::Gcloud;

use crate::daemon::Daemon;
use crate::process::Process;
use crate::topology::Lab;

/// Of the balancer's loopback interface, which is its namespace's own.
const ADDRESS: &str = "127.0.0.1:8087";
/// For one program to do all it has to, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(300);

pub struct Api<'lab> {
    pub daemon: Daemon<'lab>,
    lab: &'lab Lab,
}

impl<'lab> Api<'lab> {
    /// Holds nothing on return, and answers.
    pub fn start(lab: &'lab Lab) -> Self {
        let mut daemon = Daemon::new(lab);
        daemon.flag("--listen", ADDRESS);
        daemon.start_again();
        Self { daemon, lab }
    }

    /// Where it is served, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{ADDRESS}")
    }

    /// Runs the tests of a module of `tests/clients/python`, all of which have to pass, and returns the methods that were
    /// called, such as `forwarding_rules.list`.
    #[track_caller]
    pub fn python_tests(&self, module: &str) -> BTreeSet<String> {
        let calls = self.daemon.directory().join("calls");
        let mut command = self.python();
        command
            .args(["-m", "unittest", "--verbose", module])
            .env("LB_CALLS", &calls);
        let told = Told::by(&mut command);
        // It tells on stderr.
        let mut lines = told.stderr.lines();
        let ran = lines.any(|line| line.starts_with("Ran ") && !line.starts_with("Ran 0 "));
        assert!(ran && told.status.success(), "{told}");
        let calls = fs::read_to_string(&calls).expect("the clients note what is called");
        calls.lines().map(str::to_owned).collect()
    }

    /// Python with the official client, in the directory of its tests.
    pub fn python(&self) -> Command {
        let python = installed("python/bin/python");
        let mut command = self.client(&python);
        command
            .current_dir(sources().join("python"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("LB_API", self.url());
        command
    }

    /// Node.js with the official client.
    pub fn node(&self) -> Command {
        let mut command = self.client(Path::new("node"));
        command
            .current_dir(sources().join("node"))
            .env("NODE_PATH", installed("node/node_modules"))
            .env("LB_API", self.url());
        command
    }

    /// A program in the balancer's namespace.
    pub fn client(&self, program: &Path) -> Command {
        let mut command = self.lab.lb().command(program);
        command.stdin(Stdio::null());
        command
    }
}

/// What a program wrote and how it ended.
pub struct Told {
    pub command: String,
    pub stdout: String,
    pub stderr: String,
    pub status: ExitStatus,
}

impl Told {
    /// Runs the program to its end.
    pub fn by(command: &mut Command) -> Self {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
        let shown = words.join(" ");
        let mut process = Process::start(&shown, command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let (stdout, stderr) = (heard(process.stdout()), heard(process.stderr()));
        let status = process.wait(PATIENCE);
        Self {
            command: shown,
            stdout: stdout.join().expect("reading a pipe"),
            stderr: stderr.join().expect("reading a pipe"),
            status,
        }
    }

    /// What it wrote to stdout, if it ended well.
    #[track_caller]
    pub fn well(self) -> String {
        assert!(self.status.success(), "{self}");
        self.stdout
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            command,
            stdout,
            stderr,
            status,
        } = self;
        write!(f, "`{command}` ended with {status}\n{stdout}{stderr}")
    }
}

fn heard(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut told = Vec::new();
        let _ = pipe.read_to_end(&mut told);
        String::from_utf8_lossy(&told).into_owned()
    })
}

/// The scripts that use the clients.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

fn installed(path: &str) -> PathBuf {
    let directory = std::env::var_os("LB_TESTS_CLIENTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/clients"),
        PathBuf::from,
    );
    let path = directory.join(path);
    assert!(
        path.exists(),
        "{} is missing: `cargo xtask clients` installs it",
        path.display()
    );
    path
}
