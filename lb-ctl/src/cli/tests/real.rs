//! Verbs that change something, against the server with the real rules.

use serde_json::{Value, json};

use super::super::*;
use super::{Ran, with};
use crate::control::judging::{JudgingControl, sample};
use crate::server::tests::harness::TestServer;

struct Daemon {
    server: TestServer<JudgingControl>,
    directory: tempfile::TempDir,
}

impl Daemon {
    fn start() -> Self {
        Self {
            server: TestServer::start(sample()),
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    fn run(&self, line: &str) -> Ran {
        with(&self.server, &line.split_whitespace().collect::<Vec<_>>())
    }

    #[track_caller]
    fn ok(&self, line: &str) -> String {
        let ran = self.run(line);
        assert_eq!(ran.code, ExitCode::Ok, "{line}: {}", ran.err);
        ran.out
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.ok(&format!("{line} --format json"))).expect("JSON")
    }

    fn file(&self, text: &str) -> String {
        let path = self.directory.path().join("file.yaml");
        std::fs::write(&path, text).expect("to write");
        path.display().to_string()
    }
}

#[test]
fn a_load_balancer_comes_and_goes() {
    let daemon = Daemon::start();
    daemon.ok("health-checks create http up --region r1 --port 8080 --request-path /healthz");
    daemon.ok("network-endpoint-groups create a --annotations lb/delivery=l2");
    daemon.ok("network-endpoint-groups update a --add-endpoint instance=a1,ip=10.0.1.1 --add-endpoint instance=a2,ip=10.0.1.2");
    daemon.ok(
        "backend-services create s --load-balancing-scheme internal --health-checks up --failover-ratio 0.5",
    );
    daemon.ok("backend-services add-backend s --network-endpoint-group a");
    daemon.ok("backend-services add-backend s --network-endpoint-group spare --failover");
    daemon.ok("forwarding-rules create v --load-balancing-scheme internal --address 10.0.9.1 --ports 80,443 --backend-service s");
    daemon.ok(
        "forwarding-rules create o --address 203.0.113.1 --ip-protocol udp --ports 53 --backend-service old",
    );
    assert_eq!(
        daemon.ok("forwarding-rules list --filter name=v"),
        "NAME  REGION  IP_ADDRESS  IP_PROTOCOL  TARGET\nv     r1      10.0.9.1    TCP          r1/backendServices/s\n"
    );
    let endpoints = daemon.ok("network-endpoint-groups list-network-endpoints a");
    assert_eq!(
        endpoints,
        "INSTANCE  IP_ADDRESS  IPV6_ADDRESS  PORT\na1        10.0.1.1\na2        10.0.1.2\n"
    );
    let service = daemon.json("backend-services describe s");
    assert_eq!(service["backends"][1]["failover"], true);
    assert_eq!(service["failoverPolicy"]["failoverRatio"], 0.5);
    assert!(
        service["healthChecks"][0]
            .as_str()
            .is_some_and(|url| url.ends_with("/regions/r1/healthChecks/up"))
    );

    daemon.ok("network-endpoint-groups update a --remove-endpoint instance=a2,ip=10.0.1.2");
    assert_eq!(daemon.json("network-endpoint-groups describe a")["size"], 1);
    daemon.ok("backend-services remove-backend s --network-endpoint-group spare");
    assert_eq!(
        daemon.json("backend-services describe s")["backends"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );

    let types =
        daemon.ok("operations list --filter targetLink~/r1/backendServices/s --format value(operationType)");
    assert_eq!(types.lines().collect::<Vec<_>>().len(), 4, "{types}");
    daemon
        .run("backend-services delete s --quiet")
        .is(ExitCode::Failed)
        .says("already being used by");
    for line in [
        "forwarding-rules delete v",
        "backend-services delete s",
        "health-checks delete up --region r1",
        "network-endpoint-groups delete a",
    ] {
        daemon.ok(&format!("{line} --quiet"));
    }
}

#[test]
fn an_update_changes_what_it_says_and_nothing_else() {
    let daemon = Daemon::start();
    for (line, path, expected) in [
        (
            "backend-services update web --session-affinity client-ip --tracking-mode per-session --idle-timeout-sec 10m",
            "/connectionTrackingPolicy",
            json!({"trackingMode": "PER_SESSION", "idleTimeoutSec": 600}),
        ),
        (
            "backend-services update web --connection-persistence-on-unhealthy-backends never-persist",
            "/connectionTrackingPolicy",
            json!({"trackingMode": "PER_SESSION", "idleTimeoutSec": 600,
                   "connectionPersistenceOnUnhealthyBackends": "NEVER_PERSIST"}),
        ),
        (
            "backend-services update web --connection-draining-timeout 5m",
            "/connectionDraining",
            json!({"drainingTimeoutSec": 300}),
        ),
        (
            "backend-services update web --no-health-checks",
            "/healthChecks",
            json!([]),
        ),
        (
            "backend-services update web --global-health-checks --health-checks ghc",
            "/healthChecks/0",
            json!("https://www.googleapis.com/compute/v1/projects/acme/global/healthChecks/ghc"),
        ),
        (
            "backend-services update-backend web --network-endpoint-group near --description d",
            "/backends/0/description",
            json!("d"),
        ),
        (
            "health-checks update tcp hc --check-interval 9 --request ping",
            "/tcpHealthCheck/request",
            json!("ping"),
        ),
        (
            "forwarding-rules update web-rule --update-labels a=1,b=2",
            "/labels",
            json!({"a": "1", "b": "2"}),
        ),
        (
            "forwarding-rules update web-rule --remove-labels a --allow-global-access",
            "/labels",
            json!({"b": "2"}),
        ),
        (
            "instance-groups unmanaged remove-instances far --instances f1",
            "/size",
            json!(0),
        ),
        (
            "instance-groups add-instances far --instances f1,f2",
            "/size",
            json!(2),
        ),
        (
            "instances update f1 --private-network-ip 10.0.5.9",
            "/networkInterfaces/0/networkIP",
            json!("10.0.5.9"),
        ),
    ] {
        let after = daemon.json(line);
        let found = after.pointer(path).cloned().unwrap_or_else(|| json!([]));
        assert_eq!(found, expected, "{line}: {after}");
    }
    let rule = daemon.json("forwarding-rules describe web-rule");
    assert_eq!(
        (&rule["allowGlobalAccess"], &rule["IPAddress"]),
        (&json!(true), &json!("10.0.9.9"))
    );
    assert_eq!(
        daemon.ok("instance-groups unmanaged list-instances far --format value(instance.basename())"),
        "f1\nf2\n"
    );
}

#[test]
fn every_fault_of_a_change_is_told_and_nothing_changes() {
    let daemon = Daemon::start();
    let before = daemon.json("backend-services describe web");
    let ran = daemon.run(
        "backend-services update web --protocol http --session-affinity generated-cookie --failover-ratio 2",
    );
    ran.is(ExitCode::Invalid)
        .says("$.protocol: 'HTTP'")
        .says("$.sessionAffinity: 'GENERATED_COOKIE'")
        .says("$.failoverPolicy.failoverRatio: '2.0'")
        .says("3 faults\n");
    assert_eq!(daemon.json("backend-services describe web"), before);
    let ran = daemon.run("backend-services create web");
    ran.is(ExitCode::Failed).says("already exists");
    let ran = daemon.run("health-checks create grpc x");
    ran.is(ExitCode::Invalid).says("grpcHealthCheck");
    let ran = daemon.run("network-endpoint-groups create x --network-endpoint-type gce-vm-ip-port");
    ran.is(ExitCode::Invalid)
        .says("$.networkEndpointType: 'GCE_VM_IP_PORT'");
}

#[test]
fn what_was_exported_comes_back() {
    let daemon = Daemon::start();
    let resources = [
        ("forwarding-rules", "web-rule", ""),
        ("backend-services", "web", ""),
        ("backend-services", "old", ""),
        ("health-checks", "ghc", "--global"),
        ("network-endpoint-groups", "near", ""),
        ("instance-groups", "far", ""),
        ("instances", "f1", ""),
    ];
    let export =
        |(noun, name, place): (&str, &str, &str)| daemon.ok(&format!("{noun} export {name} {place}"));
    let before = resources.map(export);
    for (noun, name, place) in resources {
        daemon.ok(&format!("{noun} delete {name} {place} --quiet"));
    }
    let import = |(noun, name, place), text: &str| {
        let file = daemon.file(text);
        let ran = daemon.run(&format!("{noun} import {name} {place} --source {file} --quiet"));
        ran.is(ExitCode::Ok).err.clone()
    };
    for (resource, text) in resources.into_iter().zip(&before).rev() {
        let told = import(resource, text);
        assert!(told.contains("Created ["), "{resource:?}: {told}");
    }
    assert_eq!(resources.map(export), before);
    for (resource, text) in resources.into_iter().zip(&before) {
        let told = import(resource, text);
        assert!(
            told.contains("is as the file says already"),
            "{resource:?}: {told}"
        );
    }
}

#[test]
fn an_import_replaces_what_the_file_does_not_say() {
    let daemon = Daemon::start();
    daemon.ok("backend-services update web --description old --connection-draining-timeout 9");
    let text = daemon.ok("backend-services export web");
    let without = text
        .lines()
        .filter(|line| !line.starts_with("description"))
        .map(|line| line.replace("drainingTimeoutSec: 9", "drainingTimeoutSec: 30"))
        .collect::<Vec<_>>()
        .join("\n");
    let file = daemon.file(&without);
    let import = format!("backend-services import web --source {file} --quiet");
    daemon.run(&import).is(ExitCode::Ok).says("Updated");
    let service = daemon.json("backend-services describe web");
    assert_eq!(service["connectionDraining"]["drainingTimeoutSec"], 30);
    assert_ne!(service["description"], "old");

    daemon.ok("backend-services update web --timeout 9");
    daemon
        .run(&import)
        .is(ExitCode::Failed)
        .says("'web' was changed since it was read: its fingerprint is another now");
    assert_eq!(daemon.json("backend-services describe web")["timeoutSec"], 9);

    daemon.ok("forwarding-rules update web-rule --allow-global-access");
    let text = daemon.ok("forwarding-rules export web-rule");
    let file = daemon.file(&text.replace("allowGlobalAccess: true", "allowGlobalAccess: false"));
    daemon.ok(&format!(
        "forwarding-rules import web-rule --source {file} --quiet"
    ));
    assert_eq!(
        daemon.json("forwarding-rules describe web-rule")["allowGlobalAccess"],
        false
    );

    let text = daemon.ok("network-endpoint-groups export near");
    let file = daemon.file(&text.replace("10.0.0.2", "10.0.0.3"));
    daemon.ok(&format!(
        "network-endpoint-groups import near --source {file} --quiet"
    ));
    assert_eq!(
        daemon.ok(
            "network-endpoint-groups list-network-endpoints near --format value(networkEndpoint.ipAddress)"
        ),
        "10.0.0.1\n10.0.0.3\n"
    );
}
