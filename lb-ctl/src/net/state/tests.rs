use ipnet::IpNet;

use super::*;
use crate::net::Address;

fn link(index: u32) -> Link {
    Link {
        index,
        name: format!("e{index}"),
        mac: Some([2, 0, 0, 0, 0, index as u8]),
        mtu: 1500,
        up: true,
        carrier: true,
        broadcast: true,
        ..Link::default()
    }
}

fn state(links: impl IntoIterator<Item = Link>, addresses: &[(u32, &str)]) -> NetworkState {
    let address = |(ifindex, text): &(u32, &str)| {
        let prefix: IpNet = text.parse().unwrap();
        Address {
            ifindex: *ifindex,
            own: prefix.addr(),
            prefix: Some(prefix.trunc()),
            broadcast: None,
        }
    };
    NetworkState {
        links: Arc::new(links.into_iter().map(|link| (link.index, link)).collect()),
        addresses: Arc::new(addresses.iter().map(address).collect()),
        ..NetworkState::default()
    }
}

fn found(state: &NetworkState, address: &str, preferred: &[u32]) -> Option<u32> {
    let link = state.connected_to(address.parse().unwrap(), |link| preferred.contains(&link.index));
    link.map(|link| link.index)
}

#[test]
fn of_several_interfaces_the_preferred_then_the_running_then_the_lowest_is_connected() {
    let down = Link {
        carrier: false,
        ..link(3)
    };
    let both = [(3, "192.0.2.1/24"), (4, "192.0.2.2/24"), (5, "192.0.2.3/24")];
    let state = state([down, link(4), link(5)], &both);
    assert_eq!(found(&state, "192.0.2.9", &[]), Some(4));
    assert_eq!(found(&state, "192.0.2.9", &[5]), Some(5));
    assert_eq!(found(&state, "192.0.2.9", &[3]), Some(3), "down, but ours");
    assert_eq!(found(&state, "198.51.100.9", &[3]), None);
}

#[test]
fn loopback_connects_to_nothing_and_hides_nothing() {
    let loopback = Link {
        loopback: true,
        ..link(1)
    };
    let state = state([loopback, link(2)], &[(1, "192.0.2.9/28"), (2, "192.0.2.1/24")]);
    assert_eq!(found(&state, "192.0.2.10", &[]), Some(2));
    assert_eq!(found(&state, "192.0.2.10", &[1]), Some(2));
}

#[test]
fn an_interface_that_is_gone_is_not_connected() {
    let state = state([link(2)], &[(3, "192.0.2.1/24")]);
    assert_eq!(found(&state, "192.0.2.10", &[3]), None);
}

#[test]
fn packets_for_a_device_come_in_by_what_it_lies_on() {
    let port = Link {
        master: Some(9),
        ..link(2)
    };
    let vlan = Link {
        lower: Some(9),
        ..link(10)
    };
    let state = state([port, link(3), link(9), vlan], &[]);
    assert_eq!(state.reached_by(&BTreeSet::from([2])), BTreeSet::from([2, 9, 10]));
    assert_eq!(state.reached_by(&BTreeSet::from([9])), BTreeSet::from([9, 10]));
    assert_eq!(state.reached_by(&BTreeSet::from([3])), BTreeSet::from([3]));
}

#[test]
fn a_circle_of_devices_has_an_end() {
    let circle = [(2, 3), (3, 2)].map(|(index, master)| Link {
        master: Some(master),
        ..link(index)
    });
    let state = state(circle, &[]);
    assert_eq!(state.reached_by(&BTreeSet::from([2])), BTreeSet::from([2, 3]));
}
