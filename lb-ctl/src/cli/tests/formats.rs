//! How lists and resources are selected and printed.

use super::fake_api::FakeApi;
use super::*;

#[test]
fn lists_take_gclouds_flags() {
    let server = TestServer::start(sample());
    for (args, expected) in [
        (&["--format", "value(name,type)"][..], "hc\tHTTP\nhc\tTCP\n"),
        (&["--filter", "type=TCP", "--format", "value(region)"], "r1\n"),
        (&["--sort-by", "type", "--format", "value(type)"], "HTTP\nTCP\n"),
        (&["--sort-by", "~type", "--format", "value(type)"], "TCP\nHTTP\n"),
        (
            &["--sort-by", "name,~type", "--format", "value(type)"],
            "TCP\nHTTP\n",
        ),
        (&["--limit", "1", "--format", "value(type)"], "HTTP\n"),
        (&["--format", "csv(name,region)"], "name,region\nhc,\nhc,r1\n"),
        (
            &["--page-size", "1"],
            "NAME  REGION  PROTOCOL\nhc            HTTP\nNAME  REGION  PROTOCOL\nhc    r1      TCP\n",
        ),
        (&["--regions", "r1,r2", "--format", "value(type)"], "TCP\n"),
        (&["--global", "--format", "value(type)"], "HTTP\n"),
        (&["hc", "--format", "value(type)"], "HTTP\nTCP\n"),
        (&["--format", "none"], ""),
        (
            &["--uri"],
            "https://www.googleapis.com/compute/v1/projects/acme/global/healthChecks/hc\n\
             https://www.googleapis.com/compute/v1/projects/acme/regions/r1/healthChecks/hc\n",
        ),
        (
            &["--filter", "type=TCP", "--format", "yaml(name,type)"],
            "---\nname: hc\ntype: TCP\n",
        ),
    ] {
        let args = [&["health-checks", "list"], args].concat();
        assert_eq!(with(&server, &args).is(ExitCode::Ok).out, expected, "{args:?}");
    }
    let none = with(&server, &["health-checks", "list", "--filter", "name=x"]);
    assert_eq!(none.is(ExitCode::Ok).says("Listed 0 items.").out, "");
    let ran = with(
        &server,
        &[
            "network-endpoint-groups",
            "list",
            "--page-size",
            "1",
            "--format",
            "json",
        ],
    );
    let groups = ran.json();
    assert_eq!(groups[0]["size"], 2);
    assert!(groups[0]["networkEndpoints"].is_null(), "{groups}");
}

#[test]
fn a_resource_is_described_in_yaml() {
    let server = TestServer::start(sample());
    let args = ["health-checks", "describe", "hc", "--region", "r1"];
    let text = with(&server, &args).is(ExitCode::Ok).out.clone();
    let described = crate::output::from_yaml(&text).expect("YAML");
    let json = with(&server, &[&args[..], &["--format", "json"]].concat()).json();
    assert_eq!(described, json);
    let table = with(&server, &[&args[..], &["--format", "table"]].concat());
    assert_eq!(
        table.is(ExitCode::Ok).out,
        "NAME  REGION  PROTOCOL\nhc    r1      TCP\n"
    );
}

#[test]
fn the_daemons_views_take_formats_too() {
    let server = TestServer::start(sample());
    for (args, expected) in [
        (
            &["status", "--format", "value(pid,defaultPlace.region)"][..],
            "42\tr1\n",
        ),
        (&["flows", "count", "--format", "value(live)"], "3\n"),
        (
            &["flows", "list", "--format", "value(flows[].instance)"],
            "n1;n1;n1\n",
        ),
        (
            &[
                "backend-services",
                "get-health",
                "web",
                "--format",
                "value(status.healthStatus[].healthState)",
            ],
            "HEALTHY;UNHEALTHY\n",
        ),
        (
            &[
                "network-endpoint-groups",
                "list-network-endpoints",
                "near",
                "--format",
                "value(networkEndpoint.ipAddress)",
                "--sort-by",
                "~networkEndpoint.ipAddress",
            ],
            "10.0.0.2\n10.0.0.1\n",
        ),
        (
            &["instance-groups", "unmanaged", "list-instances", "far"],
            "NAME  STATUS\nf1    RUNNING\n",
        ),
    ] {
        assert_eq!(with(&server, args).is(ExitCode::Ok).out, expected, "{args:?}");
    }
}

#[test]
fn operations_are_of_all_places_unless_told() {
    let api = FakeApi::start();
    let operation =
        |name: &str| serde_json::json!({"name": name, "operationType": "insert", "status": "DONE"});
    for (place, name) in [
        ("global", "a"),
        ("regions/r1", "b"),
        ("zones/r1-a", "c"),
        ("zones/elsewhere", "d"),
    ] {
        let path = format!("projects/acme/{place}/operations");
        api.asked().operations.insert(path, vec![operation(name)]);
    }
    for (args, expected) in [
        (&[][..], "a\nb\nc\n"),
        (&["--global"], "a\n"),
        (&["--regions", "r1"], "b\n"),
        (&["--zones", "r1-a,elsewhere"], "d\nc\n"),
        (&["--filter", "name=b"], "b\n"),
    ] {
        let args = [&["operations", "list", "--format", "value(name)"], args].concat();
        assert_eq!(api.run(&args).is(ExitCode::Ok).out, expected, "{args:?}");
    }
    assert_eq!(
        api.run(&["operations", "describe", "b"]).is(ExitCode::Ok).out,
        "name: b\noperationType: insert\nstatus: DONE\n"
    );
    api.run(&["operations", "describe", "x"])
        .is(ExitCode::Failed)
        .says("there is no 'x'");
}

#[test]
fn every_shell_gets_a_script() {
    for shell in ["bash", "zsh", "fish"] {
        let script = lb_ctl(&["completion", shell]).is(ExitCode::Ok).out.clone();
        for word in [
            "backend-services",
            "connection-persistence-on-unhealthy-backends",
            "NEVER_PERSIST",
        ] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
}
