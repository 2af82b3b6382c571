//! What the kernel knows about the neighbours that matter here: pure bookkeeping of its messages.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage, NeighbourState,
};

use super::MacAddr;

/// Interface index and address.
pub(super) type NeighbourKey = (u32, IpAddr);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Neighbour {
    /// Present while the kernel would send to it.
    pub(super) mac: Option<MacAddr>,
    /// It did not answer when last asked. Stays while the kernel asks again.
    pub(super) failed: bool,
    /// The kernel keeps it resolved by itself.
    pub(super) managed: bool,
    /// Somebody else decides its address: an administrator, a routing daemon, or the kind of link.
    pub(super) fixed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Neighbours {
    wanted: BTreeSet<NeighbourKey>,
    known: BTreeMap<NeighbourKey, Neighbour>,
}

impl Neighbours {
    /// Makes `wanted` the neighbours that matter. Gives those that don't matter any more and that the kernel manages,
    /// and whether there are new ones.
    pub(super) fn want(&mut self, wanted: BTreeSet<NeighbourKey>) -> (BTreeSet<NeighbourKey>, bool) {
        let is_managed = |key: &&NeighbourKey| self.known.get(key).is_some_and(|n| n.managed && !n.fixed);
        let left = self
            .wanted
            .difference(&wanted)
            .filter(is_managed)
            .copied()
            .collect();
        let grew = !wanted.is_subset(&self.wanted);
        self.known.retain(|key, _| wanted.contains(key));
        self.wanted = wanted;
        (left, grew)
    }

    pub(super) fn wanted(&self) -> &BTreeSet<NeighbourKey> {
        &self.wanted
    }

    pub(super) fn get(&self, key: &NeighbourKey) -> Option<&Neighbour> {
        self.known.get(key)
    }

    /// Takes a whole listing, in place of everything known.
    pub(super) fn replace(&mut self, listing: &[NeighbourMessage]) {
        let before = std::mem::take(&mut self.known);
        for message in listing {
            if let Some(key) = self.wanted_key(message) {
                let neighbour = from_message(message, before.get(&key));
                self.known.insert(key, neighbour);
            }
        }
    }

    /// Takes news of one neighbour. True when it changed something.
    pub(super) fn update(&mut self, message: &NeighbourMessage) -> bool {
        let Some(key) = self.wanted_key(message) else {
            return false;
        };
        let neighbour = from_message(message, self.known.get(&key));
        self.known.insert(key, neighbour) != Some(neighbour)
    }

    /// Takes the news that the kernel forgot a neighbour. True when it changed something.
    pub(super) fn remove(&mut self, message: &NeighbourMessage) -> bool {
        self.wanted_key(message)
            .is_some_and(|key| self.known.remove(&key).is_some())
    }

    fn wanted_key(&self, message: &NeighbourMessage) -> Option<NeighbourKey> {
        let key = (message.header.ifindex, destination(message)?);
        let proxy = message.header.flags.contains(NeighbourFlags::Proxy);
        (!proxy && self.wanted.contains(&key)).then_some(key)
    }
}

fn from_message(message: &NeighbourMessage, before: Option<&Neighbour>) -> Neighbour {
    use NeighbourState::{Delay, Failed, Incomplete, Noarp, Permanent, Probe, Reachable, Stale};
    let state = message.header.state;
    let valid = matches!(state, Permanent | Noarp | Reachable | Stale | Delay | Probe);
    let failed_before = before.is_some_and(|neighbour| neighbour.failed);
    let learned = message.header.flags.contains(NeighbourFlags::ExtLearned);
    let mut neighbour = Neighbour {
        mac: None,
        failed: state == Failed || state == Incomplete && failed_before,
        managed: false,
        fixed: matches!(state, Permanent | Noarp) || learned,
    };
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) if valid => {
                neighbour.mac = bytes.as_slice().try_into().ok();
            }
            NeighbourAttribute::ExtFlags(flags) => {
                neighbour.managed = flags.contains(NeighbourExtFlags::Managed);
            }
            _ => {}
        }
    }
    neighbour
}

