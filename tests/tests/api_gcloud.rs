//! gcloud, unmodified, drives a daemon that was given nothing, and what it prints is what its user expects. Where it is
//! not installed these tests say so and do nothing.

use std::fs;

use lb_tests::clients::{Api, Gcloud};
use lb_tests::topology::Lab;
use serde_json::{Value, json};

const HERE: &str = "https://www.googleapis.com/compute/v1/projects/shop";
const REGION: &str = "--region north-1";
const ZONE: &str = "--zone north-1-a";

fn with_gcloud(label: &str, test: impl FnOnce(&Api, &Gcloud)) {
    let lab = Lab::flat(label);
    let api = Api::start(&lab);
    if let Some(gcloud) = Gcloud::of(&api) {
        test(&api, &gcloud);
        api.daemon.assert_quiet(&[]);
    }
}

/// The words of a table's lines, without its header, which has to begin like this.
#[track_caller]
fn rows(table: &str, header: &[&str]) -> Vec<Vec<String>> {
    let mut lines = table
        .lines()
        .map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let found = lines.next().unwrap_or_default();
    assert!(
        found.starts_with(&header.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()),
        "{table}"
    );
    lines.collect()
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[test]
fn a_backend_service_from_create_to_delete() {
    with_gcloud("gc-service", |api, gcloud| {
        gcloud.compute(&format!("health-checks create tcp hc {REGION} --port 80"));
        for group in ["neg-1", "neg-2"] {
            gcloud.compute(&format!(
                "network-endpoint-groups create {group} {ZONE} --network-endpoint-type gce-vm-ip"
            ));
        }
        let create = format!(
            "backend-services create web {REGION} --load-balancing-scheme INTERNAL --protocol TCP \
             --health-checks hc --health-checks-region north-1 --session-affinity CLIENT_IP \
             --connection-draining-timeout 45 --failover-ratio 0.5 --drop-traffic-if-unhealthy \
             --connection-persistence-on-unhealthy-backends NEVER_PERSIST --tracking-mode PER_SESSION"
        );
        let created = gcloud.compute(&create);
        assert_eq!(
            rows(&created, &["NAME", "BACKENDS", "PROTOCOL"]),
            [["web", "TCP"]]
        );
        assert_says(
            &gcloud.refused(&create),
            &["projects/shop/regions/north-1/backendServices/web' already exists"],
        );
        add_update_and_remove_backends(gcloud);
        change_and_carry_over(api, gcloud);

        let listed = gcloud.compute("backend-services list");
        assert_eq!(
            rows(&listed, &["NAME", "BACKENDS", "PROTOCOL"]),
            [["web", "north-1-a/networkEndpointGroups/neg-1", "TCP"]]
        );
        assert_says(
            &gcloud.refused(&format!("health-checks delete hc {REGION}")),
            &["projects/shop/regions/north-1/healthChecks/hc", "used by"],
        );
        gcloud.compute(&format!("backend-services delete web {REGION}"));
        gcloud.compute(&format!("health-checks delete hc {REGION}"));
        for group in ["neg-1", "neg-2"] {
            gcloud.compute(&format!("network-endpoint-groups delete {group} {ZONE}"));
        }
        assert_says(
            &gcloud.refused(&format!("backend-services describe web {REGION}")),
            &["projects/shop/regions/north-1/backendServices/web' was not found"],
        );
        assert_eq!(gcloud.json("network-endpoint-groups list"), json!([]));
    });
}

fn add_update_and_remove_backends(gcloud: &Gcloud) {
    let backend = |verb: &str, group: &str, more: &str| {
        gcloud.compute(&format!(
            "backend-services {verb} web {REGION} --network-endpoint-group {group} \
             --network-endpoint-group-zone north-1-a {more}"
        ));
    };
    backend("add-backend", "neg-1", "");
    backend("add-backend", "neg-2", "--failover");
    backend("update-backend", "neg-1", "--description front");
    let described = gcloud.json(&format!("backend-services describe web {REGION}"));
    let group = |name: &str| format!("{HERE}/zones/north-1-a/networkEndpointGroups/{name}");
    assert_eq!(described["backends"][0]["group"], json!(group("neg-1")));
    assert_eq!(described["backends"][0]["description"], json!("front"));
    assert_eq!(described["backends"][1]["group"], json!(group("neg-2")));
    assert_eq!(described["backends"][1]["failover"], json!(true));
    assert_eq!(
        described["failoverPolicy"],
        json!({"failoverRatio": 0.5, "dropTrafficIfUnhealthy": true})
    );
    assert_eq!(
        described["healthChecks"],
        json!([format!("{HERE}/regions/north-1/healthChecks/hc")])
    );

    let health = gcloud.json(&format!("backend-services get-health web {REGION}"));
    let groups: Vec<&Value> = health
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["backend"])
        .collect();
    assert_eq!(groups, [&json!(group("neg-1")), &json!(group("neg-2"))]);

    backend("remove-backend", "neg-2", "");
    let left = gcloud.compute(&format!(
        "backend-services describe web {REGION} --format value(backends.len())"
    ));
    assert_eq!(left.trim(), "1");
}

