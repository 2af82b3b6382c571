use serde_json::json;

use super::named_ports::NamedPorts;

#[test]
fn named_ports_are_names_and_ports() {
    let ports: NamedPorts = "web:80,tls:443".parse().expect("ports");
    assert_eq!(
        ports.0,
        [
            json!({"name": "web", "port": 80}),
            json!({"name": "tls", "port": 443})
        ]
    );
    assert_eq!("".parse(), Ok(NamedPorts(Vec::new())));
    assert_eq!(
        "web".parse::<NamedPorts>(),
        Err("expected NAME:PORT, not 'web'".to_owned())
    );
    assert_eq!("web:x".parse::<NamedPorts>(), Err("'x' is not a port".to_owned()));
}
