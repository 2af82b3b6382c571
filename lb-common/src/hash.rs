//! The keyed hashes: which slot of a selection table, which bucket and tag of the flow table.
//!
//! Two lanes of NH (the universal hash inside UMAC, RFC 4418 §5.1): pairs of 32-bit words, each added to a secret
//! key word, multiplied to 64 bits and summed. For keys that a client does not know, two different inputs collide
//! in a lane with probability at most 2^-32, whatever the client chooses; multiplications are independent, so
//! they cost little more than their count. A xor-multiply finish spreads the sums over all bits.

use crate::layout::TupleRecord;
use crate::opaque::{hide, mask};
use crate::parse::{Family, Network, Transport};
use crate::policy::Tuple;

/// Words that are hashed at most: two IPv6 addresses, ports, and one of protocol and tuple kind.
const WORDS: usize = 10;
/// The second lane uses the same keys one pair further on (Toeplitz).
const LANE_SHIFT: usize = 2;

/// Secret words of one hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct NhKeys(pub [u32; WORDS + LANE_SHIFT]);

/// Every secret of the data plane, expanded from one 128-bit seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct HashKeys {
    /// Shared by all hosts of a fleet.
    pub selection: NhKeys,
    pub flow: NhKeys,
}

impl HashKeys {
    pub const ZERO: Self = Self {
        selection: NhKeys([0; 12]),
        flow: NhKeys([0; 12]),
    };

    pub fn from_seed(seed: u128) -> Self {
        let mut state = seed as u64;
        let tweak = (seed >> 64) as u64;
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            (finish(state ^ tweak.wrapping_mul(0xff51_afd7_ed55_8ccd)) >> 32) as u32
        };
        let mut keys = Self::ZERO;
        keys.selection.0.iter_mut().for_each(|word| *word = next());
        keys.flow.0.iter_mut().for_each(|word| *word = next());
        keys
    }
}

/// The finalizer of MurmurHash3: a bijection in which every input bit reaches every output bit.
#[inline(always)]
pub const fn finish(mut value: u64) -> u64 {
    value ^= value >> 33;
    value = value.wrapping_mul(0xff51_afd7_ed55_8ccd);
    value ^= value >> 33;
    value = value.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    value ^ (value >> 33)
}

/// 1, 0 or -1 as `first` is greater than, equal to or less than `second`.
#[inline(always)]
fn sign(first: u32, second: u32) -> i64 {
    let (first, second) = (hide(u64::from(first)), hide(u64::from(second)));
    (first.wrapping_sub(second) as i64 >> 63) - (second.wrapping_sub(first) as i64 >> 63)
}

#[inline(always)]
fn pair(keys: &NhKeys, at: usize, first: u32, second: u32) -> u64 {
    u64::from(first.wrapping_add(keys.0[at])).wrapping_mul(u64::from(second.wrapping_add(keys.0[at + 1])))
}

#[inline(always)]
fn lane(keys: &NhKeys, shift: usize, v6: bool, fields: &Fields) -> u64 {
    let (source, destination) = (&fields.source, &fields.destination);
    let mut sum = pair(keys, shift, source[0], destination[0]);
    sum = sum.wrapping_add(pair(keys, shift + 2, fields.ports, fields.kind));
    if v6 {
        sum = sum.wrapping_add(pair(keys, shift + 4, source[1], destination[1]));
        sum = sum.wrapping_add(pair(keys, shift + 6, source[2], destination[2]));
        sum = sum.wrapping_add(pair(keys, shift + 8, source[3], destination[3]));
    }
    sum
}

/// What is hashed, after the fields that the tuple leaves out are zeroed.
#[derive(Clone, Copy)]
struct Fields {
    source: [u32; 4],
    destination: [u32; 4],
    ports: u32,
    kind: u32,
}

impl Fields {
    /// The common tuple is told apart by a branch, which the processor foresees: the hash need not wait for the rule and
    /// the policy that lead to the tuple.
    #[inline(always)]
    fn of(tuple: u32, network: &Network, transport: &Transport) -> Self {
        let whole = Self {
            source: network.source,
            destination: network.destination,
            ports: transport.ports,
            kind: ((Tuple::Five as u32) << 8) | u32::from(transport.protocol()),
        };
        if tuple == Tuple::Five as u32 {
            whole
        } else {
            whole.reduced(tuple)
        }
    }

