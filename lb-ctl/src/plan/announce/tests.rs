use ipnet::IpNet;
use jiff::Timestamp;

use super::*;
use crate::net::{Address, Claim, Conflict, ConflictKey, Conflicts, Following, Link, NextHop};
use crate::plan::tests::world::World;

fn link(index: u32, name: &str) -> Link {
    Link {
        index,
        name: name.to_owned(),
        mac: Some([2, 0, 0, 0, 0, index as u8]),
        mtu: 1500,
        up: true,
        carrier: true,
        carrier_changes: 1,
        loopback: name == "lo",
        broadcast: true,
        ..Link::default()
    }
}

fn address((ifindex, text): &(u32, &str)) -> Address {
    let prefix: IpNet = text.parse().unwrap();
    Address {
        ifindex: *ifindex,
        own: prefix.addr(),
        prefix: (prefix.prefix_len() < prefix.max_prefix_len()).then(|| prefix.trunc()),
        broadcast: None,
    }
}

fn network(links: &[Link], addresses: &[(u32, &str)]) -> NetworkState {
    NetworkState {
        links: Arc::new(links.iter().map(|link| (link.index, link.clone())).collect()),
        addresses: Arc::new(addresses.iter().map(address).collect()),
        following: Following {
            is_read: true,
            ..Following::default()
        },
        ..NetworkState::default()
    }
}

/// eth0 and eth1, of which eth0 takes packets.
fn host() -> NetworkState {
    let links = [link(1, "lo"), link(2, "eth0"), link(3, "eth1")];
    let addresses = [
        (1, "127.0.0.1/8"),
        (1, "203.0.113.7/32"),
        (2, "10.0.0.1/24"),
        (2, "2001:db8::1/64"),
        (3, "10.1.0.1/24"),
    ];
    network(&links, &addresses)
}

fn vips_of(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn announce(network: &NetworkState, vips: &[&str]) -> Announcements {
    let inputs = AnnounceInputs {
        network,
        interfaces: &BTreeSet::from([2]),
        enabled: true,
        repeat: None,
    };
    Announcements::new(&vips_of(vips), &inputs)
}

fn said(announcements: &Announcements, vip: &str) -> String {
    announcements.how[&vip.parse().unwrap()].to_string()
}

#[test]
fn every_vip_is_said_how_its_packets_come_here() {
    let vips = [
        "10.0.0.100",
        "10.1.0.100",
        "198.51.100.9",
        "203.0.113.7",
        "10.0.0.1",
    ];
    let announcements = announce(&host(), &vips);
    for (vip, expected) in [
        ("10.0.0.100", "answered for on eth0"),
        (
            "10.1.0.100",
            "not answered for: it is connected by eth1, which no packets are taken from",
        ),
        (
            "198.51.100.9",
            "on no connected prefix: a router has to lead its packets here",
        ),
        (
            "203.0.113.7",
            "answered for by the host itself: it is the host's own address",
        ),
        (
            "10.0.0.1",
            "answered for by the host itself: it is the host's own address",
        ),
    ] {
        assert_eq!(said(&announcements, vip), expected);
    }
    let serving = &announcements.desired.interfaces;
    assert_eq!(serving.keys().copied().collect::<Vec<_>>(), [2]);
    let ranges: Vec<IpAddr> = serving[&2].ranges.iter().map(VipRange::announced).collect();
    assert_eq!(ranges, ["10.0.0.100".parse::<IpAddr>().unwrap()]);
    let warnings: Vec<String> = announcements.warnings().collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].starts_with("the VIP 10.1.0.100 is not answered for: "),
        "{warnings:?}"
    );
}

#[test]
fn nothing_is_answered_for_when_announcing_is_off_or_nothing_is_known() {
    let network = host();
    let off = AnnounceInputs {
        network: &network,
        interfaces: &BTreeSet::from([2]),
        enabled: false,
        repeat: None,
    };
    let vips = vips_of(&["10.0.0.100", "203.0.113.7"]);
    let announcements = Announcements::new(&vips, &off);
    assert!(announcements.desired.interfaces.is_empty());
    assert_eq!(
        said(&announcements, "10.0.0.100"),
        "not answered for: announcing is off"
    );
    assert!(said(&announcements, "203.0.113.7").contains("the host's own address"));
    let unknown = announce(&NetworkState::default(), &["10.0.0.100"]);
    assert_eq!(said(&unknown, "10.0.0.100"), "not known yet");
}

