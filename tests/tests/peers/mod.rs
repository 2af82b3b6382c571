//! Small worlds for the tests of single faults: two services alike, each with one VIP of both families.

pub(crate) mod errors;
pub(crate) mod fragments;

use std::collections::BTreeMap;
use std::net::IpAddr;

use lb_ctl::dataplane::Sizes;
use lb_ctl::health::Weight;
use lb_ctl::model::EndpointWeight;
use lb_tests::conformance::bench::Bench;
use lb_tests::conformance::documents::{self, ZONE};
use lb_tests::conformance::packet::{Ends, Position, frame};
use lb_tests::conformance::rows::{self, Case, Policy};
use lb_tests::conformance::world::{State, World};
use serde_json::{Value, json};

/// The second in which worlds begin.
pub(crate) const START: u32 = 4003;

pub(crate) fn small_bench() -> Bench {
    Bench::new(sizes(1 << 14))
}

/// With a flow table of few slots.
pub(crate) fn tiny_bench() -> Bench {
    Bench::new(sizes(512))
}

fn sizes(flow_slots: u32) -> Sizes {
    Sizes {
        flow_slots,
        table_slots: 1 << 19,
        services: 16,
        members: 128,
        backends: 64,
        ..Sizes::default()
    }
}

/// A kind of packet, by its name in the table.
pub(crate) fn case(name: &str, is_ipv6: bool) -> Case {
    let mut cases = rows::cases().into_iter();
    let found = cases.find(|case| case.name == name && case.is_ipv6 == is_ipv6);
    found.unwrap_or_else(|| panic!("no case {name}"))
}

pub(crate) fn udp_of(ends: &Ends) -> Vec<u8> {
    frame(&case("UDP", ends.destination.is_ipv6()), ends, Position::First)
}

/// A whole ICMP or ICMPv6 message; `rest` follows type, code and checksum.
pub(crate) fn icmp(source: IpAddr, destination: IpAddr, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let ends = Ends {
        source,
        destination,
        source_port: 0,
        destination_port: 0,
    };
    let case = case("ICMP echo", destination.is_ipv6());
    let payload = [&[kind, code, 0, 0], rest].concat();
    lb_tests::conformance::packet::network(&case, &ends, &payload, None)
}

/// What the services are.
#[derive(Clone, Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) scheme: &'static str,
    pub(crate) affinity: &'static str,
    pub(crate) persistence: &'static str,
    /// Protocol and ports of the rules on each VIP.
    pub(crate) rules: &'a [(&'a str, &'a [&'a str])],
    pub(crate) endpoints: &'a str,
    pub(crate) unhealthy: &'a str,
    /// Weighted, if any are named.
    pub(crate) weights: &'a [(char, u32)],
}

impl Default for Setting<'_> {
    fn default() -> Self {
        Self {
            scheme: "INTERNAL",
            affinity: "NONE",
            persistence: "DEFAULT_FOR_PROTOCOL",
            rules: &[("L3_DEFAULT", &[])],
            endpoints: "abc",
            unhealthy: "",
            weights: &[],
        }
    }
}

impl Setting<'_> {
    pub(crate) fn vip(is_ipv6: bool) -> IpAddr {
        documents::vip(0, false, is_ipv6)
    }

    /// The other service's.
    pub(crate) fn other_vip() -> IpAddr {
        documents::vip(1, false, false)
    }

    pub(crate) fn world<'b>(&self, bench: &'b mut Bench) -> World<'b> {
        let mut world = World::new(bench, START);
        self.set(&mut world);
        world
    }

    pub(crate) fn set(&self, world: &mut World<'_>) {
        let policy = Policy {
            scheme: self.scheme,
            affinity: self.affinity,
            mode: "PER_CONNECTION",
            persistence: self.persistence,
        };
        let group = documents::group("primary", &self.endpoints.chars().collect());
        let mut all = vec![documents::health_check(), group];
        for index in 0..2 {
            let backend = json!({"group": format!("{ZONE}/networkEndpointGroups/primary")});
            let mut service = documents::service(index, &policy, vec![backend]);
            if !self.weights.is_empty() {
                let weighted = match self.scheme {
                    "INTERNAL" => "WEIGHTED_GCP_RENDEZVOUS",
                    _ => "WEIGHTED_MAGLEV",
                };
                service.insert("localityLbPolicy".into(), weighted.into());
            }
            all.push(Value::Object(service));
            for (protocol, ports) in self.rules {
                for (version, is_ipv6) in [("v4", false), ("v6", true)] {
                    let name = format!("{}-{version}", protocol.to_lowercase().replace('_', "-"));
                    let vip = documents::vip(index, false, is_ipv6);
                    all.push(documents::rule(index, &policy, &name, vip, protocol, ports));
                }
            }
        }
        world.set_states(&Value::Array(all), &self.states());
    }

    fn states(&self) -> BTreeMap<char, State> {
        let weights: BTreeMap<char, u32> = self.weights.iter().copied().collect();
        let state = |name| {
            let weight = Weight {
                value: EndpointWeight::whole(weights.get(&name).copied().unwrap_or(1)),
                error: None,
            };
            let healthy = !self.unhealthy.contains(name);
            (name, State { healthy, weight })
        };
        self.endpoints.chars().map(state).collect()
    }
}

/// The number of an endpoint in the first service, over IPv4.
pub(crate) fn number_of(world: &World<'_>, name: char) -> Option<u32> {
    let mut services = world.plan().services.iter();
    let service =
        services.find(|(key, _)| key.service.name() == "s0" && key.family == lb_ctl::plan::IpFamily::V4);
    let (_, service) = service?;
    let mut members = service.members.iter();
    let address = documents::address(name, false);
    members
        .find(|(id, _)| id.address == address)
        .map(|(_, member)| member.number)
}
