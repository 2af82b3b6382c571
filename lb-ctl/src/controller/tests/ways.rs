//! Endpoints that no frame can leave towards.

use std::net::IpAddr;
use std::sync::Arc;

use lb_common::layout::{XdpEvent, XdpFailure};

use super::service;
use crate::control::Control as _;
use crate::controller::fake::{Stage, locked, reached};
use crate::model::ResourcePath;
use crate::net::{BridgePort, Link, NextHop, XdpAttachment, XdpFeatures, XdpMode};

const BRIDGE: u32 = 5;
const PORT: u32 = 6;
const ENDPOINT: [u8; 4] = [10, 0, 0, 1];

/// Endpoint 10.0.0.1 is behind a bridge of two ports, and packets come by eth0, natively.
fn put_behind_a_bridge(stage: &Stage) {
    stage.network.change(|state| {
        let links = Arc::make_mut(&mut state.links);
        let native = XdpAttachment {
            mode: XdpMode::Native,
            program_id: 1,
        };
        links.get_mut(&2).expect("eth0").xdp.push(native);
        let device = |index, name: &str, kind: Option<&str>, features| Link {
            index,
            name: name.to_owned(),
            kind: kind.map(str::to_owned),
            master: kind.is_none().then_some(BRIDGE),
            mtu: 1500,
            up: true,
            carrier: true,
            features: Some(XdpFeatures(features)),
            ..Link::default()
        };
        links.insert(BRIDGE, device(BRIDGE, "br0", Some("bridge"), 0));
        for index in [PORT, PORT + 1] {
            let both = XdpFeatures::BASIC | XdpFeatures::TRANSMIT;
            links.insert(index, device(index, &format!("port{index}"), None, both));
        }
        let hop = match reached(IpAddr::from(ENDPOINT)) {
            NextHop::Resolved {
                source_mac,
                destination_mac,
                on_link,
                mtu,
                source_address,
                ..
            } => NextHop::Resolved {
                ifindex: BRIDGE,
                source_mac,
                destination_mac,
                on_link,
                mtu,
                source_address,
            },
            other => other,
        };
        Arc::make_mut(&mut state.next_hops).insert(ENDPOINT.into(), hop);
    });
}

async fn health(stage: &Stage) -> (bool, Option<String>) {
    let path = ResourcePath::from_canonical("projects/local/regions/local/backendServices/a");
    let rows = stage
        .handle
        .endpoint_health(path, None)
        .await
        .expect("its health");
    let row = rows
        .into_iter()
        .find(|row| row.ip_address == IpAddr::from(ENDPOINT));
    let row = row.expect("the endpoint");
    (row.healthy, row.detail)
}

async fn until_health(stage: &Stage, healthy: bool) -> Option<String> {
    for _ in 0..1000 {
        let (is_healthy, detail) = health(stage).await;
        if is_healthy == healthy {
            return detail;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("{:?} {:?}", health(stage).await, stage.troubles().await);
}

#[tokio::test(start_paused = true)]
async fn a_closed_way_is_a_verdict_beside_the_probes_and_a_trouble_until_it_opens() {
    let stage = Stage::start().await;
    stage.apply(service("a", 1, &[1, 2])).await.expect("it is valid");
    stage.tell_health("10.0.0.1", true);
    stage.tell_health("10.0.0.2", true);
    until_health(&stage, true).await;

    put_behind_a_bridge(&stage);
    let detail = until_health(&stage, false).await.expect("a reason");
    assert!(
        detail.starts_with("undeliverable by br0: br0 is a bridge"),
        "{detail}"
    );
    let troubles = stage.troubles().await;
    assert!(
        matches!(&troubles[..], [text] if text.contains("endpoint 10.0.0.1 is undeliverable")),
        "{troubles:?}"
    );
    stage.until_maps_are_right().await;

    stage.network.change(|state| {
        let port = BridgePort {
            index: PORT,
            filtered: false,
        };
        Arc::make_mut(&mut state.ports).insert((BRIDGE, [2, 0, 0, 0, 1, 1]), port);
    });
    until_health(&stage, true).await;
    stage.until_well().await;
    let held = stage.maps.contents();
    assert!(held.backends.values().any(|record| record.ifindex == PORT));
}

#[tokio::test(start_paused = true)]
async fn an_interface_that_fails_to_send_is_a_verdict_until_a_minute_has_passed() {
    let stage = Stage::start().await;
    stage.apply(service("a", 1, &[1, 2])).await.expect("it is valid");
    stage.tell_health("10.0.0.1", true);
    stage.tell_health("10.0.0.2", true);
    until_health(&stage, true).await;
    let failure = |frames| {
        let failure = XdpFailure {
            ifindex: 2,
            event: XdpEvent::Redirect as u64,
            errno: libc::EOPNOTSUPP as u64,
        };
        *locked(&stage.hooks.failures) = [(failure, frames)].into();
    };
    failure(3);
    let detail = until_health(&stage, false).await.expect("a reason");
    assert!(
        detail.starts_with("undeliverable by eth0") && detail.contains("Operation not supported"),
        "{detail}"
    );
    let stats = stage.handle.stats().await.expect("counters");
    let counted: Vec<_> = stats
        .xdp_failures
        .iter()
        .map(|row| (row.interface.as_str(), row.frames))
        .collect();
    assert_eq!(counted, [("eth0", 3)]);
    stage.clock.pass(61);
    until_health(&stage, true).await;
    stage.until_well().await;

    // The interface changes: nobody waits for the minute.
    failure(4);
    until_health(&stage, false).await;
    stage
        .network
        .change(|state| Arc::make_mut(&mut state.links).get_mut(&2).expect("eth0").mtu = 1400);
    until_health(&stage, true).await;
}
