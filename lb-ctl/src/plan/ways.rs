//! By which interface XDP reaches endpoints, and whom it can't reach, from what is known of the network (semantics §9).

mod closed;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use self::closed::closed;
use crate::net::{Link, MacAddr, NetworkState, NextHop, XdpMode};

/// Of the endpoints that are not reached by the interface that their route names; all others are absent.
pub type Ways = BTreeMap<IpAddr, Way>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// By an interface that the route's lies on.
    Through {
        ifindex: u32,
        mtu: u32,
    },
    Closed(Undeliverable),
}

/// Why no frame leaves towards an endpoint, whoever answers there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Undeliverable {
    /// The interface's name.
    pub device: String,
    /// A sentence that names it, with what helps.
    pub reason: String,
}

/// What the ways depend on.
#[derive(Clone, Copy, Debug)]
pub struct WayInputs<'a> {
    pub network: &'a NetworkState,
    /// The interfaces that packets are taken from now, and how.
    pub arms: &'a BTreeMap<u32, XdpMode>,
    /// Interfaces that have just failed to send, with the error: a clause.
    pub broken: &'a BTreeMap<u32, String>,
}

pub fn ways(inputs: &WayInputs<'_>) -> Ways {
    let hops = inputs.network.next_hops.iter();
    hops.filter_map(|(address, hop)| Some((*address, inputs.way(hop)?)))
        .collect()
}

/// Devices lie on few others.
const DEEPEST: usize = 4;

impl WayInputs<'_> {
    /// Nothing if the route's interface will do, or while nobody knows.
    fn way(&self, hop: &NextHop) -> Option<Way> {
        let (ifindex, mac) = match hop {
            NextHop::Resolved {
                ifindex,
                destination_mac,
                ..
            } => (*ifindex, destination_mac),
            NextHop::Unusable { device, reason } => {
                return Some(Way::Closed(Undeliverable {
                    device: device.clone(),
                    reason: format!("{reason}: lead the route to the endpoint over an Ethernet interface"),
                }));
            }
            NextHop::Unresolved { .. } => return None,
        };
        let first = self.network.links.get(&ifindex)?;
        let last = self.below(first, mac);
        if let Some(closed) = closed(self, last) {
            return Some(Way::Closed(closed));
        }
        (last.index != first.index).then_some(Way::Through {
            ifindex: last.index,
            mtu: last.mtu,
        })
    }

    /// The interface that a frame for `mac` leaves by, as far as that is unambiguous.
    fn below<'a>(&'a self, first: &'a Link, mac: &MacAddr) -> &'a Link {
        let mut link = first;
        for _ in 0..DEEPEST {
            match self.next_below(link, mac) {
                Some(next) => link = next,
                None => break,
            }
        }
        link
    }

    fn next_below(&self, link: &Link, mac: &MacAddr) -> Option<&Link> {
        let links = &self.network.links;
        match link.kind.as_deref()? {
            "bridge" => match self.network.ports.get(&(link.index, *mac)) {
                Some(port) if port.filtered => None,
                Some(port) => links.get(&port.index),
                None => {
                    let mut ports = links.values().filter(|port| port.master == Some(link.index));
                    ports.next().filter(|_| ports.next().is_none())
                }
            },
            "macvlan" if !link.switches => links.get(&link.lower?),
            _ => None,
        }
    }

    /// Packets that come by another interface have to be redirected to this one by its driver. Those of a bond come by its
    /// ports, and what a veth sends back to its peer goes the same way as what is redirected.
    fn must_transmit(&self, link: &Link) -> bool {
        let always = matches!(link.kind.as_deref(), Some("bond" | "veth"));
        let mut arms = self.arms.iter();
        arms.any(|(index, mode)| *mode == XdpMode::Native && (*index != link.index || always))
    }

    /// All packets come by this one.
    fn is_only_arm(&self, link: &Link) -> bool {
        self.arms.keys().eq([&link.index])
    }
}
