//! Which fields count, how evenly the results spread, and that both directions agree where they must.

use proptest::prelude::*;

use super::*;
use crate::frames::{ACK, frame, ipv4, ipv6, tcp, udp};
use crate::policy::Tuple;

const TUPLES: [Tuple; 4] = [Tuple::One, Tuple::Two, Tuple::Three, Tuple::Five];

/// A packet by its fields: protocol 6 or 17.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Flow {
    v6: bool,
    protocol: u8,
    source: [u8; 16],
    destination: [u8; 16],
    ports: (u16, u16),
}

impl Flow {
    fn reversed(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            ports: (self.ports.1, self.ports.0),
            ..self
        }
    }

    fn parsed(self) -> (Network, Transport) {
        let (source, destination) = self.ports;
        let payload = match self.protocol {
            6 => tcp(source, destination, ACK),
            _ => udp(source, destination),
        };
        let mut bytes;
        if self.v6 {
            bytes = frame(0, &ipv6(self.protocol, &payload));
            bytes[14 + 8..14 + 24].copy_from_slice(&self.source);
            bytes[14 + 24..14 + 40].copy_from_slice(&self.destination);
        } else {
            bytes = frame(0, &ipv4(self.protocol, &payload));
            bytes[14 + 12..14 + 16].copy_from_slice(&self.source[..4]);
            bytes[14 + 16..14 + 20].copy_from_slice(&self.destination[..4]);
        }
        let bytes = bytes.as_slice();
        let network = crate::parse::network(&bytes).expect("a whole packet");
        let transport = crate::parse::transport(&bytes, &network).expect("a whole packet");
        (network, transport)
    }

    fn selection(self, keys: &HashKeys, tuple: Tuple, symmetric: u32) -> u32 {
        let (network, transport) = self.parsed();
        selection(keys, tuple as u32, symmetric, &network, &transport)
    }

    fn flow(self, keys: &HashKeys, service: u32, tuple: Tuple) -> u64 {
        let (network, transport) = self.parsed();
        flow(keys, service, tuple as u32, &network, &transport)
    }
}

fn flows() -> impl Strategy<Value = Flow> {
    // Few values, so that ends are often equal in part.
    let byte = || prop_oneof![3 => 0u8..3, 1 => any::<u8>()];
    let address = || prop::array::uniform16(byte());
    let port = || prop_oneof![1u16..4, any::<u16>()];
    (any::<bool>(), any::<bool>(), address(), address(), port(), port()).prop_map(
        |(v6, tcp, source, destination, from, to)| Flow {
            v6,
            protocol: if tcp { 6 } else { 17 },
            source,
            destination,
            ports: (from, to),
        },
    )
}

const FLOW: Flow = Flow {
    v6: true,
    protocol: 6,
    source: [7; 16],
    destination: [9; 16],
    ports: (4001, 443),
};

