//! Follows how the watched addresses are reached, and tells when that changes.
//!
//! A task looks routes up by asking the kernel, so that rules, metrics and exceptions are the kernel's business, and
//! keeps up by its notifications. Bursts are taken together; lost notifications and a slow regular round make it look
//! at everything again. XDP traffic refreshes no neighbour entry, so the kernel is asked to keep them resolved.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use netlink_packet_route::RouteNetlinkMessage;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::NetError;
use super::links::{self, Link};
use super::neighbours::{Neighbour, NeighbourKey, Neighbours};
use super::netlink::{Event, Events, Netlink};
use super::next_hop::{self, NextHops};
use super::route::{self, Route};

/// How long a first notification waits for others.
const SETTLE: Duration = Duration::from_millis(20);
/// The least time between two rounds while notifications keep coming.
const LEAST_ROUND: Duration = Duration::from_millis(200);
/// Everything is looked at again this often: route exceptions expire, and next-hop objects change, without a word.
const REFRESH: Duration = Duration::from_secs(10);
/// How often neighbours that the kernel does not look after are asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// The same for those that it forgot.
const ASK_FORGOTTEN: Duration = Duration::from_secs(1);

/// Watches next hops; dropping it ends that.
#[derive(Debug)]
pub struct NetWatcher {
    addresses: watch::Sender<BTreeSet<IpAddr>>,
    next_hops: watch::Receiver<Arc<NextHops>>,
    task: AbortHandle,
}

impl Drop for NetWatcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NetWatcher {
    /// Watches nothing yet, in the network namespace of the calling thread. Needs a tokio runtime.
    pub fn new() -> Result<Self, NetError> {
        let (addresses, wanted) = watch::channel(BTreeSet::new());
        let (publish, next_hops) = watch::channel(Arc::default());
        let worker = Worker::new(wanted, publish)?;
        Ok(Self {
            addresses,
            next_hops,
            task: tokio::spawn(worker.run()).abort_handle(),
        })
    }

    /// Makes `addresses` the watched ones.
    pub fn watch(&self, addresses: BTreeSet<IpAddr>) {
        self.addresses.send_if_modified(|current| {
            let changed = *current != addresses;
            *current = addresses;
            changed
        });
    }

    /// The next hops of all watched addresses, always the whole map; it changes only when a next hop does. An address
    /// that is missing was not looked up yet. The channel closes when the kernel's socket is lost for good.
    pub fn next_hops(&self) -> watch::Receiver<Arc<NextHops>> {
        self.next_hops.clone()
    }
}

struct Worker {
    netlink: Netlink,
    events: Events,
    addresses: watch::Receiver<BTreeSet<IpAddr>>,
    publish: watch::Sender<Arc<NextHops>>,
    links: BTreeMap<u32, Link>,
    routes: BTreeMap<IpAddr, Route>,
    neighbours: Neighbours,
    /// Neighbours that were asked for here, and when.
    asked: BTreeMap<NeighbourKey, Instant>,
    stale: Stale,
    /// When the next round is due, if one is.
    due: Option<Instant>,
    last_round: Option<Instant>,
    /// How often everything was looked at again because notifications were lost.
    losses: u64,
}

/// What has to be asked for again.
#[derive(Clone, Copy, Debug, Default)]
struct Stale {
    links: bool,
    routes: bool,
    neighbours: bool,
}

impl Stale {
    const ALL: Self = Self {
        links: true,
        routes: true,
        neighbours: true,
    };
}

impl Worker {
    fn new(
        addresses: watch::Receiver<BTreeSet<IpAddr>>,
        publish: watch::Sender<Arc<NextHops>>,
    ) -> Result<Self, NetError> {
        Ok(Self {
            netlink: Netlink::open()?,
            events: Events::open()?,
            addresses,
            publish,
            links: BTreeMap::new(),
            routes: BTreeMap::new(),
            neighbours: Neighbours::default(),
            asked: BTreeMap::new(),
            stale: Stale::ALL,
            due: None,
            last_round: None,
            losses: 0,
        })
    }

