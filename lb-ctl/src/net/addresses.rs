//! The host's addresses, and the prefixes that they connect it to.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};

use super::NetError;
use super::netlink::Netlink;

/// An address of the host on one of its interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    pub ifindex: u32,
    /// The host's own end of it.
    pub own: IpAddr,
    /// What it makes on-link; a host prefix (/32, /128) makes nothing so.
    pub prefix: Option<IpNet>,
    pub broadcast: Option<Ipv4Addr>,
}

/// All of the host's addresses. Two are equal when the kernel listed the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    all: BTreeSet<Address>,
    own: BTreeSet<IpAddr>,
    /// By prefix: the interfaces that it is connected to.
    connected: BTreeMap<IpNet, BTreeSet<u32>>,
}

impl FromIterator<Address> for Addresses {
    fn from_iter<I: IntoIterator<Item = Address>>(addresses: I) -> Self {
        let mut result = Self::default();
        for address in addresses {
            result.own.insert(address.own);
            if let Some(prefix) = address.prefix {
                let interfaces = result.connected.entry(prefix).or_default();
                interfaces.insert(address.ifindex);
            }
            result.all.insert(address);
        }
        result
    }
}

impl Addresses {
    pub fn iter(&self) -> impl Iterator<Item = &Address> {
        self.all.iter()
    }

    /// The addresses of the host itself, whatever interface they are on.
    pub fn own(&self) -> &BTreeSet<IpAddr> {
        &self.own
    }

    /// The connected prefixes that `address` lies in, the longest first, each with its interfaces. Costs a look-up for
    /// each length that an address can have, however many prefixes there are.
    pub fn connected(&self, address: IpAddr) -> impl Iterator<Item = (IpNet, &BTreeSet<u32>)> {
        let longest = if address.is_ipv4() { 31 } else { 127 };
        (0..=longest).rev().filter_map(move |length| {
            let prefix = IpNet::new(address, length).ok()?.trunc();
            Some((prefix, self.connected.get(&prefix)?))
        })
    }

    /// Those that this address is the broadcast address of.
    pub fn broadcast_of(&self, address: Ipv4Addr) -> impl Iterator<Item = &Address> {
        self.all
            .iter()
            .filter(move |other| other.broadcast == Some(address))
    }
}

pub(super) async fn list(netlink: &Netlink) -> Result<Addresses, NetError> {
    let messages = netlink.addresses().await?;
    Ok(messages.iter().filter_map(from_message).collect())
}

/// The host's end of a point-to-point address is `Local`, and `Address` is its peer's; elsewhere the two are one, or
/// `Local` is absent.
fn from_message(message: &AddressMessage) -> Option<Address> {
    let (mut local, mut address, mut broadcast) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(of) => local = Some(*of),
            AddressAttribute::Address(of) => address = Some(*of),
            AddressAttribute::Broadcast(of) => broadcast = Some(*of),
            _ => {}
        }
    }
    let prefix = address.and_then(|address| IpNet::new(address, message.header.prefix_len).ok());
    Some(Address {
        ifindex: message.header.index,
        own: local.or(address)?,
        prefix: prefix
            .filter(|prefix| prefix.prefix_len() < prefix.max_prefix_len())
            .map(|prefix| prefix.trunc()),
        broadcast,
    })
}
