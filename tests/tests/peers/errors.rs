//! ICMP errors about flows.

use std::net::IpAddr;

use lb_common::verdict::Reason;
use lb_tests::conformance::bench::{Seen, enter_namespace};
use lb_tests::conformance::packet::{Ends, Fragment, Position, frame, network, transport};
use lb_tests::conformance::world::World;

use super::{START, Setting, case, icmp, small_bench};

/// Type and code of every error that semantics names.
const ERRORS_V4: [(u8, u8); 5] = [(3, 1), (3, 4), (11, 0), (11, 1), (12, 0)];
const ERRORS_V6: [(u8, u8); 4] = [(1, 4), (2, 0), (3, 0), (4, 0)];

fn errors(is_ipv6: bool) -> Vec<(u8, u8)> {
    if is_ipv6 {
        ERRORS_V6.to_vec()
    } else {
        ERRORS_V4.to_vec()
    }
}

fn router(is_ipv6: bool) -> IpAddr {
    let text = if is_ipv6 { "2001:db8:ffff::1" } else { "198.18.0.1" };
    text.parse().expect("an address")
}

/// An error about the packet that the flow's backend sent: `quoted` bytes of its transport header.
fn about(name: &str, ends: &Ends, (kind, code): (u8, u8), quoted: usize) -> Vec<u8> {
    let is_ipv6 = ends.destination.is_ipv6();
    let case = case(name, is_ipv6);
    let sent = ends.swapped();
    let whole = network(&case, &sent, &transport(case.protocol, &sent, false), None);
    let header = if is_ipv6 { 40 } else { 20 };
    let quotation = &whole[14..14 + header + quoted];
    let rest = [&[0, 0, 0x05, 0x78], quotation].concat();
    icmp(router(is_ipv6), ends.destination, kind, code, &rest)
}

/// A flow that is not where the hash is: its backend has become unhealthy, and it persists.
fn persisting_flow(
    world: &mut World<'_>,
    setting: &mut Setting<'_>,
    name: &str,
    is_ipv6: bool,
) -> (Ends, char) {
    setting.unhealthy = "";
    setting.set(world);
    for _ in 0..200 {
        let ends = world.client(Setting::vip(is_ipv6));
        let seen = world.both(&frame(&case(name, is_ipv6), &ends, Position::First));
        if seen.backend == Some('a') {
            setting.unhealthy = "a";
            setting.set(world);
            return (ends, 'a');
        }
    }
    panic!("no flow goes to a");
}

#[test]
fn an_error_of_any_kind_reaches_the_backend_that_its_flow_is_on_with_8_bytes_quoted() {
    enter_namespace();
    let mut bench = small_bench();
    let ports: &[&str] = &["443"];
    for rules in [
        &[("L3_DEFAULT", &[] as &[&str])] as &[_],
        &[("TCP", ports), ("UDP", ports), ("SCTP", ports)],
    ] {
        let mut setting = Setting {
            rules,
            persistence: "ALWAYS_PERSIST",
            ..Setting::default()
        };
        let mut world = setting.world(&mut bench);
        for is_ipv6 in [false, true] {
            for name in ["TCP", "UDP", "SCTP"] {
                let (ends, backend) = persisting_flow(&mut world, &mut setting, name, is_ipv6);
                for error in errors(is_ipv6) {
                    for quoted in [8, 20] {
                        let seen = world.both(&about(name, &ends, error, quoted));
                        let expected = Seen {
                            reason: Reason::ForwardIcmpError,
                            backend: Some(backend),
                        };
                        assert_eq!(seen, expected, "{rules:?} {name} {error:?} {quoted}");
                    }
                }
            }
        }
    }
}

/// An IPv6 frame with so many headers of destination options behind its IP header.
fn with_extensions(frame: &[u8], count: u8) -> Vec<u8> {
    let (start, payload) = frame.split_at(14 + 40);
    let mut start = start.to_vec();
    let mut next = std::mem::replace(&mut start[14 + 6], 60);
    let mut headers = Vec::new();
    for _ in 0..count {
        headers.splice(0..0, [next, 0, 1, 4, 0, 0, 0, 0]);
        next = 60;
    }
    let length = (headers.len() + payload.len()) as u16;
    start[14 + 4..14 + 6].copy_from_slice(&length.to_be_bytes());
    [&start[..], &headers, payload].concat()
}

#[test]
fn an_error_behind_extension_headers_reaches_the_backend_that_its_flow_is_on() {
    enter_namespace();
    let mut bench = small_bench();
    let mut setting = Setting {
        persistence: "ALWAYS_PERSIST",
        ..Setting::default()
    };
    let mut world = setting.world(&mut bench);
    for name in ["TCP", "UDP", "SCTP"] {
        let (ends, backend) = persisting_flow(&mut world, &mut setting, name, true);
        let case = case(name, true);
        let sent = ends.swapped();
        let answer = network(&case, &sent, &transport(case.protocol, &sent, false), None);
        for (kind, code) in ERRORS_V6 {
            for (inside, outside) in [(0, 1), (1, 0), (6, 6)] {
                let answer = match inside {
                    0 => answer.clone(),
                    count => with_extensions(&answer, count),
                };
                let rest = [&[0, 0, 0x05, 0x78], &answer[14..]].concat();
                let error = icmp(router(true), ends.destination, kind, code, &rest);
                let error = match outside {
                    0 => error,
                    count => with_extensions(&error, count),
                };
                let before = world.flows();
                let expected = Seen {
                    reason: Reason::ForwardIcmpError,
                    backend: Some(backend),
                };
                assert_eq!(world.both(&error), expected, "{name} {kind} {inside} {outside}");
                assert_eq!(world.flows(), before, "an error records nothing");
            }
        }
        let endless = with_extensions(&answer, 7);
        let rest = [&[0, 0, 0x05, 0x78], &endless[14..]].concat();
        let error = with_extensions(&icmp(router(true), ends.destination, 2, 0, &rest), 1);
        assert_eq!(world.both(&error).reason, Reason::DropIcmpError);
    }
}

