//! Tables that were replaced, which packets may still be reading: whose they are, and until when they are left alone.

use imbl::OrdMap;

use super::regions::{Region, Regions};

/// Longer than a packet takes, also where a hypervisor takes the processor away. Whoever knows better when the last
/// reader is gone says so with a [`TableMark`].
pub(super) const TABLE_GRACE_SEC: u32 = 2;

/// All tables that had been replaced at some instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableMark(u64);

/// A copy costs nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RetiredTables {
    /// In the order in which they were replaced.
    tables: OrdMap<u64, RetiredTable>,
    next: u64,
    /// The maps name none of those before this any more.
    applied: u64,
    /// How many a service has, by its number.
    of: OrdMap<u32, u32>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct RetiredTable {
    region: Region,
    /// 0 is nobody.
    service: u32,
    free_at: u32,
}

impl RetiredTables {
    pub(super) fn add(&mut self, service: u32, region: Region, now: u32) {
        let free_at = now + TABLE_GRACE_SEC;
        let table = RetiredTable {
            region,
            service,
            free_at,
        };
        self.tables.insert(self.next, table);
        self.next += 1;
        *self.of.entry(service).or_insert(0) += 1;
    }

    /// Whether packets may still read a former table of the service.
    pub(super) fn has(&self, service: u32) -> bool {
        self.of.contains_key(&service)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The service's present tables lie elsewhere than before; the places are another's already.
    pub(super) fn note_reader(&mut self, service: u32, now: u32) {
        self.add(service, Region { offset: 0, size: 0 }, now);
    }

    /// All that was replaced before this is free.
    pub(super) fn unread_up_to(&self) -> TableMark {
        TableMark(self.tables.get_min().map_or(self.next, |(number, _)| *number))
    }

    pub(super) fn go_on_after(&mut self, other: &Self) {
        self.next = self.next.max(other.next);
        self.applied = self.applied.min(other.applied);
    }

    pub(super) fn mark(&self) -> TableMark {
        TableMark(self.next)
    }

    pub(super) fn slots(&self) -> u64 {
        let regions = self.tables.values().map(|table| table.region);
        regions.map(|region| u64::from(region.space())).sum()
    }

    /// None while the maps have to be written first.
    pub(super) fn next_deadline(&self) -> Option<u32> {
        let (number, table) = self.tables.get_min()?;
        (*number < self.applied).then_some(table.free_at)
    }

    /// The maps name none of all these any more, from now on: time begins to run.
    pub(super) fn note_applied(&mut self, now: u32) {
        let new: Vec<u64> = self
            .tables
            .range(self.applied..)
            .map(|(number, _)| *number)
            .collect();
        for number in new {
            if let Some(table) = self.tables.get_mut(&number) {
                table.free_at = table.free_at.max(now + TABLE_GRACE_SEC);
            }
        }
        self.applied = self.next;
    }

    /// Gives back what nobody reads any more. Returns whether there was any.
    pub(super) fn release(&mut self, unread: TableMark, now: u32, regions: &mut Regions) -> bool {
        let mut released = false;
        while let Some((number, table)) = self.tables.get_min().copied() {
            let had_time = number < self.applied && now >= table.free_at;
            if number >= unread.0 && !had_time {
                break;
            }
            self.tables.remove(&number);
            self.forget_owner(table.service);
            if table.region.size > 0 {
                regions.release(table.region);
            }
            released = true;
        }
        released
    }

    fn forget_owner(&mut self, service: u32) {
        let others = self.of.remove(&service).unwrap_or(0).saturating_sub(1);
        if others > 0 {
            self.of.insert(service, others);
        }
    }
}
