//! What there is to say of other hosts that claim VIPs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::Config;
use crate::net::{Claim, Conflict, ConflictKey, Conflicts, MacAddr, NetworkState, NextHop};

/// A sentence for each conflict. The other host is named when it is an endpoint on the same link.
pub fn conflict_warnings(conflicts: &Conflicts, config: &Config, network: &NetworkState) -> Vec<String> {
    if conflicts.is_empty() {
        return Vec::new();
    }
    let endpoints = endpoints_by_mac(config, network);
    let warn = |(key, conflict): (&ConflictKey, &Conflict)| {
        let endpoint = endpoints.get(&(key.ifindex, key.mac));
        warning(key, conflict, endpoint.map(String::as_str))
    };
    conflicts.iter().map(warn).collect()
}

fn warning(key: &ConflictKey, conflict: &Conflict, endpoint: Option<&str>) -> String {
    let (vip, mac) = (key.address, hexadecimal(key.mac));
    let whose = endpoint.map_or_else(|| "another host".to_owned(), |name| format!("endpoint {name}"));
    let did = match conflict.claim {
        Claim::Answered => format!("{vip} is also answered for by {mac} ({whose})"),
        Claim::Announced => format!("{vip} is also announced by {mac} ({whose})"),
        Claim::AskedInItsName => format!("{mac} ({whose}) asks for its neighbours in the name of {vip}"),
    };
    let remedy = match (conflict.claim, vip.is_ipv4(), endpoint) {
        (Claim::Answered, true, Some(_)) => "set arp_ignore=1 there",
        (Claim::AskedInItsName, true, _) => "set arp_announce=2 there",
        (_, false, Some(_)) => "put the VIP on lo there, not on the interface",
        _ => "take the VIP from it, or set announce = false on all hosts of a pair but one",
    };
    format!("{did}: {remedy}")
}

/// By interface and Ethernet address. Of several on one host, all.
fn endpoints_by_mac(config: &Config, network: &NetworkState) -> BTreeMap<(u32, MacAddr), String> {
    let names = names(config);
    let mut found: BTreeMap<(u32, MacAddr), BTreeSet<&str>> = BTreeMap::new();
    for (address, hop) in network.next_hops.iter() {
        if let NextHop::Resolved {
            ifindex,
            destination_mac,
            on_link: true,
            ..
        } = hop
            && let Some(of) = names.get(address)
        {
            let found = found.entry((*ifindex, *destination_mac)).or_default();
            found.extend(of.iter().map(String::as_str));
        }
    }
    let joined = found.into_iter();
    joined
        .map(|(key, names)| (key, names.into_iter().collect::<Vec<_>>().join(", ")))
        .collect()
}

/// What endpoints are called, by their addresses: their instances, or else the address itself.
fn names(config: &Config) -> BTreeMap<IpAddr, BTreeSet<String>> {
    let mut names: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
    let endpoints = config.groups.values().flat_map(|group| &group.endpoints);
    for endpoint in endpoints {
        let addresses = endpoint.ipv4.map(IpAddr::from).into_iter();
        for address in addresses.chain(endpoint.ipv6.map(IpAddr::from)) {
            let instance = endpoint.instance.as_deref();
            let instance = instance.map(|path| path.rsplit('/').next().unwrap_or(path).to_owned());
            names
                .entry(address)
                .or_default()
                .insert(instance.unwrap_or_else(|| address.to_string()));
        }
    }
    names
}

fn hexadecimal(mac: MacAddr) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
