//! The flow table that other balancers use, for the benchmark to compare with: the kernel's LRU hash, by the full tuple.
//!
//! A value is a [`Slot`], so that everything but the table is the same program. The bucket that the decision looks at is left alone.

use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use lb_common::flow::{Found, Insert, Slot, Sought};
use lb_common::layout::{TupleRecord, size};
use lb_common::opaque::mask;
use lb_common::tables::Tables;

use crate::kernel::{KernelBucket, KernelTables};

#[map]
static LB_LRU: LruHashMap<Key, u64> = LruHashMap::with_max_entries(size::FLOW_SLOTS, 0);

/// Whole words: the compiler would join 32-bit constants to misaligned stores.
struct Key([u64; 5]);

/// The fields that the flow is tracked by, and the service that it is one of.
#[inline(always)]
fn key(sought: &Sought<'_, KernelBucket>, tuple: TupleRecord) -> Key {
    let kind = tuple.tuple();
    let (low, middle, high) = (kind, kind >> 1, kind >> 2);
    let protocol = u32::from(tuple.protocol()) & mask(low & (middle | high));
    let [a, b, c, d] = tuple.source();
    let [e, f, g, h] = tuple.destination().map(|word| word & mask(middle | high));
    let kind = (sought.service << 12) | (u32::from(tuple.is_ipv6()) << 11) | (kind << 8) | protocol;
    let pair = |low: u32, high: u32| u64::from(low) | (u64::from(high) << 32);
    Key([
        pair(a, b),
        pair(c, d),
        pair(e, f),
        pair(g, h),
        pair(tuple.ports() & mask(high), kind),
    ])
}

#[inline(always)]
pub(crate) fn find(
    tables: &KernelTables<'_>,
    sought: &Sought<'_, KernelBucket>,
    tuple: TupleRecord,
) -> Found {
    // SAFETY: an entry that is replaced meanwhile is read as it was or as it is: one 64-bit load.
    let Some(slot) = (unsafe { LB_LRU.get(key(sought, tuple)) }) else {
        return Found::NONE;
    };
    let slot = Slot(*slot);
    if !slot.is_alive(sought.tick) {
        return Found::NONE;
    }
    let member = match tables.member(slot.member()) {
        Some(record) if record.service() == sought.service && record.in_use() => record,
        _ => Found::NONE.member,
    };
    Found {
        index: 0,
        slot,
        member,
    }
}

/// As [`lb_common::flow::refresh`]: nothing is written while the expiry is the same.
#[inline(always)]
pub(crate) fn refresh(sought: &Sought<'_, KernelBucket>, tuple: TupleRecord, found: &Found, expiry: u32) {
    let slot = found.slot;
    let refreshed = Slot::new(slot.tag(), slot.member(), expiry);
    if refreshed.remaining(sought.tick) != slot.remaining(sought.tick) {
        record(sought, tuple, refreshed);
    }
}

#[inline(always)]
pub(crate) fn record(sought: &Sought<'_, KernelBucket>, tuple: TupleRecord, entry: Slot) -> Insert {
    match LB_LRU.insert(key(sought, tuple), entry.0, 0) {
        Ok(()) => Insert::Recorded(0),
        Err(_) => Insert::Full,
    }
}
