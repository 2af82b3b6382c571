//! `validate` and `apply`.

use std::path::Path;

use serde_json::{Value, json};

use super::super::*;
use super::{lb_ctl, with};
use crate::control::fake::sample;
use crate::server::tests::harness::TestServer;

fn write(directory: &Path, name: &str, value: &Value) -> String {
    let path = directory.join(name);
    std::fs::write(&path, value.to_string()).expect("to write");
    path.display().to_string()
}

fn health_check(name: &str) -> Value {
    json!({"kind": "compute#healthCheck", "name": name, "type": "TCP", "tcpHealthCheck": {"port": 80}})
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
