//! Answers for addresses that are not addresses of this host: ARP requests and neighbour solicitations for VIPs on a
//! connected prefix, and announcements when it takes one over.
//!
//! The host's own stack would answer only for its own addresses, and XDP leaves this traffic to the stack; so a packet
//! socket for each interface and family, with a filter that lets only the questions through, does it here. Untagged
//! frames only.

mod arp;
mod filter;
mod ndp;
mod socket;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::socket::{GroupMembership, PacketSocket};
use super::{MacAddr, NetError};

/// How often a new address is announced, and how far apart (RFC 4861 MAX_NEIGHBOR_ADVERTISEMENT, RETRANS_TIMER).
const ANNOUNCEMENTS: u32 = 3;
const ANNOUNCEMENT_INTERVAL: Duration = Duration::from_secs(1);

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
    fn of(range: &VipRange) -> Self {
        match range.announced {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }
}

/// Answers for VIPs until it is dropped.
#[derive(Debug, Default)]
pub struct Announcer {
    responders: BTreeMap<(u32, Family), Responder>,
}

/// The task that answers for one family on one interface; dropping it ends the task.
#[derive(Debug)]
struct Responder {
    ranges: watch::Sender<BTreeSet<VipRange>>,
    task: JoinHandle<()>,
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Announcer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `desired` what is answered for on each interface (by index), and announces what is new there. Interfaces
    /// that fail are told of, left out, and tried again by the next call. Acts in the network namespace of the
    /// calling thread; needs a tokio runtime.
    pub fn set(&mut self, desired: &BTreeMap<u32, BTreeSet<VipRange>>) -> Vec<NetError> {
        let desired = by_family(desired);
        self.responders
            .retain(|key, responder| desired.contains_key(key) && !responder.task.is_finished());
        let mut errors = Vec::new();
        for (key, ranges) in desired {
            match self.responders.get(&key) {
                Some(responder) => {
                    responder.ranges.send_if_modified(|current| {
                        let changed = *current != ranges;
                        *current = ranges;
                        changed
                    });
                }
                None => match start(key.0, key.1, ranges) {
                    Ok(responder) => {
                        self.responders.insert(key, responder);
                    }
                    Err(error) => errors.push(error),
                },
            }
        }
        errors
    }
}

fn by_family(desired: &BTreeMap<u32, BTreeSet<VipRange>>) -> BTreeMap<(u32, Family), BTreeSet<VipRange>> {
    let mut result: BTreeMap<_, BTreeSet<VipRange>> = BTreeMap::new();
    for (ifindex, ranges) in desired {
        for range in ranges {
            result
                .entry((*ifindex, Family::of(range)))
                .or_default()
                .insert(*range);
        }
    }
    result
}

fn start(ifindex: u32, family: Family, ranges: BTreeSet<VipRange>) -> Result<Responder, NetError> {
    let failed = |error| {
        NetError::io(
            format!("answer for addresses on interface number {ifindex}"),
            error,
        )
    };
    let (socket, groups) = match family {
        Family::Ipv4 => (
            PacketSocket::open(ifindex, libc::ETH_P_ARP, filter::ARP_REQUESTS),
            None,
        ),
        Family::Ipv6 => {
            let socket = PacketSocket::open(ifindex, libc::ETH_P_IPV6, filter::NEIGHBOUR_SOLICITATIONS);
            let socket = socket.and_then(|socket| socket.receive_all_multicast().map(|()| socket));
            (socket, Some(GroupMembership::open(ifindex).map_err(failed)?))
        }
    };
    let (sender, receiver) = watch::channel(ranges);
    let worker = Worker {
        socket: socket.map_err(failed)?,
        groups,
        ifindex,
        ranges: receiver,
        answered: BTreeSet::new(),
        to_announce: BTreeMap::new(),
        next_announcement: None,
    };
    Ok(Responder {
        ranges: sender,
        task: tokio::spawn(worker.run()),
    })
}

