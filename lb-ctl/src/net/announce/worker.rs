//! The task that answers for one family on one interface.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::answered::Answered;
use super::conflicts::{Claim, Watch};
use super::schedule::{Job, Schedule};
use super::socket::{GroupMemberships, PacketSocket};
use super::{LinkState, VipRange, arp, ndp};
use crate::net::MacAddr;

/// After an error of the socket that is not the link's.
const RETRY: Duration = Duration::from_secs(1);
/// Groups that could not be joined are tried again this often.
const REJOIN: Duration = Duration::from_secs(10);

/// What a task has to do until it is told otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) ranges: Arc<BTreeSet<VipRange>>,
    pub(super) link: LinkState,
    /// The host's own, of all interfaces: they claim nothing from us.
    pub(super) own_macs: Arc<BTreeSet<MacAddr>>,
    pub(super) repeat: Option<Duration>,
}

/// What can't be done now, a clause for each kind of it.
#[derive(Debug, Default)]
pub(super) struct Trouble(Mutex<BTreeMap<Doing, String>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Doing {
    Sending,
    Receiving,
    Joining,
}

impl Trouble {
    pub(super) fn get(&self) -> Option<String> {
        let troubles: Vec<String> = self.lock().values().cloned().collect();
        (!troubles.is_empty()).then(|| troubles.join("; "))
    }

    fn set(&self, doing: Doing, reason: String) {
        let mut troubles = self.lock();
        if !troubles.contains_key(&doing) {
            tracing::warn!("answering for VIPs: {reason}; it is tried again");
        }
        troubles.insert(doing, reason);
    }

    fn clear(&self, doing: Doing) {
        self.lock().remove(&doing);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Doing, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Worker {
    pub(super) socket: Arc<PacketSocket>,
    pub(super) groups: Option<GroupMemberships>,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) conflicts: Watch,
    pub(super) trouble: Arc<Trouble>,
    pub(super) order: Order,
    pub(super) answered: Answered,
    pub(super) schedule: Schedule,
    /// When groups that could not be joined are tried again.
    pub(super) rejoin: Option<Instant>,
}

impl Worker {
    pub(super) async fn run(mut self) {
        self.adopt();
        let mut frame = [0; 1514];
        loop {
            let (next, end) = (self.schedule.next(), self.conflicts.next_end());
            tokio::select! {
                changed = self.orders.changed() => match changed {
                    Ok(()) => self.adopt(),
                    Err(_) => return,
                },
                () = sleep_until(next) => self.send_what_is_due(),
                () = sleep_until(end) => self.end_conflicts(),
                () = sleep_until(self.rejoin) => self.join_groups(),
                received = self.socket.receive(&mut frame) => match received {
                    Ok(length) => {
                        self.trouble.clear(Doing::Receiving);
                        self.on_frame(&frame[..length]);
                    }
                    // The interface went down; the socket works again when it is up.
                    Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
                    Err(error) => {
                        self.trouble.set(Doing::Receiving, format!("can't receive questions: {error}"));
                        tokio::time::sleep(RETRY).await;
                    }
                },
            }
        }
    }

    /// Takes up the latest order: what is new is announced, and all of it when the link is another or was away.
    fn adopt(&mut self) {
        let order = self.orders.borrow_and_update().clone();
        let now = Instant::now();
        let all = order.link != self.order.link;
        self.schedule.retain(&order.ranges);
        self.schedule.set_repeat(order.repeat, &order.ranges, now);
        if order.link.running {
            let is_new = |range: &&VipRange| all || !self.order.ranges.contains(range);
            for range in order.ranges.iter().filter(is_new) {
                self.schedule.begin(*range, now);
            }
        } else {
            self.schedule.retain(&BTreeSet::new());
        }
        self.order = order;
        self.answered = Answered::new(&self.order.ranges);
        self.end_conflicts();
        self.join_groups();
    }

    fn join_groups(&mut self) {
        self.rejoin = None;
        let Some(groups) = &mut self.groups else { return };
        let wanted = self.order.ranges.iter().filter_map(solicited_node_group);
        match groups.set(wanted.collect()) {
            Ok(()) => self.trouble.clear(Doing::Joining),
            Err(error) => {
                let reason = format!(
                    "can't join multicast groups, so switches may withhold neighbour solicitations: {error}"
                );
                self.trouble.set(Doing::Joining, reason);
                self.rejoin = Some(Instant::now() + REJOIN);
            }
        }
    }

    fn end_conflicts(&mut self) {
        let answered = &self.answered;
        let is_answered = |address| answered.find(address).is_some();
        self.conflicts.end(Instant::now(), is_answered);
    }

    fn send_what_is_due(&mut self) {
        let now = Instant::now();
        for (job, range) in self.schedule.take(now) {
            match self.send(job, range.announced()) {
                Ok(()) => {
                    tracing::debug!(address = %range.announced(), ?job, "sent");
                    self.trouble.clear(Doing::Sending);
                }
                Err(error) => {
                    self.schedule.again(job, range, now);
                    let address = range.announced();
                    self.trouble
                        .set(Doing::Sending, format!("can't announce {address}: {error}"));
                }
            }
        }
    }

    fn send(&self, job: Job, address: IpAddr) -> io::Result<()> {
        let mac = self.socket.mac()?;
        let (asks, tells) = match job {
            Job::Begin => (true, true),
            Job::Ask => (true, false),
            Job::Repeat => (false, true),
        };
        match address {
            IpAddr::V4(address) => {
                if asks {
                    self.socket.send(&arp::probe(mac, address))?;
                }
                if tells {
                    for announcement in arp::announcements(mac, address) {
                        self.socket.send(&announcement)?;
                    }
                }
            }
            IpAddr::V6(address) => {
                if asks {
                    self.socket.send(&ndp::probe(mac, address))?;
                }
                if tells {
                    self.socket.send(&ndp::announcement(mac, address))?;
                }
            }
        }
        Ok(())
    }

    fn on_frame(&mut self, frame: &[u8]) {
        let Some(heard) = Heard::parse(frame) else { return };
        if let Some(asked) = heard
            .asks_for
            .filter(|asked| self.answered.find(*asked).is_some())
            && let Ok(mac) = self.socket.mac()
            && let Err(error) = self.socket.send(&heard.reply(mac))
        {
            tracing::debug!(%error, %asked, "an answer could not be sent");
        }
        if let Some((address, mac, claim)) = heard.claims
            && let Some(range) = self.answered.find(address)
            && !self.order.own_macs.contains(&mac)
        {
            let now = Instant::now();
            if self.conflicts.on_claim(address, mac, claim, now) {
                self.schedule.announce_once(range, now);
            }
        }
    }
}

/// What a frame says about addresses.
pub(super) struct Heard {
    pub(super) asks_for: Option<IpAddr>,
    pub(super) claims: Option<(IpAddr, MacAddr, Claim)>,
    message: Message,
}

enum Message {
    Arp(arp::Packet),
    Ndp(ndp::Message),
}

impl Heard {
    pub(super) fn parse(frame: &[u8]) -> Option<Self> {
        if let Some(packet) = arp::Packet::parse(frame) {
            let claim = match (packet.sender == packet.target, packet.is_request) {
                (true, _) => Claim::Announced,
                (false, true) => Claim::AskedInItsName,
                (false, false) => Claim::Answered,
            };
            let claims =
                (!packet.sender.is_unspecified()).then(|| (packet.sender.into(), packet.sender_mac, claim));
            return Some(Self {
                asks_for: packet.asks_for().map(IpAddr::from),
                claims,
                message: Message::Arp(packet),
            });
        }
        let message = ndp::Message::parse(frame)?;
        let (asks_for, claims) = match message {
            ndp::Message::Solicitation(asked) => {
                let claims = (!asked.source.is_unspecified())
                    .then(|| (asked.source.into(), asked.source_mac, Claim::AskedInItsName));
                (Some(asked.target.into()), claims)
            }
            // Our questions are answered to everybody, like announcements.
            ndp::Message::Advertisement { target, mac } => {
                (None, Some((target.into(), mac, Claim::Answered)))
            }
        };
        Some(Self {
            asks_for,
            claims,
            message: Message::Ndp(message),
        })
    }

    /// To who asks; nothing else is to be replied to.
    pub(super) fn reply(&self, mac: MacAddr) -> Vec<u8> {
        match &self.message {
            Message::Arp(packet) => packet.reply(mac).to_vec(),
            Message::Ndp(ndp::Message::Solicitation(asked)) => asked.reply(mac),
            Message::Ndp(ndp::Message::Advertisement { target, .. }) => ndp::announcement(mac, *target),
        }
    }
}

fn solicited_node_group(range: &VipRange) -> Option<std::net::Ipv6Addr> {
    match range.announced() {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(ndp::solicited_node_group(address)),
    }
}

async fn sleep_until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