    /// Without branches, for the verifier's sake: the bits of a [`Tuple`]'s number say what it has.
    #[inline(always)]
    fn reduced(self, tuple: u32) -> Self {
        let (low, middle, high) = (tuple, tuple >> 1, tuple >> 2);
        let destination = mask(middle | high);
        let protocol = mask(low & (middle | high));
        Self {
            source: self.source,
            destination: self.destination.map(|word| word & destination),
            ports: self.ports & mask(high),
            kind: (tuple << 8) | (self.kind & 0xff & protocol),
        }
    }

    /// The same for both directions of a connection, if `symmetric` is 1: the smaller end comes first.
    #[inline(always)]
    fn ordered(self, symmetric: u32) -> Self {
        let swap = mask(symmetric & self.is_reversed());
        let mut ordered = self;
        let mut word = 0;
        while word < 4 {
            let difference = (self.source[word] ^ self.destination[word]) & swap;
            ordered.source[word] ^= difference;
            ordered.destination[word] ^= difference;
            word += 1;
        }
        ordered.ports ^= (self.ports ^ self.ports.rotate_left(16)) & swap;
        ordered
    }

    /// 1 if the source end is the larger one, in an order that is only used here: by the words of the address as
    /// they lie in memory, then the port.
    #[inline(always)]
    fn is_reversed(&self) -> u32 {
        let mut order = 0;
        let mut word = 0;
        while word < 4 {
            order = 2 * order + sign(self.source[word], self.destination[word]);
            word += 1;
        }
        order = 2 * order + sign(self.ports & 0xffff, self.ports >> 16);
        (order.wrapping_neg() as u64 >> 63) as u32
    }

    #[inline(always)]
    fn hash(&self, keys: &NhKeys, v6: bool) -> u64 {
        let first = lane(keys, 0, v6, self);
        let second = lane(keys, LANE_SHIFT, v6, self);
        finish((first ^ (first >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ second)
    }
}

/// The selection hash (semantics §4) over the fields of a [`Tuple`](crate::policy::Tuple)'s number: 32 bits, the same on every host of a fleet.
#[inline(always)]
pub fn selection(
    keys: &HashKeys,
    tuple: u32,
    symmetric: u32,
    network: &Network,
    transport: &Transport,
) -> u32 {
    let v6 = network.family == Family::V6;
    let fields = Fields::of(tuple, network, transport);
    let fields = if symmetric == 0 {
        fields
    } else {
        fields.ordered(symmetric)
    };
    (fields.hash(&keys.selection, v6) >> 32) as u32
}

/// The hash of a tracking key (semantics §3), scoped by the service.
#[inline(always)]
pub fn flow(keys: &HashKeys, service: u32, tuple: u32, network: &Network, transport: &Transport) -> u64 {
    let v6 = network.family == Family::V6;
    Fields::of(tuple, network, transport).hash(&keys.flow, v6) ^ scope(service, tuple)
}

/// The hash that the flow of a kept tuple has: a reader compares it with the slot beside the tuple.
pub fn flow_of_record(keys: &HashKeys, service: u32, record: &TupleRecord) -> u64 {
    let fields = Fields {
        source: record.source(),
        destination: record.destination(),
        ports: record.ports(),
        kind: u32::from(record.protocol()),
    };
    let tuple = record.tuple();
    fields.reduced(tuple).hash(&keys.flow, record.is_ipv6()) ^ scope(service, tuple)
}

/// What a service's number changes of a flow's hash. Multiples of the golden ratio lie evenly apart, so those of 2^20
/// numbers differ in their high bits: each service has tags of its own.
///
/// Of a whole connection it changes the tag alone: the low bits, which choose the bucket, are then known before the service
/// is. A client's sessions with several services have the same fields, and would all be in one bucket.
#[inline(always)]
const fn scope(service: u32, tuple: u32) -> u64 {
    let word = (service as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    if tuple == Tuple::Five as u32 {
        word & !(u64::MAX >> crate::flow::TAG_BITS)
    } else {
        word
    }
}

/// Maps 32 hash bits to `0..size`, evenly, without a division.
#[inline(always)]
pub const fn reduce(hash: u32, size: u32) -> u32 {
    ((hash as u64 * size as u64) >> 32) as u32
}

/// The identity of an endpoint in table builds: a keyed hash of its name, the same on every host.
pub fn identity(seed: u128, name: &[u8]) -> u64 {
    let mut state = finish((seed as u64) ^ finish((seed >> 64) as u64 ^ name.len() as u64));
    for chunk in name.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        state = finish(state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ u64::from_le_bytes(word));
    }
    state
}

#[cfg(test)]
mod tests;
