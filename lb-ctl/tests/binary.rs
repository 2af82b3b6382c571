//! The program as a process: exit codes, streams, logs.

use std::io::Write;
use std::process::{Command, Output, Stdio};

const HEALTH_CHECK: &str =
    r#"{"kind": "compute#healthCheck", "name": "hc", "type": "TCP", "tcpHealthCheck": {"port": 80}}"#;

fn lb_ctl(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lb-ctl"));
    command
        .args(args)
        .env_remove("LB_ENDPOINT")
        .env_remove("RUST_LOG")
        .env_remove("JOURNAL_STREAM");
    command
}

fn with_input(command: &mut Command, input: &str) -> Output {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("to start");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(input.as_bytes())
        .expect("to write");
    child.wait_with_output().expect("to end")
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn standard_input_is_a_configuration() {
    let good = with_input(&mut lb_ctl(&["validate", "-f", "-"]), HEALTH_CHECK);
    assert_eq!(
        (good.status.code(), err(&good).as_str()),
        (Some(0), "1 resource is valid.\n")
    );
    let bad = with_input(&mut lb_ctl(&["validate", "-f", "-"]), "{");
    assert_eq!(bad.status.code(), Some(4), "{}", err(&bad));
    assert!(
        err(&bad).starts_with("-: $: ") && err(&bad).ends_with("1 fault\n"),
        "{}",
        err(&bad)
    );
    assert!(good.stdout.is_empty() && bad.stdout.is_empty());
}

#[test]
fn the_endpoint_comes_from_the_environment_too() {
    let output = lb_ctl(&["status"])
        .env("LB_ENDPOINT", "unix:/does/not/exist")
        .output()
        .expect("to run");
    assert_eq!(output.status.code(), Some(5));
    let expected = "error: can't reach the daemon at unix:/does/not/exist: no such socket; is it running?\n";
    assert_eq!(err(&output), expected);
    let usage = lb_ctl(&["status"])
        .env("LB_ENDPOINT", "nowhere")
        .output()
        .expect("to run");
    assert_eq!(usage.status.code(), Some(2), "{}", err(&usage));
}

#[test]
fn a_reader_that_goes_away_hears_nothing() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = lb_ctl(&["--help"])
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .expect("to run");
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""));
}