/// `update`, and then `export`, which `import` takes back after a change.
fn change_and_carry_over(api: &Api, gcloud: &Gcloud) {
    gcloud.compute(&format!(
        "backend-services update web {REGION} --connection-draining-timeout 30"
    ));
    let file = api.daemon.directory().join("web.yaml");
    let file = file.to_str().unwrap();
    gcloud.compute(&format!(
        "backend-services export web {REGION} --destination {file}"
    ));
    let exported = fs::read_to_string(file).unwrap();
    assert_says(
        &exported,
        &[
            "drainingTimeoutSec: 30",
            "sessionAffinity: CLIENT_IP",
            "name: web",
        ],
    );
    fs::write(
        file,
        exported.replace("drainingTimeoutSec: 30", "drainingTimeoutSec: 15"),
    )
    .unwrap();
    gcloud.compute(&format!(
        "backend-services import web {REGION} --source {file} --quiet"
    ));
    let draining = "--format value(connectionDraining.drainingTimeoutSec,sessionAffinity)";
    let found = gcloud.compute(&format!("backend-services describe web {REGION} {draining}"));
    assert_eq!(found.split_whitespace().collect::<Vec<_>>(), ["15", "CLIENT_IP"]);
}

#[test]
fn forwarding_rules_and_operations() {
    with_gcloud("gc-rule", |api, gcloud| {
        gcloud.compute(&format!("health-checks create http hc {REGION} --port 80"));
        gcloud.compute(&format!(
            "backend-services create web {REGION} --load-balancing-scheme INTERNAL --protocol TCP \
             --health-checks hc --health-checks-region north-1"
        ));
        let rule = |name: &str, address: &str| {
            format!(
                "forwarding-rules create {name} {REGION} --load-balancing-scheme INTERNAL --address {address} \
                 --ip-protocol TCP --ports 80,443 --backend-service web --backend-service-region north-1"
            )
        };
        gcloud.compute(&rule("vip-1", "10.66.0.101"));
        gcloud.compute(&rule("vip-2", "10.66.0.102"));
        assert_says(&gcloud.refused(&rule("vip-3", "10.66.0.102")), &["vip-2"]);
        let listed = gcloud.compute("forwarding-rules list --filter name:vip");
        assert_eq!(
            rows(
                &listed,
                &["NAME", "REGION", "IP_ADDRESS", "IP_PROTOCOL", "TARGET"]
            ),
            [
                [
                    "vip-1",
                    "north-1",
                    "10.66.0.101",
                    "TCP",
                    "north-1/backendServices/web"
                ],
                [
                    "vip-2",
                    "north-1",
                    "10.66.0.102",
                    "TCP",
                    "north-1/backendServices/web"
                ]
            ]
        );
        gcloud.compute(&format!(
            "forwarding-rules update vip-1 {REGION} --update-labels team=shop"
        ));
        gcloud.compute(&format!(
            "forwarding-rules update vip-1 {REGION} --allow-global-access"
        ));
        let described = gcloud.json(&format!("forwarding-rules describe vip-1 {REGION}"));
        assert_eq!(described["labels"], json!({"team": "shop"}));
        assert_eq!(described["allowGlobalAccess"], json!(true));
        assert_eq!(described["ports"], json!(["80", "443"]));

        let operations = gcloud.json("operations list --filter targetLink~vip-1");
        let types: Vec<&str> = operations
            .as_array()
            .unwrap()
            .iter()
            .map(|o| o["operationType"].as_str().unwrap())
            .collect();
        assert_eq!(types.len(), 3, "{types:?}");
        for expected in ["insert", "setLabels", "patch"] {
            assert!(types.contains(&expected), "{types:?}");
        }
        let name = operations[0]["name"].as_str().unwrap();
        let described = gcloud.json(&format!("operations describe {name} {REGION}"));
        assert_eq!(
            described["targetLink"],
            json!(format!("{HERE}/regions/north-1/forwardingRules/vip-1"))
        );
        assert_eq!(described["status"], json!("DONE"));

        assert_says(
            &gcloud.refused(&format!("backend-services delete web {REGION}")),
            &["is already being used by", "vip-1"],
        );
        carry_a_rule_over(api, gcloud);
        gcloud.compute(&format!("forwarding-rules delete vip-1 vip-2 {REGION}"));
        assert_eq!(gcloud.json("forwarding-rules list"), json!([]));
    });
}

