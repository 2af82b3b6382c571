//! `lb-ctl` in the balancer's namespace, from start to a silent end.
//!
//! Every daemon sees a bpf file system of its own on `/sys/fs/bpf`, which outlives the process (so a killed daemon
//! leaves its pins, as in life) and goes away with this handle. Tests may therefore run side by side.

use std::collections::BTreeMap;
mod flood;
mod mounts;
mod refusal;
mod waits;

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use lb_common::layout::LAYOUT_VERSION;
use lb_ctl::client::Client;
use lb_ctl::dataplane::{MapSet, PinDirectory, Sizes};
use lb_ctl::plan::contents::Contents;
use lb_ctl::views::{Stats, Status, Verification};
use nix::sys::signal::Signal;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::mounts::show_as_bpf_file_system;
pub use self::refusal::Refusal;
use crate::api;
use crate::cleanup;
use crate::condition::eventually;
use crate::documents::Documents;
use crate::held::Held;
use crate::process::{Process, binary};
use crate::topology::{LB, Lab};

const START: Duration = Duration::from_secs(60);
/// Few, so that many laboratories fit into one machine.
const FLOW_SLOTS: u32 = 65_536;
const SOCKET: &str = "lb.sock";
const STOP: Duration = Duration::from_secs(10);

pub struct Daemon<'lab> {
    lab: &'lab Lab,
    /// The host of the laboratory that it runs on.
    host: &'static str,
    directory: PathBuf,
    /// `--interface`, from the next start on.
    pub interfaces: Vec<&'static str>,
    /// `--xdp-mode`, from the next start on.
    pub mode: &'static str,
    /// `--table-slots`, which maps keep once they are made.
    pub table_slots: u32,
    /// Of `run`, beside those that every daemon here has.
    flags: Vec<OsString>,
    process: Option<Process>,
    /// Another build of `lb-ctl`, of a version that had no runtime directory.
    former: Option<PathBuf>,
}

impl<'lab> Daemon<'lab> {
    /// Answers on its socket on return, and holds the documents.
    pub fn start(lab: &'lab Lab, documents: &Documents) -> Self {
        let mut daemon = Self::new(lab);
        daemon.start_again();
        daemon.apply(documents);
        daemon
    }

    /// The same with the documents in a file that is given by `--config`, which owns them.
    pub fn start_with(lab: &'lab Lab, json: &str) -> Self {
        let mut daemon = Self::new(lab);
        daemon.give("--config", "config.json", json);
        daemon.start_again();
        daemon
    }

    /// The same with these settings (TOML).
    pub fn start_with_settings(lab: &'lab Lab, settings: &str, documents: &Documents) -> Self {
        let mut daemon = Self::new(lab);
        daemon.give("--settings", "lb.toml", settings);
        daemon.start_again();
        daemon.apply(documents);
        daemon
    }

    /// The same with the program in the kernel's generic mode, not in the driver.
    pub fn start_generic(lab: &'lab Lab, documents: &Documents) -> Self {
        let mut daemon = Self::new(lab);
        daemon.mode = "generic";
        daemon.start_again();
        daemon.apply(documents);
        daemon
    }

    /// Not started: its directory and pins alone.
    pub fn new(lab: &'lab Lab) -> Self {
        Self::on(lab, LB)
    }

    /// The same on another host.
    pub fn on(lab: &'lab Lab, host: &'static str) -> Self {
        let label = match host {
            LB => lab.label.clone(),
            other => format!("{}-{other}", lab.label),
        };
        let directory = cleanup::make_directory(&label);
        Self {
            lab,
            host,
            directory,
            interfaces: vec!["eth0"],
            mode: "native",
            table_slots: Sizes::default().table_slots,
            flags: Vec::new(),
            process: None,
            former: None,
        }
    }

    /// From its next start on, `run` has this flag with a file of this content.
    pub fn give(&mut self, flag: &str, name: &str, content: &str) {
        let path = self.write(name, content);
        self.flags.extend([flag.into(), path.into()]);
    }

    /// From its next start on, `run` has this flag.
    pub fn flag(&mut self, flag: &str, value: &str) {
        self.flags.extend([flag.into(), value.into()]);
    }

    /// The same without a value.
    pub fn switch(&mut self, flag: &str) {
        self.flags.push(flag.into());
    }

    /// From its next start on, `run` has none of those flags.
    pub fn forget_flags(&mut self) {
        self.flags.clear();
    }

    /// The socket of its API.
    pub fn socket(&self) -> PathBuf {
        self.directory.join(SOCKET)
    }