/// A change of one field, and the tuples that notice it.
type Change = (fn(&mut Flow), &'static [Tuple]);

const CHANGES: [Change; 9] = [
    (|flow| flow.source[0] ^= 1, &TUPLES),
    (|flow| flow.source[3] ^= 0x80, &TUPLES),
    (
        |flow| flow.destination[0] ^= 1,
        &[Tuple::Two, Tuple::Three, Tuple::Five],
    ),
    (
        |flow| flow.destination[3] ^= 0x80,
        &[Tuple::Two, Tuple::Three, Tuple::Five],
    ),
    (|flow| flow.protocol = 17, &[Tuple::Three, Tuple::Five]),
    (|flow| flow.ports.0 ^= 1, &[Tuple::Five]),
    (|flow| flow.ports.1 ^= 0x8000, &[Tuple::Five]),
    // Every word of an IPv6 address.
    (|flow| flow.source[15] ^= 1, &TUPLES),
    (
        |flow| flow.destination[8] ^= 1,
        &[Tuple::Two, Tuple::Three, Tuple::Five],
    ),
];

#[test]
fn exactly_the_fields_of_the_tuple_count() {
    let keys = HashKeys::from_seed(1);
    for v6 in [false, true] {
        let flow = Flow { v6, ..FLOW };
        for (index, (change, noticed_by)) in CHANGES.iter().enumerate() {
            let mut changed = flow;
            change(&mut changed);
            for tuple in TUPLES {
                // The last two changes lie beyond an IPv4 address.
                let noticed = noticed_by.contains(&tuple) && (v6 || index < 7);
                for symmetric in [0, 1] {
                    let same =
                        flow.selection(&keys, tuple, symmetric) == changed.selection(&keys, tuple, symmetric);
                    assert_eq!(same, !noticed, "selection {tuple:?}, change {index}, v6 {v6}");
                }
                let same = flow.flow(&keys, 5, tuple) == changed.flow(&keys, 5, tuple);
                assert_eq!(same, !noticed, "flow {tuple:?}, change {index}, v6 {v6}");
            }
        }
    }
}

#[test]
fn a_key_is_scoped_by_service_and_tuple() {
    let keys = HashKeys::from_seed(1);
    let mut seen = std::collections::BTreeSet::new();
    for service in [1, 2, 3, 255, 256, (1 << 20) - 1] {
        for tuple in TUPLES {
            assert!(
                seen.insert(FLOW.flow(&keys, service, tuple)),
                "{service} {tuple:?}"
            );
        }
    }
}

#[test]
fn seeds_give_different_hashes_and_one_seed_the_same() {
    let seeds = [0, 1, 2, 1 << 63, 1 << 64, 3 << 64, u128::MAX];
    let hashes: std::collections::BTreeSet<u64> = seeds
        .iter()
        .map(|seed| FLOW.flow(&HashKeys::from_seed(*seed), 1, Tuple::Five))
        .collect();
    assert_eq!(hashes.len(), seeds.len());
    let selections: std::collections::BTreeSet<u32> = seeds
        .iter()
        .map(|seed| FLOW.selection(&HashKeys::from_seed(*seed), Tuple::Five, 0))
        .collect();
    assert_eq!(selections.len(), seeds.len());
    assert_eq!(HashKeys::from_seed(42), HashKeys::from_seed(42));
    let keys = HashKeys::from_seed(42);
    assert_ne!(keys.selection, keys.flow);
}

#[test]
fn both_directions_agree_when_the_ends_differ_in_one_byte_only() {
    let keys = HashKeys::from_seed(1);
    for byte in 0..16 {
        for ports in [(443, 443), (1, 2), (2, 1)] {
            let mut flow = Flow {
                destination: FLOW.source,
                ports,
                ..FLOW
            };
            flow.destination[byte] ^= 0x80;
            for tuple in [Tuple::Two, Tuple::Three, Tuple::Five] {
                let (there, back) = (
                    flow.selection(&keys, tuple, 1),
                    flow.reversed().selection(&keys, tuple, 1),
                );
                assert_eq!(there, back, "{byte} {ports:?} {tuple:?}");
            }
        }
    }
}

/// Clients that differ in little, as those of one network do.
fn clients(count: u32) -> impl Iterator<Item = Flow> {
    (0..count).map(|index| {
        let [_, high, middle, low] = (index / 64).to_be_bytes();
        let mut source = [10, high, middle, low, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        source[15] = low;
        Flow {
            v6: false,
            source,
            ports: (40_000 + (index % 64) as u16, 443),
            ..FLOW
        }
    })
}

/// Chi-squared of `counts` against an even spread, divided by its expectation: about 1 for chance.
fn unevenness(counts: &[u32]) -> f64 {
    let total: u32 = counts.iter().sum();
    let mean = f64::from(total) / counts.len() as f64;
    let sum: f64 = counts
        .iter()
        .map(|count| (f64::from(*count) - mean).powi(2) / mean)
        .sum();
    sum / (counts.len() - 1) as f64
}

#[test]
fn similar_clients_spread_evenly_over_slots_buckets_and_tags() {
    for seed in [1, 0xdead_beef] {
        let keys = HashKeys::from_seed(seed);
        for size in [3, 64, 251, 4093, 4096] {
            let mut slots = vec![0; size as usize];
            let mut buckets = slots.clone();
            let mut tags = vec![0; 256];
            for client in clients(32_768) {
                slots[reduce(client.selection(&keys, Tuple::Five, 0), size) as usize] += 1;
                let place = crate::flow::Place::of(client.flow(&keys, 1, Tuple::Five), size);
                buckets[place.bucket as usize] += 1;
                tags[(place.tag & 0xff) as usize] += 1;
            }
            for (what, counts) in [("slots", &slots), ("buckets", &buckets), ("tags", &tags)] {
                let unevenness = unevenness(counts);
                // Five standard deviations for the fewest cells.
                let bound = 1.0 + 5.0 * (2.0 / (counts.len() - 1) as f64).sqrt();
                assert!(unevenness < bound, "{what} {size} {seed}: {unevenness}");
            }
        }
    }
}

#[test]
fn one_changed_bit_changes_half_of_the_hash() {
    let keys = HashKeys::from_seed(7);
    let mut flipped = 0;
    let mut trials = 0;
    for client in clients(200) {
        let hash = client.flow(&keys, 1, Tuple::Five);
        for bit in 0..64 {
            let mut changed = client;
            match bit {
                0..32 => changed.source[bit / 8] ^= 1 << (bit % 8),
                32..48 => changed.ports.0 ^= 1 << (bit - 32),
                _ => changed.ports.1 ^= 1 << (bit - 48),
            }
            flipped += (hash ^ changed.flow(&keys, 1, Tuple::Five)).count_ones();
            trials += 1;
        }
    }
    let mean = f64::from(flipped) / f64::from(trials);
    assert!((mean - 32.0).abs() < 0.5, "{mean} of 64 bits");
}

#[test]
fn reduction_reaches_every_slot_and_no_other() {
    for size in [1, 2, 3, 4093, 1 << 20] {
        assert_eq!(reduce(0, size), 0);
        assert_eq!(reduce(u32::MAX, size), size - 1);
    }
}

#[test]
fn an_identity_depends_on_seed_and_every_byte_of_the_name() {
    let name = b"zones/a/instances/web-0001";
    let mut seen =
        std::collections::BTreeSet::from([identity(1, name), identity(2, name), identity(1 << 64, name)]);
    for place in 0..name.len() {
        let mut other = *name;
        other[place] ^= 1;
        seen.insert(identity(1, &other));
        seen.insert(identity(1, &name[..place]));
    }
    // A zero byte at the end is a byte.
    seen.insert(identity(1, b"zones/a/instances/web-0001\0"));
    assert_eq!(seen.len(), 3 + 2 * name.len() + 1);
}

proptest! {
    #[test]
    fn both_directions_agree_where_symmetric(flow in flows(), seed in any::<u128>()) {
        let keys = HashKeys::from_seed(seed);
        for tuple in [Tuple::Two, Tuple::Three, Tuple::Five] {
            prop_assert_eq!(
                flow.selection(&keys, tuple, 1),
                flow.reversed().selection(&keys, tuple, 1),
                "{:?}", tuple
            );
        }
    }

    #[test]
    fn directions_differ_where_not_symmetric(flow in flows(), seed in any::<u128>()) {
        let keys = HashKeys::from_seed(seed);
        let ends = |flow: Flow| flow.parsed().0.source == flow.parsed().0.destination;
        prop_assume!(!ends(flow));
        for tuple in TUPLES {
            prop_assert_ne!(flow.selection(&keys, tuple, 0), flow.reversed().selection(&keys, tuple, 0));
            prop_assert_ne!(flow.flow(&keys, 1, tuple), flow.reversed().flow(&keys, 1, tuple));
        }
    }

    #[test]
    fn symmetry_confuses_no_other_flows(flow in flows(), other in flows(), seed in any::<u128>()) {
        let (first, second) = (flow.parsed(), other.parsed());
        prop_assume!(flow.v6 == other.v6);
        let addresses = |parsed: &(Network, Transport)| (parsed.0.source, parsed.0.destination);
        let reversed = other.reversed().parsed();
        prop_assume!(addresses(&first) != addresses(&second) && addresses(&first) != addresses(&reversed));
        let keys = HashKeys::from_seed(seed);
        prop_assert_ne!(flow.selection(&keys, Tuple::Two, 1), other.selection(&keys, Tuple::Two, 1));
    }
}

#[test]
fn every_service_has_tags_of_its_own_in_a_connections_bucket() {
    let keys = HashKeys::from_seed(3);
    let base = FLOW.flow(&keys, 0, Tuple::Five);
    let mut tags = std::collections::BTreeSet::new();
    for service in 0..1 << crate::layout::SERVICE_BITS {
        let hash = base ^ scope(service, Tuple::Five as u32);
        assert_eq!(hash as u32, base as u32);
        assert!(tags.insert(hash >> (64 - crate::flow::TAG_BITS)), "{service}");
    }
    assert_eq!(
        FLOW.flow(&keys, 77, Tuple::Five),
        base ^ scope(77, Tuple::Five as u32)
    );
}

/// A client's sessions with a hundred services have the same fields.
#[test]
fn sessions_with_many_services_are_in_many_buckets() {
    let keys = HashKeys::from_seed(3);
    for tuple in [Tuple::One, Tuple::Two, Tuple::Three] {
        let places = (1..=100).map(|service| {
            let hash = FLOW.flow(&keys, service, tuple);
            crate::flow::Place::of(hash, 1 << 19).bucket
        });
        let buckets: std::collections::BTreeSet<_> = places.collect();
        assert!(buckets.len() > 95, "{tuple:?}: {}", buckets.len());
    }
}