/// gcloud makes a rule of a file when there is none of its name, and can't change one.
fn carry_a_rule_over(api: &Api, gcloud: &Gcloud) {
    let file = api.daemon.directory().join("vip.yaml");
    let file = file.to_str().unwrap();
    gcloud.compute(&format!(
        "forwarding-rules export vip-1 {REGION} --destination {file}"
    ));
    gcloud.compute(&format!("forwarding-rules delete vip-1 {REGION}"));
    gcloud.compute(&format!("forwarding-rules import vip-1 {REGION} --source {file}"));
    let described = gcloud.json(&format!("forwarding-rules describe vip-1 {REGION}"));
    assert_eq!(described["labels"], json!({"team": "shop"}));
    assert_eq!(described["IPAddress"], json!("10.66.0.101"));
}

#[test]
fn health_checks_of_every_type_that_gcloud_has() {
    with_gcloud("gc-checks", |_, gcloud| {
        for (kind, flags) in [
            ("tcp", "--port 80 --request ping --response pong"),
            ("ssl", "--port 443 --proxy-header PROXY_V1"),
            ("http", "--port 80 --request-path /healthz --host shop.example"),
            ("https", "--port 443 --request-path /healthz"),
            ("http2", "--port 443 --request-path /healthz"),
            ("grpc", "--port 50051 --grpc-service-name shop.v1.Cart"),
        ] {
            gcloud.compute(&format!(
                "health-checks create {kind} of-{kind} {REGION} {flags} --check-interval 9 --timeout 4"
            ));
        }
        gcloud.compute("health-checks create tcp everywhere --global --port 80");
        let listed = gcloud.compute("health-checks list");
        let found = rows(&listed, &["NAME", "REGION", "PROTOCOL"]);
        let protocols: Vec<(&str, &str)> = found
            .iter()
            .map(|row| (row[0].as_str(), row.last().unwrap().as_str()))
            .collect();
        assert_eq!(
            protocols,
            [
                ("everywhere", "TCP"),
                ("of-grpc", "GRPC"),
                ("of-http", "HTTP"),
                ("of-http2", "HTTP2"),
                ("of-https", "HTTPS"),
                ("of-ssl", "SSL"),
                ("of-tcp", "TCP"),
            ]
        );
        gcloud.compute(&format!(
            "health-checks update http of-http {REGION} --request-path /ready --timeout 3"
        ));
        let described = gcloud.json(&format!("health-checks describe of-http {REGION}"));
        assert_eq!(described["httpHealthCheck"]["requestPath"], json!("/ready"));
        assert_eq!(described["httpHealthCheck"]["host"], json!("shop.example"));
        assert_eq!(
            (&described["timeoutSec"], &described["checkIntervalSec"]),
            (&json!(3), &json!(9))
        );
        assert_says(
            &gcloud.refused(&format!(
                "health-checks update http of-http {REGION} --timeout 30"
            )),
            &["timeoutSec"],
        );
        gcloud.compute(&format!(
            "health-checks delete of-tcp of-ssl of-http of-https of-http2 {REGION}"
        ));
        gcloud.compute("health-checks delete everywhere --global");
        let left = gcloud.compute("health-checks list --format value(name)");
        assert_eq!(left.split_whitespace().collect::<Vec<_>>(), ["of-grpc"]);
    });
}

