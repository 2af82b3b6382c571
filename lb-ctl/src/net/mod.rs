//! The host's network: routes, neighbours, links, and answering for addresses. The only user of netlink.
//!
//! Contract: everything acts in the network namespace of the runtime's threads, which is one. Addresses in
//! ([`NetWatcher::watch`], [`Announcer::set`]), the state of the network out ([`NetWatcher::state`]); nobody here knows
//! what they are for.

mod addresses;
pub mod announce;
mod bridges;
mod features;
pub mod links;
mod mark;
mod neighbours;
mod netlink;
mod next_hop;
mod probe_device;
mod refusal;
mod route;
mod state;
#[cfg(test)]
mod testing;
mod watcher;

use std::io;

pub use addresses::{Address, Addresses};
pub use announce::{
    Announcer, Claim, Conflict, ConflictKey, Conflicts, Desired, LinkState, Serving, VipRange,
};
pub use bridges::{BridgePort, BridgePorts};
pub use features::XdpFeatures;
pub use links::{Link, Links, Peer, XdpAttachment, XdpMode};
pub use mark::Mark;
pub use next_hop::{MacAddr, NextHop, NextHops};
pub use probe_device::{ProbeDevice, ProbeWay, WayState};
pub use refusal::native_refusal;
pub use state::{Following, NetworkState, Trouble};
pub use watcher::NetWatcher;

/// What can go wrong here; each displays as one clause of a sentence.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    #[error("there is no interface named {name}")]
    InterfaceMissing { name: String },
    #[error("the name {name} is taken by a device of somebody else; rename that one")]
    Taken { name: String },
    #[error("can't {doing}: {source}")]
    Io { doing: String, source: io::Error },
    #[error("can't {doing}: the kernel's answer made no sense: {answer}")]
    Unexpected { doing: String, answer: String },
    #[error("can't {doing}: the kernel did not answer")]
    NoAnswer { doing: String },
}

impl NetError {
    pub(crate) fn io(doing: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            doing: doing.into(),
            source,
        }
    }

    /// The error number that the kernel answered with.
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Io { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}
