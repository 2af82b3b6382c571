//! What is balanced in the benchmark: from Compute Engine JSON by the daemon's own road to the contents of maps.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use anyhow::{Result, anyhow};
use lb_ctl::dataplane::Sizes;
use lb_ctl::net::{MacAddr, NextHop};
use lb_ctl::plan::contents::Contents;
use lb_ctl::plan::{
    Arrivals, BuiltTables, HealthMap, Inputs, Limits, Plan, ProbeDestination, Scope, Ways, ZonePrefixes,
    compile,
};
use serde_json::{Value, json};

use crate::conformance::bench::{INGRESS, OWN_MAC as OWN_MAC_THERE, SEED};
use crate::conformance::documents::{self, ZONE};
use crate::conformance::rows::Policy;
use crate::conformance::world::validated;

/// How packets reach the endpoints of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Delivery {
    L2,
    Ipip,
    Gue,
}

impl Delivery {
    pub(super) const ALL: [Self; 3] = [Self::L2, Self::Ipip, Self::Gue];

    /// As in the annotation `lb/delivery`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::Ipip => "ipip",
            Self::Gue => "gue",
        }
    }
}

/// Every service takes TCP and UDP to this port.
pub(super) const PORT: u16 = 443;
/// The Ethernet source of what the balancer sends.
pub(super) const OWN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
/// What an outer header comes from.
pub(super) const OWN_IPV4: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 1);
pub(super) const OWN_IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xbac, 0, 0, 0, 0, 0xffff);

const MTU: u32 = 1500;
/// Endpoints of a group.
const LARGEST_GROUP: u32 = 10_000;

/// A service with tracking of every packet, or of none but TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) delivery: Delivery,
    pub(super) tracks_udp: bool,
}

/// The services of the packet table. The place in this list is the VIP's number.
const SERVICES: [Service; 4] = [
    Service {
        delivery: Delivery::L2,
        tracks_udp: true,
    },
    Service {
        delivery: Delivery::Ipip,
        tracks_udp: true,
    },
    Service {
        delivery: Delivery::Gue,
        tracks_udp: true,
    },
    Service {
        delivery: Delivery::Ipip,
        tracks_udp: false,
    },
];

/// Addresses of no VIP.
pub(super) const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 127, 255, 1));

pub(super) fn vip(service: Service, is_ipv6: bool) -> IpAddr {
    let mut places = SERVICES.iter().enumerate();
    let (number, _) = places
        .find(|(_, one)| **one == service)
        .expect("a service of the table");
    numbered_vip(number as u32, is_ipv6)
}

/// VIPs lie side by side.
pub(super) fn numbered_vip(number: u32, is_ipv6: bool) -> IpAddr {
    let [high, low] = [(number >> 16) as u16, number as u16];
    if is_ipv6 {
        Ipv6Addr::new(0x2001, 0xdb8, 0xf00, high, low, 0, 0, 1).into()
    } else {
        Ipv4Addr::from(u32::from(Ipv4Addr::new(100, 64, 0, 0)) + number).into()
    }
}

/// The address of an endpoint, from 1 on.
pub(super) fn endpoint(number: u32, is_ipv6: bool) -> IpAddr {
    let [high, low] = [(number >> 16) as u16, number as u16];
    if is_ipv6 {
        Ipv6Addr::new(0x2001, 0xdb8, 0xbac, 0, 0, 0, high, low).into()
    } else {
        Ipv4Addr::from(u32::from(Ipv4Addr::new(172, 16, 0, 0)) + number).into()
    }
}

fn policy(tracks_udp: bool) -> Policy {
    Policy {
        scheme: "EXTERNAL",
        affinity: if tracks_udp {
            "CLIENT_IP_PORT_PROTO"
        } else {
            "NONE"
        },
        mode: "PER_CONNECTION",
        persistence: "DEFAULT_FOR_PROTOCOL",
    }
}

/// The services of the packet table, with `endpoints` endpoints each.
pub(super) fn table(endpoints: u32, sizes: &Sizes) -> Result<Contents> {
    table_by(INGRESS, OWN_MAC_THERE, endpoints, sizes)
}

/// The same with endpoints on this interface, by which packets come to this address.
pub(super) fn table_by(interface: u32, mac: MacAddr, endpoints: u32, sizes: &Sizes) -> Result<Contents> {
    let mut all: Vec<Value> = Delivery::ALL
        .iter()
        .map(|delivery| group(delivery.name(), *delivery, 1..=endpoints))
        .collect();
    for (number, service) in (0..).zip(SERVICES) {
        let groups = [service.delivery.name().to_owned()];
        all.extend(service_documents(
            number,
            service,
            &groups,
            &[false, true],
            &["TCP", "UDP"],
        ));
    }
    contents(all, (interface, mac), endpoints, sizes)
}

