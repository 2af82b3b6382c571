//! Behind which of its ports a bridge has the neighbours that matter here.

use std::collections::{BTreeMap, BTreeSet};

use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage};

use super::links::Link;
use super::neighbours::Neighbours;
use super::netlink::Netlink;
use super::{MacAddr, NetError};

/// By the bridge's index and the neighbour's Ethernet address; what a bridge has not learnt is absent.
pub type BridgePorts = BTreeMap<(u32, MacAddr), BridgePort>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BridgePort {
    pub index: u32,
    /// It was learnt in a VLAN of a bridge that filters them, so frames may need a tag there.
    pub filtered: bool,
}

pub(super) async fn ports(
    netlink: &Netlink,
    links: &BTreeMap<u32, Link>,
    neighbours: &Neighbours,
) -> Result<BridgePorts, NetError> {
    let wanted = wanted(links, neighbours);
    if wanted.is_empty() {
        return Ok(BridgePorts::new());
    }
    let entries = netlink.bridge_entries().await?;
    Ok(ports_of(&entries, &wanted))
}

/// Whether what a bridge has learnt, or forgotten, is about a neighbour that matters.
pub(super) fn concerns(
    message: &NeighbourMessage,
    links: &BTreeMap<u32, Link>,
    neighbours: &Neighbours,
) -> bool {
    entry(message).is_some_and(|(key, _)| wanted(links, neighbours).contains(&key))
}

fn wanted(links: &BTreeMap<u32, Link>, neighbours: &Neighbours) -> BTreeSet<(u32, MacAddr)> {
    let is_bridge = |index: &u32| {
        let link = links.get(index);
        link.is_some_and(|link| link.kind.as_deref() == Some("bridge"))
    };
    let keys = neighbours.wanted().iter().filter(|(index, _)| is_bridge(index));
    keys.filter_map(|key| Some((key.0, neighbours.get(key)?.mac?)))
        .collect()
}

fn ports_of(entries: &[NeighbourMessage], wanted: &BTreeSet<(u32, MacAddr)>) -> BridgePorts {
    let mut ports = BridgePorts::new();
    for (key, port) in entries.iter().filter_map(entry) {
        if wanted.contains(&key) {
            let known = ports.entry(key).or_insert(port);
            known.filtered |= port.filtered;
        }
    }
    ports
}

fn entry(message: &NeighbourMessage) -> Option<((u32, MacAddr), BridgePort)> {
    let (mut bridge, mut mac, mut filtered) = (None, None, false);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Controller(index) => bridge = Some(*index),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.as_slice().try_into().ok(),
            NeighbourAttribute::Vlan(_) => filtered = true,
            _ => {}
        }
    }
    let port = BridgePort {
        index: message.header.ifindex,
        filtered,
    };
    Some(((bridge?, mac?), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddr = [2, 0, 0, 0, 0, 7];

    fn learnt(port: u32, attributes: Vec<NeighbourAttribute>) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = port;
        message.attributes = attributes;
        message
    }

    #[test]
    fn a_port_is_of_its_bridge_and_address() {
        let mac = || NeighbourAttribute::LinkLayerAddress(MAC.to_vec());
        let entries = [
            learnt(5, vec![mac(), NeighbourAttribute::Controller(9)]),
            learnt(
                6,
                vec![
                    mac(),
                    NeighbourAttribute::Controller(8),
                    NeighbourAttribute::Vlan(1),
                ],
            ),
            // An interface's own list of addresses is of no bridge.
            learnt(7, vec![mac()]),
        ];
        let ports = ports_of(&entries, &BTreeSet::from([(9, MAC), (8, MAC), (7, MAC)]));
        let port = |index, filtered| BridgePort { index, filtered };
        let expected = [((8, MAC), port(6, true)), ((9, MAC), port(5, false))];
        assert_eq!(ports, BridgePorts::from(expected));
        assert_eq!(
            ports_of(&entries, &BTreeSet::from([(9, [0; 6])])),
            BridgePorts::new()
        );
    }
}
