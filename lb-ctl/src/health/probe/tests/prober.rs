use std::io;

use super::servers::raw;
use super::*;
use crate::model::ResourcePath;

#[test]
fn want_of_something_on_this_host_is_no_evidence() {
    for code in [libc::EMFILE, libc::ENFILE, libc::EADDRNOTAVAIL] {
        let error = ProbeError::from_io("connect", &io::Error::from_raw_os_error(code));
        assert!(matches!(error, ProbeError::Host(_)), "{error:?}");
    }
    let error = ProbeError::from_io("connect", &io::Error::from_raw_os_error(libc::EHOSTUNREACH));
    assert!(
        matches!(&error, ProbeError::Endpoint(reason) if reason == "host unreachable"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_host_that_no_request_can_name_is_no_evidence() {
    let (endpoint, _) = raw("", "", true).await;
    let asked = with_host(http(HttpVersion::Http2, ""), "a b");
    let result = ask(&endpoint, &asked).await;
    assert!(matches!(result, ProbeResult::Inconclusive { .. }), "{result:?}");
}

#[tokio::test]
async fn port_and_timeout_are_the_checks() {
    let (endpoint, _) = raw("\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", false).await;
    let address = endpoint.destination.address;
    let mut probe = http(HttpVersion::Http, "");
    if let Probe::Http { port, .. } = &mut probe {
        *port = address.port();
    }
    let check = HealthCheck {
        path: ResourcePath::from_canonical("projects/p/regions/r/healthChecks/h"),
        check_interval_sec: 20,
        timeout_sec: 20,
        healthy_threshold: 2,
        unhealthy_threshold: 2,
        log: false,
        probe,
    };
    let target = TargetId {
        check: check.path.clone(),
        address: address.ip(),
        via: None,
    };
    let result = SocketProber::default().probe(&target, &check).await.result;
    assert_eq!(result, SUCCESS_WITHOUT_WEIGHT);
}

#[test]
fn there_is_room_for_probes_and_for_the_rest() {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let concurrency = u64::try_from(SocketProber::default().concurrency()).unwrap();
    assert!(
        concurrency >= 64 && concurrency < soft.max(65),
        "{concurrency} of {soft}"
    );
}