struct Worker {
    socket: PacketSocket,
    groups: Option<GroupMembership>,
    ifindex: u32,
    ranges: watch::Receiver<BTreeSet<VipRange>>,
    answered: BTreeSet<VipRange>,
    /// How many announcements each range still gets.
    to_announce: BTreeMap<VipRange, u32>,
    next_announcement: Option<Instant>,
}

impl Worker {
    async fn run(mut self) {
        self.adopt();
        let mut frame = [0; 1514];
        loop {
            let next = self.next_announcement;
            tokio::select! {
                changed = self.ranges.changed() => match changed {
                    Ok(()) => self.adopt(),
                    Err(_) => return,
                },
                () = sleep_until(next) => self.announce(),
                failure = answer_for_ever(&self.socket, &self.answered, &mut frame) => {
                    let Err(error) = failure;
                    tracing::warn!(%error, ifindex = self.ifindex, "not answering for addresses any more");
                    return;
                }
            }
        }
    }

    /// Takes the latest ranges; the new ones are announced from now on.
    fn adopt(&mut self) {
        let ranges = self.ranges.borrow_and_update().clone();
        self.to_announce.retain(|range, _| ranges.contains(range));
        for range in ranges.difference(&self.answered) {
            self.to_announce.insert(*range, ANNOUNCEMENTS);
            self.next_announcement = Some(Instant::now());
        }
        if let Some(groups) = &mut self.groups {
            groups.set(ranges.iter().filter_map(solicited_node_group).collect());
        }
        self.answered = ranges;
    }

    fn announce(&mut self) {
        let mac = self.socket.mac();
        for (range, left) in &mut self.to_announce {
            *left -= 1;
            let sent = mac.as_ref().map_err(ToString::to_string).and_then(|mac| {
                self.socket
                    .send(&announcement(*mac, range.announced))
                    .map_err(|error| error.to_string())
            });
            match sent {
                Ok(()) => tracing::debug!(address = %range.announced, ifindex = self.ifindex, "announced"),
                Err(error) => {
                    tracing::warn!(error, address = %range.announced, ifindex = self.ifindex, "can't announce");
                }
            }
        }
        self.to_announce.retain(|_, left| *left > 0);
        self.next_announcement =
            (!self.to_announce.is_empty()).then(|| Instant::now() + ANNOUNCEMENT_INTERVAL);
    }
}

fn announcement(mac: MacAddr, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp::announcement(mac, address).to_vec(),
        IpAddr::V6(address) => ndp::announcement(mac, address),
    }
}

fn solicited_node_group(range: &VipRange) -> Option<Ipv6Addr> {
    match range.announced {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(ndp::solicited_node_group(address)),
    }
}

/// Ends only when the socket is of no use any more.
async fn answer_for_ever(
    socket: &PacketSocket,
    answered: &BTreeSet<VipRange>,
    buffer: &mut [u8],
) -> Result<Infallible, std::io::Error> {
    loop {
        let length = match socket.receive(buffer).await {
            Ok(length) => length,
            // The interface went down; the socket works again when it is up.
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => continue,
            Err(error) => return Err(error),
        };
        let ours = |address: IpAddr| answered.iter().any(|range| range.contains(address));
        let Ok(mac) = socket.mac() else { continue };
        let Some(reply) = answer(&buffer[..length], mac, ours) else {
            continue;
        };
        if let Err(error) = socket.send(&reply) {
            tracing::debug!(%error, "an answer could not be sent");
        }
    }
}

/// The answer to a frame, if it is a question about one of ours.
fn answer(frame: &[u8], mac: MacAddr, ours: impl Fn(IpAddr) -> bool) -> Option<Vec<u8>> {
    if let Some(request) = arp::Request::parse(frame) {
        return ours(request.target.into()).then(|| request.reply(mac).to_vec());
    }
    let solicitation = ndp::Solicitation::parse(frame)?;
    ours(solicitation.target.into()).then(|| solicitation.reply(mac))
}

async fn sleep_until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
