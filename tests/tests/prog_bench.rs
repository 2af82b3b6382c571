//! The benchmark's generator sends what it says: each flow once before any comes again, whatever the program under test did.
//!
//! Needs root. Everything happens in a network namespace of its own.

use std::collections::BTreeSet;

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};
use lb_tests::bench::generator::{Generator, Load, Walk};
use lb_tests::conformance::bench::{XDP_TX, enter_namespace};
use lb_tests::conformance::packet::{Ends, Position, frame};
use lb_tests::conformance::rows;

const LINK: usize = 14;

fn sample(name: &str, is_ipv6: bool) -> Vec<u8> {
    let mut cases = rows::cases().into_iter();
    let case = cases.find(|case| case.name == name && case.is_ipv6 == is_ipv6);
    let case = case.unwrap_or_else(|| panic!("no case {name}"));
    let [source, destination] = match is_ipv6 {
        true => ["2001:db8::1", "2001:db8::2"],
        false => ["192.0.2.1", "192.0.2.2"],
    };
    let ends = Ends {
        source: source.parse().expect("an address"),
        destination: destination.parse().expect("an address"),
        source_port: 7,
        destination_port: 443,
    };
    frame(&case, &ends, Position::Further)
}

/// Source, destination and ports of a frame whose headers are right; everything else is as in the sample.
fn tuple(got: &[u8], sample: &[u8]) -> (Vec<u8>, Vec<u8>, u16) {
    assert_eq!(got.len(), sample.len());
    assert_eq!(got[..LINK], sample[..LINK]);
    let (source, destination, transport) = if sample[LINK] >> 4 == 6 {
        let header = Ipv6HeaderSlice::from_slice(&got[LINK..]).expect("an IPv6 packet");
        (header.source().to_vec(), header.destination().to_vec(), LINK + 40)
    } else {
        let header = Ipv4HeaderSlice::from_slice(&got[LINK..]).expect("an IPv4 packet");
        assert_eq!(
            header.header_checksum(),
            header.to_header().calc_header_checksum()
        );
        (header.source().to_vec(), header.destination().to_vec(), LINK + 20)
    };
    assert_eq!(got[transport + 2..], sample[transport + 2..]);
    let port = u16::from_be_bytes([got[transport], got[transport + 1]]);
    (source, destination, port)
}

fn tuples(generator: &mut Generator, load: &mut Load, packets: u32) -> Vec<(Vec<u8>, Vec<u8>, u16)> {
    let mut sent = Vec::new();
    for _ in 0..packets {
        let (last, _) = generator.send(load, 1).expect("a test run");
        assert_eq!(last.action, XDP_TX);
        sent.push(tuple(&last.frame, &load.frame));
    }
    sent
}

fn generator() -> Generator {
    enter_namespace();
    let mut generator = Generator::load().expect("loading the generator");
    generator.aim_at_nothing().expect("aiming");
    generator
}

#[test]
fn each_flow_comes_once_before_any_comes_again() {
    let mut generator = generator();
    for (name, is_ipv6) in [("TCP", false), ("UDP", false), ("TCP", true)] {
        for walk in [Walk::Sequential, Walk::Random] {
            // Neither a power of two nor one more or less.
            for flows in [1, 2, 37, 1000] {
                let mut load = Load::new(sample(name, is_ipv6), flows, walk);
                let once = tuples(&mut generator, &mut load, flows);
                let distinct: BTreeSet<_> = once.iter().collect();
                assert_eq!(distinct.len(), flows as usize, "{name} {walk:?} {flows}");
                assert_eq!(once, tuples(&mut generator, &mut load, flows), "the same again");
            }
        }
    }
}

#[test]
fn orders_are_what_they_are_called() {
    let mut generator = generator();
    let mut steps = |walk| {
        let mut load = Load::new(sample("TCP", false), 1000, walk);
        let sources = tuples(&mut generator, &mut load, 1000);
        let numbers: Vec<u32> = sources
            .iter()
            .map(|(source, _, _)| u32::from_be_bytes(source[..].try_into().expect("four bytes")))
            .collect();
        numbers.windows(2).filter(|pair| pair[1] == pair[0] + 1).count()
    };
    assert_eq!(steps(Walk::Sequential), 999);
    assert!(steps(Walk::Random) < 20, "neighbours rarely follow each other");
}

#[test]
fn flows_that_never_repeat_don_t() {
    let mut generator = generator();
    for walk in [Walk::Sequential, Walk::Random] {
        let mut load = Load::new(sample("TCP", false), u32::MAX, walk);
        // Beyond the addresses of one network, where ports have to tell flows apart.
        load.traffic.step = (1 << 24) - 500;
        let sent = tuples(&mut generator, &mut load, 1000);
        assert_eq!(sent.iter().collect::<BTreeSet<_>>().len(), 1000);
        load.traffic.step = 0;
        let first = tuples(&mut generator, &mut load, 1000);
        assert_eq!(sent.iter().chain(&first).collect::<BTreeSet<_>>().len(), 2000);
    }
}

#[test]
fn a_run_takes_as_many_steps_as_it_sends_packets() {
    let mut generator = generator();
    let mut load = Load::new(sample("UDP", false), 1 << 10, Walk::Random);
    generator.send(&mut load, 5000).expect("a test run");
    assert_eq!(load.traffic.step, 5000);
}

#[test]
fn destinations_are_spread_over_flows() {
    let mut generator = generator();
    let mut load = Load::new(sample("TCP", false), 1000, Walk::Sequential);
    load.traffic.destinations = 100;
    let mut seen = BTreeSet::new();
    for _ in 0..1000 {
        let (last, _) = generator.send(&mut load, 1).expect("a test run");
        let header = Ipv4HeaderSlice::from_slice(&last.frame[LINK..]).expect("an IPv4 packet");
        assert_eq!(
            header.header_checksum(),
            header.to_header().calc_header_checksum()
        );
        seen.insert(u32::from(header.destination_addr()));
    }
    let first = u32::from_be_bytes([192, 0, 2, 2]);
    assert_eq!(seen, (first..first + 100).collect());
}
