//! What the watcher knows, what of it is out of date, and how that is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::neighbours::Asked;
use crate::net::bridges::{self, BridgePorts};
use crate::net::links::{self, Link};
use crate::net::neighbours::Neighbours;
use crate::net::netlink::Netlink;
use crate::net::next_hop::{self, NextHops};
use crate::net::route::{self, Route};
use crate::net::{Addresses, NetError, addresses};

/// Parts that did not change stay the same `Arc`.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) links: Arc<BTreeMap<u32, Link>>,
    pub(super) addresses: Arc<Addresses>,
    pub(super) routes: BTreeMap<IpAddr, Route>,
    pub(super) neighbours: Neighbours,
    pub(super) ports: Arc<BridgePorts>,
    pub(super) asked: Asked,
    pub(super) stale: Stale,
    next_hops: Arc<NextHops>,
}

/// What has to be asked for again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stale {
    pub(super) links: bool,
    pub(super) addresses: bool,
    pub(super) routes: bool,
    pub(super) neighbours: bool,
    /// What bridges have learnt of next hops.
    pub(super) ports: bool,
}

impl Default for Stale {
    fn default() -> Self {
        Self {
            links: true,
            addresses: true,
            routes: true,
            neighbours: true,
            ports: true,
        }
    }
}

impl Stale {
    pub(super) fn everything(&mut self) {
        *self = Self::default();
    }

    /// Without a reason; neighbours are always told of.
    pub(super) fn refresh(&mut self, also_routes: bool) {
        self.links = true;
        self.addresses |= also_routes;
        self.ports |= also_routes;
        self.routes |= also_routes;
    }
}

impl Look {
    /// Takes up what the kernel told. True when something has to be asked for, or changed.
    pub(super) fn note(&mut self, message: &RouteNetlinkMessage, watched: &BTreeSet<IpAddr>) -> bool {
        use RouteNetlinkMessage::*;
        match message {
            NewNeighbour(message) | DelNeighbour(message)
                if message.header.family == AddressFamily::Bridge =>
            {
                let concerns = bridges::concerns(message, &self.links, &self.neighbours);
                self.stale.ports |= concerns;
                return concerns;
            }
            NewNeighbour(message) => return self.note_neighbour(|neighbours| neighbours.update(message)),
            DelNeighbour(message) => return self.note_neighbour(|neighbours| neighbours.remove(message)),
            NewRoute(message) | DelRoute(message) => {
                let concerns = route::concerns(message, watched);
                self.stale.routes |= concerns;
                return concerns;
            }
            NewLink(_) | DelLink(_) => self.stale.links = true,
            NewAddress(_) | DelAddress(_) => self.stale.addresses = true,
            NewRule(_) | DelRule(_) => self.stale.routes = true,
            _ => return false,
        }
        true
    }

    fn note_neighbour(&mut self, take: impl FnOnce(&mut Neighbours) -> bool) -> bool {
        let has_changed = take(&mut self.neighbours);
        self.stale.ports |= has_changed;
        has_changed
    }

    /// Asks for what is stale. What fails stays stale.
    pub(super) async fn look(
        &mut self,
        netlink: &Netlink,
        watched: BTreeSet<IpAddr>,
    ) -> Result<(), NetError> {
        if self.stale.links {
            let links = links::list(netlink).await?;
            let links: BTreeMap<u32, Link> = links.into_iter().map(|link| (link.index, link)).collect();
            // Routes can go with a link or an address without a notification of their own.
            self.stale.routes |= carries(&links).ne(carries(&self.links));
            replace(&mut self.links, links);
            self.stale.links = false;
        }
        if self.stale.addresses {
            self.stale.routes |= replace(&mut self.addresses, addresses::list(netlink).await?);
            self.stale.addresses = false;
        }
        if self.stale.routes {
            self.look_routes_up(netlink, watched).await?;
            self.stale.routes = false;
        }
        if self.stale.neighbours {
            self.neighbours.replace(&netlink.neighbours().await?);
            self.stale.neighbours = false;
            self.stale.ports = true;
        }
        if self.stale.ports {
            let ports = bridges::ports(netlink, &self.links, &self.neighbours).await?;
            replace(&mut self.ports, ports);
            self.stale.ports = false;
        }
        Ok(())
    }

    async fn look_routes_up(&mut self, netlink: &Netlink, watched: BTreeSet<IpAddr>) -> Result<(), NetError> {
        let mut routes = BTreeMap::new();
        for address in watched {
            let route = match netlink.route_to(address).await {
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
        self.asked.release(netlink, left, self.neighbours.wanted()).await;
        Ok(())
    }

    pub(super) async fn ask_for_neighbours(&mut self, netlink: &Netlink) {
        if !self.stale.neighbours {
            self.asked.ask(netlink, &self.neighbours).await;
        }
    }

    pub(super) fn next_hops(&mut self) -> Arc<NextHops> {
        let (links, neighbours) = (&self.links, &self.neighbours);
        let resolve = |(address, route): (&IpAddr, &Route)| {
            (*address, next_hop::resolve(*address, route, links, neighbours))
        };
        let next_hops = self.routes.iter().map(resolve).collect();
        replace(&mut self.next_hops, next_hops);
        self.next_hops.clone()
    }
}

/// What of links routes depend on.
fn carries(links: &BTreeMap<u32, Link>) -> impl Iterator<Item = (u32, bool, bool)> {
    links.values().map(|link| (link.index, link.up, link.carrier))
}

/// True when it is another value.
fn replace<T: PartialEq>(current: &mut Arc<T>, next: T) -> bool {
    let changed = **current != next;
    if changed {
        *current = Arc::new(next);
    }
    changed
}
