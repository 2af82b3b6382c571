//! A restart, with every type of check: what was healthy stays healthy, without a word.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::service::TowerToHyperService;
use tonic_health::server::health_reporter;

use super::servers::{Endpoint, converse, http2, raw, serve_http1, serve_http2, tls};
use super::*;
use crate::health::{HealthChecker, HealthState, TargetId};
use crate::model::ResourcePath;

/// An endpoint that is well, for each type.
async fn endpoint(kind: &str) -> Endpoint {
    let fine = |_: Request<Incoming>| Response::new("fine".into());
    match kind {
        "TCP" => raw("ping", "pong", true).await.0,
        "SSL" => {
            Endpoint::start_tls(tls(&[]), |stream| async {
                converse(stream, b"ping", b"pong", true).await;
            })
            .await
        }
        "HTTP" => Endpoint::start(move |stream| serve_http1(stream, fine)).await,
        "HTTPS" => Endpoint::start_tls(tls(&["http/1.1"]), move |stream| serve_http1(stream, fine)).await,
        "HTTP2" => http2(Some(tls(&["h2"])), fine).await,
        _ => {
            let service = TowerToHyperService::new(health_reporter().1);
            if kind == "GRPC" {
                return Endpoint::start(move |stream| serve_http2(stream, service.clone())).await;
            }
            Endpoint::start_tls(tls(&["h2"]), move |stream| serve_http2(stream, service.clone())).await
        }
    }
}

fn check(kind: &str, mut probe: Probe, port: u16) -> HealthCheck {
    match &mut probe {
        Probe::Tcp { port: it, .. } | Probe::Http { port: it, .. } | Probe::Grpc { port: it, .. } => {
            *it = port
        }
    }
    HealthCheck {
        path: ResourcePath::from_canonical(format!(
            "projects/p/regions/r/healthChecks/{}",
            kind.to_lowercase()
        )),
        check_interval_sec: 1,
        timeout_sec: 1,
        healthy_threshold: 2,
        unhealthy_threshold: 10,
        log: false,
        probe,
    }
}

#[tokio::test]
async fn a_restart_resets_no_health() {
    let mut endpoints = Vec::new();
    let mut targets = BTreeMap::new();
    for (kind, probe) in every_type() {
        let endpoint = endpoint(kind).await;
        let address = endpoint.destination.address;
        let check = Arc::new(check(kind, probe, address.port()));
        let target = TargetId {
            check: check.path.clone(),
            address: address.ip(),
            via: None,
        };
        targets.insert(target, check);
        endpoints.push(endpoint);
    }
    let known = tokio::time::timeout(LONG, first_run(&targets)).await.unwrap();

    let (mut checker, mut events) = HealthChecker::new(known.clone());
    checker.set_targets(targets.clone());
    assert_eq!(checker.snapshot(), known, "before any probe");
    // Each has been probed twice, which is a threshold's worth for one that starts from nothing.
    let mut probes = 0;
    let probed = async {
        while probes < 3 * targets.len() as u64 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            probes += checker.pace().probes;
        }
    };
    tokio::time::timeout(LONG, probed).await.unwrap();
    assert!(checker.snapshot().values().all(|state| state.healthy));
    while let Ok(event) = events.try_recv() {
        assert!(event.state.healthy, "{event:?}");
    }
}

/// Until everything is healthy.
async fn first_run(targets: &BTreeMap<TargetId, Arc<HealthCheck>>) -> BTreeMap<TargetId, HealthState> {
    let (mut checker, mut events) = HealthChecker::new(BTreeMap::new());
    checker.set_targets(targets.clone());
    while !checker.snapshot().values().all(|state| state.healthy) {
        events.recv().await.unwrap();
    }
    checker.snapshot()
}
