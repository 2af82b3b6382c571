use serde_json::{Value, json};

use super::super::tests::{flags, told};
use super::create::CreateFlags;
use super::flags::{GrpcFlags, HttpFlags, Protocol, ProtocolFlags, StreamFlags};
use super::update::UpdateFlags;

fn create<F: ProtocolFlags>(protocol: Protocol, args: &[&str]) -> Value {
    flags::<CreateFlags<F>>(args).fields(protocol).into()
}

fn update<F: ProtocolFlags>(protocol: Protocol, args: &[&str]) -> Value {
    let fields = flags::<UpdateFlags<F>>(args).fields(protocol);
    fields
        .unwrap_or_else(|failure| panic!("{}", told(failure)))
        .into()
}

/// What a new check has of gcloud's own accord.
fn defaults(more: &Value) -> Value {
    let mut check =
        json!({"checkIntervalSec": 5, "timeoutSec": 5, "healthyThreshold": 2, "unhealthyThreshold": 2});
    let more = more.as_object().expect("an object").clone();
    check.as_object_mut().expect("an object").extend(more);
    check
}

#[test]
fn a_new_check_has_gclouds_defaults() {
    let stream = json!({"port": 80, "portSpecification": "USE_FIXED_PORT", "proxyHeader": "NONE"});
    let mut http = stream.clone();
    http["requestPath"] = json!("/");
    for (protocol, name, field) in [
        (Protocol::Tcp, "TCP", "tcpHealthCheck"),
        (Protocol::Ssl, "SSL", "sslHealthCheck"),
    ] {
        let expected = defaults(&json!({"type": name, field: stream}));
        assert_eq!(create::<StreamFlags>(protocol, &[]), expected);
    }
    for (protocol, name, field) in [
        (Protocol::Http, "HTTP", "httpHealthCheck"),
        (Protocol::Https, "HTTPS", "httpsHealthCheck"),
        (Protocol::Http2, "HTTP2", "http2HealthCheck"),
    ] {
        let expected = defaults(&json!({"type": name, field: http}));
        assert_eq!(create::<HttpFlags>(protocol, &[]), expected);
    }
    for (protocol, name, field) in [
        (Protocol::Grpc, "GRPC", "grpcHealthCheck"),
        (Protocol::GrpcWithTls, "GRPC_WITH_TLS", "grpcTlsHealthCheck"),
    ] {
        let expected = defaults(&json!({"type": name, field: {
            "port": 9, "portSpecification": "USE_FIXED_PORT", "grpcServiceName": "s"}}));
        assert_eq!(
            create::<GrpcFlags>(protocol, &["--port=9", "--grpc-service-name=s"]),
            expected
        );
        assert_eq!(
            create::<GrpcFlags>(protocol, &[]),
            defaults(&json!({"type": name}))
        );
    }
}

#[test]
fn each_flag_of_a_new_check_sets_its_field() {
    assert_eq!(
        create::<HttpFlags>(
            Protocol::Https,
            &[
                "--description=d",
                "--check-interval=1m",
                "--timeout=3s",
                "--healthy-threshold=1",
                "--unhealthy-threshold=4",
                "--enable-logging",
                "--port=8443",
                "--host=h",
                "--request-path=/healthz",
                "--response=ok",
                "--proxy-header=proxy_v1",
            ]
        ),
        json!({"type": "HTTPS", "description": "d", "checkIntervalSec": 60, "timeoutSec": 3, "healthyThreshold": 1,
               "unhealthyThreshold": 4, "logConfig": {"enable": true},
               "httpsHealthCheck": {"port": 8443, "portSpecification": "USE_FIXED_PORT", "host": "h",
                                    "requestPath": "/healthz", "response": "ok", "proxyHeader": "PROXY_V1"}})
    );
    for (args, probe) in [
        (
            &["--request=ping", "--response=pong"][..],
            json!({"port": 80, "portSpecification": "USE_FIXED_PORT", "request": "ping", "response": "pong"}),
        ),
        (
            &["--port-name=p"],
            json!({"portName": "p", "portSpecification": "USE_NAMED_PORT"}),
        ),
        (
            &["--port-name=p", "--port=7"],
            json!({"port": 7, "portSpecification": "USE_FIXED_PORT"}),
        ),
        (
            &["--use-serving-port"],
            json!({"portSpecification": "USE_SERVING_PORT"}),
        ),
    ] {
        let mut probe = probe;
        probe["proxyHeader"] = json!("NONE");
        let expected = defaults(&json!({"type": "TCP", "tcpHealthCheck": probe}));
        assert_eq!(create::<StreamFlags>(Protocol::Tcp, args), expected, "{args:?}");
    }
}

#[test]
fn an_update_sets_what_flags_say_and_clears_by_an_empty_text() {
    for (args, expected) in [
        (&["--check-interval=10"][..], json!({"checkIntervalSec": 10})),
        (&["--no-enable-logging"], json!({"logConfig": {"enable": false}})),
        (&["--description="], json!({"description": null})),
        (
            &["--port=81"],
            json!({"httpHealthCheck": {"port": 81, "portSpecification": "USE_FIXED_PORT"}}),
        ),
        (
            &["--host=", "--response=up"],
            json!({"httpHealthCheck": {"host": null, "response": "up"}}),
        ),
        (&["--port-name="], json!({"httpHealthCheck": {"portName": null}})),
        (
            &["--request-path=/x"],
            json!({"httpHealthCheck": {"requestPath": "/x"}}),
        ),
    ] {
        assert_eq!(update::<HttpFlags>(Protocol::Http, args), expected, "{args:?}");
    }
}
