//! Whom frames are for that arrive (semantics §1, step 1b): from the host's links to the addresses that packets are
//! compared with.

use std::collections::{BTreeMap, BTreeSet};

use lb_common::layout::{Interface, OwnMac, mac_word, size};

use crate::net::{Link, MacAddr, NetworkState};

/// The interfaces that packets arrive on, and the Ethernet addresses that frames to this host have there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    pub interfaces: BTreeMap<u32, Interface>,
    pub own_macs: BTreeSet<OwnMac>,
}

/// What packets arrive on, and what can't be judged there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arriving {
    pub arrivals: Arrivals,
    /// Sentences.
    pub warnings: Vec<String>,
}

impl Arrivals {
    /// One interface more, with its own address and others that frames to this host have.
    pub fn add(&mut self, index: u32, mac: MacAddr, mtu: u32, others: impl IntoIterator<Item = MacAddr>) {
        let interface = Interface {
            mac: mac_word(mac),
            mtu: mtu.into(),
        };
        self.interfaces.insert(index, interface);
        let own = |mac| OwnMac {
            ifindex: index.into(),
            mac: mac_word(mac),
        };
        self.own_macs.extend([mac].into_iter().chain(others).map(own));
    }
}

/// `names` are the interfaces that the program is attached to, `virtual_macs` what frames may be sent to beside the
/// addresses of devices.
pub fn arriving(state: &NetworkState, names: &[String], virtual_macs: &[MacAddr]) -> Arriving {
    let mut arriving = Arriving::default();
    for link in entrances(state, names) {
        let Some(mac) = link.mac else {
            arriving.warnings.push(format!(
                "the Ethernet address of {} is not known: frames for other hosts are balanced there, too",
                link.name
            ));
            continue;
        };
        let upper = state.reached_by(&BTreeSet::from([link.index]));
        let upper = upper.iter().filter_map(|index| state.links.get(index)?.mac);
        let others: BTreeSet<MacAddr> = upper.chain(virtual_macs.iter().copied()).collect();
        let (held, room) = (arriving.arrivals.own_macs.len(), size::OWN_MACS as usize);
        if held + others.len() > room || arriving.arrivals.interfaces.len() >= size::INTERFACES as usize {
            arriving.warnings.push(format!(
                "the {} Ethernet addresses of {} and of what lies on it don't fit (at most {room} over all interfaces): frames \
                 for other hosts are balanced there, too",
                others.len(),
                link.name
            ));
            continue;
        }
        arriving.arrivals.add(link.index, mac, link.mtu, others);
    }
    arriving
}

/// The interfaces of these names, and the slaves of bonds among them: a program on a bond sees packets arrive on those.
fn entrances<'a>(state: &'a NetworkState, names: &[String]) -> Vec<&'a Link> {
    let mut found: Vec<&Link> = state
        .links
        .values()
        .filter(|link| names.contains(&link.name))
        .collect();
    let bonds: BTreeSet<u32> = found
        .iter()
        .filter(|link| link.kind.as_deref() == Some("bond"))
        .map(|link| link.index)
        .collect();
    let is_slave = |link: &&Link| link.master.is_some_and(|master| bonds.contains(&master));
    found.extend(
        state
            .links
            .values()
            .filter(is_slave)
            .filter(|link| !names.contains(&link.name)),
    );
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn mac(last: u8) -> MacAddr {
        [2, 0, 0, 0, 0, last]
    }

    fn link(index: u32, kind: &str, master: Option<u32>, lower: Option<u32>) -> Link {
        Link {
            index,
            name: format!("if{index}"),
            mac: Some(mac(index as u8)),
            mtu: 1500,
            kind: Some(kind.to_owned()),
            master,
            lower,
            ..Link::default()
        }
    }

    fn of(links: Vec<Link>, names: &[&str], virtual_macs: &[MacAddr]) -> Arriving {
        let state = NetworkState {
            links: Arc::new(links.into_iter().map(|link| (link.index, link)).collect()),
            ..NetworkState::default()
        };
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        arriving(&state, &names, virtual_macs)
    }

    fn own(arriving: &Arriving, index: u32) -> Vec<u8> {
        let macs = arriving.arrivals.own_macs.iter();
        let macs = macs.filter(|own| own.ifindex == u64::from(index));
        macs.map(|own| lb_common::layout::mac_of(own.mac)[5]).collect()
    }

    #[test]
    fn what_lies_on_an_interface_is_this_host() {
        // A bridge on if2, a VLAN device on the bridge, keepalived's macvlan on if2; and another interface.
        let links = vec![
            link(2, "", Some(5), None),
            link(3, "", None, None),
            link(5, "bridge", None, None),
            link(6, "vlan", None, Some(5)),
            link(7, "macvlan", None, Some(2)),
        ];
        let arriving = of(links, &["if2"], &[mac(99)]);
        assert_eq!(arriving.warnings, [""; 0]);
        assert_eq!(own(&arriving, 2), [2, 5, 6, 7, 99]);
        assert_eq!(arriving.arrivals.interfaces.keys().collect::<Vec<_>>(), [&2]);
        assert_eq!(arriving.arrivals.interfaces[&2].mac, mac_word(mac(2)));
        assert_eq!(arriving.arrivals.interfaces[&2].mtu, 1500);
    }

    #[test]
    fn packets_of_a_bond_arrive_on_its_slaves() {
        let links = vec![
            link(2, "", Some(4), None),
            link(3, "", Some(4), None),
            link(4, "bond", None, None),
        ];
        let arriving = of(links, &["if4"], &[]);
        assert_eq!(own(&arriving, 4), [4]);
        assert_eq!(own(&arriving, 2), [2, 4]);
        assert_eq!(own(&arriving, 3), [3, 4]);
    }

    #[test]
    fn an_interface_without_an_address_is_a_warning() {
        let nameless = Link {
            mac: None,
            ..link(2, "", None, None)
        };
        let arriving = of(vec![nameless], &["if2"], &[]);
        assert!(arriving.warnings[0].contains("if2"), "{:?}", arriving.warnings);
        assert_eq!(arriving.arrivals, Arrivals::default());
    }

    #[test]
    fn what_does_not_fit_is_a_warning() {
        let mut links = vec![link(2, "", None, None)];
        for index in 0..size::OWN_MACS {
            let [_, b, c, d] = index.to_be_bytes();
            links.push(Link {
                mac: Some([6, 0, 0, b, c, d]),
                ..link(100 + index, "macvlan", None, Some(2))
            });
        }
        let arriving = of(links, &["if2"], &[]);
        assert!(
            arriving.warnings[0].contains("don't fit"),
            "{:?}",
            arriving.warnings
        );
        assert_eq!(arriving.arrivals, Arrivals::default());
    }
}
