//! Faults that other load balancers have or had, each shown to be absent, on the host and in the kernel.
//!
//! Needs root. Everything happens in network namespaces of their own, and no map is pinned.

mod peers;

use lb_common::clock::TICK_SECONDS;
use lb_common::verdict::Reason;
use lb_tests::conformance::bench::{XDP_DROP, XDP_PASS, enter_namespace};
use lb_tests::conformance::packet::{Ends, Fragment, Position, frame, network, transport};
use peers::{Setting, case, icmp, small_bench, udp_of};

/// Not a VIP of anyone.
fn elsewhere(ends: &Ends) -> Ends {
    let destination = if ends.destination.is_ipv4() {
        "198.51.100.77".parse()
    } else {
        "2001:db8:77::1".parse()
    };
    Ends {
        destination: destination.expect("an address"),
        ..*ends
    }
}

/// Frames that are hard to understand, of every kind.
fn hard_frames(ends: &Ends) -> Vec<Vec<u8>> {
    let v6 = ends.destination.is_ipv6();
    let (tcp, udp) = (case("TCP", v6), case("UDP", v6));
    let mut frames = Vec::new();
    for case in [tcp, udp] {
        let payload = transport(case.protocol, ends, true);
        for (offset, more) in [(0, true), (5, true), (5, false)] {
            let fragment = Fragment {
                identification: 9,
                offset,
                more,
            };
            frames.push(network(&case, ends, &payload, Some(fragment)));
        }
        let whole = frame(&case, ends, Position::First);
        // The kernel refuses a test run of less than an Ethernet header.
        frames.extend((14..whole.len()).map(|length| whole[..length].to_vec()));
        // The packet ends where its header says, in the middle of the transport header.
        frames.extend((0..20).map(|length| network(&case, ends, &payload[..length], None)));
    }
    if !v6 {
        frames.push(with_options(&frame(&tcp, ends, Position::First)));
        for length in 0..5 {
            let mut bad = frame(&tcp, ends, Position::First);
            bad[14] = 0x40 | length;
            frames.push(bad);
        }
    }
    for kind in 0..=255 {
        frames.push(icmp(ends.source, ends.destination, kind, 0, &[0; 32]));
    }
    frames
}

/// The same with four bytes of IPv4 options.
fn with_options(plain: &[u8]) -> Vec<u8> {
    let (header, payload) = etherparse::Ipv4Header::from_slice(&plain[14..]).expect("an IPv4 packet");
    let mut header = header;
    header.options = etherparse::Ipv4Options::try_from([1, 1, 1, 0].as_slice()).expect("one word");
    header.set_payload_len(payload.len()).expect("a short payload");
    header.header_checksum = header.calc_header_checksum();
    let mut bytes = plain[..14].to_vec();
    header.write(&mut bytes).expect("writing to memory");
    bytes.extend(payload);
    bytes
}

#[test]
fn traffic_for_other_destinations_passes_untouched_whatever_it_is() {
    enter_namespace();
    let mut bench = small_bench();
    let mut world = Setting::default().world(&mut bench);
    for v6 in [false, true] {
        let ends = world.client(Setting::vip(v6));
        let frames = hard_frames(&elsewhere(&ends));
        assert!(frames.len() > 300);
        for frame in frames {
            assert!(
                world.both(&frame).reason.name().starts_with("pass_"),
                "{frame:02x?}"
            );
            assert_eq!(world.run(&frame), (XDP_PASS, frame.clone()));
        }
    }
}

