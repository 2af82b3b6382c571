//! VIPs that can't be right on this host, however the rest is configured.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::net::{Link, NetworkState};

/// Why an address can't be a VIP here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// A clause about the address, with what would happen.
    pub reason: String,
    /// What to do about it.
    pub hint: String,
    /// It is the host's own.
    pub is_own: bool,
}

/// Nothing is known to be wrong of an address while nothing is known of the network.
pub fn unusable(vip: IpAddr, network: &NetworkState) -> Option<Unusable> {
    own(vip, network).or_else(|| match vip {
        IpAddr::V4(vip) => of_a_prefix(vip, network),
        IpAddr::V6(_) => None,
    })
}

fn own(vip: IpAddr, network: &NetworkState) -> Option<Unusable> {
    let mut addresses = network.addresses.iter();
    let own = addresses.find(|address| address.own == vip)?;
    let name = name(network, own.ifindex);
    Some(Unusable {
        reason: format!(
            "is this host's own address, on {name}: what is sent to the host at it would be balanced away from it"
        ),
        hint: format!(
            "remove it from {name}: the balancer answers for VIPs itself; or choose another address"
        ),
        is_own: true,
    })
}

/// All hosts on a link hear its broadcast address, in both of its forms, and none is reached at it.
fn of_a_prefix(vip: Ipv4Addr, network: &NetworkState) -> Option<Unusable> {
    let connected = network.addresses.connected(vip.into());
    let of_prefix = connected.filter_map(|(prefix, interfaces)| {
        let index = *interfaces.first()?;
        Some((what(vip, prefix)?, prefix.to_string(), index))
    });
    let told = network.addresses.broadcast_of(vip).map(|address| {
        let prefix = address
            .prefix
            .map_or_else(|| address.own.to_string(), |prefix| prefix.to_string());
        ("broadcast", prefix, address.ifindex)
    });
    let is_loopback = |index: &u32| network.links.get(index).is_some_and(|link| link.loopback);
    let (what, prefix, index) = of_prefix.chain(told).find(|(_, _, index)| !is_loopback(index))?;
    let name = name(network, index);
    Some(Unusable {
        reason: format!(
            "is the {what} address of {prefix}, which {name} is connected to: no host there sends to it as to one host"
        ),
        hint: "choose an address between the first and the last of the prefix".to_owned(),
        is_own: false,
    })
}

/// A prefix of two addresses or one has no such addresses (RFC 3021).
fn what(vip: Ipv4Addr, prefix: IpNet) -> Option<&'static str> {
    match prefix {
        IpNet::V4(prefix) if prefix.prefix_len() > 30 => None,
        IpNet::V4(prefix) if prefix.broadcast() == vip => Some("broadcast"),
        IpNet::V4(prefix) if prefix.network() == vip => Some("network"),
        _ => None,
    }
}

fn name(network: &NetworkState, index: u32) -> &str {
    let link: Option<&Link> = network.links.get(&index);
    link.map_or("an interface", |link| &link.name)
}
