//! From a route, the links and the neighbours to the one thing a reader wants: where a frame goes next, or why not.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::links::Link;
use super::neighbours::{NeighbourKey, Neighbours};
use super::route::Route;

pub type MacAddr = [u8; 6];

/// The next hop of every address that is watched.
pub type NextHops = BTreeMap<IpAddr, NextHop>;

/// How a frame for an address leaves this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextHop {
    Resolved {
        /// The interface that it leaves by.
        ifindex: u32,
        /// That interface's address.
        source_mac: MacAddr,
        /// The address itself when on-link, else its gateway.
        destination_mac: MacAddr,
        /// No router in between: the frame may carry any destination address.
        on_link: bool,
        /// Bytes of layer 3: the least of the link's and the route's.
        mtu: u32,
        /// What the host would send from: the source of an outer header.
        source_address: Option<IpAddr>,
    },
    Unresolved {
        /// A sentence.
        reason: String,
    },
    /// Frames of its device have no Ethernet header, whoever is at the other end.
    Unusable {
        /// The interface's name.
        device: String,
        /// A sentence.
        reason: String,
    },
}

/// The neighbour that `route` needs, if it needs one.
pub(super) fn neighbour_key(destination: IpAddr, route: &Route) -> Option<NeighbourKey> {
    match route {
        Route::Via { ifindex, gateway, .. } => Some((*ifindex, gateway.unwrap_or(destination))),
        Route::Unusable(_) => None,
    }
}

pub(super) fn resolve(
    destination: IpAddr,
    route: &Route,
    links: &BTreeMap<u32, Link>,
    neighbours: &Neighbours,
) -> NextHop {
    try_resolve(destination, route, links, neighbours).unwrap_or_else(|reason| NextHop::Unresolved { reason })
}

fn unusable(link: &Link) -> Option<NextHop> {
    let has_no_ethernet = link.loopback || link.no_ethernet;
    has_no_ethernet.then(|| NextHop::Unusable {
        device: link.name.clone(),
        reason: format!("{} carries no Ethernet frames", link.name),
    })
}

fn try_resolve(
    destination: IpAddr,
    route: &Route,
    links: &BTreeMap<u32, Link>,
    neighbours: &Neighbours,
) -> Result<NextHop, String> {
    let (ifindex, gateway, source, mtu) = match route {
        Route::Via {
            ifindex,
            gateway,
            source,
            mtu,
        } => (*ifindex, *gateway, *source, *mtu),
        Route::Unusable(reason) => return Err(reason.clone()),
    };
    let link = links
        .get(&ifindex)
        .ok_or_else(|| format!("the interface to {destination} is gone"))?;
    if let Some(unusable) = unusable(link) {
        return Ok(unusable);
    }
    let source_mac = usable(link)?;
    let hop = gateway.unwrap_or(destination);
    let destination_mac = mac_of(hop, link, neighbours)?;
    Ok(NextHop::Resolved {
        ifindex,
        source_mac,
        destination_mac,
        on_link: gateway.is_none(),
        mtu: mtu.map_or(link.mtu, |mtu| mtu.min(link.mtu)),
        source_address: source,
    })
}

/// The link's own address, when frames can be sent on it.
fn usable(link: &Link) -> Result<MacAddr, String> {
    let name = &link.name;
    if !link.up {
        return Err(format!("interface {name} is down"));
    }
    if !link.carrier {
        return Err(format!("interface {name} has no carrier"));
    }
    link.mac
        .ok_or_else(|| format!("interface {name} has no Ethernet address"))
}

fn mac_of(hop: IpAddr, link: &Link, neighbours: &Neighbours) -> Result<MacAddr, String> {
    let name = &link.name;
    match neighbours.get(&(link.index, hop)) {
        Some(neighbour) if neighbour.failed => Err(format!("neighbour {hop} on {name} does not answer")),
        Some(neighbour) => neighbour
            .mac
            .ok_or_else(|| format!("waiting for neighbour {hop} on {name}")),
        None => Err(format!("waiting for neighbour {hop} on {name}")),
    }
}