#[test]
fn an_error_creates_refreshes_and_changes_no_entry_and_moves_no_flow() {
    enter_namespace();
    let mut bench = small_bench();
    let mut setting = Setting {
        persistence: "ALWAYS_PERSIST",
        ..Setting::default()
    };
    let mut world = setting.world(&mut bench);
    for is_ipv6 in [false, true] {
        let (ends, backend) = persisting_flow(&mut world, &mut setting, "TCP", is_ipv6);
        let unknown = world.client(Setting::vip(is_ipv6));
        let before = world.flows();
        for error in errors(is_ipv6) {
            for ends in [&ends, &unknown] {
                world.both(&about("TCP", ends, error, 8));
            }
        }
        assert_eq!(
            world.flows(),
            before,
            "in another tick an entry would be refreshed, a new one is a new slot"
        );
        world.pass_to(START + if is_ipv6 { 16 } else { 8 });
        let before = world.flows();
        world.both(&about("TCP", &ends, errors(is_ipv6)[1], 8));
        assert_eq!(world.flows(), before);
        let seen = world.both(&frame(&case("TCP", is_ipv6), &ends, Position::Further));
        assert_eq!(
            (seen.reason, seen.backend),
            (Reason::ForwardPersisted, Some(backend))
        );
    }
}

#[test]
fn an_error_about_a_flow_without_an_entry_goes_where_the_hash_goes() {
    enter_namespace();
    let mut bench = small_bench();
    for scheme in ["EXTERNAL", "INTERNAL"] {
        let mut world = Setting {
            scheme,
            ..Setting::default()
        }
        .world(&mut bench);
        for is_ipv6 in [false, true] {
            for _ in 0..30 {
                for name in ["TCP", "UDP", "ESP", "GRE"] {
                    let ends = world.client(Setting::vip(is_ipv6));
                    let about = world.both(&about(name, &ends, errors(is_ipv6)[0], 8));
                    let flow = world.both(&frame(&case(name, is_ipv6), &ends, Position::First));
                    assert_eq!(about.reason, Reason::ForwardIcmpError);
                    assert_eq!(about.backend, flow.backend, "{scheme} {name}");
                }
            }
        }
    }
}

#[test]
fn an_error_that_quotes_nothing_of_ours_is_dropped_for_a_vip_and_passes_else() {
    enter_namespace();
    let mut bench = small_bench();
    let mut world = Setting::default().world(&mut bench);
    for is_ipv6 in [false, true] {
        let ends = world.client(Setting::vip(is_ipv6));
        let error = errors(is_ipv6)[1];
        // Sent by someone else than the VIP that the error came to.
        let other = Ends {
            destination: world.client(ends.destination).source,
            ..ends
        };
        let mut stranger = about("TCP", &other, error, 8);
        let whole = about("TCP", &ends, error, 8);
        let at = if is_ipv6 {
            14 + 24..14 + 40
        } else {
            14 + 16..14 + 20
        };
        stranger[at.clone()].copy_from_slice(&whole[at]);
        assert_eq!(world.both(&stranger).reason, Reason::DropIcmpError);
        for quoted in 0..4 {
            assert_eq!(
                world.both(&about("TCP", &ends, error, quoted)).reason,
                Reason::DropIcmpError
            );
        }
        let elsewhere = about("TCP", &other, error, 8);
        assert_eq!(world.both(&elsewhere).reason, Reason::PassNoVip);
    }
}

#[test]
fn an_error_about_a_fragment_is_remembered_as_no_fragment() {
    enter_namespace();
    let mut bench = small_bench();
    let rules: &[(&str, &[&str])] = &[("TCP", &["443"]), ("UDP", &["443"])];
    let mut world = Setting {
        rules,
        ..Setting::default()
    }
    .world(&mut bench);
    let ends = world.client(Setting::vip(false));
    let udp = case("UDP", false);
    let sent = ends.swapped();
    let fragment = Fragment {
        identification: 321,
        offset: 0,
        more: true,
    };
    let whole = network(&udp, &sent, &transport(17, &sent, false), Some(fragment));
    let rest = [&[0, 0, 0x05, 0x78], &whole[14..14 + 28]].concat();
    let seen = world.both(&icmp(router(false), ends.destination, 3, 4, &rest));
    assert_eq!(seen.reason, Reason::ForwardIcmpError);
    let from_router = Ends {
        source: router(false),
        ..ends
    };
    for ends in [ends, from_router] {
        let later = Fragment {
            offset: 3,
            more: false,
            ..fragment
        };
        let seen = world.both(&network(&udp, &ends, &[0; 16], Some(later)));
        assert_eq!(
            seen.reason,
            Reason::DropFragment,
            "nothing was remembered: {ends:?}"
        );
    }
}