#[test]
fn a_96_that_a_rule_names_is_answered_for_as_a_whole_and_an_address_alone() {
    let announcements = announce(&host(), &["2001:db8::1:0:0", "2001:db8::2:0:7"]);
    let ranges = &announcements.desired.interfaces[&2].ranges;
    let contains = |text: &str| ranges.iter().any(|range| range.contains(text.parse().unwrap()));
    assert!(contains("2001:db8::1:0:0") && contains("2001:db8::1:1234:5678"));
    assert!(contains("2001:db8::2:0:7") && !contains("2001:db8::2:0:8"));
}

#[test]
fn the_prefix_may_come_after_the_rule_and_go() {
    let links = [link(2, "eth0")];
    let vip = "192.0.2.9";
    assert!(said(&announce(&network(&links, &[]), &[vip]), vip).contains("on no connected prefix"));
    let with = announce(&network(&links, &[(2, "192.0.2.1/24")]), &[vip]);
    assert_eq!(said(&with, vip), "answered for on eth0");
    let without = announce(&network(&links, &[]), &[vip]);
    assert!(without.desired.interfaces.is_empty());
}

#[test]
fn what_is_desired_follows_mac_carrier_and_number() {
    let of = |link: Link| {
        let index = link.index;
        let network = network(&[link], &[(index, "192.0.2.1/24")]);
        let inputs = AnnounceInputs {
            network: &network,
            interfaces: &BTreeSet::from([index]),
            enabled: true,
            repeat: None,
        };
        Announcements::new(&vips_of(&["192.0.2.9"]), &inputs)
    };
    let before = of(link(2, "eth0"));
    assert_eq!(before, of(link(2, "eth0")));
    let moved = Link {
        mac: Some([2, 9, 9, 9, 9, 9]),
        ..link(2, "eth0")
    };
    let flapped = Link {
        carrier_changes: 3,
        ..link(2, "eth0")
    };
    for changed in [moved, flapped, link(7, "eth0")] {
        assert_ne!(before.desired, of(changed.clone()).desired, "{changed:?}");
    }
    let down = of(Link {
        carrier: false,
        ..link(2, "eth0")
    });
    assert_eq!(said(&down, "192.0.2.9"), "answered for on eth0 once that is up");
}

#[test]
fn a_bridge_on_an_interface_of_ours_is_ours() {
    let port = Link {
        master: Some(9),
        ..link(2, "eth0")
    };
    let network = network(&[port, link(9, "br0")], &[(9, "192.0.2.1/24")]);
    let announcements = announce(&network, &["192.0.2.9"]);
    assert_eq!(said(&announcements, "192.0.2.9"), "answered for on br0");
}

fn conflict(vip: &str, mac: u8, claim: Claim) -> Conflicts {
    let key = ConflictKey {
        ifindex: 2,
        address: vip.parse().unwrap(),
        mac: [2, 0, 0, 0, 0, mac],
    };
    let seen = Timestamp::UNIX_EPOCH;
    let conflict = Conflict {
        claim,
        first_seen: seen,
        last_seen: seen,
    };
    Conflicts::from([(key, conflict)])
}

