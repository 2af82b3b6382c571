//! The flow table from user space: listing, counting, sweeping, at memory speed and without system calls.

mod copy;

use std::sync::atomic::Ordering;

use lb_common::clock;
use lb_common::flow::Slot;
use lb_common::layout::{BUCKET_SLOTS, TupleHead, TupleRecord, TupleRest};
use zerocopy::transmute;

pub(in crate::dataplane) use self::copy::Copied;
use super::mapped::MappedArray;

/// The hot slots and the cold tuples beside them.
pub struct FlowTable {
    buckets: MappedArray,
    tuples: MappedArray,
    tuples6: MappedArray,
}

/// A living entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowEntry {
    /// bucket · 8 + slot.
    pub index: u32,
    pub slot: Slot,
    /// What was kept when the flow was recorded. Another flow's if the arrays were caught between two writes:
    /// check it against the slot's tag.
    pub tuple: TupleRecord,
}

impl FlowTable {
    pub(super) fn new(buckets: MappedArray, tuples: MappedArray, tuples6: MappedArray) -> Self {
        Self {
            buckets,
            tuples,
            tuples6,
        }
    }

    /// An empty one that no program writes.
    #[cfg(test)]
    pub(crate) fn empty(buckets: u32) -> Self {
        let slots = buckets * BUCKET_SLOTS;
        Self {
            buckets: MappedArray::anonymous(buckets, 64),
            tuples: MappedArray::anonymous(slots, size_of::<TupleHead>()),
            tuples6: MappedArray::anonymous(slots, size_of::<TupleRest>()),
        }
    }

    pub fn bucket_count(&self) -> u32 {
        self.buckets.len() as u32
    }

    pub fn slots(&self) -> u64 {
        self.buckets.len() as u64 * u64::from(BUCKET_SLOTS)
    }

    /// Every slot that is alive in the second `now`.
    pub fn alive(&self, now: u32) -> impl Iterator<Item = FlowEntry> + '_ {
        self.alive_slots(now).map(|(index, slot)| FlowEntry {
            index,
            slot,
            tuple: self.tuple(index),
        })
    }

    /// The same without the tuples: one cache line for eight slots.
    pub fn alive_slots(&self, now: u32) -> impl Iterator<Item = (u32, Slot)> + '_ {
        let tick = clock::tick(now);
        (0..self.buckets.len()).flat_map(move |bucket| {
            let words = self.buckets.value(bucket).iter().enumerate();
            words.filter_map(move |(position, word)| {
                let slot = Slot(word.load(Ordering::Relaxed));
                slot.is_alive(tick)
                    .then_some((bucket as u32 * BUCKET_SLOTS + position as u32, slot))
            })
        })
    }

    /// The slots of one bucket as they are.
    pub fn bucket(&self, index: u32) -> [u64; BUCKET_SLOTS as usize] {
        self.buckets.load(index as usize)
    }

    /// Sets a bucket, for tests and for handing flows over.
    pub fn set_bucket(&self, index: u32, slots: [u64; BUCKET_SLOTS as usize]) {
        self.buckets.store(index as usize, &slots);
    }

    pub fn tuple(&self, index: u32) -> TupleRecord {
        let head: TupleHead = transmute!(self.tuples.load::<2>(index as usize));
        let rest = if head.is_ipv6() {
            transmute!(self.tuples6.load::<3>(index as usize))
        } else {
            TupleRest::default()
        };
        TupleRecord { head, rest }
    }

    /// Clears what has expired, before its tick can wrap and seem to lie ahead. Returns how many slots.
    pub fn sweep(&self, now: u32) -> u64 {
        let tick = clock::tick(now);
        let mut cleared = 0;
        for bucket in 0..self.buckets.len() {
            for word in self.buckets.value(bucket) {
                let slot = Slot(word.load(Ordering::Relaxed));
                if !slot.is_empty() && !slot.is_alive(tick) {
                    let swept = word.compare_exchange(slot.0, 0, Ordering::AcqRel, Ordering::Relaxed);
                    cleared += u64::from(swept.is_ok());
                }
            }
        }
        cleared
    }
}