#[test]
fn groups_and_their_members() {
    with_gcloud("gc-groups", |api, gcloud| {
        network_endpoint_group(gcloud);
        // gcloud can't make an instance without a disk and a machine type.
        let hosts = ["host-1", "host-2"].map(|name| {
            json!({
                "kind": "compute#instance",
                "name": name,
                "zone": "projects/shop/zones/north-1-a",
                "networkInterfaces": [{"networkIP": format!("10.66.0.1{}", &name[5..])}],
            })
        });
        let file = api.daemon.write("hosts.json", &json!(hosts).to_string());
        api.daemon.ctl(&["apply", "-f", file.to_str().unwrap()]);
        instance_group(gcloud);
    });
}

fn network_endpoint_group(gcloud: &Gcloud) {
    gcloud.compute(&format!(
        "network-endpoint-groups create neg {ZONE} --network-endpoint-type gce-vm-ip --network default"
    ));
    gcloud.compute(&format!(
        "network-endpoint-groups update neg {ZONE} --add-endpoint instance=host-1,ip=10.66.0.11 \
         --add-endpoint instance=host-2,ip=10.66.0.12"
    ));
    gcloud.compute(&format!(
        "network-endpoint-groups update neg {ZONE} --remove-endpoint instance=host-1,ip=10.66.0.11"
    ));
    let members = gcloud.compute(&format!(
        "network-endpoint-groups list-network-endpoints neg {ZONE}"
    ));
    assert_eq!(
        rows(&members, &["INSTANCE", "IP_ADDRESS"]),
        [["host-2", "10.66.0.12"]]
    );
    let listed = gcloud.compute("network-endpoint-groups list");
    assert_eq!(
        rows(&listed, &["NAME", "LOCATION", "ENDPOINT_TYPE", "SIZE"]),
        [["neg", "north-1-a", "GCE_VM_IP", "1"]]
    );
    let described = gcloud.json(&format!("network-endpoint-groups describe neg {ZONE}"));
    assert_eq!(
        described["network"],
        json!(format!("{HERE}/global/networks/default"))
    );
    gcloud.compute(&format!("network-endpoint-groups delete neg {ZONE}"));
}

fn instance_group(gcloud: &Gcloud) {
    let hosts = gcloud.compute("instances list --format value(name,networkInterfaces[0].networkIP)");
    assert_eq!(
        hosts.split_whitespace().collect::<Vec<_>>(),
        ["host-1", "10.66.0.11", "host-2", "10.66.0.12"]
    );
    gcloud.compute(&format!(
        "instance-groups unmanaged create rack {ZONE} --description rack-4"
    ));
    gcloud.compute(&format!(
        "instance-groups unmanaged add-instances rack {ZONE} --instances host-1,host-2"
    ));
    gcloud.compute(&format!(
        "instance-groups unmanaged remove-instances rack {ZONE} --instances host-2"
    ));
    let members = gcloud.compute(&format!("instance-groups unmanaged list-instances rack {ZONE}"));
    assert_eq!(rows(&members, &["NAME", "STATUS"]), [["host-1", "RUNNING"]]);
    let listed = gcloud.json("instance-groups unmanaged list");
    assert_eq!(
        (&listed[0]["name"], &listed[0]["size"]),
        (&json!("rack"), &json!(1))
    );
    let described = gcloud.json(&format!("instance-groups unmanaged describe rack {ZONE}"));
    assert_eq!(described["description"], json!("rack-4"));
    gcloud.compute(&format!("instance-groups unmanaged delete rack {ZONE}"));
    assert_eq!(gcloud.json("instance-groups unmanaged list"), json!([]));
}