#[test]
fn options_and_fragments_for_a_vip_are_balanced_and_what_is_cut_short_is_dropped_by_name() {
    enter_namespace();
    let mut bench = small_bench();
    let mut world = Setting::default().world(&mut bench);
    let ends = world.client(Setting::vip(false));
    let first = frame(&case("TCP", false), &ends, Position::First);
    let seen = world.both(&with_options(&first));
    assert_eq!(seen.reason, Reason::ForwardNew);
    let further = frame(&case("TCP", false), &ends, Position::Further);
    assert_eq!(
        world.both(&further).backend,
        seen.backend,
        "options do not matter"
    );
    for length in 14 + 20..first.len() {
        let seen = world.both(&first[..length]);
        assert_eq!(seen.reason, Reason::DropTruncated, "{length} bytes");
        assert_eq!(world.run(&first[..length]).0, XDP_DROP);
    }
    for v6 in [false, true] {
        let ends = world.client(Setting::vip(v6));
        for hard in hard_frames(&ends) {
            let seen = world.both(&hard);
            assert!(!seen.reason.is_broken_invariant(), "{hard:02x?}");
        }
    }
}

#[test]
fn ping_is_answered_for_nobody() {
    enter_namespace();
    let mut bench = small_bench();
    let ports_only = Setting {
        rules: &[("TCP", &["443"])],
        ..Setting::default()
    };
    let mut world = ports_only.world(&mut bench);
    for v6 in [false, true] {
        let ends = world.client(Setting::vip(v6));
        let ping = |ends: &Ends| frame(&case("ICMP echo", v6), ends, Position::First);
        assert_eq!(world.both(&ping(&ends)).reason, Reason::DropNoRule);
        let other = ping(&elsewhere(&ends));
        assert_eq!(world.both(&other).reason, Reason::PassNoVip);
        assert_eq!(world.run(&other), (XDP_PASS, other.clone()));
    }
}

#[test]
fn a_ping_is_balanced_where_a_rule_takes_all_protocols() {
    enter_namespace();
    let mut bench = small_bench();
    let mut world = Setting::default().world(&mut bench);
    let ends = world.client(Setting::vip(false));
    let ping = frame(&case("ICMP echo", false), &ends, Position::First);
    let (first, second) = (world.both(&ping), world.both(&ping));
    assert!(first.backend.is_some() && first.backend == second.backend);
}

#[test]
fn weights_of_1_and_10_share_1_to_10() {
    const FLOWS: usize = 4400;
    for scheme in ["EXTERNAL", "INTERNAL"] {
        enter_namespace();
        let mut bench = small_bench();
        let setting = Setting {
            scheme,
            endpoints: "ab",
            weights: &[('a', 1), ('b', 10)],
            ..Setting::default()
        };
        let mut world = setting.world(&mut bench);
        let mut light = 0;
        for _ in 0..FLOWS {
            let ends = world.client(Setting::vip(false));
            light += usize::from(world.both(&udp_of(&ends)).backend == Some('a'));
        }
        // A standard deviation is 19 flows around 400, and the table's own share is right within 5 %.
        assert!((320..480).contains(&light), "{scheme}: {light} of {FLOWS} flows");
    }
}

#[test]
fn nothing_goes_to_the_last_endpoint_after_it_was_removed() {
    enter_namespace();
    let mut bench = small_bench();
    let mut setting = Setting {
        endpoints: "a",
        ..Setting::default()
    };
    let mut world = setting.world(&mut bench);
    let flows: Vec<Ends> = (0..50).map(|_| world.client(Setting::vip(false))).collect();
    for ends in &flows {
        assert_eq!(
            world
                .both(&frame(&case("TCP", false), ends, Position::First))
                .backend,
            Some('a')
        );
    }
    setting.endpoints = "";
    setting.set(&mut world);
    let new: Vec<Ends> = (0..50).map(|_| world.client(Setting::vip(false))).collect();
    for ends in flows.iter().chain(&new) {
        for position in [Position::First, Position::Further] {
            let seen = world.both(&frame(&case("TCP", false), ends, position));
            assert_eq!((seen.reason, seen.backend), (Reason::DropNoBackend, None));
        }
    }
}

