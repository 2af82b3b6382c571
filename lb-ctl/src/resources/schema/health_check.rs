//! `HealthCheck` and what it nests.

use super::*;

const NAMED_PORT: &str = "the reference itself calls named ports unsupported; set port";
const SERVING_PORT: &str = "only proxy load balancers have a serving port; set port";

/// Bytes that a probe sends or compares.
const PAYLOAD: Shape = Shape::Text(1024);

pub(super) const FIELDS: &[Field] = &[
    KIND,
    ID,
    CREATED,
    NAME,
    DESCRIPTION,
    SELF_LINK,
    output("region"),
    acts(
        "type",
        Shape::Enum(
            &["TCP", "SSL", "HTTP", "HTTPS", "HTTP2", "GRPC", "GRPC_WITH_TLS"],
            &[],
        ),
    )
    .required(),
    acts("checkIntervalSec", Shape::Int(1, 300)).or(Default::Int(5)),
    acts("timeoutSec", Shape::Int(1, 300)).or(Default::Int(5)),
    acts("healthyThreshold", Shape::Int(1, 10)).or(Default::Int(2)),
    acts("unhealthyThreshold", Shape::Int(1, 10)).or(Default::Int(2)),
    acts("tcpHealthCheck", Shape::Object(STREAM)),
    acts("sslHealthCheck", Shape::Object(STREAM_TLS)),
    acts("httpHealthCheck", Shape::Object(HTTP)),
    acts("httpsHealthCheck", Shape::Object(HTTP_TLS)),
    acts("http2HealthCheck", Shape::Object(HTTP_TLS)),
    acts("grpcHealthCheck", Shape::Object(GRPC)),
    acts("grpcTlsHealthCheck", Shape::Object(GRPC_TLS)),
    acts("logConfig", Shape::Object(LOG_CONFIG)),
    refused(
        "sourceRegions",
        TEXTS,
        "probes start from this host; a check with source regions can't serve a backend service",
    ),
];

const PORT_SPECIFICATION: Field = acts(
    "portSpecification",
    Shape::Enum(
        &["USE_FIXED_PORT"],
        &[("USE_SERVING_PORT", SERVING_PORT), ("USE_NAMED_PORT", NAMED_PORT)],
    ),
);
const PORT_NAME: Field = refused("portName", TEXT, NAMED_PORT);
const PROXY_HEADER: Field =
    acts("proxyHeader", Shape::Enum(&["NONE", "PROXY_V1"], &[])).or(Default::Text("NONE"));
const REQUEST: Field = acts("request", PAYLOAD);
const RESPONSE: Field = acts("response", PAYLOAD);
const HOST: Field = acts("host", TEXT);
const REQUEST_PATH: Field = acts("requestPath", TEXT).or(Default::Text("/"));
const SERVICE_NAME: Field = acts("grpcServiceName", PAYLOAD);

const fn port(default: i64) -> Field {
    acts("port", PORT).or(Default::Int(default))
}

const STREAM: &[Field] = &[
    port(80),
    PORT_NAME,
    PORT_SPECIFICATION,
    PROXY_HEADER,
    REQUEST,
    RESPONSE,
];
const STREAM_TLS: &[Field] = &[
    port(443),
    PORT_NAME,
    PORT_SPECIFICATION,
    PROXY_HEADER,
    REQUEST,
    RESPONSE,
];
const HTTP: &[Field] = &[
    port(80),
    PORT_NAME,
    PORT_SPECIFICATION,
    PROXY_HEADER,
    HOST,
    REQUEST_PATH,
    RESPONSE,
];
const HTTP_TLS: &[Field] = &[
    port(443),
    PORT_NAME,
    PORT_SPECIFICATION,
    PROXY_HEADER,
    HOST,
    REQUEST_PATH,
    RESPONSE,
];
const GRPC: &[Field] = &[
    acts("port", PORT).required(),
    PORT_NAME,
    PORT_SPECIFICATION,
    SERVICE_NAME,
];
const GRPC_TLS: &[Field] = &[acts("port", PORT).required(), PORT_SPECIFICATION, SERVICE_NAME];

const LOG_CONFIG: &[Field] = &[acts("enable", Shape::Bool)];
