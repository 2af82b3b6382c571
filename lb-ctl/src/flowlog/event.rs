//! What a scan looks at, what it tells, and how much.

use std::sync::atomic::AtomicU64;

use lb_common::layout::{BUCKET_SLOTS, TupleRecord};

use super::snapshot::{Endpoint, MoveReason};
use crate::dataplane::FlowTable;

pub(super) const SLOTS: usize = BUCKET_SLOTS as usize;

/// A flow table to look at.
pub trait Slots {
    fn bucket_count(&self) -> u32;
    fn bucket(&self, index: u32) -> [u64; SLOTS];
    /// Of the slot with the index bucket · 8 + slot.
    fn tuple(&self, index: u32) -> TupleRecord;
}

impl Slots for FlowTable {
    fn bucket_count(&self) -> u32 {
        self.bucket_count()
    }

    fn bucket(&self, index: u32) -> [u64; SLOTS] {
        self.bucket(index)
    }

    fn tuple(&self, index: u32) -> TupleRecord {
        self.tuple(index)
    }
}

/// What became of the log.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that are followed now.
    pub connections: AtomicU64,
    /// Lines written.
    pub lines: AtomicU64,
    /// Lines that were not, because there were too many.
    pub dropped: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
pub enum EventKind<'a> {
    Begin,
    /// Its entry expired, or was replaced.
    End,
    Moved {
        from: &'a Endpoint,
        reason: Option<MoveReason>,
    },
}

/// Times are seconds of the data plane's clock, each up to a tick (4 s) too early.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    pub kind: EventKind<'a>,
    pub tuple: &'a TupleRecord,
    /// Where its packets go now, or went.
    pub endpoint: &'a Endpoint,
    /// Of the first packet; unknown of a connection that was there before its service was logged.
    pub start: Option<u32>,
    /// Of the last packet.
    pub last: u32,
}

/// How much is done at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections that are followed at a time.
    pub connections: usize,
    /// Events of one scan.
    pub events: usize,
}

impl Default for Limits {
    /// 56 MiB, and 50,000 events a second.
    fn default() -> Self {
        Self {
            connections: 1 << 20,
            events: 200_000,
        }
    }
}
