use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::sync::watch;

use super::*;
use crate::health::ProbePaths;
use crate::health::machine::WeightReport;
use crate::model::{Delivery, Probe, ProxyHeader, ResourcePath};
use crate::net::WayState;

/// Nobody is there: without a mark, packets to it go nowhere.
const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 66, 66, 66));
const ENDPOINT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn check(probe: Probe) -> HealthCheck {
    HealthCheck {
        path: ResourcePath::from_canonical("projects/p/regions/r/healthChecks/h"),
        check_interval_sec: 5,
        timeout_sec: 5,
        healthy_threshold: 2,
        unhealthy_threshold: 2,
        log: false,
        probe,
    }
}

fn tcp(port: u16) -> Probe {
    Probe::Tcp {
        tls: false,
        port,
        proxy_header: ProxyHeader::None,
        request: Vec::new(),
        response: Vec::new(),
    }
}

fn target() -> TargetId {
    TargetId {
        check: check(tcp(1)).path,
        address: ENDPOINT,
        via: Some(Via {
            vip: VIP,
            delivery: Delivery::Auto,
        }),
    }
}

type Publisher = watch::Sender<Option<Arc<ProbePaths>>>;

fn prober() -> (EndpointProber, Publisher) {
    let (publisher, paths) = watch::channel(Some(Arc::default()));
    (EndpointProber::new(0x3062, paths), publisher)
}

fn publish(publisher: &Publisher, path: Result<ProbePath, String>) {
    let paths = BTreeMap::from([((ENDPOINT, Delivery::Auto), path)]);
    publisher.send_replace(Some(Arc::new(paths.into())));
}

#[tokio::test(start_paused = true)]
async fn without_a_next_hop_it_fails_at_the_end_of_its_time_and_says_why() {
    let (prober, publisher) = prober();
    publish(&publisher, Err("neighbour 10.0.0.1 does not answer".to_owned()));
    let start = Instant::now();
    let result = prober.probe(&target(), &check(tcp(1))).await.result;
    let ProbeResult::Failure { reason, weight } = result else {
        panic!("{result:?}");
    };
    assert_eq!(
        reason,
        "127.0.0.1 can't be delivered to: neighbour 10.0.0.1 does not answer"
    );
    assert_eq!(weight, WeightReport::NotCarried);
    assert_eq!(start.elapsed().as_secs(), 5);
    let http = Probe::Http {
        version: crate::model::HttpVersion::Http,
        port: 1,
        proxy_header: ProxyHeader::None,
        host: String::new(),
        request_path: "/".to_owned(),
        response: Vec::new(),
    };
    let result = prober.probe(&target(), &check(http)).await.result;
    assert!(
        matches!(
            result,
            ProbeResult::Failure {
                weight: WeightReport::Unavailable,
                ..
            }
        ),
        "{result:?}"
    );
}

/// The path has an address that is not the host's: what comes out shows that the connection was tried.
#[tokio::test(start_paused = true)]
async fn a_next_hop_that_is_found_in_time_is_used() {
    let (prober, publisher) = prober();
    let target = target();
    let check = check(tcp(1));
    let probing = async { prober.probe(&target, &check).await.result };
    let finding = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let path = ProbePath {
            number: 1,
            mode: "l2",
            ifindex: 1,
            source: Some(Ipv4Addr::new(192, 0, 2, 99).into()),
        };
        publish(&publisher, Ok(path));
    };
    let start = Instant::now();
    let (result, ()) = tokio::join!(probing, finding);
    assert!(matches!(result, ProbeResult::Inconclusive { .. }), "{result:?}");
    assert_eq!(start.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn when_probing_has_ended_nothing_is_told() {
    let (prober, publisher) = prober();
    publisher.send_replace(None);
    let (target, check) = (target(), check(tcp(1)));
    let told = tokio::time::timeout(Duration::from_secs(100), prober.probe(&target, &check)).await;
    assert!(told.is_err(), "{told:?}");
}

#[tokio::test]
async fn an_endpoint_without_a_vip_is_probed_at_its_own_address() {
    let listener = tokio::net::TcpListener::bind((ENDPOINT, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (prober, _publisher) = prober();
    let target = TargetId {
        via: None,
        ..target()
    };
    let result = prober.probe(&target, &check(tcp(port))).await.result;
    assert!(matches!(result, ProbeResult::Success { .. }), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn a_next_hop_that_nobody_has_looked_up_is_no_verdict() {
    let (prober, _publisher) = prober();
    let start = Instant::now();
    let result = prober.probe(&target(), &check(tcp(1))).await.result;
    let ProbeResult::Inconclusive { reason } = result else {
        panic!("{result:?}");
    };
    assert_eq!(reason, "the way to 127.0.0.1 was not looked up yet");
    assert_eq!(start.elapsed().as_secs(), 5);
}

/// The endpoint refuses at once, so what comes out depends on the way alone.
#[tokio::test(start_paused = true)]
async fn while_the_way_is_broken_or_was_meanwhile_probes_say_nothing() {
    let open = |breaks| ProbeWay {
        breaks,
        state: WayState::Open { ifindex: 7 },
    };
    let (way, told) = watch::channel(open(0));
    let (prober, publisher) = prober();
    let prober = prober.through(told);
    publish(&publisher, Err("neighbour 10.0.0.1 does not answer".to_owned()));
    let (target, check) = (target(), check(tcp(1)));
    let probing = async || prober.probe(&target, &check).await.result;
    let is_verdict = |result: &ProbeResult| matches!(result, ProbeResult::Failure { .. });
    assert!(is_verdict(&probing().await), "open all the while");

    for state in [
        WayState::Broken("there is no device lb-probe".to_owned()),
        WayState::Made { ifindex: 8 },
    ] {
        way.send_replace(ProbeWay { breaks: 1, state });
        let start = Instant::now();
        let result = probing().await;
        let ProbeResult::Inconclusive { reason } = result else {
            panic!("{result:?}");
        };
        assert!(reason.starts_with("probes can't leave this host: "), "{reason}");
        assert!(reason.contains("lb-probe"), "{reason}");
        assert_eq!(start.elapsed(), Duration::ZERO, "nothing is waited for");
    }
    way.send_replace(open(1));
    let breaking = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        way.send_replace(open(2));
    };
    let (result, ()) = tokio::join!(probing(), breaking);
    assert!(matches!(result, ProbeResult::Inconclusive { .. }), "{result:?}");
    assert!(is_verdict(&probing().await), "open again");
}
