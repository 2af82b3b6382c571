//! The host's interfaces: their addresses, sizes, and the XDP programs on them.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage, LinkXdp};

use super::netlink::Netlink;
use super::{MacAddr, NetError};

/// An interface as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// Absent for interfaces without Ethernet addresses.
    pub mac: Option<MacAddr>,
    /// Bytes of layer 3.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    pub carrier: bool,
    pub loopback: bool,
    /// More than one only when programs of several modes are attached.
    pub xdp: Vec<XdpAttachment>,
}

/// An XDP program on an interface, whoever attached it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpAttachment {
    pub mode: XdpMode,
    /// The kernel's number for the program.
    pub program_id: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    Native,
    Generic,
    Offload,
}

impl XdpMode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Offload => "offload",
        }
    }
}

/// Answers questions about interfaces, each time by asking the kernel. Needs a tokio runtime.
#[derive(Debug)]
pub struct Links(Netlink);

impl Links {
    pub fn new() -> Result<Self, NetError> {
        Ok(Self(Netlink::open()?))
    }

    /// All interfaces, by index.
    pub async fn list(&self) -> Result<Vec<Link>, NetError> {
        list(&self.0).await
    }

    /// [`NetError::InterfaceMissing`] when there is none of that name.
    pub async fn by_name(&self, name: &str) -> Result<Link, NetError> {
        let links = self.list().await?;
        let missing = || NetError::InterfaceMissing {
            name: name.to_owned(),
        };
        links
            .into_iter()
            .find(|link| link.name == name)
            .ok_or_else(missing)
    }

    /// The addresses that the host itself has, whatever interface they are on.
    pub async fn own_addresses(&self) -> Result<BTreeSet<IpAddr>, NetError> {
        let messages = self.0.addresses().await?;
        Ok(messages.iter().filter_map(own_address).collect())
    }

    /// The index of the interface on whose connected prefix `address` lies: the one with the longest such prefix.
    /// Loopback and host prefixes (/32, /128) don't count.
    pub async fn connected_interface(&self, address: IpAddr) -> Result<Option<u32>, NetError> {
        let loopbacks: Vec<u32> = self
            .list()
            .await?
            .into_iter()
            .filter(|link| link.loopback)
            .map(|link| link.index)
            .collect();
        let prefixes = self.0.addresses().await?;
        let prefixes = prefixes
            .iter()
            .filter_map(connected_prefix)
            .filter(|(index, _)| !loopbacks.contains(index));
        Ok(longest_match(prefixes, address))
    }
}

pub(super) async fn list(netlink: &Netlink) -> Result<Vec<Link>, NetError> {
    let mut links: Vec<Link> = netlink.links().await?.iter().map(from_message).collect();
    links.sort_by_key(|link| link.index);
    Ok(links)
}

fn from_message(message: &LinkMessage) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mac: None,
        mtu: 0,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        loopback: flags.contains(LinkFlags::Loopback),
        xdp: Vec::new(),
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(bytes) => link.mac = bytes.as_slice().try_into().ok(),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Xdp(attributes) => link.xdp = attributes.iter().filter_map(attachment).collect(),
            _ => {}
        }
    }
    link
}

fn attachment(attribute: &LinkXdp) -> Option<XdpAttachment> {
    let (mode, program_id) = match attribute {
        LinkXdp::DrvProgId(id) => (XdpMode::Native, *id),
        LinkXdp::SkbProgId(id) => (XdpMode::Generic, *id),
        LinkXdp::HwProgId(id) => (XdpMode::Offload, *id),
        _ => return None,
    };
    (program_id != 0).then_some(XdpAttachment { mode, program_id })
}

/// The host's end of a point-to-point address is `Local`; elsewhere the two are one, or `Local` is absent.
fn own_address(message: &AddressMessage) -> Option<IpAddr> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}

/// The prefix that an address makes on-link: the peer's for a point-to-point address.
fn connected_prefix(message: &AddressMessage) -> Option<(u32, IpNet)> {
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    })?;
    let prefix = IpNet::new(address, message.header.prefix_len).ok()?.trunc();
    (prefix.prefix_len() < prefix.max_prefix_len()).then_some((message.header.index, prefix))
}

/// Of equally long prefixes the one on the lowest index.
fn longest_match(prefixes: impl Iterator<Item = (u32, IpNet)>, address: IpAddr) -> Option<u32> {
    prefixes
        .filter(|(_, prefix)| prefix.contains(&address))
        .max_by_key(|(index, prefix)| (prefix.prefix_len(), std::cmp::Reverse(*index)))
        .map(|(index, _)| index)
}
