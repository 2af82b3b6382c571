//! Fragments of datagrams for a VIP.

use lb_common::verdict::Reason;
use lb_tests::conformance::bench::{Seen, enter_namespace};
use lb_tests::conformance::packet::{Ends, Fragment, network, transport};
use lb_tests::conformance::rows::Case;
use lb_tests::conformance::world::World;

use super::{Setting, case, small_bench};

fn first(case: &Case, ends: &Ends, identification: u16) -> Vec<u8> {
    let fragment = Fragment {
        identification,
        offset: 0,
        more: true,
    };
    network(case, ends, &transport(case.protocol, ends, true), Some(fragment))
}

fn later(case: &Case, ends: &Ends, identification: u16, more: bool) -> Vec<u8> {
    let fragment = Fragment {
        identification,
        offset: 3 + u16::from(!more),
        more,
    };
    network(case, ends, &[0xa5; 16], Some(fragment))
}

/// A first fragment and two later ones.
fn datagram(world: &mut World<'_>, case: &Case, ends: &Ends, identification: u16) -> [Seen; 3] {
    [
        world.both(&first(case, ends, identification)),
        world.both(&later(case, ends, identification, true)),
        world.both(&later(case, ends, identification, false)),
    ]
}

#[test]
fn later_fragments_follow_the_first_under_rules_with_ports() {
    enter_namespace();
    let mut bench = small_bench();
    for protocol in ["TCP", "UDP", "SCTP"] {
        let rules: &[(&str, &[&str])] = &[(protocol, &["443"])];
        let mut world = Setting {
            rules,
            ..Setting::default()
        }
        .world(&mut bench);
        for is_ipv6 in [false, true] {
            let case = case(protocol, is_ipv6);
            for identification in 1..20 {
                let ends = world.client(Setting::vip(is_ipv6));
                let seen = datagram(&mut world, &case, &ends, identification);
                assert_eq!(seen[0].reason, Reason::ForwardNew, "{protocol} {seen:?}");
                for later in &seen[1..] {
                    assert_eq!(later.reason, Reason::ForwardFragment, "{protocol}");
                    assert_eq!(later.backend, seen[0].backend, "{protocol}");
                }
            }
        }
    }
}

#[test]
fn a_later_fragment_that_overtook_its_first_goes_where_the_datagram_goes_or_is_dropped() {
    enter_namespace();
    let mut bench = small_bench();
    let mut world = Setting::default().world(&mut bench);
    for is_ipv6 in [false, true] {
        let case = case("UDP", is_ipv6);
        for identification in 1..30 {
            let ends = world.client(Setting::vip(is_ipv6));
            let overtook = world.both(&later(&case, &ends, identification, false));
            let followed = world.both(&first(&case, &ends, identification));
            assert!(overtook.backend.is_some());
            assert_eq!(overtook.backend, followed.backend, "the portless hash takes both");
        }
    }
    let rules: &[(&str, &[&str])] = &[("UDP", &["443"])];
    let mut world = Setting {
        rules,
        ..Setting::default()
    }
    .world(&mut bench);
    let ends = world.client(Setting::vip(false));
    let seen = world.both(&later(&case("UDP", false), &ends, 77, false));
    assert_eq!(seen.reason, Reason::DropFragment);
}

#[test]
fn a_later_fragment_of_a_connection_that_finds_nothing_is_hashed_portless() {
    enter_namespace();
    let mut bench = small_bench();
    let tcp = case("TCP", false);
    let hashed = |affinity, bench: &mut _| -> Vec<Option<char>> {
        let mut world = Setting {
            affinity,
            ..Setting::default()
        }
        .world(bench);
        let mut send = |identification| {
            let ends = world.client(Setting::vip(false));
            world.both(&later(&tcp, &ends, identification, false)).backend
        };
        (100..140).map(&mut send).collect()
    };
    let five = hashed("NONE", &mut bench);
    let three = hashed("CLIENT_IP_PROTO", &mut bench);
    assert!(five.iter().all(Option::is_some));
    assert_eq!(five, three, "source, destination and protocol");
}

#[test]
fn fragments_of_two_datagrams_are_told_apart() {
    enter_namespace();
    let mut bench = small_bench();
    let rules: &[(&str, &[&str])] = &[("TCP", &["443"]), ("UDP", &["443"])];
    let mut world = Setting {
        rules,
        ..Setting::default()
    }
    .world(&mut bench);
    let ends = world.client(Setting::vip(false));
    let tcp = case("TCP", false);
    world.both(&first(&tcp, &ends, 5));
    for (case, ends, identification) in [
        (tcp, ends, 6),
        (case("UDP", false), ends, 5),
        (
            tcp,
            Ends {
                source: world.client(ends.destination).source,
                ..ends
            },
            5,
        ),
        (
            tcp,
            Ends {
                destination: Setting::other_vip(),
                ..ends
            },
            5,
        ),
    ] {
        let seen = world.both(&later(&case, &ends, identification, false));
        assert_eq!(
            seen.reason,
            Reason::DropFragment,
            "{case:?} {ends:?} {identification}"
        );
    }
}