/// Many services of TCP over IPv4 by ipip, all with the same endpoints. Their VIPs are 0 to `services` - 1.
pub(super) fn wide(services: u32, endpoints: u32, sizes: &Sizes) -> Result<Contents> {
    let service = Service {
        delivery: Delivery::Ipip,
        tracks_udp: true,
    };
    let mut all = Vec::new();
    let mut groups = Vec::new();
    for first in (1..=endpoints).step_by(LARGEST_GROUP as usize) {
        let last = endpoints.min(first + LARGEST_GROUP - 1);
        let name = format!("from-{first}");
        all.push(group(&name, service.delivery, first..=last));
        groups.push(name);
    }
    for number in 0..services {
        all.extend(service_documents(number, service, &groups, &[false], &["TCP"]));
    }
    contents(all, (INGRESS, OWN_MAC_THERE), endpoints, sizes)
}

/// A service over these groups, and a rule for each family and protocol.
fn service_documents(
    number: u32,
    service: Service,
    groups: &[String],
    families: &[bool],
    protocols: &[&str],
) -> Vec<Value> {
    let policy = policy(service.tracks_udp);
    let backends = groups.iter().map(|name| json!({"group": group_path(name)}));
    let mut fields = documents::service(number as usize, &policy, backends.collect());
    // Without a health check every endpoint is healthy.
    fields.remove("healthChecks");
    let mut all = vec![Value::Object(fields)];
    let port = PORT.to_string();
    for is_ipv6 in families {
        for protocol in protocols {
            let name = format!("{}-v{}", protocol.to_lowercase(), if *is_ipv6 { 6 } else { 4 });
            let address = numbered_vip(number, *is_ipv6);
            all.push(documents::rule(
                number as usize,
                &policy,
                &name,
                address,
                protocol,
                &[&port],
            ));
        }
    }
    all
}

fn group_path(name: &str) -> String {
    format!("{ZONE}/networkEndpointGroups/{name}")
}

fn group(name: &str, delivery: Delivery, endpoints: impl Iterator<Item = u32>) -> Value {
    let endpoints = endpoints.map(|number| {
        json!({
            "instance": format!("e{number}"),
            "ipAddress": endpoint(number, false),
            "ipv6Address": endpoint(number, true),
        })
    });
    json!({
        "kind": "compute#networkEndpointGroup",
        "name": name,
        "zone": ZONE,
        "networkEndpointType": "GCE_VM_IP",
        "annotations": {"lb/delivery": delivery.name()},
        "networkEndpoints": endpoints.collect::<Vec<_>>(),
    })
}

/// By way of validation and the plan, as the daemon does.
fn contents(
    documents: Vec<Value>,
    (interface, mac): (u32, MacAddr),
    endpoints: u32,
    sizes: &Sizes,
) -> Result<Contents> {
    let mut arrivals = Arrivals::default();
    arrivals.add(interface, mac, MTU, []);
    let config = validated(&Value::Array(documents)).map_err(|faults| {
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow!("the benchmark's documents are refused: {}", texts.join("\n"))
    })?;
    let next_hops = (1..=endpoints)
        .flat_map(|number| {
            [false, true].map(|is_ipv6| (endpoint(number, is_ipv6), next_hop(interface, number, is_ipv6)))
        })
        .collect();
    let inputs = Inputs {
        probe_destination: ProbeDestination::OwnAddress,
        config: &config,
        health: &HealthMap::new(),
        next_hops: &next_hops,
        ways: &Ways::new(),
        arrivals: &Arc::new(arrivals),
        zones: &ZonePrefixes::new(),
        gue_port: lb_ctl::settings::GUE_PORT,
        seed: SEED,
        limits: Limits::from(sizes),
        built: &BuiltTables::default(),
        inline_work: u64::MAX,
    };
    let plan = compile(&inputs, &Plan::default(), Scope::All, lb_ctl::dataplane::now())?;
    Ok(plan.contents)
}

/// The Ethernet address of an endpoint.
pub(super) fn mac(number: u32) -> [u8; 6] {
    let [a, b, c, d] = number.to_be_bytes();
    [6, 0, a, b, c, d]
}

/// On the interface that packets come from, so that they leave by where they came.
fn next_hop(interface: u32, number: u32, is_ipv6: bool) -> NextHop {
    NextHop::Resolved {
        ifindex: interface,
        source_mac: OWN_MAC,
        destination_mac: mac(number),
        on_link: true,
        mtu: MTU,
        source_address: Some(if is_ipv6 { OWN_IPV6.into() } else { OWN_IPV4.into() }),
    }
}