    /// How many files, sockets and maps the process has open.
    pub fn open_descriptors(&self) -> usize {
        let process = self.process.as_ref().expect("a running daemon");
        let directory = format!("/proc/{}/fd", process.pid());
        fs::read_dir(&directory).expect("a living process").count()
    }

    /// Starts the process after it ended, on the same files and pins.
    pub fn start_again(&mut self) {
        self.launch();
        self.wait_until_ready();
    }

    /// From its next start on, this build of an older version is what runs and what asks it; with nothing, the one that is
    /// tested.
    pub fn become_former(&mut self, program: Option<&Path>) {
        self.former = program.map(Path::to_owned);
    }

    /// The same without waiting until it answers.
    pub fn launch(&mut self) {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("opening the log");
        let mut command = self.command();
        command.args(["run", "--xdp-mode", self.mode]);
        for interface in &self.interfaces {
            command.args(["--interface", interface]);
        }
        command
            .args(["--flow-slots", &FLOW_SLOTS.to_string()])
            .args(["--table-slots", &self.table_slots.to_string()])
            .args(&self.flags)
            .args(self.own_places())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("sharing the log"))
            .stderr(log);
        self.process = Some(Process::start("lb-ctl", &mut command));
    }

    /// `run` with these arguments, which must not be able to: how it ended, and what it said.
    #[track_caller]
    pub fn refused(&self, arguments: &[&str]) -> Refusal {
        let mut command = self.command();
        command
            .args(["run", "--flow-slots", &FLOW_SLOTS.to_string()])
            .args(arguments)
            .args(&self.flags)
            .args(self.own_places());
        Refusal::of(&mut command, &self.directory.join("refused.log"))
    }

    /// The same with a state directory and a socket of its own, but in the same place otherwise.
    #[track_caller]
    pub fn refused_as_another(&self, arguments: &[&str]) -> Refusal {
        let other = self.directory.join("another");
        fs::create_dir_all(&other).expect("making a directory");
        let mut command = self.command();
        command
            .args(["run", "--flow-slots", &FLOW_SLOTS.to_string()])
            .args(arguments)
            .arg("--state-dir")
            .arg(other.join("state"))
            .arg("--runtime-dir")
            .arg(other.join("run"))
            .arg("--listen")
            .arg(format!("unix:{}", other.join(SOCKET).display()));
        Refusal::of(&mut command, &self.directory.join("refused.log"))
    }

    fn own_places(&self) -> Vec<OsString> {
        let mut places = vec![
            "--state-dir".into(),
            self.directory.join("state").into(),
            "--listen".into(),
            self.endpoint().into(),
        ];
        if self.former.is_none() {
            places.extend(["--runtime-dir".into(), self.directory.join("run").into()]);
        }
        places
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("a running daemon").pid()
    }

    /// How the process ended, if it did by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.as_mut().expect("a process was started").exited()
    }

    /// Memory of its own that it has now, in KiB.
    pub fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a living process");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        number.expect("RssAnon in kB")
    }

    pub fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("a running daemon").signal(signal);
    }

    /// Whoever wants to talk to it without `lb-ctl`.
    pub fn client(&self) -> Client {
        Client::new(self.endpoint().parse().expect("an endpoint"))
    }

    #[track_caller]
    pub fn assert_alive(&mut self) {
        let process = self.process.as_mut().expect("a running daemon");
        if let Some(status) = process.exited() {
            panic!("lb-ctl run ended with {status}:\n{}", self.log());
        }
    }

    fn wait_until_ready(&mut self) {
        eventually(START, || {
            let process = self.process.as_mut().expect("started above");
            if let Some(status) = process.exited() {
                panic!("lb-ctl run ended with {status} before it was ready");
            }
            let output = self.run_ctl(&["status", "--format", "json"]);
            match output.status.success() {
                true => Ok(()),
                false => Err(format!(
                    "{}{}",
                    String::from_utf8_lossy(&output.stdout),
                    self.log()
                )),
            }
        });
    }

    /// Runs a verb of `lb-ctl` against this daemon; the exit status is the caller's to judge.
    pub fn run_ctl(&self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command
            .args(arguments)
            .args(["--endpoint", &self.endpoint()])
            .stdin(Stdio::null());
        command.output().expect("starting lb-ctl")
    }

    /// The same of a verb that works on the daemon's files while it does not run.
    pub fn offline_ctl(&self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::null());
        for (flag, name) in [("--state-dir", "state"), ("--runtime-dir", "run")] {
            command.arg(flag).arg(self.directory.join(name));
        }
        command.output().expect("starting lb-ctl")
    }

    /// The same, which has to name an endpoint itself.
    pub fn lonely_ctl(&self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::null());
        command.output().expect("starting lb-ctl")
    }

    /// What a verb prints; it has to succeed.
    #[track_caller]
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let output = self.run_ctl(arguments);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "lb-ctl {arguments:?}: {}: {complaint}",
            output.status
        );
        String::from_utf8(output.stdout).expect("lb-ctl prints text")
    }

    pub fn apply(&self, documents: &Documents) {
        let path = self.write("applied.json", &documents.json());
        self.ctl(&["apply", "-f", path.to_str().expect("a path in ASCII")]);
    }

    /// How an apply of the documents ends.
    pub fn try_apply(&self, documents: &Documents) -> Output {
        let path = self.write("applied.json", &documents.json());
        self.run_ctl(&["apply", "-f", path.to_str().expect("a path in ASCII")])
    }

    /// A successful request to the API, below `/compute/v1/projects/`; the answer.
    #[track_caller]
    pub fn api(&self, method: &str, path: &str, body: &Value) -> Value {
        let socket = self.directory.join(SOCKET);
        let (status, answer) = api::exchange(&socket, method, &format!("/compute/v1/projects/{path}"), body);
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer
    }

    pub fn status(&self) -> Status {
        self.judged_status().1
    }

    /// Whether `status` exits with 0, and what it says.
    #[track_caller]
    pub fn judged_status(&self) -> (bool, Status) {
        let output = self.run_ctl(&["status", "--format", "json"]);
        let text = String::from_utf8_lossy(&output.stdout);
        let status = serde_json::from_str(&text).unwrap_or_else(|error| {
            let complaint = String::from_utf8_lossy(&output.stderr);
            panic!("lb-ctl status: {}: {error}: {text}{complaint}", output.status)
        });
        (output.status.success(), status)
    }

    /// Waits until `status` exits with 1 and says a sentence with this in it.
    #[track_caller]
    pub fn wait_for_trouble(&self, bound: Duration, text: &str) {
        eventually(bound, || {
            let (is_well, status) = self.judged_status();
            match status.troubles.iter().any(|trouble| trouble.text.contains(text)) && !is_well {
                true => Ok(()),
                false => Err(format!(
                    "status is well: {is_well}; troubles: {:?}; warnings: {:?}",
                    status.troubles, status.warnings
                )),
            }
        });
    }

    /// Waits until `status` exits with 0, without troubles.
    #[track_caller]
    pub fn wait_until_well(&self, bound: Duration) {
        eventually(bound, || match self.judged_status() {
            (true, status) if status.troubles.is_empty() => Ok(()),
            (_, status) => Err(format!("{:?}", status.troubles)),
        });
    }

    /// The pins of the attachments, by number of the interface.
    pub fn link_pins(&self) -> BTreeMap<u32, PathBuf> {
        let links = self.directory.join(format!("bpf/lb/v{LAYOUT_VERSION}/links"));
        let pins = fs::read_dir(links).into_iter().flatten().flatten();
        let number = |path: &Path| path.file_name()?.to_str()?.parse().ok();
        pins.filter_map(|pin| Some((number(&pin.path())?, pin.path())))
            .collect()
    }

    pub fn stats(&self) -> Stats {
        self.json(&["stats", "--format", "json"])
    }

    #[track_caller]
    fn json<T: DeserializeOwned>(&self, arguments: &[&str]) -> T {
        let text = self.ctl(arguments);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("lb-ctl {arguments:?}: {error}: {text}"))
    }

    /// What the kernel's maps hold, read past the daemon.
    pub fn contents(&self) -> Contents {
        let sizes = Sizes {
            flow_slots: FLOW_SLOTS,
            table_slots: self.table_slots,
            ..Sizes::default()
        };
        let pins = PinDirectory::new(&self.directory.join("bpf/lb"));
        let maps = MapSet::pinned(&pins, &sizes).expect("opening the pinned maps");
        maps.read().expect("reading the pinned maps")
    }

    /// The same, by VIPs.
    pub fn held(&self) -> Held {
        Held(self.contents())
    }

    /// What the daemon finds when it compares the maps with a fresh compilation.
    #[track_caller]
    pub fn verify(&self) -> Verification {
        // Differences are an exit status too.
        let output = self.run_ctl(&["status", "--verify", "--format", "json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            let complaint = String::from_utf8_lossy(&output.stderr);
            panic!("lb-ctl status --verify: {}: {error}: {complaint}", output.status)
        })
    }

    /// Packets that ended in the verdict of this name.
    pub fn verdict_packets(&self, name: &str) -> u64 {
        let stats = self.stats();
        let verdict = stats.verdicts.iter().find(|verdict| verdict.name == name);
        verdict
            .unwrap_or_else(|| panic!("no verdict is called {name}: {:?}", stats.verdicts))
            .packets
    }

    /// Waits until every service agrees about this backend's health.
    #[track_caller]
    pub fn wait_for_health(&self, backend: &str, healthy: bool) {
        eventually(Duration::from_secs(10), || {
            let stats = self.stats();
            let rows = stats.services.iter().flat_map(|service| &service.backends);
            let of_backend = rows.filter(|row| row.instance.as_deref() == Some(backend));
            let seen: Vec<bool> = of_backend.map(|row| row.healthy).collect();
            let agreed = !seen.is_empty() && seen.iter().all(|seen| *seen == healthy);
            if agreed {
                Ok(())
            } else {
                Err(format!("{backend} healthy? {seen:?}"))
            }
        });
    }

    /// Waits until packets can be delivered to every endpoint of every service.
    #[track_caller]
    pub fn wait_for_delivery(&self) {
        eventually(Duration::from_secs(10), || {
            let stats = self.stats();
            let mut rows = stats.services.iter().flat_map(|service| &service.backends);
            match rows.find(|row| row.delivery == "unresolved") {
                Some(row) => Err(format!("{} is unresolved", row.ip_address)),
                None => Ok(()),
            }
        });
    }

    /// SIGKILL: what is pinned stays.
    pub fn kill(&mut self) {
        self.process.take().expect("a running daemon").kill();
    }

    /// SIGTERM, and the end that follows.
    pub fn terminate(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("a running daemon");
        process.signal(Signal::SIGTERM);
        process.wait(STOP)
    }

    /// SIGHUP, as log rotation sends it.
    pub fn hang_up(&self) {
        self.process
            .as_ref()
            .expect("a running daemon")
            .signal(Signal::SIGHUP);
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// No warning and no error was logged, apart from lines that contain one of `expected`.
    #[track_caller]
    pub fn assert_quiet(&self, expected: &[&str]) {
        let log = self.log();
        let loud = log.lines().filter(|line| is_loud(line));
        let surprises: Vec<&str> = loud
            .filter(|line| !expected.iter().any(|known| line.contains(known)))
            .collect();
        assert!(
            surprises.is_empty(),
            "lb-ctl complained:\n{}",
            surprises.join("\n")
        );
    }

    fn endpoint(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// What the daemon sees as `/sys/fs/bpf`.
    pub fn bpf_directory(&self) -> PathBuf {
        self.directory.join("bpf")
    }

    fn log_path(&self) -> PathBuf {
        self.directory.join("daemon.log")
    }

    /// Where its files are, gone with it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A file beside the daemon's own.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.join(name);
        fs::write(&path, text).unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
        path
    }

    fn command(&self) -> Command {
        let program = self.former.clone().unwrap_or_else(program);
        let mut command = self.lab.host(self.host).namespace.command(program);
        command
            .env_remove("LB_ENDPOINT")
            .env_remove("LB_HASH_SEED")
            .env_remove("JOURNAL_STREAM");
        show_as_bpf_file_system(&mut command, &self.directory.join("bpf"));
        command
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let counters = self.run_ctl(&["stats"]);
            eprintln!(
                "the daemon's log:\n{}\nits counters:\n{}\nlook inside with {}",
                self.log(),
                String::from_utf8_lossy(&counters.stdout),
                self.lab.host(self.host).namespace.shell_hint()
            );
        }
        drop(self.process.take());
        cleanup::remove_directory(&self.directory);
    }
}

