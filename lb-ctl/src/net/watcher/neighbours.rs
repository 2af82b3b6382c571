//! Which neighbours the kernel is asked to keep resolved, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::net::neighbours::{Neighbour, NeighbourKey, Neighbours};
use crate::net::netlink::Netlink;

/// How often neighbours that the kernel does not look after are asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// The same for those that it forgot.
const ASK_FORGOTTEN: Duration = Duration::from_secs(1);

/// Neighbours that were asked for here, and when.
#[derive(Debug, Default)]
pub(super) struct Asked(BTreeMap<NeighbourKey, Instant>);

impl Asked {
    pub(super) async fn ask(&mut self, netlink: &Netlink, neighbours: &Neighbours) {
        for key in self.due(neighbours, Instant::now()) {
            let first = self.0.insert(key, Instant::now()).is_none();
            if let Err(error) = netlink.manage_neighbour(key.0, key.1).await {
                match first {
                    true => tracing::warn!(%error, ifindex = key.0, "a neighbour can't be asked for"),
                    false => tracing::debug!(%error, ifindex = key.0, "a neighbour can't be asked for"),
                }
            }
        }
    }

    fn due(&self, neighbours: &Neighbours, now: Instant) -> Vec<NeighbourKey> {
        let due = |key: &&NeighbourKey| {
            let since = self.0.get(key).map(|last| now.duration_since(*last));
            should_ask(neighbours.get(key), since)
        };
        neighbours.wanted().iter().filter(due).copied().collect()
    }

    /// Gives back those of `left` that were asked for here, and forgets what is not `wanted`.
    pub(super) async fn release(
        &mut self,
        netlink: &Netlink,
        left: BTreeSet<NeighbourKey>,
        wanted: &BTreeSet<NeighbourKey>,
    ) {
        for (ifindex, address) in left.into_iter().filter(|key| self.0.contains_key(key)) {
            if let Err(error) = netlink.release_neighbour(ifindex, address).await {
                tracing::debug!(%error, ifindex, "a neighbour could not be released");
            }
        }
        self.0.retain(|key, _| wanted.contains(key));
    }
}

/// Whether a neighbour needs asking for: when nobody looks after it, and not more often than in its time. A kernel
/// older than 5.16 manages none, so there every neighbour comes round again and again.
pub(super) fn should_ask(neighbour: Option<&Neighbour>, since_asked: Option<Duration>) -> bool {
    let pause = match neighbour {
        Some(neighbour) if neighbour.managed || neighbour.fixed => return false,
        Some(_) => ASK_AGAIN,
        None => ASK_FORGOTTEN,
    };
    since_asked.is_none_or(|since| since >= pause)
}
