//! The host's interfaces: what they are, what they lie on, and the XDP programs on them.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use netlink_packet_route::link::{
    InfoData, InfoMacVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp,
    MacVlanMode,
};

use super::features::{self, XdpFeatures};
use super::netlink::Netlink;
use super::{Following, MacAddr, NetError, NetworkState, addresses};

/// An interface as the kernel describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// How often the carrier came or went: tells that it did, however soon it was back.
    pub carrier_changes: u32,
    pub loopback: bool,
    /// Its frames have no Ethernet header, such as those of a `tun` device or a tunnel.
    pub no_ethernet: bool,
    /// Frames can be sent to everybody on it.
    pub broadcast: bool,
    /// The kernel resolves no neighbours on it.
    pub no_arp: bool,
    /// It takes frames for other hosts too.
    pub promiscuous: bool,
    /// What made it, such as `bridge`, `bond`, `vlan`, `veth`; absent for hardware.
    pub kind: Option<String>,
    /// The bridge or bond that it is a port of.
    pub master: Option<u32>,
    /// The interface of this namespace that a VLAN or MACVLAN device lies on.
    pub lower: Option<u32>,
    /// A MACVLAN device that hands over itself what it sends to others on the same interface: not all of it leaves by that.
    pub switches: bool,
    /// Of a veth.
    pub peer: Option<Peer>,
    /// What XDP can do with it; absent where nobody knows.
    pub features: Option<XdpFeatures>,
    /// More than one only when programs of several modes are attached.
    pub xdp: Vec<XdpAttachment>,
}

/// The other end of a veth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub index: u32,
    /// Another namespace's number in this one; absent: it is in this one.
    pub namespace: Option<i32>,
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

impl Link {
    /// Frames can be sent and received.
    pub fn is_running(&self) -> bool {
        self.up && self.carrier
    }

    /// A veth by which nothing that XDP sends arrives, because nobody takes it at the other end.
    pub fn is_deaf(&self) -> bool {
        let is_veth = self.kind.as_deref() == Some("veth");
        is_veth && self.features.is_some_and(|features| !features.transmits())
    }

    /// Why no packets can be balanced that arrive by it, a sentence.
    pub fn unbalanceable(&self) -> Option<String> {
        let Self { name, kind, .. } = self;
        let why = if self.loopback {
            "is the loopback device, by which this host sends to itself".to_owned()
        } else if self.no_ethernet {
            let what = kind.as_deref().unwrap_or("point-to-point");
            format!("carries no Ethernet frames (it is a {what} device)")
        } else {
            return None;
        };
        Some(format!(
            "{name} {why}: nothing can be balanced there; name the interface that clients' packets arrive by"
        ))
    }
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

    /// Links and addresses as they are now, and nothing else.
    pub async fn state(&self) -> Result<NetworkState, NetError> {
        let links = self.list().await?.into_iter().map(|link| (link.index, link));
        Ok(NetworkState {
            links: Arc::new(links.collect()),
            addresses: Arc::new(addresses::list(&self.0).await?),
            following: Following {
                is_read: true,
                ..Following::default()
            },
            ..NetworkState::default()
        })
    }
}

pub(super) async fn list(netlink: &Netlink) -> Result<Vec<Link>, NetError> {
    let mut links: Vec<Link> = netlink.links().await?.iter().map(from_message).collect();
    let indices: Vec<u32> = links.iter().map(|link| link.index).collect();
    match netlink.features(&indices).await? {
        Some(features) => links
            .iter_mut()
            .for_each(|link| link.features = features.get(&link.index).copied()),
        None => links
            .iter_mut()
            .for_each(|link| link.features = features::known(link)),
    }
    links.sort_by_key(|link| link.index);
    Ok(links)
}

fn from_message(message: &LinkMessage) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        loopback: flags.contains(LinkFlags::Loopback),
        no_ethernet: message.header.link_layer_type != LinkLayerType::Ether,
        broadcast: flags.contains(LinkFlags::Broadcast),
        no_arp: flags.contains(LinkFlags::Noarp),
        promiscuous: flags.contains(LinkFlags::Promisc),
        ..Link::default()
    };
    let (mut namespace, mut other) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(bytes) => link.mac = bytes.as_slice().try_into().ok(),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Controller(index) => link.master = Some(*index).filter(|index| *index != 0),
            LinkAttribute::Link(index) => other = Some(*index).filter(|index| *index != 0),
            LinkAttribute::LinkNetNsId(id) => namespace = Some(*id),
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.iter().find_map(kind);
                link.switches = infos.iter().any(switches);
            }
            LinkAttribute::CarrierChanges(count) => link.carrier_changes = *count,
            LinkAttribute::Promiscuity(count) => link.promiscuous |= *count > 0,
            LinkAttribute::Xdp(attributes) => link.xdp = attributes.iter().filter_map(attachment).collect(),
            _ => {}
        }
    }
    match link.kind.as_deref() {
        Some(kind) if STACKED.contains(&kind) => link.lower = other.filter(|_| namespace.is_none()),
        Some("veth") => link.peer = other.map(|index| Peer { index, namespace }),
        _ => {}
    }
    link
}

/// Kinds whose packets arrive by the interface that they name; others name a peer or a tunnel's way.
const STACKED: &[&str] = &["vlan", "macvlan", "macvtap", "ipvlan"];

fn kind(info: &LinkInfo) -> Option<String> {
    match info {
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    }
}

fn switches(info: &LinkInfo) -> bool {
    let is_bridge = |mode: &InfoMacVlan| matches!(mode, InfoMacVlan::Mode(MacVlanMode::Bridge));
    match info {
        LinkInfo::Data(InfoData::MacVlan(infos)) => infos.iter().any(is_bridge),
        _ => false,
    }
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