    async fn run(mut self) {
        let mut refresh = ticks(REFRESH);
        let mut ask = ticks(ASK_FORGOTTEN);
        loop {
            let due = self.due;
            tokio::select! {
                changed = self.addresses.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.stale.routes = true;
                    self.due = Some(Instant::now());
                }
                event = self.events.next() => {
                    let Some(event) = event else {
                        tracing::error!("the netlink socket was closed; routes and neighbours are not followed any more");
                        return;
                    };
                    if self.note(&event) {
                        self.schedule();
                    }
                }
                () = sleep_until(due) => self.round().await,
                _ = refresh.tick() => {
                    self.stale.links = true;
                    self.stale.routes = true;
                    self.schedule();
                }
                _ = ask.tick() => self.ask_for_neighbours().await,
            }
        }
    }

    /// True when the event calls for a round.
    fn note(&mut self, event: &Event) -> bool {
        use RouteNetlinkMessage::*;
        let message = match event {
            Event::Lost => {
                tracing::warn!("netlink notifications were lost; looking at everything again");
                self.losses += 1;
                self.stale = Stale::ALL;
                return true;
            }
            Event::Message(message) => message,
        };
        match message {
            NewNeighbour(message) => self.neighbours.update(message),
            DelNeighbour(message) => self.neighbours.remove(message),
            NewRoute(message) | DelRoute(message) => {
                let concerns = route::concerns(message, &self.addresses.borrow());
                self.stale.routes |= concerns;
                concerns
            }
            // Routes can go with a link or an address without a notification of their own.
            NewLink(_) | DelLink(_) | NewAddress(_) | DelAddress(_) => {
                self.stale.links = true;
                self.stale.routes = true;
                true
            }
            NewRule(_) | DelRule(_) => {
                self.stale.routes = true;
                true
            }
            _ => false,
        }
    }

    fn schedule(&mut self) {
        let now = Instant::now();
        let earliest = self.last_round.map_or(now, |last| last + LEAST_ROUND);
        let due = (now + SETTLE).max(earliest);
        self.due = Some(self.due.map_or(due, |already| already.min(due)));
    }

    async fn round(&mut self) {
        self.due = None;
        if let Err(error) = self.look().await {
            tracing::warn!(%error, "next hops may be out of date");
            self.due = Some(Instant::now() + ASK_FORGOTTEN);
        }
        self.last_round = Some(Instant::now());
        self.ask_for_neighbours().await;
        self.tell();
    }

    /// Asks for what is stale. What fails stays stale.
    async fn look(&mut self) -> Result<(), NetError> {
        if self.stale.links {
            let links = links::list(&self.netlink).await?;
            self.links = links.into_iter().map(|link| (link.index, link)).collect();
            self.stale.links = false;
        }
        if self.stale.routes {
            self.look_routes_up().await?;
            self.stale.routes = false;
        }
        if self.stale.neighbours {
            self.neighbours.replace(&self.netlink.neighbours().await?);
            self.stale.neighbours = false;
        }
        Ok(())
    }

    async fn look_routes_up(&mut self) -> Result<(), NetError> {
        let addresses = self.addresses.borrow_and_update().clone();
        let mut routes = BTreeMap::new();
        for address in addresses {
            let route = match self.netlink.route_to(address).await {
                Ok(message) => Route::from_message(address, &message),
                Err(error) => Route::from_error(address, error)?,
            };
            routes.insert(address, route);
        }
        self.routes = routes;
        let keys = self
            .routes
            .iter()
            .filter_map(|(address, route)| next_hop::neighbour_key(*address, route));
        let (left, grew) = self.neighbours.want(keys.collect());
        self.stale.neighbours |= grew;
        self.release(left).await;
        Ok(())
    }

    /// Gives back those of `keys` that were asked for here.
    async fn release(&mut self, keys: BTreeSet<NeighbourKey>) {
        let asked = std::mem::take(&mut self.asked);
        let wanted = self.neighbours.wanted();
        self.asked = asked
            .iter()
            .filter(|(key, _)| wanted.contains(key))
            .map(|(k, t)| (*k, *t))
            .collect();
        for (ifindex, address) in keys.into_iter().filter(|key| asked.contains_key(key)) {
            if let Err(error) = self.netlink.release_neighbour(ifindex, address).await {
                tracing::debug!(%error, ifindex, "a neighbour could not be released");
            }
        }
    }

    async fn ask_for_neighbours(&mut self) {
        if self.stale.neighbours {
            return;
        }
        for key in self.neighbours_to_ask(Instant::now()) {
            let first = self.asked.insert(key, Instant::now()).is_none();
            if let Err(error) = self.netlink.manage_neighbour(key.0, key.1).await {
                match first {
                    true => tracing::warn!(%error, ifindex = key.0, "a neighbour can't be asked for"),
                    false => tracing::debug!(%error, ifindex = key.0, "a neighbour can't be asked for"),
                }
            }
        }
    }

    fn neighbours_to_ask(&self, now: Instant) -> Vec<NeighbourKey> {
        let due = |key: &&NeighbourKey| {
            let since = self.asked.get(key).map(|last| now.duration_since(*last));
            should_ask(self.neighbours.get(key), since)
        };
        self.neighbours.wanted().iter().filter(due).copied().collect()
    }

    fn tell(&self) {
        let resolve = |(address, route): (&IpAddr, &Route)| {
            (
                *address,
                next_hop::resolve(*address, route, &self.links, &self.neighbours),
            )
        };
        let next_hops: NextHops = self.routes.iter().map(resolve).collect();
        self.publish.send_if_modified(|current| {
            let changed = **current != next_hops;
            if changed {
                *current = Arc::new(next_hops);
            }
            changed
        });
    }
}

/// Whether a neighbour needs asking for: when nobody looks after it, and not more often than in its time. A kernel
/// older than 5.16 manages none, so there every neighbour comes round again and again.
fn should_ask(neighbour: Option<&Neighbour>, since_asked: Option<Duration>) -> bool {
    let pause = match neighbour {
        Some(neighbour) if neighbour.managed || neighbour.fixed => return false,
        Some(_) => ASK_AGAIN,
        None => ASK_FORGOTTEN,
    };
    since_asked.is_none_or(|since| since >= pause)
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn sleep_until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