fn destination(message: &NeighbourMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some((*address).into()),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some((*address).into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddr = [2, 0, 0, 0, 0, 7];

    fn key() -> NeighbourKey {
        (3, "192.0.2.7".parse().unwrap())
    }

    fn message(state: NeighbourState) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = key().0;
        message.header.state = state;
        message
            .attributes
            .push(NeighbourAttribute::Destination(key().1.into()));
        message
            .attributes
            .push(NeighbourAttribute::LinkLayerAddress(MAC.to_vec()));
        message
    }

    fn wanting() -> Neighbours {
        let mut neighbours = Neighbours::default();
        assert_eq!(neighbours.want(BTreeSet::from([key()])), (BTreeSet::new(), true));
        neighbours
    }

    #[test]
    fn the_mac_counts_in_the_states_in_which_the_kernel_uses_it() {
        use NeighbourState::*;
        for state in [Permanent, Noarp, Reachable, Stale, Delay, Probe] {
            let mut neighbours = wanting();
            assert!(neighbours.update(&message(state)));
            assert_eq!(neighbours.get(&key()).unwrap().mac, Some(MAC), "{state}");
        }
        for state in [Incomplete, Failed, None] {
            let mut neighbours = wanting();
            neighbours.update(&message(state));
            assert_eq!(neighbours.get(&key()).unwrap().mac, Option::None, "{state}");
        }
    }

    #[test]
    fn a_failure_lasts_while_the_kernel_asks_again() {
        let mut neighbours = wanting();
        neighbours.update(&message(NeighbourState::Incomplete));
        assert!(!neighbours.get(&key()).unwrap().failed);
        neighbours.update(&message(NeighbourState::Failed));
        assert!(
            !neighbours.update(&message(NeighbourState::Incomplete)),
            "nothing changed for the reader"
        );
        assert!(neighbours.get(&key()).unwrap().failed);
        neighbours.replace(&[message(NeighbourState::Incomplete)]);
        assert!(neighbours.get(&key()).unwrap().failed);
        assert!(neighbours.update(&message(NeighbourState::Reachable)));
        assert!(!neighbours.get(&key()).unwrap().failed);
    }

    #[test]
    fn entries_of_others_are_left_alone() {
        let mut neighbours = wanting();
        neighbours.update(&message(NeighbourState::Permanent));
        assert!(neighbours.get(&key()).unwrap().fixed);
        let mut learned = message(NeighbourState::Reachable);
        learned.header.flags = NeighbourFlags::ExtLearned;
        neighbours.update(&learned);
        assert!(neighbours.get(&key()).unwrap().fixed);
        let mut proxy = message(NeighbourState::Permanent);
        proxy.header.flags = NeighbourFlags::Proxy;
        assert!(
            !neighbours.update(&proxy),
            "a proxy entry says nothing about a neighbour"
        );
    }

    #[test]
    fn what_is_not_wanted_is_not_known() {
        let mut neighbours = wanting();
        let mut other = message(NeighbourState::Reachable);
        other.header.ifindex += 1;
        assert!(!neighbours.update(&other));
        neighbours.update(&message(NeighbourState::Reachable));
        assert!(neighbours.remove(&message(NeighbourState::None)));
        assert!(!neighbours.remove(&message(NeighbourState::None)));
        neighbours.update(&message(NeighbourState::Reachable));
        assert_eq!(neighbours.want(BTreeSet::new()), (BTreeSet::new(), false));
        assert_eq!(neighbours.get(&key()), None);
    }

    #[test]
    fn only_managed_entries_are_given_back() {
        let managed = |state| {
            let mut message = message(state);
            message
                .attributes
                .push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
            message
        };
        let mut neighbours = wanting();
        neighbours.update(&managed(NeighbourState::Reachable));
        assert_eq!(neighbours.want(BTreeSet::new()), (BTreeSet::from([key()]), false));
        let mut neighbours = wanting();
        neighbours.update(&managed(NeighbourState::Permanent));
        assert_eq!(neighbours.want(BTreeSet::new()), (BTreeSet::new(), false));
    }
}
