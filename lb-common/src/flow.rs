//! The flow table: buckets of eight 64-bit slots, one cache line each, shared by all CPUs without locks.
//!
//! slot = tag (28, of the keyed hash) · member (20) · expiry tick (15) · confirmed (1), from the high bits down; 0 is empty.
//!
//! No key is stored. Bucket and tag match about 47 bits, and a hit also needs that the member belongs to the
//! packet's service, so a false match can only share an endpoint for a while. The expiry is stored instead of the
//! last-seen time, so a victim can be chosen without knowing the other slots' services; it is compared modulo 2^15,
//! which is right as long as expired slots are swept at least every 15 hours.
//!
//! Here `now` is a tick, unless something else is said.
//!
//! An entry is *confirmed* when it is seen again and its expiry has moved, which it does once a tick. Only unconfirmed entries are evicted: packets
//! that never repeat can only evict each other.

use crate::clock::{self, TICK_SECONDS};
use crate::layout::{BUCKET_SLOTS, MEMBER_BITS, Member};
use crate::opaque::hide;

pub const TAG_BITS: u32 = 28;
const TAG_SHIFT: u32 = 64 - TAG_BITS;
const MEMBER_SHIFT: u32 = 16;
const MEMBER_MASK: u64 = (1 << MEMBER_BITS) - 1;
const EXPIRY_SHIFT: u32 = 1;
const EXPIRY_MASK: u32 = 0x7fff;
/// An expiry that lies more ahead than this has passed.
const HALF: u32 = 0x4000;
const CONFIRMED: u64 = 1;

/// The longest idle timeout that a service can have, in seconds.
pub const MAX_IDLE_SECONDS: u32 = 57_600;

// No living entry seems to have passed.
const _: () = assert!(expiry(TICK_SECONDS - 1, MAX_IDLE_SECONDS) < HALF);

/// Eight slots that other CPUs change at the same time.
pub trait FlowBucket {
    fn load(&self, slot: usize) -> u64;

    /// Whether the slot held `old` and now holds `new`.
    fn compare_exchange(&self, slot: usize, old: u64, new: u64) -> bool;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(pub u64);

impl Slot {
    #[inline(always)]
    pub const fn new(tag: u32, member: u32, expiry: u32) -> Self {
        Self(
            ((tag as u64) << TAG_SHIFT)
                | ((member as u64 & MEMBER_MASK) << MEMBER_SHIFT)
                | (((expiry & EXPIRY_MASK) as u64) << EXPIRY_SHIFT),
        )
    }

    #[inline(always)]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline(always)]
    pub const fn tag(self) -> u32 {
        (self.0 >> TAG_SHIFT) as u32
    }

    #[inline(always)]
    pub const fn member(self) -> u32 {
        ((self.0 >> MEMBER_SHIFT) & MEMBER_MASK) as u32
    }

    #[inline(always)]
    pub const fn is_confirmed(self) -> bool {
        self.0 & CONFIRMED != 0
    }

    /// Ticks until the entry expires; 0 if it has.
    #[inline(always)]
    pub const fn remaining(self, now: u32) -> u32 {
        let expiry = (self.0 >> EXPIRY_SHIFT) as u32;
        let ahead = expiry.wrapping_sub(now) & EXPIRY_MASK;
        if ahead < HALF { ahead } else { 0 }
    }

    #[inline(always)]
    pub const fn is_alive(self, now: u32) -> bool {
        !self.is_empty() && self.remaining(now) != 0
    }

    /// The entry after a packet of its flow: a new expiry, and confirmed.
    #[inline(always)]
    const fn refreshed(self, expiry: u32) -> Self {
        let cleared = self.0 & !((EXPIRY_MASK as u64) << EXPIRY_SHIFT);
        Self(cleared | (((expiry & EXPIRY_MASK) as u64) << EXPIRY_SHIFT) | CONFIRMED)
    }
}

/// Where a flow belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub bucket: u32,
    pub tag: u32,
}

impl Place {
    #[inline(always)]
    pub const fn of(hash: u64, buckets: u32) -> Self {
        // That of an empty slot is 0.
        let tag = (hash >> TAG_SHIFT) as u32;
        Self {
            bucket: crate::hash::reduce(hash as u32, buckets),
            tag: if tag == 0 { 1 } else { tag },
        }
    }
}

/// A flow to look up or to record.
#[derive(Debug)]
pub struct Sought<'a, B> {
    pub bucket: &'a B,
    pub place: Place,
    pub service: u32,
    pub tick: u32,
}

/// The tick at which an entry expires that is seen now; times are in seconds.
#[inline(always)]
pub const fn expiry(now: u32, idle_seconds: u32) -> u32 {
    clock::tick_after(now, idle_seconds)
}

/// An entry of this flow: the tag is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// 8 is none. Not an `Option`, whose absent payload the compiler leaves undefined and the verifier refuses.
    pub index: usize,
    pub slot: Slot,
    /// Not in use if the entry names no endpoint of the packet's service, such as one that has gone.
    pub member: Member,
}

impl Found {
    pub const NONE: Self = Self {
        index: BUCKET_SLOTS as usize,
        slot: Slot(0),
        member: Member { state: 0, route: 0 },
    };

    #[inline(always)]
    pub const fn is_some(&self) -> bool {
        self.index < BUCKET_SLOTS as usize
    }
}

