//! Follows the host's links, its addresses, and how the watched addresses are reached, and tells when that changes.
//!
//! A task looks routes up by asking the kernel, so that rules, metrics and exceptions are the kernel's business, and
//! keeps up by its notifications. Bursts are taken together; lost notifications and a slow regular round make it look
//! at everything again. XDP traffic refreshes no neighbour entry, so the kernel is asked to keep them resolved. It
//! never gives up: what fails is tried again, on new sockets, and the state says since when it is not followed.

mod look;
mod neighbours;
#[cfg(test)]
mod tests;
mod timing;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use netlink_packet_route::RouteNetlinkMessage;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use self::look::Look;
use self::timing::{Timing, sleep_until, ticks};
use super::netlink::{Event, Events, Netlink};
use super::next_hop::NextHops;
use super::{Following, NetError, NetworkState};

/// Watches the network; dropping it ends that.
#[derive(Debug)]
pub struct NetWatcher {
    addresses: watch::Sender<BTreeSet<IpAddr>>,
    state: watch::Receiver<Arc<NetworkState>>,
    next_hops: watch::Receiver<Arc<NextHops>>,
    look_again: Arc<Notify>,
    task: AbortHandle,
}

impl Drop for NetWatcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NetWatcher {
    /// Watches no next hops yet. Needs a tokio runtime.
    pub fn new() -> Result<Self, NetError> {
        let (addresses, wanted) = watch::channel(BTreeSet::new());
        let (worker, (state, next_hops)) = Worker::new(wanted)?;
        let look_again = worker.look_again.clone();
        Ok(Self {
            addresses,
            state,
            next_hops,
            look_again,
            task: tokio::spawn(worker.run()).abort_handle(),
        })
    }

    /// Makes `addresses` those whose next hops are watched.
    pub fn watch(&self, addresses: BTreeSet<IpAddr>) {
        self.addresses.send_if_modified(|current| {
            let changed = *current != addresses;
            *current = addresses;
            changed
        });
    }

    /// The state of the network, which changes only when something in it does. Until links and addresses were read,
    /// [`Following::is_read`] says so. The channel does not close before the watcher is dropped.
    pub fn state(&self) -> watch::Receiver<Arc<NetworkState>> {
        self.state.clone()
    }

    /// The next hops of the state: it changes only when they do.
    pub fn next_hops(&self) -> watch::Receiver<Arc<NextHops>> {
        self.next_hops.clone()
    }

    /// Looks at everything again soon: for what the kernel does not tell, such as a program that leaves an interface.
    pub fn look_again(&self) {
        self.look_again.notify_one();
    }
}

struct Worker {
    sockets: Option<Sockets>,
    addresses: watch::Receiver<BTreeSet<IpAddr>>,
    look_again: Arc<Notify>,
    look: Look,
    timing: Timing,
    following: Following,
    state: watch::Sender<Arc<NetworkState>>,
    next_hops: watch::Sender<Arc<NextHops>>,
}

/// Opened together: whatever is wrong with one makes the other's answers doubtful.
struct Sockets {
    requests: Netlink,
    events: Events,
}

impl Sockets {
    fn open() -> Result<Self, NetError> {
        Ok(Self {
            requests: Netlink::open()?,
            events: Events::open()?,
        })
    }
}

type Receivers = (watch::Receiver<Arc<NetworkState>>, watch::Receiver<Arc<NextHops>>);

impl Worker {
    fn new(addresses: watch::Receiver<BTreeSet<IpAddr>>) -> Result<(Self, Receivers), NetError> {
        let (state, state_receiver) = watch::channel(Arc::default());
        let (next_hops, next_hops_receiver) = watch::channel(Arc::default());
        let worker = Self {
            sockets: Some(Sockets::open()?),
            addresses,
            look_again: Arc::default(),
            look: Look::default(),
            timing: Timing::default(),
            following: Following::default(),
            state,
            next_hops,
        };
        Ok((worker, (state_receiver, next_hops_receiver)))
    }

