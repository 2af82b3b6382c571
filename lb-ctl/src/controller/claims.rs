//! VIPs that claim addresses of somebody else: packets to those are judged by the VIP's rules.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use super::index;
use crate::model::Config;
use crate::net::NetworkState;

/// A sentence for every address of the host or of an endpoint that a forwarding rule owns.
pub(super) fn warnings(config: &Config, network: &NetworkState) -> Vec<String> {
    let own = network.own_addresses();
    let endpoints = index::addresses(config);
    let hosts = own.iter().map(|address| (*address, "the host's own address"));
    let endpoints = endpoints.into_iter().map(|address| (address, "the endpoint"));
    let mut others: BTreeMap<IpAddr, Vec<(IpAddr, &str)>> = BTreeMap::new();
    for (address, whose) in hosts.chain(endpoints) {
        others.entry(owned(address)).or_default().push((address, whose));
    }
    let mut warnings = BTreeSet::new();
    for rule in config.rules.values() {
        for (address, whose) in others.get(&owned(rule.vip.address)).into_iter().flatten() {
            warnings.insert(format!(
                "{} takes packets to {whose} {address}: {}",
                rule.path.name(),
                why(rule.vip.address)
            ));
        }
    }
    warnings.into_iter().collect()
}

/// What a VIP of this address owns.
fn owned(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => prefix_96(address).into(),
    }
}

fn why(vip: IpAddr) -> String {
    match vip {
        IpAddr::V4(vip) => format!("it is the VIP {vip}; a VIP must be nobody's address"),
        IpAddr::V6(vip) => format!(
            "an IPv6 rule owns the whole /96 of its VIP, {}/96; move one of the two to another /96",
            prefix_96(vip)
        ),
    }
}

fn prefix_96(address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() >> 32 << 32)
}

#[cfg(test)]
mod tests;
