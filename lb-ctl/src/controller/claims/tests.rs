use std::sync::Arc;

use lb_common::layout::Vip;

use super::{narrowed, warnings};
use crate::model::{Config, ForwardingRule};
use crate::net::{Address, NetworkState};
use crate::plan::contents::RuleContents;
use crate::plan::vip_key;
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
fn an_ipv6_vip_claims_what_it_owns() {
    let own = ["fe80::1", "::1", "2001:db8::a:1", "192.0.2.5"];
    assert_eq!(
        told("2001:db8::1:0:1", "2001:db8::2:0:9", &own),
        [""; 0],
        "other /96s"
    );
    assert_eq!(
        told("2001:db8::7", "2001:db8::2:0:9", &own),
        [""; 0],
        "an address is that address alone"
    );
    assert_eq!(
        told("2001:db8::a:1", "2001:db8::2:0:9", &own),
        [
            "rule takes packets to the host's own address 2001:db8::a:1: it is the VIP 2001:db8::a:1; a VIP must be \
             nobody's address"
        ]
    );
    assert_eq!(
        told("2001:db8::", "2001:db8::2:0:9", &own),
        [
            "rule takes packets to the host's own address 2001:db8::a:1: it owns the whole /96 of its VIP, \
             2001:db8::/96; move one of the two to another /96, or give the rule one address"
        ]
    );
    assert_eq!(
        told("2001:db8::2:0:0/96", "2001:db8::2:0:9", &own),
        [
            "rule takes packets to the endpoint 2001:db8::2:0:9: it owns the whole /96 of its VIP, \
             2001:db8::2:0:0/96; move one of the two to another /96, or give the rule one address"
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

#[test]
fn rules_that_owned_more_before_are_told_of() {
    let held = |vip: &str| RuleContents {
        vips: [(vip_key(vip.parse().expect("an address")), Vip::default())].into(),
        ..RuleContents::default()
    };
    let config = config("2001:db8::7", "2001:db8::2:0:9");
    assert_eq!(
        narrowed(&config, &held("2001:db8::")),
        [
            "rule owns 2001:db8::7 alone from now on; the version before took it for the whole /96 around it (write /96 \
             behind the prefix for that)"
        ]
    );
    assert_eq!(narrowed(&config, &held("2001:db8::7")), [""; 0], "as it was");
    assert_eq!(narrowed(&config, &held("2001:db8::8:0:0")), [""; 0], "it is new");
}

#[test]
fn an_address_inside_another_rule_s_96_is_told_of() {
    let mut config = config("2001:db8::", "2001:db8::2:0:9");
    let rule = config.rules.values().next().expect("a rule").clone();
    let path = crate::model::ResourcePath::from_canonical("projects/p/regions/r/forwardingRules/inner");
    let inner = ForwardingRule {
        path: path.clone(),
        vip: crate::model::Vip {
            address: "2001:db8::7".parse().expect("an address"),
        },
        ..rule
    };
    config.rules.insert(path, inner);
    assert_eq!(
        warnings(&config, &NetworkState::default()),
        [
            "rule does not take packets to 2001:db8::7, which is a VIP by itself, although it owns the /96 around it"
        ]
    );
}
