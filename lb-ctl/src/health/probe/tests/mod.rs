//! Every kind of probe against real servers on loopback.

mod endings;
mod faults;
mod grpc;
mod http;
mod http2;
mod limits;
mod prober;
mod restart;
mod servers;
mod stream;
mod tls;
mod weight;

use std::time::Duration;

use self::servers::Endpoint;
use super::*;
use crate::model::{EndpointWeight, HttpVersion, ProxyHeader};

/// More than any probe takes here.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

fn stream(tls: bool, request: &str, response: &str) -> Probe {
    Probe::Tcp {
        tls,
        port: 0,
        proxy_header: ProxyHeader::None,
        request: request.into(),
        response: response.into(),
    }
}

fn http(version: HttpVersion, response: &str) -> Probe {
    Probe::Http {
        version,
        port: 0,
        proxy_header: ProxyHeader::None,
        host: String::new(),
        request_path: "/healthz".to_owned(),
        response: response.into(),
    }
}

fn grpc(tls: bool, service_name: &str) -> Probe {
    Probe::Grpc {
        tls,
        port: 0,
        service_name: service_name.to_owned(),
    }
}

fn with_host(mut probe: Probe, name: &str) -> Probe {
    if let Probe::Http { host, .. } = &mut probe {
        name.clone_into(host);
    }
    probe
}

fn with_proxy_header(mut probe: Probe) -> Probe {
    if let Probe::Tcp { proxy_header, .. } | Probe::Http { proxy_header, .. } = &mut probe {
        *proxy_header = ProxyHeader::ProxyV1;
    }
    probe
}

/// Every type, by the name that the API has for it. The streams expect a response, so that each probe has to hear
/// something.
fn every_type() -> [(&'static str, Probe); 7] {
    [
        ("TCP", stream(false, "ping", "pong")),
        ("SSL", stream(true, "ping", "pong")),
        ("HTTP", http(HttpVersion::Http, "")),
        ("HTTPS", http(HttpVersion::Https, "")),
        ("HTTP2", http(HttpVersion::Http2, "")),
        ("GRPC", grpc(false, "")),
        ("GRPC_WITH_TLS", grpc(true, "")),
    ]
}

fn reported(weight: &str) -> WeightReport {
    WeightReport::Reported(EndpointWeight::parse(weight).unwrap())
}

/// What a probe says of an endpoint without a reply.
fn no_reply(kind: &str) -> WeightReport {
    if kind.starts_with("HTTP") {
        WeightReport::Unavailable
    } else {
        WeightReport::NotCarried
    }
}

async fn ask(endpoint: &Endpoint, asked: &Probe) -> ProbeResult {
    probe_for(&endpoint.destination, asked, LONG).await
}

/// A whole probe, which ends with its connection.
async fn probe_for(destination: &Destination, asked: &Probe, timeout: Duration) -> ProbeResult {
    let endings = Arc::new(Endings::new(1));
    let Probed { result, farewell } = probe(destination, asked, timeout, &endings).await;
    farewell.say().await;
    result
}

async fn reason(endpoint: &Endpoint, asked: &Probe) -> String {
    why(ask(endpoint, asked).await)
}

fn why(result: ProbeResult) -> String {
    match result {
        ProbeResult::Failure { reason, .. } => reason,
        other => panic!("expected a failure: {other:?}"),
    }
}

const SUCCESS: ProbeResult = ProbeResult::Success {
    weight: WeightReport::NotCarried,
};
const SUCCESS_WITHOUT_WEIGHT: ProbeResult = ProbeResult::Success {
    weight: WeightReport::Missing,
};
