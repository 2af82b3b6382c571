use super::*;
use crate::model::*;

/// The type, and the field that has its settings.
const TYPES: [(&str, &str); 7] = [
    ("TCP", "tcpHealthCheck"),
    ("SSL", "sslHealthCheck"),
    ("HTTP", "httpHealthCheck"),
    ("HTTPS", "httpsHealthCheck"),
    ("HTTP2", "http2HealthCheck"),
    ("GRPC", "grpcHealthCheck"),
    ("GRPC_WITH_TLS", "grpcTlsHealthCheck"),
];

/// A check of `kind` that sets everything that it can.
fn full(kind: &str, field: &str) -> Value {
    let mut settings = json!({"port": 7, "portSpecification": "USE_FIXED_PORT"});
    let more = match kind {
        "TCP" | "SSL" => json!({"proxyHeader": "PROXY_V1", "request": "ping", "response": "pong"}),
        "GRPC" | "GRPC_WITH_TLS" => json!({"grpcServiceName": "shop.Cart"}),
        _ => json!({"proxyHeader": "PROXY_V1", "host": "shop.example:8443", "requestPath": "/up?full=1",
                    "response": "fine"}),
    };
    let more = more.as_object().unwrap().clone();
    settings.as_object_mut().unwrap().extend(more);
    json!([{"kind": "compute#healthCheck", "name": "probe", "type": kind, field: settings,
            "checkIntervalSec": 7, "timeoutSec": 3, "healthyThreshold": 1, "unhealthyThreshold": 10,
            "logConfig": {"enable": true}}])
}

fn probe(kind: &str) -> Probe {
    let proxy_header = ProxyHeader::ProxyV1;
    let stream = |tls| Probe::Tcp {
        tls,
        port: 7,
        proxy_header,
        request: b"ping".to_vec(),
        response: b"pong".to_vec(),
    };
    let http = |version| Probe::Http {
        version,
        port: 7,
        proxy_header,
        host: "shop.example:8443".to_owned(),
        request_path: "/up?full=1".to_owned(),
        response: b"fine".to_vec(),
    };
    match kind {
        "TCP" => stream(false),
        "SSL" => stream(true),
        "HTTP" => http(HttpVersion::Http),
        "HTTPS" => http(HttpVersion::Https),
        "HTTP2" => http(HttpVersion::Http2),
        _ => Probe::Grpc {
            tls: kind == "GRPC_WITH_TLS",
            port: 7,
            service_name: "shop.Cart".to_owned(),
        },
    }
}

#[test]
fn every_type_acts_with_all_of_its_settings() {
    for (kind, field) in TYPES {
        let applied = apply(&full(kind, field)).unwrap();
        assert_eq!(applied.warnings, [], "{kind}");
        let check = applied.config.health_checks.into_values().next().unwrap();
        let expected = HealthCheck {
            path: check.path.clone(),
            check_interval_sec: 7,
            timeout_sec: 3,
            healthy_threshold: 1,
            unhealthy_threshold: 10,
            log: true,
            probe: probe(kind),
        };
        assert_eq!(check, expected, "{kind}");
    }
}

#[test]
fn changes_of_health_are_logged_on_demand_only() {
    for (enable, expected) in [(json!(true), true), (json!(false), false), (Value::Null, false)] {
        let mut value = full("TCP", "tcpHealthCheck");
        value[0]["logConfig"]["enable"] = enable.clone();
        let config = apply(&value).unwrap().config;
        let check = config.health_checks.into_values().next().unwrap();
        assert_eq!(check.log, expected, "{enable}");
    }
}

#[test]
fn every_type_has_a_fixed_port_only() {
    for (kind, field) in TYPES {
        let base = full(kind, field);
        let at = |name: &str| (format!("/0/{field}/{name}"), format!("$[0].{field}.{name}"));
        let (pointer, path) = at("portSpecification");
        for (value, why) in [
            (
                "USE_SERVING_PORT",
                "only proxy load balancers have a serving port",
            ),
            ("USE_NAMED_PORT", "named ports"),
        ] {
            expect_one(base.clone(), &[(&pointer, json!(value))], &path, why);
        }
        let (pointer, path) = at("portName");
        // The reference gives GRPC_WITH_TLS no such field.
        let why = if kind == "GRPC_WITH_TLS" {
            ""
        } else {
            "named ports"
        };
        expect_one(base.clone(), &[(&pointer, json!("http"))], &path, why);
        let (pointer, path) = at("port");
        for port in [0, 65_536] {
            expect(base.clone(), &[(&pointer, json!(port))], &[&path]);
        }
    }
}

#[test]
fn weights_come_by_every_kind_of_http() {
    for (scheme, policy) in [
        ("INTERNAL", "WEIGHTED_GCP_RENDEZVOUS"),
        ("EXTERNAL", "WEIGHTED_MAGLEV"),
    ] {
        for kind in ["HTTP", "HTTPS", "HTTP2"] {
            let mut value = if scheme == "INTERNAL" {
                internal()
            } else {
                external()
            };
            let edits = [
                ("/0/type", json!(kind)),
                ("/0/httpHealthCheck", Value::Null),
                ("/3/localityLbPolicy", json!(policy)),
            ];
            edit(&mut value, &edits);
            let applied = apply(&value).unwrap();
            let service = applied.config.services.into_values().next().unwrap();
            assert!(service.locality.is_weighted(), "{kind}");
        }
    }
}
