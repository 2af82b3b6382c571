//! The API of a daemon that balances: who gets in from another host, what a restart keeps, and what a flood of clients
//! that want no answer does to packets (nothing).

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use lb_tests::balanced::Balanced;
use lb_tests::daemon::Daemon;
use lb_tests::documents::Documents;
use lb_tests::topology::{LB, Lab, PRIMARIES, VIP4};
use serde_json::{Value, json};

const PORT: u16 = 8080;
const PATIENCE: Duration = Duration::from_secs(20);
const ADMIN: &str = "admin-token-0123456789";
const VIEWER: &str = "viewer-token-0123456789";
const SERVICES: &str = "/compute/v1/projects/lab/regions/lab-1/backendServices";

fn documents(lab: &Lab) -> Documents {
    Documents::new(lab, &PRIMARIES).both_protocols(|service| service.persistence("ALWAYS_PERSIST"))
}

/// Asks from the client's host: the status, and the body.
fn ask(lab: &Lab, token: Option<&str>, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let daemon = SocketAddr::new(lab.host(LB).address(IpAddr::V4(VIP4)), PORT);
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n"));
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let request = format!(
        "{method} {path} HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{}\r\n{body}",
        body.len(),
        authorization.unwrap_or_default()
    );
    let answer = lab.client().run(|| {
        let mut stream = TcpStream::connect_timeout(&daemon, PATIENCE).expect("to connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(request.as_bytes()).expect("to write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    });
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (
        status.expect("a status"),
        serde_json::from_str(body).unwrap_or(Value::Null),
    )
}

#[test]
fn other_hosts_get_in_by_token_and_policies_outlive_a_kill() {
    let lab = Lab::flat("api-tokens");
    let mut daemon = Daemon::new(&lab);
    daemon
        .refused(&["--interface", "eth0", "--listen", "0.0.0.0:8080"])
        .assert(1, &["0.0.0.0:8080 is not a loopback address", "--token-file"]);
    let tokens = format!("{ADMIN} admin\n{VIEWER} viewer\n");
    let file = daemon.write("tokens", &tokens);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    daemon.flag("--token-file", file.to_str().expect("a path in ASCII"));
    daemon
        .refused(&["--interface", "eth0", "--listen", "0.0.0.0:8080"])
        .assert(1, &["its mode is 644", "chmod 600"]);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    daemon.flag("--listen", &format!("0.0.0.0:{PORT}"));
    daemon.start_again();
    daemon.apply(&documents(&lab));

    let (status, answer) = ask(&lab, None, "GET", SERVICES, &Value::Null);
    assert_eq!((status, &answer["error"]["code"]), (401, &json!(401)), "{answer}");
    let (status, list) = ask(&lab, Some(VIEWER), "GET", SERVICES, &Value::Null);
    assert_eq!(status, 200, "{list}");
    let name = list["items"][0]["name"].as_str().expect("a service").to_owned();
    let filtered = format!("{SERVICES}?filter=name%20ne%20{name}");
    let (_, others) = ask(&lab, Some(VIEWER), "GET", &filtered, &Value::Null);
    let count = |list: &Value| list["items"].as_array().map_or(0, Vec::len);
    assert_eq!(count(&others) + 1, count(&list));

    let policy = json!({"policy": {"bindings": [{"role": "roles/compute.viewer", "members": ["allUsers"]}]}});
    let set = format!("{SERVICES}/{name}/setIamPolicy");
    let (status, refusal) = ask(&lab, Some(VIEWER), "POST", &set, &policy);
    assert_eq!(status, 403, "{refusal}");
    let (status, kept) = ask(&lab, Some(ADMIN), "POST", &set, &policy);
    assert_eq!(status, 200, "{kept}");
    daemon.kill();
    daemon.start_again();
    let get = format!("{SERVICES}/{name}/getIamPolicy");
    assert_eq!(ask(&lab, Some(VIEWER), "GET", &get, &Value::Null), (200, kept));
    // The same documents again say nothing of it.
    daemon.apply(&documents(&lab));
    let (_, still) = ask(&lab, Some(VIEWER), "GET", &get, &Value::Null);
    assert_eq!(still["bindings"], policy["policy"]["bindings"]);
    daemon.assert_quiet(&[]);
}

#[test]
fn a_flood_of_the_api_leaves_packets_and_descriptors_alone() {
    const FLOOD: usize = 3000;
    let lab = Lab::flat("api-flood");
    let balanced = Balanced::start(&lab, &documents(&lab));
    let mut connection = balanced.connect(VIP4).unwrap();
    let backend = connection.ask().unwrap();
    let before = balanced.daemon.contents();
    let mut open = Vec::new();
    for round in 0..FLOOD {
        let mut stream = UnixStream::connect(balanced.daemon.socket()).expect("to connect");
        // The daemon may have hung up on one that it took for nonsense.
        let _ = match round % 4 {
            0 => Ok(()),
            1 => stream.write_all(b"GET /lb/v1/sta"),
            2 => stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
            _ => stream.write_all(b"GET /compute/v1/projects/%00/%2e%2e/%ff HTTP/1.1\r\nhost: x\r\n\r\n"),
        };
        open.push(stream);
        if open.len() == 600 {
            drop(open.drain(..100));
        }
        if round % 500 == 0 {
            assert_eq!(connection.ask().as_ref(), Ok(&backend));
        }
    }
    // The limit of a listener, and what the daemon has of its own.
    let descriptors = balanced.daemon.open_descriptors();
    assert!(descriptors < 400, "{descriptors} descriptors");
    assert_eq!(balanced.daemon.status().endpoints, 6);
    assert_eq!(connection.ask().as_ref(), Ok(&backend));
    assert_eq!(balanced.daemon.contents(), before);
    balanced.daemon.assert_quiet(&[]);
}
