//! `lb-ctl` as a new user meets it: what stops `run`, what an apply refuses, what every verb prints, and how they end.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};
use std::time::Duration;

use lb_tests::balanced::Balanced;
use lb_tests::condition::eventually;
use lb_tests::daemon::{Daemon, Refusal, program};
use lb_tests::documents::{Documents, Service};
use lb_tests::topology::{LB, Lab, PRIMARIES, VIP4, VIP6};
use serde_json::{Value, json};

const ETH0: [&str; 2] = ["--interface", "eth0"];
const SOON: Duration = Duration::from_secs(5);
const NOBODY: u32 = 65_534;
const REGION: &str = "projects/lab/regions/lab-1";

fn documents(lab: &Lab) -> Documents {
    Documents::new(lab, &PRIMARIES).both_protocols(|service| service)
}

#[track_caller]
fn assert_nothing_is_attached(lab: &Lab) {
    let link = lab.lb().ip_output(&["link", "show", "eth0"]);
    assert!(!link.contains("xdp"), "{link}");
}

fn code_and_complaint(output: &Output) -> (Option<i32>, String) {
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// How the verb ended, and one line for each of `parts` in what it complained of.
#[track_caller]
fn assert_fails(output: &Output, code: i32, parts: &[&str]) {
    let (found, complaint) = code_and_complaint(output);
    assert_eq!(found, Some(code), "{complaint}");
    for part in parts {
        assert!(complaint.contains(part), "no {part:?} in {complaint}");
    }
}

/// The words of a table's lines, without the header, which has to be this.
#[track_caller]
fn rows(table: &str, header: &[&str]) -> Vec<Vec<String>> {
    let mut lines = table
        .lines()
        .map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(lines.next().unwrap_or_default(), header, "{table}");
    lines.collect()
}

#[test]
fn run_without_root_says_what_it_needs() {
    let lab = Lab::flat("no-root");
    let daemon = Daemon::new(&lab);
    // Nobody may enter the directory that this build is in.
    let copy = daemon.write("lb-ctl", "");
    std::fs::copy(program(), &copy).unwrap();
    let mut command = Command::new(copy);
    command
        .args(["run", "--interface", "eth0"])
        .uid(NOBODY)
        .gid(NOBODY);
    Refusal::of(&mut command, &daemon.write("nobody.log", "")).assert(1, &["error: lb-ctl run needs root"]);
}

#[test]
fn run_names_an_interface_that_is_missing() {
    let lab = Lab::flat("no-interface");
    Daemon::new(&lab)
        .refused(&["--interface", "eth7"])
        .assert(1, &["error: there is no interface named eth7"]);
}

#[test]
fn run_names_the_program_that_another_attached() {
    let mut lab = Lab::flat("occupied");
    lab.occupy(LB, "eth0");
    let refusal = Daemon::new(&lab).refused(&ETH0);
    refusal.assert(1, &["eth0 already carries an XDP program", "lab_pass"]);
    let link = lab.lb().ip_output(&["-d", "link", "show", "eth0"]);
    assert!(link.contains("xdp"), "the other's program is gone: {link}");
}

#[test]
fn run_refuses_native_mode_where_the_driver_does() {
    let lab = Lab::flat("no-native");
    lab.lb().ip(&[
        "link add br0 type bridge".to_owned(),
        "link set br0 up".to_owned(),
    ]);
    let daemon = Daemon::new(&lab);
    daemon
        .refused(&["--interface", "br0", "--xdp-mode", "native"])
        .assert(
            1,
            &[
                "the driver of br0 can't run this XDP program natively",
                "--xdp-mode generic",
            ],
        );
    assert!(!lab.lb().ip_output(&["link", "show", "br0"]).contains("xdp"));
}

#[test]
fn run_refuses_what_is_no_usage() {
    let lab = Lab::flat("no-usage");
    let daemon = Daemon::new(&lab);
    daemon.refused(&[]).assert(2, &["--interface"]);
    daemon
        .refused(&["--interface", "eth0", "--xdp-mode", "fast"])
        .assert(2, &["--xdp-mode", "generic"]);
    daemon
        .refused(&["--interface", "eth0", "--hash-seed", "12"])
        .assert(2, &["32 hexadecimal digits"]);
}

#[test]
fn run_refuses_a_malformed_configuration_with_the_place() {
    let lab = Lab::flat("malformed");
    let mut daemon = Daemon::new(&lab);
    daemon.give(
        "--config",
        "broken.json",
        "[\n  {\"kind\": \"compute#healthCheck\",\n",
    );
    daemon
        .refused(&ETH0)
        .assert(4, &["broken.json: ", "line 3", "1 fault\n"]);
    assert_nothing_is_attached(&lab);
}

#[test]
fn run_refuses_an_invalid_configuration_with_every_path() {
    let lab = Lab::flat("invalid");
    let mut daemon = Daemon::new(&lab);
    let service = Service::tcp()
        .set("sessionAffinity", "CLIENT_IP_NO_DESTINATON".into())
        .set("enableCDN", true.into())
        .set("connectionDraining", json!({"drainingTimeoutSec": 3601}))
        .set("colour", "blue".into());
    daemon.give(
        "--config",
        "invalid.json",
        &Documents::new(&lab, &PRIMARIES).service(service).json(),
    );
    let faults = [
        "invalid.json: $[2].sessionAffinity: ",
        "invalid.json: $[2].enableCDN: ",
        "invalid.json: $[2].connectionDraining.drainingTimeoutSec: ",
        "invalid.json: $[2].colour: ",
        "4 faults\n",
    ];
    daemon.refused(&ETH0).assert(4, &faults);
    assert_nothing_is_attached(&lab);
}

#[test]
fn run_leaves_a_state_directory_to_the_daemon_that_has_it() {
    let lab = Lab::flat("second");
    let balanced = Balanced::start(&lab, &documents(&lab));
    balanced
        .daemon
        .refused(&ETH0)
        .assert(1, &["the state directory ", "is in use by another lb-ctl run"]);
    balanced.connect(VIP4).unwrap();
    balanced.daemon.assert_quiet(&[]);
}

#[test]
fn a_bad_document_changes_nothing() {
    let lab = Lab::flat("bad-apply");
    let mut balanced = Balanced::start(&lab, &documents(&lab));
    let mut connection = balanced.connect(VIP4).unwrap();
    let daemon = &mut balanced.daemon;
    let (before, resources) = (
        daemon.contents(),
        daemon.ctl(&["backend-services", "list", "--format", "json"]),
    );
    assert!(!before.rules.rules.is_empty() && !before.services.is_empty());

    let good_and_bad =
        Documents::new(&lab, &PRIMARIES[..1]).service(Service::tcp().set("protocol", "TPC".into()));
    let dangling = Documents::new(&lab, &PRIMARIES[..1])
        .service(Service::udp().set("healthChecks", json!([format!("{REGION}/healthChecks/nowhere")])));
    let unknown_field = Documents::new(&lab, &PRIMARIES[..1]).service(Service::tcp().set(
        "logConfig",
        json!({"enable": true, "optionalMode": "CUSTOM", "optionalFields": ["serverGkeDetails"]}),
    ));
    let attempts = [
        ("bad.json", good_and_bad.json(), "bad.json: $[2].protocol: 'TPC'"),
        (
            "dangling.json",
            dangling.json(),
            "dangling.json: $[2].healthChecks[0]: ",
        ),
        (
            "unknown-field.json",
            unknown_field.json(),
            "unknown-field.json: $[2].logConfig.optionalFields[0]: 'serverGkeDetails': ",
        ),
        ("broken.json", "{".to_owned(), "broken.json: $: "),
        (
            "empty-name.json",
            json!({"kind": "compute#healthCheck"}).to_string(),
            "$.name: ",
        ),
    ];
    for (name, text, fault) in attempts {
        let path = daemon.write(name, &text);
        assert_fails(
            &daemon.run_ctl(&["apply", "-f", path.to_str().unwrap()]),
            4,
            &[fault, " fault"],
        );
    }
    assert!(daemon.contents() == before, "the maps have changed");
    assert_eq!(
        daemon.ctl(&["backend-services", "list", "--format", "json"]),
        resources
    );
    assert_eq!(connection.ask().as_deref(), Ok(connection.backend.as_str()));
}

#[test]
fn what_a_configuration_file_owns_is_changed_there() {
    let lab = Lab::flat("owned");
    let daemon = Daemon::start_with(&lab, &documents(&lab).json());
    // From here on nothing changes by itself: nobody answers the probes.
    daemon.wait_for_delivery();
    let before = daemon.contents();
    let changed =
        Documents::new(&lab, &PRIMARIES).service(Service::tcp().set("sessionAffinity", "CLIENT_IP".into()));
    let path = daemon.write("changed.json", &changed.json());
    assert_fails(
        &daemon.run_ctl(&["apply", "-f", path.to_str().unwrap()]),
        4,
        &["config.json", "web"],
    );
    let delete = daemon.run_ctl(&["forwarding-rules", "delete", "web-ipv4", "--quiet"]);
    assert_fails(&delete, 1, &["config.json"]);
    assert!(daemon.contents() == before, "the maps have changed");
}

#[test]
fn verbs_end_with_the_documented_codes() {
    let lab = Lab::flat("codes");
    let mut daemon = Daemon::start(&lab, &documents(&lab));
    assert!(daemon.run_ctl(&["status"]).status.success());
    assert_fails(
        &daemon.run_ctl(&["backend-services", "describe", "nowhere"]),
        1,
        &["there is no 'nowhere'"],
    );
    assert_fails(
        &daemon.run_ctl(&["backend-services", "delete", "web", "--quiet"]),
        1,
        &["web-ipv4"],
    );
    assert_fails(&daemon.run_ctl(&["backend-services", "describe"]), 2, &["<NAME>"]);
    assert_fails(
        &daemon.run_ctl(&["flows", "list", "--limit", "0"]),
        2,
        &["--limit"],
    );
    assert_fails(
        &daemon.run_ctl(&["apply", "-f", "/does/not/exist"]),
        4,
        &["/does/not/exist"],
    );
    daemon.terminate();
    assert_fails(
        &daemon.run_ctl(&["status"]),
        5,
        &["can't reach the daemon at unix:"],
    );
}

#[test]
fn detach_works_without_a_daemon_and_only_once() {
    let lab = Lab::flat("detach-offline");
    let mut balanced = Balanced::start(&lab, &documents(&lab));
    let mut connection = balanced.connect(VIP4).unwrap();
    balanced.daemon.kill();
    assert_eq!(connection.ask().as_deref(), Ok(connection.backend.as_str()));
    let output = balanced.daemon.run_ctl(&["detach"]);
    assert_fails(&output, 0, &["No daemon answers", "detaching what is pinned"]);
    assert_nothing_is_attached(&lab);
    assert_fails(&balanced.daemon.run_ctl(&["detach"]), 1, &["nothing is attached"]);

    balanced.daemon.start_again();
    balanced.daemon.wait_for_health("backend-1", true);
    assert!(
        balanced.connect(VIP4).is_ok(),
        "it doesn't balance after a new start"
    );
}

#[test]
fn lists_have_gclouds_columns() {
    let lab = Lab::flat("lists");
    let daemon = Daemon::start(&lab, &documents(&lab));
    let services = daemon.ctl(&["backend-services", "list"]);
    let header = [
        "NAME",
        "BACKENDS",
        "PROTOCOL",
        "LOAD_BALANCING_SCHEME",
        "HEALTH_CHECKS",
    ];
    let group = "lab-1-a/networkEndpointGroups/primary";
    assert_eq!(
        rows(&services, &header),
        [
            ["dns", group, "UDP", "INTERNAL", "lab-hc"],
            ["web", group, "TCP", "INTERNAL", "lab-hc"]
        ]
    );

    let rules = daemon.ctl(&["forwarding-rules", "list"]);
    let rules = rows(&rules, &["NAME", "REGION", "IP_ADDRESS", "IP_PROTOCOL", "TARGET"]);
    let target = "lab-1/backendServices/web";
    let web4 = ["web-ipv4", "lab-1", &VIP4.to_string(), "TCP", target].map(str::to_owned);
    let web6 = ["web-ipv6", "lab-1", &VIP6.to_string(), "TCP", target].map(str::to_owned);
    assert!(
        rules.contains(&web4.into()) && rules.contains(&web6.into()),
        "{rules:?}"
    );
    assert_eq!(rules.len(), 4);

    let checks = daemon.ctl(&["health-checks", "list"]);
    assert_eq!(
        rows(&checks, &["NAME", "REGION", "PROTOCOL"]),
        [["lab-hc", "lab-1", "HTTP"]]
    );
    let groups = daemon.ctl(&["network-endpoint-groups", "list"]);
    assert_eq!(
        rows(&groups, &["NAME", "LOCATION", "ENDPOINT_TYPE", "SIZE"]),
        [["primary", "lab-1-a", "GCE_VM_IP", "3"]]
    );
    let endpoints = daemon.ctl(&["network-endpoint-groups", "list-network-endpoints", "primary"]);
    let endpoints = rows(&endpoints, &["INSTANCE", "IP_ADDRESS", "IPV6_ADDRESS", "PORT"]);
    let host = lab.host("backend-2");
    let expected = [
        "backend-2".to_owned(),
        host.ipv4.to_string(),
        host.ipv6.to_string(),
    ];
    assert!(endpoints.contains(&expected.into()), "{endpoints:?}");
}

#[test]
fn describe_shows_what_is_in_force_and_delete_removes_it() {
    let lab = Lab::flat("describe");
    let daemon = Daemon::start(&lab, &documents(&lab));
    let described: Value =
        serde_json::from_str(&daemon.ctl(&["backend-services", "describe", "web", "--format", "json"]))
            .unwrap();
    for (field, value) in [
        ("kind", json!("compute#backendService")),
        ("sessionAffinity", json!("NONE")),
        ("timeoutSec", json!(30)),
        ("connectionDraining", json!({"drainingTimeoutSec": 0})),
    ] {
        assert_eq!(described[field], value, "{field}");
    }
    assert!(
        described["id"]
            .as_str()
            .is_some_and(|id| id.parse::<u64>().is_ok()),
        "{}",
        described["id"]
    );
    assert!(described["fingerprint"].is_string() && described["creationTimestamp"].is_string());

    let before = daemon.contents();
    for rule in ["web-ipv4", "web-ipv6"] {
        daemon.ctl(&["forwarding-rules", "delete", rule, "--quiet"]);
    }
    daemon.ctl(&["backend-services", "delete", "web", "--quiet"]);
    let left = daemon.ctl(&["backend-services", "list", "--format", "json"]);
    let left: Value = serde_json::from_str(&left).unwrap();
    assert_eq!(
        (left.as_array().unwrap().len(), &left[0]["name"]),
        (1, &json!("dns"))
    );
    assert_eq!(daemon.contents().rules.rules.len(), before.rules.rules.len() - 2);
}

#[test]
fn health_is_told_per_endpoint() {
    let lab = Lab::flat("get-health");
    let mut balanced = Balanced::start(&lab, &documents(&lab));
    balanced.set_health("backend-2", false);
    let table = balanced.daemon.ctl(&["backend-services", "get-health", "web"]);
    let header = [
        "GROUP",
        "INSTANCE",
        "IP_ADDRESS",
        "PORT",
        "HEALTH",
        "WEIGHT",
        "DETAIL",
    ];
    let rows = rows(&table, &header);
    assert_eq!(rows.len(), 6, "an endpoint has two families: {table}");
    for row in rows {
        let expected = if row[1] == "backend-2" {
            "UNHEALTHY"
        } else {
            "HEALTHY"
        };
        assert!(row.iter().any(|word| word == expected), "{row:?}");
        assert_eq!(
            row[1] == "backend-2",
            row.iter().any(|word| word.contains("503")),
            "{row:?}"
        );
    }

    let json = balanced
        .daemon
        .ctl(&["backend-services", "get-health", "web", "--format", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let statuses = json[0]["status"]["healthStatus"].as_array().unwrap();
    let unhealthy = statuses
        .iter()
        .filter(|status| status["healthState"] == "UNHEALTHY");
    assert!(unhealthy.clone().count() >= 1, "{json:#}");
    assert!(
        unhealthy
            .into_iter()
            .all(|status| status["instance"].as_str().unwrap().ends_with("backend-2"))
    );
}

#[test]
fn flows_are_listed_and_counted() {
    let lab = Lab::flat("flows");
    let balanced = Balanced::start(&lab, &documents(&lab));
    let connections = balanced.connect_many(VIP4, 3);
    let _kept = balanced.connect(VIP6).unwrap();

    let list = balanced.daemon.ctl(&["flows", "list", "--service", "web"]);
    let header = [
        "PROTOCOL",
        "SOURCE",
        "DESTINATION",
        "SERVICE",
        "BACKEND",
        "HEALTHY",
        "CONFIRMED",
        "EXPIRES",
    ];
    let rows = rows(&list, &header);
    assert_eq!(rows.len(), 4, "{list}");
    for connection in &connections {
        let source = connection.local_address().to_string();
        let row = rows
            .iter()
            .find(|row| row[1] == source)
            .unwrap_or_else(|| panic!("no {source} in {list}"));
        let expected = [
            "TCP",
            &source,
            &format!("{VIP4}:80"),
            "web",
            &format!("primary/{}", connection.backend),
            "yes",
        ];
        assert_eq!(row[..6], expected);
    }

    let count = balanced.daemon.ctl(&["flows", "count"]);
    assert!(
        count.contains("slots:") && count.lines().any(|line| line.split_whitespace().eq(["web", "4"])),
        "{count}"
    );
    assert_eq!(balanced.daemon.ctl(&["flows", "list", "--service", "dns"]), "");
    let cut = balanced.daemon.run_ctl(&["flows", "list", "--limit", "2"]);
    assert_fails(&cut, 0, &["There are more than 2 flows"]);
}

#[test]
fn status_and_stats_tell_what_happens() {
    let lab = Lab::flat("status");
    let balanced = Balanced::start(&lab, &documents(&lab));
    let status = balanced.daemon.ctl(&["status"]);
    for part in [
        "endpoints:",
        "6 of 6 healthy",
        "2 backendServices",
        "4 forwardingRules",
        "INTERFACE",
        "native",
    ] {
        assert!(status.contains(part), "no {part:?} in {status}");
    }
    assert!(!status.contains("warning:"), "{status}");

    let connection = balanced.connect(VIP4).unwrap();
    let backend = format!("primary/{}", connection.backend);
    let stats = eventually(SOON, || {
        let stats = balanced.daemon.ctl(&["stats"]);
        if stats.contains("forward_tracked") {
            Ok(stats)
        } else {
            Err(stats)
        }
    });
    assert!(stats.contains("web (IPV4, active pool: primary)"), "{stats}");
    let web4 = stats
        .split("\n\n")
        .find(|part| part.starts_with("web (IPV4"))
        .unwrap();
    let row: Vec<&str> = web4
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|words| words.first() == Some(&backend.as_str()))
        .unwrap();
    assert_eq!(
        row[1..6],
        [
            &lab.host(&connection.backend).ipv4.to_string(),
            "primary",
            "healthy",
            "-",
            "l2"
        ]
    );
    assert_eq!(balanced.daemon.verdict_packets("forward_new"), 1);
}
