use std::sync::Arc;

use super::*;
use crate::net::{BridgePort, XdpFeatures};

const MAC: MacAddr = [2, 0, 0, 0, 0, 9];
const NOTHING: XdpFeatures = XdpFeatures(0);
const PROGRAMS: XdpFeatures = XdpFeatures(XdpFeatures::BASIC);
const BOTH: XdpFeatures = XdpFeatures(XdpFeatures::BASIC | XdpFeatures::TRANSMIT);

fn link(index: u32, name: &str, kind: &str, features: XdpFeatures) -> Link {
    Link {
        index,
        name: name.to_owned(),
        kind: (!kind.is_empty()).then(|| kind.to_owned()),
        mtu: 1500 - index,
        features: Some(features),
        ..Link::default()
    }
}

/// One endpoint, and the interfaces around it.
struct World {
    network: NetworkState,
    arms: BTreeMap<u32, XdpMode>,
    broken: BTreeMap<u32, String>,
}

impl World {
    /// The endpoint is reached by the first of the interfaces, and packets come by these.
    fn new(links: &[Link], arms: &[(u32, XdpMode)]) -> Self {
        let hop = NextHop::Resolved {
            ifindex: links[0].index,
            source_mac: [2; 6],
            destination_mac: MAC,
            on_link: true,
            mtu: 1500,
            source_address: None,
        };
        Self {
            network: NetworkState {
                links: Arc::new(links.iter().map(|link| (link.index, link.clone())).collect()),
                next_hops: Arc::new(BTreeMap::from([(endpoint(), hop)])),
                ..NetworkState::default()
            },
            arms: arms.iter().copied().collect(),
            broken: BTreeMap::new(),
        }
    }

    fn learn(mut self, bridge: u32, port: u32, filtered: bool) -> Self {
        let port = BridgePort {
            index: port,
            filtered,
        };
        Arc::make_mut(&mut self.network.ports).insert((bridge, MAC), port);
        self
    }

    fn way(&self) -> Option<Way> {
        let ways = ways(&WayInputs {
            network: &self.network,
            arms: &self.arms,
            broken: &self.broken,
        });
        ways.get(&endpoint()).cloned()
    }

    #[track_caller]
    fn assert_closed(&self, device: &str, part: &str) {
        match self.way() {
            Some(Way::Closed(closed)) => {
                assert_eq!(closed.device, device);
                assert!(closed.reason.contains(part), "{}", closed.reason);
            }
            other => panic!("{other:?}"),
        }
    }
}

fn endpoint() -> IpAddr {
    [10, 0, 0, 9].into()
}

fn through(ifindex: u32) -> Option<Way> {
    Some(Way::Through {
        ifindex,
        mtu: 1500 - ifindex,
    })
}

use XdpMode::{Generic, Native};

#[test]
fn the_only_interface_needs_no_more_than_a_program() {
    let eth0 = link(2, "eth0", "", PROGRAMS);
    assert_eq!(
        World::new(std::slice::from_ref(&eth0), &[(2, Native)]).way(),
        None
    );
    assert_eq!(World::new(&[eth0], &[]).way(), None, "nothing is attached yet");
}

#[test]
fn another_interface_must_take_frames_from_xdp() {
    let eth0 = link(2, "eth0", "", BOTH);
    let way = |features, mode| World::new(&[link(3, "eth1", "", features), eth0.clone()], &[(2, mode)]);
    assert_eq!(way(BOTH, Native).way(), None);
    way(PROGRAMS, Native).assert_closed("eth1", "`--interface eth1`");
    way(NOTHING, Native).assert_closed("eth1", "`--xdp-mode generic`");
    assert_eq!(way(NOTHING, Generic).way(), None, "the kernel sends there itself");
    let unknown = Link {
        features: None,
        ..link(3, "eth1", "", NOTHING)
    };
    assert_eq!(World::new(&[unknown, eth0], &[(2, Native)]).way(), None);
}

#[test]
fn both_named_is_no_cure_where_the_driver_never_transmits() {
    let links = [link(3, "eth1", "", PROGRAMS), link(2, "eth0", "", BOTH)];
    World::new(&links, &[(2, Native), (3, Native)]).assert_closed("eth1", "eth1");
    assert_eq!(World::new(&links, &[(2, Generic), (3, Native)]).way(), None);
}

#[test]
fn a_veth_says_what_its_peer_lacks() {
    let links = [link(3, "eth1", "veth", PROGRAMS), link(2, "eth0", "", BOTH)];
    World::new(&links, &[(2, Native)]).assert_closed("eth1", "`ethtool -K PEER gro on`");
    let alone = |mode| World::new(&links[..1], &[(3, mode)]);
    alone(Native).assert_closed("eth1", "an XDP program at the peer");
    assert_eq!(alone(Generic).way(), None);
}

