use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::control::Control;
use crate::control::fake::{path, sample};
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
fn with(server: &TestServer, args: &[&str]) -> Ran {
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

fn write(directory: &Path, name: &str, value: &Value) -> String {
    let path = directory.join(name);
    std::fs::write(&path, value.to_string()).expect("to write");
    path.display().to_string()
}

fn health_check(name: &str) -> Value {
    json!({"kind": "compute#healthCheck", "name": name, "type": "TCP", "tcpHealthCheck": {"port": 80}})
}

fn run_args(args: &[&str]) -> Result<RunArgs, clap::Error> {
    let args = ["lb-ctl", "run"].iter().chain(args);
    match parse(args)?.verb {
        Verb::Run(args) => Ok(args),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_grammar_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn run_has_the_documented_defaults() {
    let args = run_args(&["--interface", "eth0"]).expect("to parse");
    assert_eq!(args.interfaces, ["eth0"]);
    assert_eq!(args.state_dir, Path::new("/var/lib/lb"));
    assert_eq!(args.pin_dir, Path::new("/sys/fs/bpf/lb"));
    assert_eq!(args.listen, ["unix:/run/lb/lb.sock".parse().expect("an address")]);
    assert_eq!(args.xdp_mode, XdpMode::Auto);
    assert_eq!(args.flow_slots, 4_194_304);
    assert_eq!(args.place, DefaultPlace::default());
    assert!(args.config.is_empty() && !args.no_announce && !args.trace_packets);
}

#[test]
fn run_takes_everything_it_names() {
    let args = run_args(&[
        "--interface",
        "a",
        "--interface",
        "b",
        "--config",
        "x.json",
        "--config",
        "dir",
        "--state-dir",
        "/s",
        "--listen",
        "unix:/l",
        "--listen",
        "127.0.0.1:1",
        "--xdp-mode",
        "native",
        "--flow-slots",
        "4096",
        "--project",
        "p",
        "--region",
        "r",
        "--zone",
        "z",
        "--no-announce",
        "--trace-packets",
        "--pin-dir",
        "/p",
        "--hash-seed",
        "000102030405060708090a0b0c0d0e0F",
    ])
    .expect("to parse");
    assert_eq!(args.interfaces, ["a", "b"]);
    assert_eq!(args.config, [Path::new("x.json"), Path::new("dir")]);
    assert_eq!(args.listen.len(), 2);
    assert_eq!((args.xdp_mode, args.flow_slots), (XdpMode::Native, 4096));
    assert_eq!(args.place.zone.as_deref(), Some("z"));
    assert!(args.no_announce && args.trace_packets);
    assert_eq!(args.hash_seed, Some(HashSeed(std::array::from_fn(|i| i as u8))));
    assert!(!format!("{args:?}").contains("0e0"), "the seed is a secret");
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

#[test]
fn validate_reports_every_fault_with_4() {
    let directory = tempfile::tempdir().expect("a directory");
    let good = write(
        directory.path(),
        "good.json",
        &json!([health_check("a"), health_check("b")]),
    );
    lb_ctl(&["validate", "-f", &good])
        .is(ExitCode::Ok)
        .says("2 resources are valid.");
    let mut bad = health_check("Bad_Name");
    bad["checkIntervalSec"] = json!(0);
    let bad = write(directory.path(), "bad.json", &bad);
    let ran = lb_ctl(&["validate", "-f", &good, "--filename", &bad]);
    ran.is(ExitCode::Invalid)
        .says(&format!("{bad}: $.name: 'Bad_Name': "));
    ran.says(&format!("{bad}: $.checkIntervalSec: '0': "));
    assert!(
        ran.err.ends_with("\n2 faults\n") && ran.out.is_empty(),
        "{}",
        ran.err
    );
    lb_ctl(&["validate", "-f", "/does/not/exist"])
        .is(ExitCode::Invalid)
        .says("can't be read");
}

#[test]
fn apply_sends_files_and_tells_what_changed() {
    let server = TestServer::start(sample());
    let directory = tempfile::tempdir().expect("a directory");
    let file = write(
        directory.path(),
        "a.json",
        &json!([health_check("a"), health_check("b")]),
    );
    let ran = with(&server, &["apply", "-f", &file, "--region", "r7", "--dry-run"]);
    ran.is(ExitCode::Ok).says("Dry run: nothing was changed.");
    assert_eq!(
        ran.out,
        "ACTION   RESOURCE\n\
         created  projects/acme/regions/r7/healthChecks/a\n\
         created  projects/acme/regions/r7/healthChecks/b\n"
    );
    let directory = directory.path().display().to_string();
    let report = with(
        &server,
        &["apply", "-f", &directory, "--prune", "--format", "json"],
    )
    .json();
    assert_eq!(report["changes"].as_array().map(Vec::len), Some(2));
    let applies = server.control.state().applies.clone();
    assert_eq!(
        applies.iter().map(|o| (o.dry_run, o.prune)).collect::<Vec<_>>(),
        [(true, false), (false, true)]
    );
}

#[test]
fn apply_prints_the_daemons_faults_and_warnings() {
    let server = TestServer::start(sample());
    let directory = tempfile::tempdir().expect("a directory");
    let service = |protocol| json!({"kind": "compute#backendService", "name": "s", "protocol": protocol});
    let file = write(directory.path(), "a.json", &service("HTTP"));
    let ran = with(&server, &["apply", "-f", &file]);
    let expected = format!(
        "{file}: $.protocol: 'HTTP': no passthrough load balancer speaks HTTP (accepted: TCP, UDP, UNSPECIFIED)\n\
         1 fault\n"
    );
    assert_eq!((ran.code, ran.err), (ExitCode::Invalid, expected));
    let file = write(directory.path(), "a.json", &service("TCP"));
    with(&server, &["apply", "-f", &file])
        .is(ExitCode::Ok)
        .says("warning: no health check\n");
    std::fs::write(&file, "{").expect("to write");
    with(&server, &["apply", "-f", &file])
        .is(ExitCode::Invalid)
        .says("malformed JSON");
}

#[test]
fn lists_are_over_all_places_unless_told() {
    let server = TestServer::start(sample());
    let all = with(&server, &["health-checks", "list"]);
    assert_eq!(
        all.is(ExitCode::Ok).out,
        "NAME  REGION  PROTOCOL\nhc            HTTP\nhc    r1      TCP\n"
    );
    let global = with(&server, &["health-checks", "list", "--global"]);
    assert_eq!(
        global.is(ExitCode::Ok).out,
        "NAME  REGION  PROTOCOL\nhc            HTTP\n"
    );
    let rows = with(
        &server,
        &["health-checks", "list", "--region", "r1", "--format", "json"],
    )
    .json();
    assert_eq!(rows.as_array().map(Vec::len), Some(1));
    assert_eq!(rows[0]["type"], "TCP");
    let none = with(
        &server,
        &["network-endpoint-groups", "list", "--project", "other"],
    );
    assert_eq!(none.is(ExitCode::Ok).says("Listed 0 items.").out, "");
    let services = with(&server, &["backend-services", "list"]);
    assert_eq!(
        services.is(ExitCode::Ok).out,
        "NAME  BACKENDS                         PROTOCOL  LOAD_BALANCING_SCHEME  HEALTH_CHECKS\n\
         web   r1-a/networkEndpointGroups/near  TCP       INTERNAL               hc\n"
    );
}

#[test]
fn describe_finds_the_one_or_names_the_candidates() {
    let server = TestServer::start(sample());
    let rule = with(
        &server,
        &["forwarding-rules", "describe", "web-rule", "--format", "json"],
    )
    .json();
    assert_eq!(rule["IPAddress"], "10.0.0.100");
    let ambiguous = with(&server, &["health-checks", "describe", "hc"]);
    ambiguous
        .is(ExitCode::Usage)
        .says("'hc' is ambiguous in health-checks");
    ambiguous
        .says("  projects/acme/global/healthChecks/hc\n")
        .says("  projects/acme/regions/r1/healthChecks/hc\n");
    assert_eq!(
        with(&server, &["health-checks", "describe", "hc", "--global"]).json()["type"],
        "HTTP"
    );
    let url = "https://www.googleapis.com/compute/v1/projects/acme/regions/r1/healthChecks/hc";
    assert_eq!(
        with(&server, &["health-checks", "describe", url]).json()["type"],
        "TCP"
    );
    let missing = with(&server, &["backend-services", "describe", "x"]);
    missing
        .is(ExitCode::Failed)
        .says("there is no 'x' in backend-services");
    let elsewhere = with(
        &server,
        &["backend-services", "describe", "web", "--region", "r2"],
    );
    elsewhere
        .is(ExitCode::Failed)
        .says("but there is\n  projects/acme/regions/r1/backendServices/web");
}

#[test]
fn delete_tells_and_refuses_what_is_in_use() {
    let server = TestServer::start(sample());
    let ran = with(&server, &["backend-services", "delete", "web", "--quiet"]);
    ran.is(ExitCode::Failed).says("is already being used by");
    let ran = with(&server, &["forwarding-rules", "delete", "web-rule", "--quiet"]);
    ran.is(ExitCode::Ok)
        .says("Deleted [https://www.googleapis.com/compute/v1/projects/acme/regions/r1/");
    with(&server, &["backend-services", "delete", "web", "-q"]).is(ExitCode::Ok);
    assert!(
        !server
            .control
            .resources()
            .contains_key(&path(Kind::BackendService, "web"))
    );
}

#[test]
fn only_yes_is_a_confirmation() {
    for (answer, confirmed) in [
        ("y\n", true),
        ("Yes\n", true),
        ("\n", false),
        ("n\n", false),
        ("", false),
    ] {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut streams = Streams {
            out: &mut out,
            err: &mut err,
        };
        let result = prompt::ask("These will go.", &mut answer.as_bytes(), &mut streams);
        assert_eq!(result.is_ok(), confirmed, "{answer:?}");
        assert!(String::from_utf8_lossy(&err).starts_with("These will go.\n"));
        assert!(out.is_empty());
    }
}

#[test]
fn members_and_health_are_shown() {
    let server = TestServer::start(sample());
    let endpoints = with(
        &server,
        &["network-endpoint-groups", "list-network-endpoints", "near"],
    );
    assert_eq!(
        endpoints.is(ExitCode::Ok).out,
        "INSTANCE  IP_ADDRESS  IPV6_ADDRESS  PORT\nn1        10.0.0.1\nn2        10.0.0.2\n"
    );
    let instances = with(&server, &["instance-groups", "list-instances", "far"]);
    assert_eq!(instances.is(ExitCode::Ok).out, "NAME  STATUS\nf1    RUNNING\n");
    let health = with(&server, &["backend-services", "get-health", "web"]);
    assert_eq!(
        health.is(ExitCode::Ok).out,
        "GROUP  INSTANCE  IP_ADDRESS  PORT  HEALTH     WEIGHT              DETAIL\n\
         near   n1        10.0.0.1    80    HEALTHY    7\n\
         near   n2        10.0.0.2    80    UNHEALTHY  UNAVAILABLE_WEIGHT  connection refused\n"
    );
    let health = with(
        &server,
        &["backend-services", "get-health", "web", "--format", "json"],
    )
    .json();
    assert_eq!(health[0]["status"]["healthStatus"][0]["healthState"], "HEALTHY");
    assert!(
        health[0]["backend"]
            .as_str()
            .is_some_and(|url| url.ends_with("/near")),
        "{health}"
    );
}

#[test]
fn the_daemons_views_are_shown() {
    let server = TestServer::start(sample());
    assert_eq!(with(&server, &["status", "--format", "json"]).json()["pid"], 42);
    assert!(
        with(&server, &["status"])
            .is(ExitCode::Ok)
            .out
            .contains("1 of 2 healthy")
    );
    assert_eq!(
        with(&server, &["stats"]).is(ExitCode::Ok).out,
        "No packet was seen yet.\n"
    );
    assert_eq!(
        with(&server, &["flows", "count", "--format", "json"]).json()["live"],
        3
    );
    let flows = with(&server, &["flows", "list", "--service", "web", "--limit", "2"]);
    flows
        .is(ExitCode::Ok)
        .says("There are more than 2 flows; --limit shows more.");
    assert_eq!(flows.out.lines().count(), 3);
    assert_eq!(
        server.control.state().flow_queries,
        [(2, Some(path(Kind::BackendService, "web")))]
    );
}

#[test]
fn detach_asks_the_daemon() {
    let server = TestServer::start(sample());
    with(&server, &["detach"])
        .is(ExitCode::Ok)
        .says("The daemon has detached.");
    assert!(server.control.state().detached);
    with(&server, &["stats"])
        .is(ExitCode::Failed)
        .says("the data plane is not attached to any interface");
}

#[test]
fn an_invalid_configuration_of_the_daemon_is_4() {
    let fault = crate::resources::Fault::of_source("f", crate::resources::FaultKind::Malformed, "wrong");
    let error = anyhow::Error::from(crate::control::ControlError::Faults(vec![fault])).context("starting");
    let mut err = Vec::new();
    assert_eq!(Failure::from(error).report(&mut err), ExitCode::Invalid);
    assert_eq!(String::from_utf8_lossy(&err), "f: $: wrong\n1 fault\n");
    let mut err = Vec::new();
    let error = anyhow::anyhow!("no such interface").context("attaching");
    assert_eq!(Failure::from(error).report(&mut err), ExitCode::Failed);
    assert_eq!(
        String::from_utf8_lossy(&err),
        "error: attaching: no such interface\n"
    );
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

#[derive(Clone, Default)]
struct Memory(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_journal_gets_priorities_and_no_time() {
    let memory = Memory::default();
    let writer = memory.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .event_format(logging::Journal::default())
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        tracing::error!("broken");
        tracing::warn!(interface = "eth0", "slow");
        tracing::info!("up");
        tracing::debug!("detail");
    });
    let text = String::from_utf8(memory.0.lock().expect("no panic").clone()).expect("text");
    assert_eq!(text, "<3>broken\n<4>slow interface=\"eth0\"\n<6>up\n<7>detail\n");
}
