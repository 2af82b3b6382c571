//! The kept tuple of a flow-table slot, as user space reads it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lb_common::flow::{Place, Slot};
use lb_common::hash::{self, HashKeys};
use lb_common::layout::{BUCKET_SLOTS, TupleRecord};
use lb_common::policy::Tuple;

/// What a flow is tracked by. Parts that its service leaves out of the key are absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackedTuple {
    pub source: IpAddr,
    pub destination: Option<IpAddr>,
    pub protocol: Option<u8>,
    /// Of the source, and of the destination.
    pub ports: Option<(u16, u16)>,
}

impl From<&TupleRecord> for TrackedTuple {
    fn from(record: &TupleRecord) -> Self {
        let has = |tuples: &[Tuple]| tuples.iter().any(|tuple| *tuple as u32 == record.tuple());
        let destination = has(&[Tuple::Two, Tuple::Three, Tuple::Five]);
        let protocol = has(&[Tuple::Three, Tuple::Five]);
        Self {
            source: address(record, record.source()),
            destination: destination.then(|| address(record, record.destination())),
            protocol: protocol.then(|| record.protocol()),
            ports: has(&[Tuple::Five]).then(|| (port(record, 0), port(record, 2))),
        }
    }
}

/// Whether the tuple is that of the slot at `index` of a table of `buckets`: it is written after its slot, and a reader
/// may catch an older flow's.
pub fn is_of_slot(
    keys: &HashKeys,
    service: u32,
    tuple: &TupleRecord,
    slot: Slot,
    index: u32,
    buckets: u32,
) -> bool {
    let place = Place::of(hash::flow_of_record(keys, service, tuple), buckets);
    place.tag == slot.tag() && place.bucket == index / BUCKET_SLOTS
}

fn address(tuple: &TupleRecord, words: [u32; 4]) -> IpAddr {
    if !tuple.is_ipv6() {
        return Ipv4Addr::from(words[0].to_ne_bytes()).into();
    }
    let mut octets = [0; 16];
    for (chunk, word) in octets.chunks_exact_mut(4).zip(words) {
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
    Ipv6Addr::from(octets).into()
}

/// The port whose first byte is at `at` of the packet's ports.
fn port(tuple: &TupleRecord, at: usize) -> u16 {
    let bytes = tuple.ports().to_ne_bytes();
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}