#[test]
fn another_host_is_named_with_what_to_do_about_it() {
    let mut world = World::new();
    world.group("web", &["10.0.0.11", "10.0.0.12"]);
    let group = world.config.groups.values_mut().next().unwrap();
    group.endpoints[1].instance = Some("b2".to_owned());
    let hop = |mac, on_link| NextHop::Resolved {
        ifindex: 2,
        source_mac: [2, 0, 0, 0, 0, 2],
        destination_mac: [2, 0, 0, 0, 0, mac],
        on_link,
        mtu: 1500,
        source_address: None,
    };
    let mut network = host();
    network.next_hops = Arc::new(
        [("10.0.0.11", hop(0x0b, false)), ("10.0.0.12", hop(0x0c, true))]
            .map(|(address, hop)| (address.parse().unwrap(), hop))
            .into(),
    );
    let warned = |conflicts: &Conflicts| conflict_warnings(conflicts, &world.config, &network);
    for (vip, mac, claim, expected) in [
        (
            "10.0.0.100",
            0x0c,
            Claim::Answered,
            "10.0.0.100 is also answered for by 02:00:00:00:00:0c (endpoint b2): set arp_ignore=1 there",
        ),
        (
            "10.0.0.100",
            0x0b,
            Claim::Answered,
            "10.0.0.100 is also answered for by 02:00:00:00:00:0b (another host): take the VIP from it, or set announce \
             = false on all hosts of a pair but one",
        ),
        (
            "10.0.0.100",
            0x0c,
            Claim::AskedInItsName,
            "02:00:00:00:00:0c (endpoint b2) asks for its neighbours in the name of 10.0.0.100: set arp_announce=2 there",
        ),
        (
            "10.0.0.100",
            0x77,
            Claim::Announced,
            "10.0.0.100 is also announced by 02:00:00:00:00:77 (another host): take the VIP from it, or set announce = \
             false on all hosts of a pair but one",
        ),
        (
            "2001:db8::1:0:0",
            0x0c,
            Claim::Answered,
            "2001:db8::1:0:0 is also answered for by 02:00:00:00:00:0c (endpoint b2): put the VIP on lo there, not on \
             the interface",
        ),
    ] {
        assert_eq!(warned(&conflict(vip, mac, claim)), [expected]);
    }
    assert!(warned(&Conflicts::new()).is_empty());
}

#[test]
fn what_can_be_no_vip_here_is_said_with_what_would_happen() {
    let network = host();
    let told = |vip: &str| unusable(vip.parse().unwrap(), &network);
    for (vip, reason) in [
        (
            "10.0.0.1",
            "is this host's own address, on eth0: what is sent to the host at it would be balanced away from it",
        ),
        (
            "203.0.113.7",
            "is this host's own address, on lo: what is sent to the host at it would be balanced away from it",
        ),
        (
            "2001:db8::1",
            "is this host's own address, on eth0: what is sent to the host at it would be balanced away from it",
        ),
        (
            "10.0.0.255",
            "is the broadcast address of 10.0.0.0/24, which eth0 is connected to: no host there sends to it as to one host",
        ),
        (
            "10.1.0.0",
            "is the network address of 10.1.0.0/24, which eth1 is connected to: no host there sends to it as to one host",
        ),
    ] {
        assert_eq!(
            told(vip).map(|unusable| unusable.reason),
            Some(reason.to_owned()),
            "{vip}"
        );
    }
    for vip in [
        "10.0.0.100",
        "10.0.1.255",
        "198.51.100.255",
        "127.0.0.0",
        "2001:db8::2",
    ] {
        assert_eq!(told(vip), None, "{vip}");
    }
    assert_eq!(
        unusable("10.0.0.1".parse().unwrap(), &NetworkState::default()),
        None
    );
}

#[test]
fn a_broadcast_address_that_the_host_was_given_counts_and_two_of_a_pair_are_hosts() {
    let mut network = network(&[link(2, "eth0")], &[(2, "192.0.2.2/31")]);
    let odd = Address {
        broadcast: Some("192.0.2.200".parse().unwrap()),
        ..address(&(2, "192.0.2.9/25"))
    };
    assert_eq!(unusable("192.0.2.3".parse().unwrap(), &network), None);
    network.addresses = Arc::new([odd].into_iter().collect());
    let told = unusable("192.0.2.200".parse().unwrap(), &network).expect("told");
    assert!(
        told.reason
            .starts_with("is the broadcast address of 192.0.2.0/25"),
        "{told:?}"
    );
}

#[test]
fn a_broadcast_address_is_not_answered_for() {
    let announcements = announce(&host(), &["10.0.0.255"]);
    assert!(announcements.desired.interfaces.is_empty());
    assert!(
        said(&announcements, "10.0.0.255").starts_with("not answered for: it is the broadcast address of ")
    );
    assert_eq!(announcements.warnings().count(), 1);
}
