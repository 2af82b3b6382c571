//! Which VIPs are answered for and where, from what is known of the network: nobody is asked.

mod conflicts;
#[cfg(test)]
mod tests;
mod unusable;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

pub use self::conflicts::conflict_warnings;
pub use self::unusable::{Unusable, unusable};
use crate::model::{Config, Vip};
use crate::net::{Desired, LinkState, NetworkState, Serving, VipRange};

/// What the answer depends on, but for the VIPs.
#[derive(Clone, Copy, Debug)]
pub struct AnnounceInputs<'a> {
    pub network: &'a NetworkState,
    /// The indices of the interfaces that packets are taken from.
    pub interfaces: &'a BTreeSet<u32>,
    /// False: nothing is answered for.
    pub enabled: bool,
    /// Announce all of it again this often.
    pub repeat: Option<Duration>,
}

/// What is to be answered for, and what there is to say of every VIP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announcements {
    pub desired: Desired,
    pub how: BTreeMap<IpAddr, Answering>,
}

/// How packets for a VIP are made to come here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answering {
    /// Answered for on this interface, while it is up.
    Here { interface: String, running: bool },
    /// Connected by an interface that no packets are taken from.
    Elsewhere { interface: String },
    /// On no connected prefix.
    Routed,
    /// An address of the host itself, whose own stack answers for it.
    Own,
    /// No host's address, such as a prefix's broadcast; a clause says so.
    Nobodys(String),
    /// Nothing is answered for by this host.
    Off,
    /// The network was not looked at yet.
    Unknown,
}

impl fmt::Display for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here {
                interface,
                running: true,
            } => write!(f, "answered for on {interface}"),
            Self::Here { interface, .. } => write!(f, "answered for on {interface} once that is up"),
            Self::Elsewhere { interface } => write!(
                f,
                "not answered for: it is connected by {interface}, which no packets are taken from"
            ),
            Self::Routed => f.write_str("on no connected prefix: a router has to lead its packets here"),
            Self::Own => f.write_str("answered for by the host itself: it is the host's own address"),
            Self::Nobodys(reason) => write!(f, "not answered for: it {reason}"),
            Self::Off => f.write_str("not answered for: announcing is off"),
            Self::Unknown => f.write_str("not known yet"),
        }
    }
}

impl Answering {
    /// What about it may be a mistake. Of the host's own addresses the claims say more.
    pub fn warning(&self, vip: IpAddr) -> Option<String> {
        match self {
            Self::Elsewhere { interface } => Some(format!(
                "the VIP {vip} is not answered for: its prefix is connected by {interface}, which no packets are taken \
                 from; name {interface} as an interface of lb-ctl, or route the VIP here"
            )),
            Self::Nobodys(reason) => Some(format!("the VIP {vip} is not answered for: it {reason}")),
            Self::Here { .. } | Self::Routed | Self::Own | Self::Off | Self::Unknown => None,
        }
    }
}

/// Every VIP of the rules.
pub fn vips(config: &Config) -> BTreeSet<IpAddr> {
    config.rules.values().map(|rule| rule.vip.address).collect()
}

impl Announcements {
    pub fn new(vips: &BTreeSet<IpAddr>, inputs: &AnnounceInputs<'_>) -> Self {
        let network = inputs.network;
        let mut result = Self {
            desired: Desired {
                own_macs: Arc::new(network.own_macs()),
                repeat: inputs.repeat,
                ..Desired::default()
            },
            how: BTreeMap::new(),
        };
        let ours = network.reached_by(inputs.interfaces);
        for vip in vips {
            let answering = result.place(*vip, &ours, inputs);
            result.how.insert(*vip, answering);
        }
        result
    }

    fn place(&mut self, vip: IpAddr, ours: &BTreeSet<u32>, inputs: &AnnounceInputs<'_>) -> Answering {
        let network = inputs.network;
        if !network.following.is_read {
            return Answering::Unknown;
        }
        match unusable(vip, network) {
            Some(own) if own.is_own => return Answering::Own,
            Some(unusable) => return Answering::Nobodys(unusable.reason),
            None => {}
        }
        if !inputs.enabled {
            return Answering::Off;
        }
        let Some(link) = network.connected_to(vip, |link| ours.contains(&link.index)) else {
            return Answering::Routed;
        };
        let interface = link.name.clone();
        if !ours.contains(&link.index) {
            return Answering::Elsewhere { interface };
        }
        let serving = self
            .desired
            .interfaces
            .entry(link.index)
            .or_insert_with(|| Serving {
                link: LinkState::from(link),
                ranges: BTreeSet::new(),
            });
        serving.ranges.insert(range(vip));
        Answering::Here {
            interface,
            running: link.is_running(),
        }
    }

    /// A sentence for each VIP that nobody may answer for.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.how
            .iter()
            .filter_map(|(vip, answering)| answering.warning(*vip))
    }
}

/// Exactly what a rule owns: the rest of an address's /96 may well be neighbours.
fn range(vip: IpAddr) -> VipRange {
    match (Vip { address: vip }).owned() {
        IpNet::V6(prefix) if prefix.prefix_len() < 128 => VipRange::whole_96(prefix.addr()),
        _ => VipRange::host(vip),
    }
}
