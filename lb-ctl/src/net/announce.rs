//! Answers for addresses that are not addresses of this host: ARP requests and neighbour solicitations for VIPs on a
//! connected prefix, and announcements when it takes one over, or its link is another or was away. It asks for them
//! itself, and listens, to find who else claims them.
//!
//! The host's own stack would answer only for its own addresses, and XDP leaves this traffic to the stack; so a packet
//! socket for each interface and family, with a filter that lets only ARP and neighbour discovery through, does it
//! here. Untagged frames only.

mod answered;
mod arp;
mod conflicts;
mod filter;
mod ndp;
mod schedule;
mod socket;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::answered::Answered;
use self::conflicts::Watch;
pub use self::conflicts::{Claim, Conflict, ConflictKey, Conflicts};
use self::schedule::Schedule;
use self::socket::{GroupMemberships, PacketSocket};
use self::worker::{Order, Trouble, Worker};
use super::{Link, MacAddr, NetError};

/// The addresses of a VIP: the one that is announced, and all that are answered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VipRange {
    announced: IpAddr,
    prefix: IpNet,
}

impl VipRange {
    /// A single address.
    pub fn host(address: IpAddr) -> Self {
        Self {
            announced: address,
            prefix: address.into(),
        }
    }

    /// The whole /96 around `address`. Every other host in that /96 becomes unreachable on this link.
    pub fn whole_96(address: Ipv6Addr) -> Self {
        let prefix = ipnet::Ipv6Net::new_assert(address, 96).trunc();
        Self {
            announced: address.into(),
            prefix: prefix.into(),
        }
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.prefix.contains(&address)
    }

    fn is_host(&self) -> bool {
        self.prefix.prefix_len() == self.prefix.max_prefix_len()
    }

    /// The address that is announced.
    pub fn announced(&self) -> IpAddr {
        self.announced
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }
}

/// What is to be answered for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// By index.
    pub interfaces: BTreeMap<u32, Serving>,
    /// Those of all of the host's interfaces: none of them claims an address from another.
    pub own_macs: Arc<BTreeSet<MacAddr>>,
    /// Announce all of it again this often.
    pub repeat: Option<Duration>,
}

/// What is to be answered for on one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    pub link: LinkState,
    pub ranges: BTreeSet<VipRange>,
}

/// What of an interface announcements depend on: when it changes, all is announced again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkState {
    mac: Option<MacAddr>,
    running: bool,
    carrier_changes: u32,
}

impl From<&Link> for LinkState {
    fn from(link: &Link) -> Self {
        Self {
            mac: link.mac,
            running: link.is_running(),
            carrier_changes: link.carrier_changes,
        }
    }
}

/// Answers for VIPs until it is dropped.
#[derive(Debug)]
pub struct Announcer {
    responders: BTreeMap<(u32, Family), Responder>,
    conflicts: Arc<watch::Sender<Arc<Conflicts>>>,
}

impl Default for Announcer {
    fn default() -> Self {
        Self {
            responders: BTreeMap::new(),
            conflicts: Arc::new(watch::Sender::new(Arc::default())),
        }
    }
}

/// The task that answers for one family on one interface; dropping it ends the task.
#[derive(Debug)]
struct Responder {
    socket: Arc<PacketSocket>,
    orders: watch::Sender<Order>,
    trouble: Arc<Trouble>,
    task: JoinHandle<()>,
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Responder {
    /// Not when its interface is gone, even if another has its number now.
    fn is_of_use(&self) -> bool {
        !self.task.is_finished() && self.socket.is_bound()
    }

    fn follow(&self, order: Order) {
        self.orders.send_if_modified(|current| {
            let changed = *current != order;
            *current = order;
            changed
        });
    }
}

impl Announcer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `desired` what is answered for on each interface, and announces what is new there, or all of it where the
    /// link is another. Interfaces that fail are told of, left out, and tried again by the next call. Needs a tokio
    /// runtime.
    pub fn set(&mut self, desired: &Desired) -> Vec<NetError> {
        let orders = orders(desired);
        self.responders
            .retain(|key, responder| orders.contains_key(key) && responder.is_of_use());
        let mut errors = Vec::new();
        for (key, order) in orders {
            if let Some(responder) = self.responders.get(&key) {
                responder.follow(order);
                continue;
            }
            match start(key, order, &self.conflicts) {
                Ok(responder) => drop(self.responders.insert(key, responder)),
                Err(error) => errors.push(error),
            }
        }
        errors
    }

    /// Other hosts that claim what is answered for here.
    pub fn conflicts(&self) -> watch::Receiver<Arc<Conflicts>> {
        self.conflicts.subscribe()
    }

    /// What can't be done now, by the index of the interface; it is tried again by itself.
    pub fn troubles(&self) -> BTreeMap<u32, String> {
        let troubles = self.responders.iter();
        let troubles =
            troubles.filter_map(|((ifindex, _), responder)| Some((*ifindex, responder.trouble.get()?)));
        troubles.collect()
    }
}

fn orders(desired: &Desired) -> BTreeMap<(u32, Family), Order> {
    let mut orders = BTreeMap::new();
    for (ifindex, serving) in &desired.interfaces {
        for family in [Family::Ipv4, Family::Ipv6] {
            let ranges = serving.ranges.iter().copied();
            let ranges = ranges.filter(|range| Family::of(range.announced) == family);
            let order = Order {
                ranges: Arc::new(ranges.collect()),
                link: serving.link,
                own_macs: desired.own_macs.clone(),
                repeat: desired.repeat,
            };
            if !order.ranges.is_empty() {
                orders.insert((*ifindex, family), order);
            }
        }
    }
    orders
}

fn start(
    (ifindex, family): (u32, Family),
    order: Order,
    conflicts: &Arc<watch::Sender<Arc<Conflicts>>>,
) -> Result<Responder, NetError> {
    let failed = |error| {
        let doing = format!("answer for addresses on interface number {ifindex}");
        NetError::io(doing, error)
    };
    let (socket, groups) = open(ifindex, family).map_err(failed)?;
    let socket = Arc::new(socket);
    let trouble = Arc::default();
    // Nothing is known yet, so that all of the order is new.
    let nothing = Order {
        ranges: Arc::default(),
        ..order.clone()
    };
    let (orders, receiver) = watch::channel(order);
    let worker = Worker {
        socket: socket.clone(),
        groups,
        orders: receiver,
        conflicts: Watch::new(ifindex, family, conflicts.clone()),
        trouble: Arc::clone(&trouble),
        order: nothing,
        answered: Answered::default(),
        schedule: Schedule::new(Instant::now()),
        rejoin: None,
    };
    Ok(Responder {
        socket,
        orders,
        trouble,
        task: tokio::spawn(worker.run()),
    })
}

fn open(ifindex: u32, family: Family) -> std::io::Result<(PacketSocket, Option<GroupMemberships>)> {
    let (socket, groups) = match family {
        Family::Ipv4 => (PacketSocket::open(ifindex, libc::ETH_P_ARP, filter::ARP)?, None),
        Family::Ipv6 => {
            let socket = PacketSocket::open(ifindex, libc::ETH_P_IPV6, filter::NEIGHBOUR_DISCOVERY)?;
            socket.receive_all_multicast()?;
            (socket, Some(GroupMemberships::new(ifindex)))
        }
    };
    // An interface without an Ethernet address can't be answered on.
    socket.mac()?;
    Ok((socket, groups))
}
