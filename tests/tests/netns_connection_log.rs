//! `backendService.logConfig`: real connections, and the lines that tell of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use lb_common::hash::HashKeys;
use lb_common::layout::TupleRecord;
use lb_common::policy::Tuple;
use lb_ctl::flowlog::is_sampled;
use lb_ctl::model::Ratio;
use lb_tests::balanced::Balanced;
use lb_tests::condition::eventually;
use lb_tests::daemon::Daemon;
use lb_tests::documents::{Documents, Service};
use lb_tests::topology::{BACKENDS, Lab, PRIMARIES, VIP4, VIP6};
use lb_tests::traffic::backend::Backend;
use lb_tests::traffic::tcp::Connection;
use lb_tests::traffic::{TCP_PORT, UDP_PORT};
use serde_json::{Value, json};

/// A few looks at the flow table.
const SOON: Duration = Duration::from_secs(20);
const SERVICE: &str = "lab/regions/lab-1/backendServices/web";
const SEED: u128 = 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f;

fn documents(lab: &Lab, tcp: Value, udp: Value) -> Documents {
    Documents::new(lab, &PRIMARIES)
        .service(Service::tcp().set("logConfig", tcp))
        .service(Service::udp().set("logConfig", udp))
}

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The lines of one event about a connection of the client's.
fn about(text: &str, event: &str, client: SocketAddr) -> Vec<Value> {
    let mut lines = lines(text);
    lines.retain(|line| {
        line["event"] == event
            && line["connection"]["clientIp"] == client.ip().to_string()
            && line["connection"]["clientPort"] == client.port()
    });
    lines
}

/// The only such line, once it is there.
#[track_caller]
fn one(text: impl Fn() -> String, event: &str, client: SocketAddr) -> Value {
    let found = eventually(SOON, || {
        let text = text();
        let found = about(&text, event, client);
        if found.is_empty() {
            Err(format!("no {event} of {client} in:\n{text}"))
        } else {
            Ok(found)
        }
    });
    assert_eq!(found.len(), 1, "{found:#?}");
    found[0].clone()
}

/// Whatever had happened before has been told on return.
#[track_caller]
fn wait_for_a_look(balanced: &Balanced) {
    let marker = balanced.flow(VIP4);
    one(|| balanced.daemon.log(), "BEGIN", marker.local_address);
}

fn assert_is_of(line: &Value, lab: &Lab, vip: IpAddr, protocol: u8, port: u16, backend: &str) {
    assert_eq!(line["connection"]["serverIp"], vip.to_string(), "{line}");
    assert_eq!(line["connection"]["serverPort"], port, "{line}");
    assert_eq!(line["connection"]["protocol"], protocol, "{line}");
    let address = lab.host(backend).address(vip).to_string();
    let endpoint = json!({"ipAddress": address, "group": "primary", "zone": "lab-1-a"});
    assert_eq!(line["endpoint"], endpoint, "{line}");
}

#[test]
fn connections_are_told_with_their_tuple_and_endpoint() {
    let lab = Lab::flat("log");
    let all = json!({"enable": true, "optionalMode": "INCLUDE_ALL_OPTIONAL"});
    let mut balanced = Balanced::start(&lab, &documents(&lab, all, json!({"enable": true})));
    for vip in [IpAddr::from(VIP4), IpAddr::from(VIP6)] {
        let connection = balanced.connect(vip).unwrap();
        let flow = balanced.flow(vip);
        let backend = flow.answered_by();
        let line = one(|| balanced.daemon.log(), "BEGIN", connection.local_address());
        assert_is_of(&line, &lab, vip, 6, TCP_PORT, &connection.backend);
        let instance = json!({
            "projectId": "lab",
            "region": "lab-1",
            "vm": connection.backend,
            "vmIp": line["endpoint"]["ipAddress"],
            "zone": "lab-1-a",
        });
        assert_eq!(line["serverInstance"], instance);
        let labels = &line["resource"]["labels"];
        assert_eq!(
            (&labels["project_id"], &labels["region"]),
            (&json!("lab"), &json!("lab-1"))
        );
        assert_eq!(labels["backend_service_name"], "web");
        let rule = if vip.is_ipv4() { "web-ipv4" } else { "web-ipv6" };
        assert_eq!(labels["forwarding_rule_name"], rule);
        let line = one(|| balanced.daemon.log(), "BEGIN", flow.local_address);
        assert_is_of(&line, &lab, vip, 17, UDP_PORT, &backend);
        assert_eq!(line.get("serverInstance"), None);
    }

    let flow = balanced.flow(VIP4);
    let (from, client) = (flow.answered_by(), flow.local_address);
    one(|| balanced.daemon.log(), "BEGIN", client);
    balanced.set_health(&from, false);
    let line = one(|| balanced.daemon.log(), "MOVED", client);
    assert_eq!(line["reason"], "UNHEALTHY");
    let address = lab.host(&from).ipv4.to_string();
    assert_eq!(line["previousEndpoint"]["ipAddress"], address);
    assert_is_of(&line, &lab, VIP4.into(), 17, UDP_PORT, &flow.answered_by());
    let status = balanced.daemon.status().connection_log;
    assert_eq!(
        (status.destination.as_str(), status.services, status.dropped),
        ("stderr", 2, 0)
    );
    assert!(status.connections >= 5 && status.lines >= 6, "{status:?}");
    balanced.daemon.assert_quiet(&[&from]);
}

