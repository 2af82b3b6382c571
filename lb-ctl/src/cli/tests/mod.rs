//! Command lines against a daemon whose controller is a fake, or whose API is.

mod changes;
mod exit;
mod fake_api;
mod files;
mod formats;
mod import;
mod logging;
mod real;
mod resources;
mod run;
mod views;

use std::io;

use serde_json::Value;

use super::*;
use crate::control::Control;
use crate::control::fake::sample;
use crate::server::tests::harness::TestServer;

struct Ran {
    code: ExitCode,
    out: String,
    err: String,
}

fn lb_ctl(args: &[&str]) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run_cli(
        std::iter::once("lb-ctl").chain(args.iter().copied()),
        &mut out,
        &mut err,
    );
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ran {
        code,
        out: text(out),
        err: text(err),
    }
}

/// With the test's daemon.
fn with<C: Control>(server: &TestServer<C>, args: &[&str]) -> Ran {
    let endpoint = server.endpoint();
    lb_ctl(&[args, &["--endpoint", &endpoint]].concat())
}

impl Ran {
    #[track_caller]
    fn is(&self, code: ExitCode) -> &Self {
        assert_eq!(self.code, code, "out: {}\nerr: {}", self.out, self.err);
        self
    }

    #[track_caller]
    fn says(&self, text: &str) -> &Self {
        assert!(self.err.contains(text), "no '{text}' in: {}", self.err);
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        self.is(ExitCode::Ok);
        serde_json::from_str(&self.out).expect("JSON")
    }
}

/// The flags of a verb alone, as a command line gives them.
#[track_caller]
pub(super) fn flags<F: clap::Args>(args: &[&str]) -> F {
    let command = F::augment_args(clap::Command::new("flags").no_binary_name(true));
    let matches = command.try_get_matches_from(args);
    let matches = matches.unwrap_or_else(|error| panic!("{args:?}: {error}"));
    F::from_arg_matches(&matches).expect("the flags of one type")
}

/// What a failure is told as.
pub(super) fn told(failure: Failure) -> String {
    let mut err = Vec::new();
    failure.report(&mut err);
    String::from_utf8(err).expect("text")
}

#[test]
fn the_grammar_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn wrong_usage_is_2() {
    for args in [
        &[][..],
        &["run"],
        &["frobnicate"],
        &["run", "--interface", "a", "--flow-slots", "1000"],
        &["run", "--interface", "a", "--flow-slots", "4"],
        &["run", "--interface", "a", "--listen", "localhost:80"],
        &["run", "--interface", "a", "--hash-seed", "12"],
        &[
            "run",
            "--interface",
            "a",
            "--hash-seed",
            "+00102030405060708090a0b0c0d0e0f",
        ],
        &["run", "--interface", "a", "--xdp-mode", "offload"],
        &["validate"],
        &["apply"],
        &["status", "--endpoint", "somewhere"],
        &["status", "--format", "xml"],
        &["status", "--format", "value"],
        &["backend-services", "list", "--filter", "name"],
        &["backend-services", "list", "--sort-by", "~"],
        &["backend-services", "list", "--limit", "0"],
        &["backend-services", "list", "--uri", "--format", "json"],
        &["backend-services", "create"],
        &["backend-services", "create", "x", "--global"],
        &["backend-services", "create", "x", "--idle-timeout-sec", "soon"],
        &["backend-services", "create", "x", "--global-health-checks"],
        &["backend-services", "add-backend", "x"],
        &[
            "backend-services",
            "add-backend",
            "x",
            "--instance-group",
            "a",
            "--network-endpoint-group",
            "b",
        ],
        &["forwarding-rules", "create", "x"],
        &[
            "forwarding-rules",
            "create",
            "x",
            "--backend-service",
            "s",
            "--ports",
            "9-8",
        ],
        &["health-checks", "create", "x"],
        &["health-checks", "create", "icmp", "x"],
        &["network-endpoint-groups", "update", "x"],
        &[
            "network-endpoint-groups",
            "update",
            "x",
            "--add-endpoint",
            "host=x",
        ],
        &["instance-groups", "add-instances", "x"],
        &["operations", "list", "--zones", "z", "--global"],
        &["completion", "tcsh"],
        &["health-checks", "list", "--region", "r", "--global"],
        &["backend-services", "list", "--zone", "z"],
        &["backend-services", "delete"],
        &["flows", "list", "--limit", "0"],
    ] {
        let ran = lb_ctl(args);
        assert_eq!((ran.code, ran.out.as_str()), (ExitCode::Usage, ""), "{args:?}");
        assert!(!ran.err.is_empty(), "{args:?}");
    }
}

#[test]
fn help_and_version_are_data() {
    let help = lb_ctl(&["--help"]);
    assert!(
        help.is(ExitCode::Ok).out.contains("5 daemon not reachable"),
        "{}",
        help.out
    );
    let version = lb_ctl(&["--version"]);
    assert_eq!(
        version.is(ExitCode::Ok).out,
        format!("lb-ctl {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn no_daemon_is_5_and_one_sentence() {
    let directory = tempfile::tempdir().expect("a directory");
    let endpoint = format!("unix:{}/s", directory.path().display());
    for args in [
        &["status"][..],
        &["stats"],
        &["flows", "list"],
        &["flows", "count"],
        &["backend-services", "list"],
        &["forwarding-rules", "describe", "x"],
        &["instance-groups", "delete", "x", "--quiet"],
    ] {
        let ran = lb_ctl(&[args, &["--endpoint", &endpoint]].concat());
        let expected =
            format!("error: can't reach the daemon at {endpoint}: no such socket; is it running?\n");
        assert_eq!((ran.code, ran.err), (ExitCode::Unreachable, expected), "{args:?}");
        assert_eq!(ran.out, "", "{args:?}");
    }
}

/// As a pipe whose reader is gone.
struct Broken;

impl io::Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_broken_pipe_is_no_error() {
    let server = TestServer::start(sample());
    let endpoint = server.endpoint();
    for args in [
        &["lb-ctl", "status", "--endpoint", &endpoint][..],
        &["lb-ctl", "status", "--format", "json", "--endpoint", &endpoint],
        &["lb-ctl", "backend-services", "list", "--endpoint", &endpoint],
        &["lb-ctl", "--help"],
    ] {
        let mut err = Vec::new();
        let code = run_cli(args, &mut Broken, &mut err);
        assert_eq!(
            (code, String::from_utf8_lossy(&err).as_ref()),
            (ExitCode::Ok, ""),
            "{args:?}"
        );
    }
}