    async fn run(mut self) {
        let mut ask = ticks(timing::ASK);
        self.timing.now();
        loop {
            let (due, refresh) = (self.timing.due(), self.timing.refresh());
            tokio::select! {
                changed = self.addresses.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.look.stale.routes = true;
                    self.timing.now();
                }
                event = next_event(&mut self.sockets) => self.on_event(event),
                () = sleep_until(due) => self.round().await,
                () = sleep_until(Some(refresh)) => {
                    let also_routes = self.timing.refreshed();
                    self.look.stale.refresh(also_routes);
                    self.timing.soon();
                }
                () = self.look_again.notified() => {
                    self.look.stale.refresh(true);
                    self.timing.soon();
                }
                _ = ask.tick() => self.ask_for_neighbours().await,
            }
        }
    }

    /// None: the socket was closed.
    fn on_event(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Message(message)) => {
                if self.note(&message) {
                    self.timing.soon();
                }
            }
            Some(Event::Lost) => {
                tracing::warn!("netlink notifications were lost; looking at everything again");
                self.following.losses += 1;
                self.look.stale.everything();
                self.timing.soon();
            }
            None => self.failed("the netlink socket was closed".to_owned()),
        }
    }

    /// True when the message calls for a round.
    fn note(&mut self, message: &RouteNetlinkMessage) -> bool {
        self.look.note(message, &self.addresses.borrow())
    }

    async fn round(&mut self) {
        let started = Instant::now();
        match self.look_at_what_is_stale().await {
            Ok(()) => self.succeeded(),
            Err(error) => self.failed(error.to_string()),
        }
        self.ask_for_neighbours().await;
        self.timing.ended(started);
        self.tell();
    }

    async fn look_at_what_is_stale(&mut self) -> Result<(), NetError> {
        let sockets = match &mut self.sockets {
            Some(sockets) => sockets,
            // What was told while there was no socket is lost.
            none => {
                self.look.stale.everything();
                none.insert(Sockets::open()?)
            }
        };
        let started = Instant::now();
        let also_links = self.look.stale.links;
        let wanted = self.addresses.borrow().clone();
        self.look.look(&sockets.requests, wanted).await?;
        if also_links {
            self.timing.links_took(started.elapsed());
        }
        Ok(())
    }

    fn succeeded(&mut self) {
        self.following.is_read = true;
        self.timing.succeeded();
        if let Some(trouble) = self.following.trouble.take() {
            tracing::info!(since = %trouble.since, "links, addresses and routes are followed again");
        }
    }

    /// What fails is tried again on new sockets, after a pause that grows.
    fn failed(&mut self, reason: String) {
        self.sockets = None;
        self.timing.failed();
        let before = self.following.trouble.as_ref();
        if before.is_none_or(|trouble| trouble.reason != reason) {
            tracing::error!("links, addresses and routes are not followed now: {reason}; it is tried again");
        }
        let since = before.map_or_else(jiff::Timestamp::now, |trouble| trouble.since);
        self.following.trouble = Some(super::Trouble { since, reason });
        self.tell();
    }

    async fn ask_for_neighbours(&mut self) {
        if let Some(sockets) = &self.sockets {
            self.look.ask_for_neighbours(&sockets.requests).await;
        }
    }

    fn tell(&mut self) {
        let next = NetworkState {
            links: self.look.links.clone(),
            addresses: self.look.addresses.clone(),
            next_hops: self.look.next_hops(),
            ports: self.look.ports.clone(),
            following: self.following.clone(),
        };
        self.next_hops.send_if_modified(|current| {
            let changed = !Arc::ptr_eq(current, &next.next_hops);
            current.clone_from(&next.next_hops);
            changed
        });
        self.state.send_if_modified(|current| {
            let changed = **current != next;
            if changed {
                *current = Arc::new(next);
            }
            changed
        });
    }
}

async fn next_event(sockets: &mut Option<Sockets>) -> Option<Event> {
    match sockets {
        Some(sockets) => sockets.events.next().await,
        None => std::future::pending().await,
    }
}