/// Of the maps of every daemon here.
pub fn sizes() -> Sizes {
    Sizes {
        flow_slots: FLOW_SLOTS,
        ..Sizes::default()
    }
}

/// The `lb-ctl` that is tested.
pub fn program() -> PathBuf {
    std::env::var_os("LB_CTL").map_or_else(|| binary("lb-ctl"), PathBuf::from)
}

/// A warning or an error, as `tracing` writes its level, coloured or not.
fn is_loud(line: &str) -> bool {
    let is_level = |word: &str| word.ends_with("WARN") || word.ends_with("ERROR");
    let words = line.split(|c: char| c.is_whitespace() || c == '\u{1b}');
    words
        .map(|word| word.trim_start_matches(|c: char| !c.is_ascii_uppercase()))
        .any(is_level)
        || line.contains("panicked at")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_and_errors_are_loud_and_the_rest_is_not() {
        assert!(is_loud("2026-01-01T00:00:00Z  WARN lb_ctl: something"));
        assert!(is_loud("\u{1b}[31mERROR\u{1b}[0m lb_ctl: something"));
        assert!(is_loud("thread 'main' panicked at lb-ctl/src/main.rs:1"));
        assert!(!is_loud(
            "2026-01-01T00:00:00Z  INFO lb_ctl: 0 errors, 0 warnings"
        ));
    }
}