#[test]
fn the_log_is_turned_off_and_survives_a_restart() {
    let lab = Lab::flat("log-off");
    let on = json!({"enable": true});
    let mut balanced = Balanced::start(&lab, &documents(&lab, on.clone(), on));
    let before = balanced.connect(VIP4).unwrap();
    one(|| balanced.daemon.log(), "BEGIN", before.local_address());
    balanced.daemon.kill();
    balanced.daemon.start_again();
    balanced.daemon.wait_for_delivery();
    let after = balanced.connect(VIP4).unwrap();
    one(|| balanced.daemon.log(), "BEGIN", after.local_address());
    one(|| balanced.daemon.log(), "BEGIN", before.local_address());

    balanced
        .daemon
        .api("PATCH", SERVICE, &json!({"logConfig": {"enable": false}}));
    let silent = balanced.connect(VIP4).unwrap();
    wait_for_a_look(&balanced);
    assert_eq!(
        about(&balanced.daemon.log(), "BEGIN", silent.local_address()),
        [] as [Value; 0]
    );
    balanced
        .daemon
        .api("PATCH", SERVICE, &json!({"logConfig": {"enable": true}}));
    wait_for_a_look(&balanced);
    assert_eq!(
        about(&balanced.daemon.log(), "BEGIN", silent.local_address()),
        [] as [Value; 0]
    );
    assert_eq!(balanced.daemon.terminate().code(), Some(0));
}

/// The tuple as the data plane keeps it.
fn record(connection: &Connection) -> TupleRecord {
    let client = connection.local_address();
    let IpAddr::V4(source) = client.ip() else {
        panic!("{client} is not IPv4");
    };
    let [high, low] = client.port().to_be_bytes();
    let [server_high, server_low] = TCP_PORT.to_be_bytes();
    TupleRecord::new(
        [u32::from_ne_bytes(source.octets()), 0, 0, 0],
        [u32::from_ne_bytes(VIP4.octets()), 0, 0, 0],
        u32::from_ne_bytes([high, low, server_high, server_low]),
        6,
        Tuple::Five as u32,
        false,
    )
}

#[test]
fn the_sample_is_what_the_seed_says() {
    let lab = Lab::flat("log-sample");
    let half = json!({"enable": true, "sampleRate": 0.5});
    let settings = format!("hash-seed = \"{SEED:032x}\"");
    let documents = documents(&lab, half, json!({"enable": true}));
    let balanced = Balanced::start_with_settings(&lab, &settings, &documents);
    let rate = Ratio {
        numerator: 5,
        denominator: 10,
    };
    let keys = HashKeys::from_seed(SEED);
    let connections = balanced.connect_many(VIP4, 40);
    let expected: BTreeMap<u16, bool> = connections
        .iter()
        .map(|connection| {
            let is_sampled = is_sampled(&keys, &record(connection), rate);
            (connection.local_address().port(), is_sampled)
        })
        .collect();
    assert!((5..35).contains(&expected.values().filter(|sampled| **sampled).count()));
    wait_for_a_look(&balanced);
    let told = |balanced: &Balanced| {
        let log = balanced.daemon.log();
        let of_tcp = lines(&log)
            .into_iter()
            .filter(|line| line["connection"]["protocol"] == 6);
        let ports = of_tcp.map(|line| line["connection"]["clientPort"].as_u64().expect("a port") as u16);
        ports.collect::<BTreeSet<u16>>()
    };
    let sampled: BTreeSet<u16> = expected
        .iter()
        .filter(|(_, is)| **is)
        .map(|(port, _)| *port)
        .collect();
    assert_eq!(told(&balanced), sampled);

    balanced
        .daemon
        .api("PATCH", SERVICE, &json!({"logConfig": {"sampleRate": 0}}));
    let _more = balanced.connect_many(VIP4, 40);
    wait_for_a_look(&balanced);
    assert_eq!(told(&balanced), sampled);
}

#[test]
fn a_file_is_rotated() {
    let lab = Lab::flat("log-file");
    let backends = Backend::all(&lab, &BACKENDS);
    let mut daemon = Daemon::new(&lab);
    let path = daemon.write("connections.jsonl", "");
    let settings = format!("[log]\nconnections = \"{}\"\n", path.display());
    daemon.give("--settings", "lb.toml", &settings);
    daemon.start_again();
    daemon.apply(&documents(&lab, json!({"enable": true}), json!({"enable": true})));
    for name in PRIMARIES {
        daemon.wait_for_health(name, true);
    }
    daemon.wait_for_delivery();
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let connect = || Connection::open(lab.client(), SocketAddr::new(VIP4.into(), TCP_PORT)).unwrap();
    let first = connect();
    one(|| read(&path), "BEGIN", first.local_address());
    let rotated = path.with_extension("1");
    fs::rename(&path, &rotated).expect("renaming");
    let second = connect();
    one(|| read(&path), "BEGIN", second.local_address());
    daemon.hang_up();
    let third = connect();
    one(|| read(&path), "BEGIN", third.local_address());
    assert_eq!(lines(&read(&rotated)).len(), 1);
    assert_eq!(lines(&daemon.log()), [] as [Value; 0]);
    drop(backends);
    daemon.assert_quiet(&PRIMARIES);
}