#[test]
fn a_number_is_given_to_no_other_endpoint_while_a_flow_may_name_it() {
    enter_namespace();
    let mut bench = small_bench();
    let mut setting = Setting {
        endpoints: "abc",
        ..Setting::default()
    };
    let mut world = setting.world(&mut bench);
    let old = peers::number_of(&world, 'a').expect("a is attached");
    let mut flows: Vec<Ends> = (0..60).map(|_| world.client(Setting::vip(false))).collect();
    flows.retain(|ends| world.both(&udp_of(ends)).backend == Some('a'));
    assert!(!flows.is_empty());
    setting.endpoints = "bcdeghi";
    setting.set(&mut world);
    for name in "deghi".chars() {
        assert_ne!(
            peers::number_of(&world, name),
            Some(old),
            "{name} has the number of a"
        );
    }
    for ends in &flows {
        assert_eq!(world.both(&udp_of(ends)).reason, Reason::ForwardDiverted);
    }
    // When no entry can be alive, the number is free, and names nothing of the past.
    world.pass_to(peers::START + 600 + 12);
    setting.endpoints = "bcdeghij";
    setting.set(&mut world);
    assert_eq!(peers::number_of(&world, 'j'), Some(old));
    for ends in &flows {
        assert_eq!(world.both(&udp_of(ends)).reason, Reason::ForwardNew);
    }
}

#[test]
fn a_flood_of_new_flows_evicts_no_confirmed_flow_and_stops_no_tracking() {
    enter_namespace();
    let mut bench = peers::tiny_bench();
    let mut world = Setting::default().world(&mut bench);
    let established: Vec<Ends> = (0..40).map(|_| world.client(Setting::vip(false))).collect();
    let mut backends = Vec::new();
    for ends in &established {
        backends.push(
            world
                .both(&frame(&case("TCP", false), ends, Position::First))
                .backend,
        );
    }
    world.pass_to(peers::START + TICK_SECONDS);
    for ends in &established {
        let seen = world.both(&frame(&case("TCP", false), ends, Position::Further));
        assert_eq!(
            seen.reason,
            Reason::ForwardTracked,
            "seen in a second tick: confirmed"
        );
    }
    // To the other service: its second VIP's flows are many times what the table holds.
    for _ in 0..5000 {
        let ends = world.client(Setting::other_vip());
        let seen = world.both(&frame(&case("TCP", false), &ends, Position::First));
        assert!(matches!(
            seen.reason,
            Reason::ForwardNew | Reason::ForwardBucketFull
        ));
    }
    for (ends, backend) in established.iter().zip(backends) {
        let seen = world.both(&frame(&case("TCP", false), ends, Position::Further));
        assert_eq!((seen.reason, seen.backend), (Reason::ForwardTracked, backend));
    }
    let mut tracked = 0;
    for _ in 0..100 {
        let ends = world.client(Setting::vip(false));
        world.both(&frame(&case("TCP", false), &ends, Position::First));
        let seen = world.both(&frame(&case("TCP", false), &ends, Position::Further));
        tracked += usize::from(seen.reason == Reason::ForwardTracked);
    }
    assert_eq!(tracked, 100, "new flows are tracked after the flood as before");
}

#[test]
fn a_datagram_flow_leaves_a_dead_backend_although_it_never_pauses() {
    for persistence in ["DEFAULT_FOR_PROTOCOL", "NEVER_PERSIST"] {
        enter_namespace();
        let mut bench = small_bench();
        let mut setting = Setting {
            persistence,
            ..Setting::default()
        };
        let mut world = setting.world(&mut bench);
        let ends = world.client(Setting::vip(false));
        let backend = world.both(&udp_of(&ends)).backend.expect("forwarded");
        for ticks in 1..6 {
            world.pass_to(peers::START + ticks * TICK_SECONDS);
            assert_eq!(world.both(&udp_of(&ends)).backend, Some(backend));
        }
        let unhealthy = backend.to_string();
        setting.unhealthy = &unhealthy;
        setting.set(&mut world);
        let seen = world.both(&udp_of(&ends));
        assert_eq!(seen.reason, Reason::ForwardDiverted);
        assert_ne!(seen.backend, Some(backend));
    }
}
