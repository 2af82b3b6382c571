//! VIPs that claim addresses of somebody else: packets to those are judged by the VIP's rules.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use super::index;
use crate::model::{Config, ForwardingRule};
use crate::net::NetworkState;
use crate::plan::contents::RuleContents;
use crate::plan::vip_key;

/// A sentence for every address of the host, of an endpoint or of another rule that a forwarding rule owns.
pub(super) fn warnings(config: &Config, network: &NetworkState) -> Vec<String> {
    let own = network.own_addresses();
    let endpoints = index::addresses(config);
    let hosts = own.iter().map(|address| (*address, "the host's own address"));
    let endpoints = endpoints.into_iter().map(|address| (address, "the endpoint"));
    let mut others: BTreeMap<IpAddr, BTreeSet<&str>> = BTreeMap::new();
    for (address, whose) in hosts.chain(endpoints) {
        others.entry(address).or_default().insert(whose);
    }
    let vips: BTreeSet<IpAddr> = config.rules.values().map(|rule| rule.vip.address).collect();
    let mut warnings = BTreeSet::new();
    for rule in config.rules.values() {
        for (address, whose) in others.range(addresses(rule)) {
            warnings.extend(whose.iter().map(|whose| taken(rule, *address, whose)));
        }
        let inside = vips
            .range(addresses(rule))
            .filter(|vip| **vip != rule.vip.address);
        warnings.extend(inside.map(|vip| {
            format!(
                "{} does not take packets to {vip}, which is a VIP by itself, although it owns the /96 around it",
                rule.path.name()
            )
        }));
    }
    warnings.into_iter().collect()
}

/// A sentence for every rule that owned more in the maps of an older version, which took each IPv6 address for its whole /96.
pub(super) fn narrowed(config: &Config, held: &RuleContents) -> Vec<String> {
    let is_narrower = |rule: &&ForwardingRule| {
        let IpAddr::V6(vip) = rule.vip.address else {
            return false;
        };
        let prefix = IpAddr::from(Ipv6Addr::from_bits(vip.to_bits() >> 32 << 32));
        let is_held = |address| held.vips.contains_key(&vip_key(address));
        let is_wanted = |address| config.rules.values().any(|rule| rule.vip.address == address);
        !is_held(vip.into()) && is_held(prefix) && !is_wanted(prefix)
    };
    let rules = config.rules.values().filter(is_narrower);
    let told = rules.map(|rule| {
        format!(
            "{} owns {} alone from now on; the version before took it for the whole /96 around it (write /96 behind the \
             prefix for that)",
            rule.path.name(),
            rule.vip.address
        )
    });
    told.collect()
}

/// The first and the last address that a rule owns.
fn addresses(rule: &ForwardingRule) -> std::ops::RangeInclusive<IpAddr> {
    match rule.vip.owned() {
        IpNet::V4(net) => net.network().into()..=net.broadcast().into(),
        IpNet::V6(net) => net.network().into()..=net.broadcast().into(),
    }
}

fn taken(rule: &ForwardingRule, address: IpAddr, whose: &str) -> String {
    let (name, vip) = (rule.path.name(), rule.vip);
    let why = match vip.address == address {
        true => format!("it is the VIP {address}; a VIP must be nobody's address"),
        false => format!(
            "it owns the whole /96 of its VIP, {}; move one of the two to another /96, or give the rule one address",
            vip.owned()
        ),
    };
    format!("{name} takes packets to {whose} {address}: {why}")
}

#[cfg(test)]
mod tests;