fn bridge() -> [Link; 3] {
    let port = |index, name| Link {
        master: Some(5),
        ..link(index, name, "", BOTH)
    };
    [
        link(5, "br0", "bridge", NOTHING),
        port(2, "eth0"),
        port(3, "eth1"),
    ]
}

#[test]
fn behind_a_bridge_it_is_the_port_that_the_bridge_has_learnt() {
    for mode in [Native, Generic] {
        let world = World::new(&bridge(), &[(2, mode)]);
        assert_eq!(world.learn(5, 3, false).way(), through(3));
    }
    let same = World::new(&bridge(), &[(2, Native)]).learn(5, 2, false);
    assert_eq!(same.way(), through(2));
}

#[test]
fn a_bridge_that_does_not_know_is_closed_to_native_programs() {
    World::new(&bridge(), &[(2, Native)]).assert_closed("br0", "has not learnt");
    assert_eq!(World::new(&bridge(), &[(2, Generic)]).way(), None);
    let filtering = World::new(&bridge(), &[(2, Native)]).learn(5, 3, true);
    filtering.assert_closed("br0", "filters VLANs");
}

#[test]
fn a_bridge_with_one_port_leaves_no_choice() {
    let [br0, eth0, _] = bridge();
    assert_eq!(World::new(&[br0, eth0], &[(2, Native)]).way(), through(2));
}

#[test]
fn a_port_that_does_not_transmit_is_the_one_that_is_named() {
    let [br0, eth0, mut eth1] = bridge();
    eth1.features = Some(NOTHING);
    let world = World::new(&[br0, eth0, eth1], &[(2, Native)]).learn(5, 3, false);
    world.assert_closed("eth1", "eth1 can't send");
}

#[test]
fn a_macvlan_sends_by_its_lower_interface_unless_it_switches() {
    let macvlan = |switches| Link {
        lower: Some(2),
        switches,
        ..link(6, "vrrp.1", "macvlan", NOTHING)
    };
    let eth0 = link(2, "eth0", "", PROGRAMS);
    let private = World::new(&[macvlan(false), eth0.clone()], &[(2, Native)]);
    assert_eq!(private.way(), through(2));
    let switching = World::new(&[macvlan(true), eth0], &[(2, Native)]);
    switching.assert_closed("vrrp.1", "type macvlan mode private");
}

#[test]
fn a_vlan_device_is_closed_but_to_what_comes_by_it() {
    let vlan = Link {
        lower: Some(2),
        ..link(7, "eth0.7", "vlan", NOTHING)
    };
    let links = [vlan, link(2, "eth0", "", BOTH)];
    for mode in [Native, Generic] {
        World::new(&links, &[(2, mode)]).assert_closed("eth0.7", "`--interface eth0.7 --xdp-mode generic`");
    }
    assert_eq!(World::new(&links, &[(7, Generic)]).way(), None);
}

#[test]
fn a_bond_passes_on_what_its_ports_bring() {
    let bond = |features| [link(8, "bond0", "bond", features), link(2, "eth0", "", BOTH)];
    assert_eq!(World::new(&bond(BOTH), &[(8, Native)]).way(), None);
    World::new(&bond(PROGRAMS), &[(8, Native)]).assert_closed("bond0", "bond0");
}

#[test]
fn an_interface_that_failed_to_send_is_closed_for_a_while() {
    let mut world = World::new(&bridge(), &[(2, Native)]).learn(5, 3, false);
    world.broken.insert(3, "No such device (error 19)".to_owned());
    world.assert_closed("eth1", "No such device");
    world.broken.clear();
    assert_eq!(world.way(), through(3));
}

#[test]
fn a_route_without_ethernet_is_closed_whatever_the_mode() {
    let mut world = World::new(&[link(2, "eth0", "", BOTH)], &[(2, Generic)]);
    let hop = NextHop::Unusable {
        device: "tun0".to_owned(),
        reason: "tun0 carries no Ethernet frames".to_owned(),
    };
    Arc::make_mut(&mut world.network.next_hops).insert(endpoint(), hop);
    world.assert_closed("tun0", "over an Ethernet interface");
}

#[test]
fn what_is_not_resolved_has_no_way_yet() {
    let mut world = World::new(&bridge(), &[(2, Native)]);
    let reason = "waiting".to_owned();
    Arc::make_mut(&mut world.network.next_hops).insert(endpoint(), NextHop::Unresolved { reason });
    assert_eq!(world.way(), None);
}
