//! What is known of the host's network at one moment, and questions to it that ask nobody else.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Addresses, BridgePorts, Link, MacAddr, NextHops};

/// A copy costs nothing; parts that did not change are shared with the state before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkState {
    /// By index.
    pub links: Arc<BTreeMap<u32, Link>>,
    pub addresses: Arc<Addresses>,
    /// Of every watched address; one that is missing was not looked up yet.
    pub next_hops: Arc<NextHops>,
    /// Where bridges send what goes to next hops.
    pub ports: Arc<BridgePorts>,
    pub following: Following,
}

/// Whether the state is true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Following {
    /// Links and addresses were read. Until then the state is empty because nobody knows.
    pub is_read: bool,
    /// Why the state may be out of date.
    pub trouble: Option<Trouble>,
    /// How often notifications were lost, and everything was looked at again.
    pub losses: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub since: Timestamp,
    /// A clause.
    pub reason: String,
}

impl Following {
    /// For those who look at the state of the daemon.
    pub fn warning(&self) -> Option<String> {
        let Trouble { since, reason } = self.trouble.as_ref()?;
        let since = since.strftime("%FT%TZ");
        Some(format!(
            "links, addresses, routes and neighbours are not followed since {since}: {reason}; it is tried again"
        ))
    }
}

impl NetworkState {
    pub fn link_named(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.name == name)
    }

    /// The addresses of the host itself.
    pub fn own_addresses(&self) -> &BTreeSet<IpAddr> {
        self.addresses.own()
    }

    /// The Ethernet addresses of the host itself.
    pub fn own_macs(&self) -> BTreeSet<MacAddr> {
        self.links.values().filter_map(|link| link.mac).collect()
    }

    /// The interface on whose connected prefix `address` lies, as [`Self::connected_to`] says, whoever's it is.
    pub fn connected_interface(&self, address: IpAddr) -> Option<&Link> {
        self.connected_to(address, |_| false)
    }

    /// The interface on whose connected prefix `address` lies: the one with the longest such prefix, and of several,
    /// one that is `preferred`, then one that is running, then the lowest index. Loopback connects to nothing.
    pub fn connected_to(&self, address: IpAddr, preferred: impl Fn(&Link) -> bool) -> Option<&Link> {
        self.addresses.connected(address).find_map(|(_, interfaces)| {
            let links = interfaces.iter().filter_map(|index| self.links.get(index));
            links
                .filter(|link| !link.loopback)
                .min_by_key(|link| (!preferred(link), !link.is_running(), link.index))
        })
    }

    /// `interfaces`, and all that lies on one of them, whose packets come in by it: bridges and bonds on their ports,
    /// VLAN and MACVLAN devices on other interfaces.
    pub fn reached_by(&self, interfaces: &BTreeSet<u32>) -> BTreeSet<u32> {
        let mut reached = interfaces.clone();
        let mut next: Vec<u32> = interfaces.iter().copied().collect();
        while let Some(index) = next.pop() {
            let master = self.links.get(&index).and_then(|link| link.master);
            let upper = self.links.values().filter(|link| link.lower == Some(index));
            for index in master.into_iter().chain(upper.map(|link| link.index)) {
                if reached.insert(index) {
                    next.push(index);
                }
            }
        }
        reached
    }
}