/// The living entry with this tag, and its member if that belongs to `service`.
///
/// Of several slots with one tag only the first is looked at: the service is part of the hash, so the others are
/// another flow's about once in 2^47. For the same reason an entry without a member is still this flow's, to be
/// written over: left in place, it would hide what each packet records behind it.
#[inline(always)]
pub fn find<B: FlowBucket>(
    bucket: &B,
    tag: u32,
    now: u32,
    service: u32,
    member: impl Fn(u32) -> Option<Member>,
) -> Found {
    let (index, slot) = position(bucket, tag);
    if index >= BUCKET_SLOTS as usize || !slot.is_alive(now) {
        return Found::NONE;
    }
    let member = match member(slot.member()) {
        Some(record) if record.service() == service && record.in_use() => record,
        _ => Found::NONE.member,
    };
    Found { index, slot, member }
}

/// The first slot with this tag, or 8, and what it held then. Most flows are in one of the first slots of their bucket.
#[inline(always)]
fn position<B: FlowBucket>(bucket: &B, tag: u32) -> (usize, Slot) {
    let tagged = u64::from(tag) << TAG_SHIFT;
    let mut index = 0;
    while index < BUCKET_SLOTS as usize {
        let slot = bucket.load(index);
        if (slot ^ tagged) >> TAG_SHIFT == 0 {
            return (forget(index, slot), Slot(slot));
        }
        index += 1;
    }
    (index, Slot(0))
}

/// The same index, of which the verifier knows only that it is one, as long as it knows nothing of `word`: it would follow
/// each of eight ways through all that comes after.
#[inline(always)]
fn forget(index: usize, word: u64) -> usize {
    (hide(index as u64 ^ word) ^ word) as usize & (BUCKET_SLOTS as usize - 1)
}

/// Restarts the entry's idle timer. Writes only when the expiry has moved, once a tick; losing to another CPU is as good.
#[inline(always)]
pub fn refresh<B: FlowBucket>(bucket: &B, found: &Found, expiry: u32) {
    let refreshed = found.slot.refreshed(expiry);
    if refreshed.remaining_bits() != found.slot.remaining_bits() {
        bucket.compare_exchange(found.index, found.slot.0, refreshed.0);
    }
}

impl Slot {
    #[inline(always)]
    const fn remaining_bits(self) -> u64 {
        self.0 & ((EXPIRY_MASK as u64) << EXPIRY_SHIFT)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insert {
    /// In this slot of the bucket.
    Recorded(usize),
    /// In the slot that the flow had, beside which its tuple is kept.
    Replaced,
    /// Every slot is a living, confirmed flow.
    Full,
    /// Other CPUs took the chosen slot every time.
    Raced,
}

/// How often a slot is chosen anew after another CPU took it.
const ATTEMPTS: usize = 2;

/// Records a new entry: over `replaces` if it is still there, else in the cheapest slot.
#[inline(always)]
pub fn insert<B: FlowBucket>(bucket: &B, entry: Slot, now: u32, replaces: &Found) -> Insert {
    if replaces.is_some() {
        let is_there = replaces.slot == entry;
        if is_there || bucket.compare_exchange(replaces.index, replaces.slot.0, entry.0) {
            return Insert::Replaced;
        }
    }
    let free = free(bucket, now, entry);
    if let Some((index, slot)) = free
        && bucket.compare_exchange(index, slot.0, entry.0)
    {
        return Insert::Recorded(index);
    }
    let mut attempt = 0;
    while attempt < ATTEMPTS {
        let victim = victim(bucket, now);
        if victim.cost >= CONFIRMED_COST {
            return Insert::Full;
        }
        let index = victim.index;
        let slot = Slot(bucket.load(index));
        // Another CPU may have taken the slot since it was weighed.
        if cost(slot, now) == victim.cost && bucket.compare_exchange(index, slot.0, entry.0) {
            return Insert::Recorded(index);
        }
        attempt += 1;
    }
    Insert::Raced
}

/// The first slot that is empty or expired: in a table with room there is one, and weighing all eight takes longer.
#[inline(always)]
fn free<B: FlowBucket>(bucket: &B, now: u32, entry: Slot) -> Option<(usize, Slot)> {
    let mut index = 0;
    while index < BUCKET_SLOTS as usize {
        let slot = Slot(bucket.load(index));
        if !slot.is_alive(now) {
            return Some((forget(index, entry.0), slot));
        }
        index += 1;
    }
    None
}

/// What a living, confirmed entry costs at least: it is never evicted.
const CONFIRMED_COST: u64 = HALF as u64;

/// What losing the slot costs: nothing if it is empty or expired, else the time that it has left.
///
/// Without branches, because the verifier would follow every combination of them over eight slots.
#[inline(always)]
fn cost(slot: Slot, now: u32) -> u64 {
    let remaining = (((slot.0 >> EXPIRY_SHIFT) as u32).wrapping_sub(now) & EXPIRY_MASK) as u64;
    let ahead = hide((remaining >> 14).wrapping_sub(1));
    let occupied = hide(mask(slot.0));
    let left = remaining & ahead & occupied;
    left | (hide(mask(left)) & ((slot.0 & CONFIRMED) * CONFIRMED_COST))
}

/// All ones if any bit is set, else 0.
#[inline(always)]
fn mask(value: u64) -> u64 {
    (hide(value | value.wrapping_neg()) as i64 >> 63) as u64
}

struct Victim {
    index: usize,
    cost: u64,
}

/// The slot that costs least to lose; of several the first.
#[inline(always)]
fn victim<B: FlowBucket>(bucket: &B, now: u32) -> Victim {
    let mut best = cost(Slot(bucket.load(0)), now) << 3;
    let mut index = 1;
    while index < BUCKET_SLOTS as usize {
        let candidate = (cost(Slot(bucket.load(index)), now) << 3) | index as u64;
        let difference = hide(candidate.wrapping_sub(best));
        best = best.wrapping_add(difference & hide((difference as i64 >> 63) as u64));
        index += 1;
    }
    Victim {
        index: (best & 7) as usize,
        cost: best >> 3,
    }
}

#[cfg(test)]
mod tests;
