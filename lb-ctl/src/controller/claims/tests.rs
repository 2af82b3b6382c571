use std::sync::Arc;

use super::warnings;
use crate::model::Config;
use crate::net::{Address, NetworkState};
use crate::resources::{Document, Resources, Scope};

/// A service whose endpoint has `endpoint`, on the VIP `vip`.
fn config(vip: &str, endpoint: &str) -> Config {
    let family = if endpoint.contains(':') {
        "ipv6Address"
    } else {
        "ipAddress"
    };
    let text = serde_json::json!([
        {"kind": "compute#networkEndpointGroup", "name": "group", "zone": "z",
         "networkEndpointType": "NON_GCP_PRIVATE_IP_PORT", "networkEndpoints": [{family: endpoint}]},
        {"kind": "compute#backendService", "name": "web", "region": "r", "loadBalancingScheme": "EXTERNAL",
         "protocol": "TCP", "backends": [{"group": "zones/z/networkEndpointGroups/group"}]},
        {"kind": "compute#forwardingRule", "name": "rule", "region": "r", "loadBalancingScheme": "EXTERNAL",
         "IPProtocol": "TCP", "IPAddress": vip, "ports": ["80"],
         "backendService": "regions/r/backendServices/web"},
    ]);
    let documents: Vec<Document> = crate::resources::parse("test", &text.to_string()).expect("JSON");
    let applied = Resources::default()
        .apply(
            &documents,
            &Scope::default(),
            crate::resources::Mode::Additive,
            jiff::Timestamp::UNIX_EPOCH,
        )
        .unwrap_or_else(|faults| panic!("{faults:?}"));
    applied.config
}

fn told(vip: &str, endpoint: &str, own: &[&str]) -> Vec<String> {
    let own = own.iter().map(|address| Address {
        ifindex: 2,
        own: address.parse().expect("an address"),
        prefix: None,
        broadcast: None,
    });
    let network = NetworkState {
        addresses: Arc::new(own.collect()),
        ..NetworkState::default()
    };
    warnings(&config(vip, endpoint), &network)
}

#[test]
fn an_ipv6_vip_claims_its_whole_96() {
    let own = ["fe80::1", "::1", "2001:db8::a:1", "192.0.2.5"];
    assert_eq!(
        told("2001:db8::1:0:1", "2001:db8::2:0:9", &own),
        [""; 0],
        "other /96s"
    );
    assert_eq!(
        told("2001:db8::7", "2001:db8::2:0:9", &own),
        [
            "rule takes packets to the host's own address 2001:db8::a:1: an IPv6 rule owns the whole /96 of its VIP, \
             2001:db8::/96; move one of the two to another /96"
        ]
    );
    assert_eq!(
        told("2001:db8::2:0:0/96", "2001:db8::2:0:9", &own),
        [
            "rule takes packets to the endpoint 2001:db8::2:0:9: an IPv6 rule owns the whole /96 of its VIP, \
             2001:db8::2:0:0/96; move one of the two to another /96"
        ]
    );
}

#[test]
fn an_ipv4_vip_claims_itself() {
    assert_eq!(told("192.0.2.6", "10.0.0.1", &["192.0.2.5"]), [""; 0]);
    assert_eq!(
        told("192.0.2.5", "10.0.0.1", &["192.0.2.5"]),
        [
            "rule takes packets to the host's own address 192.0.2.5: it is the VIP 192.0.2.5; a VIP must be nobody's address"
        ]
    );
    assert_eq!(told("10.0.0.1", "10.0.0.1", &[]).len(), 1);
}
