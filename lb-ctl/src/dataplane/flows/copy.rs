//! Handing flows over to another table of the same size, while packets are judged by either.

use std::sync::atomic::Ordering;

use lb_common::clock;
use lb_common::flow::Slot;
use lb_common::layout::BUCKET_SLOTS;

use super::FlowTable;

const SLOTS: usize = BUCKET_SLOTS as usize;

/// What a table held when it was copied, slot by slot.
#[derive(Debug)]
pub(in crate::dataplane) struct Copied(Vec<u64>);

/// What became of entries that were handed over later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::dataplane) struct Merged {
    pub(in crate::dataplane) taken: u64,
    /// Their bucket was full of others.
    pub(in crate::dataplane) lost: u64,
}

impl FlowTable {
    /// Everything that `from` holds, into a table that no program uses yet.
    pub(in crate::dataplane) fn copy_from(&self, from: &Self) -> Copied {
        let mut copied = vec![0; from.slots() as usize];
        for bucket in 0..from.buckets.len() {
            for (position, word) in from.bucket(bucket as u32).into_iter().enumerate() {
                let index = bucket * SLOTS + position;
                self.buckets.value(bucket)[position].store(word, Ordering::Release);
                copied[index] = word;
                if word != 0 {
                    self.copy_tuple(from, index, index);
                }
            }
        }
        Copied(copied)
    }

    /// What `from` has recorded or refreshed since it was copied; without knowing when that was, whatever it holds.
    /// Programs may be using both tables: what this one has decided itself since then stays.
    pub(in crate::dataplane) fn merge_from(&self, from: &Self, since: Option<&Copied>, now: u32) -> Merged {
        let tick = clock::tick(now);
        let mut merged = Merged::default();
        for bucket in 0..from.buckets.len() {
            for (position, word) in from.bucket(bucket as u32).into_iter().enumerate() {
                let index = bucket * SLOTS + position;
                let before = since.map(|copied| copied.0[index]);
                if before == Some(word) || !Slot(word).is_alive(tick) {
                    continue;
                }
                let entry = Entry {
                    bucket,
                    position,
                    word,
                    before,
                };
                match self.take(from, &entry, tick) {
                    true => merged.taken += 1,
                    false => merged.lost += 1,
                }
            }
        }
        merged
    }

    /// Whether the table knows the entry now.
    fn take(&self, from: &Self, entry: &Entry, tick: u32) -> bool {
        // A packet may be quicker; then what it has written is looked at.
        for _ in 0..SLOTS {
            let Some((position, held, next)) = entry.place(&self.bucket(entry.bucket as u32), tick) else {
                return false;
            };
            if held == next {
                return true;
            }
            let word = &self.buckets.value(entry.bucket)[position];
            let swapped = word.compare_exchange(held, next, Ordering::AcqRel, Ordering::Relaxed);
            if swapped.is_ok() {
                // After its slot, as the program does it.
                let index = |position| entry.bucket * SLOTS + position;
                self.copy_tuple(from, index(entry.position), index(position));
                return true;
            }
        }
        false
    }

    fn copy_tuple(&self, from: &Self, source: usize, target: usize) {
        self.tuples.store(target, &from.tuples.load::<2>(source));
        if from.tuple(source as u32).is_ipv6() {
            self.tuples6.store(target, &from.tuples6.load::<3>(source));
        }
    }
}

/// A living entry of the other table.
struct Entry {
    bucket: usize,
    position: usize,
    word: u64,
    /// What was copied from its slot.
    before: Option<u64>,
}

impl Entry {
    /// The slot that shall hold it, what that holds, and what it shall hold. Nothing where there is no room.
    fn place(&self, held: &[u64; SLOTS], tick: u32) -> Option<(usize, u64, u64)> {
        let ours = Slot(self.word);
        let same = held
            .iter()
            .position(|word| Slot(*word).is_alive(tick) && Slot(*word).tag() == ours.tag());
        if let Some(position) = same {
            let theirs = Slot(held[position]);
            let is_copy = self.before == Some(theirs.0);
            let is_older = theirs.member() == ours.member()
                && (ours.remaining(tick), ours.is_confirmed())
                    > (theirs.remaining(tick), theirs.is_confirmed());
            let next = if is_copy || is_older { self.word } else { theirs.0 };
            return Some((position, theirs.0, next));
        }
        let is_free = |position: &usize| {
            let word = held[*position];
            !Slot(word).is_alive(tick) || (*position == self.position && self.before == Some(word))
        };
        let position = std::iter::once(self.position).chain(0..SLOTS).find(is_free)?;
        Some((position, held[position], self.word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u32 = 40_000;
    const BUCKETS: u32 = 4;

    fn slot(tag: u32, member: u32, ahead: u32) -> u64 {
        Slot::new(tag, member, clock::tick(NOW) + ahead).0
    }

    fn table(slots: &[(usize, u64)]) -> FlowTable {
        let table = FlowTable::empty(BUCKETS);
        set(&table, slots);
        table
    }

    fn set(table: &FlowTable, slots: &[(usize, u64)]) {
        let mut bucket = table.bucket(1);
        for (position, word) in slots {
            bucket[*position] = *word;
        }
        table.set_bucket(1, bucket);
    }

    fn held(table: &FlowTable) -> Vec<(usize, u64)> {
        let bucket = table.bucket(1).into_iter().enumerate();
        bucket.filter(|(_, word)| *word != 0).collect()
    }

    #[test]
    fn a_copy_is_the_same_with_its_tuples() {
        let from = table(&[(0, slot(7, 1, 9)), (5, slot(8, 2, 3))]);
        from.tuples.store(13, &[1 << 16, 2]);
        from.tuples6.store(13, &[3, 4, 5]);
        let to = FlowTable::empty(BUCKETS);
        to.copy_from(&from);
        assert_eq!(held(&to), held(&from));
        assert_eq!(to.tuple(13), from.tuple(13));
    }

    #[test]
    fn what_came_after_the_copy_is_handed_over() {
        let (old, fresh) = (slot(7, 1, 2), slot(9, 3, 50));
        let from = table(&[(0, old), (1, slot(8, 2, 5))]);
        let to = FlowTable::empty(BUCKETS);
        let copied = to.copy_from(&from);
        // Refreshed, replaced, new, and passed.
        let refreshed = slot(7, 1, 40);
        set(
            &from,
            &[
                (0, refreshed),
                (1, slot(10, 4, 6)),
                (2, fresh),
                (3, slot(11, 5, 0)),
            ],
        );
        let merged = to.merge_from(&from, Some(&copied), NOW);
        assert_eq!(held(&to), [(0, refreshed), (1, slot(10, 4, 6)), (2, fresh)]);
        assert_eq!(merged, Merged { taken: 3, lost: 0 });
        assert_eq!(
            to.merge_from(&from, Some(&copied), NOW).lost,
            0,
            "it may be done again"
        );
        assert_eq!(held(&to).len(), 3);
    }

    #[test]
    fn what_the_new_table_has_decided_itself_stays() {
        let from = table(&[(0, slot(7, 1, 2)), (1, slot(8, 2, 5))]);
        let to = FlowTable::empty(BUCKETS);
        let copied = to.copy_from(&from);
        // The same flows: one diverted by the new program, one recorded by both in different slots.
        set(&to, &[(0, slot(7, 9, 30)), (6, slot(12, 4, 20))]);
        set(&from, &[(0, slot(7, 1, 40)), (3, slot(12, 4, 25))]);
        to.merge_from(&from, Some(&copied), NOW);
        assert_eq!(
            held(&to),
            [(0, slot(7, 9, 30)), (1, slot(8, 2, 5)), (6, slot(12, 4, 25))]
        );
    }

    #[test]
    fn without_the_copy_the_later_of_two_equals_counts_and_nobody_is_put_out() {
        let full: Vec<(usize, u64)> = (0..8).map(|n| (n, slot(n as u32 + 1, 1, 10))).collect();
        let to = table(&full);
        let from = table(&[(0, slot(1, 1, 30)), (1, slot(2, 1, 5)), (2, slot(99, 1, 50))]);
        let merged = to.merge_from(&from, None, NOW);
        let mut expected = full.clone();
        expected[0].1 = slot(1, 1, 30);
        assert_eq!(held(&to), expected);
        assert_eq!(merged, Merged { taken: 2, lost: 1 });
    }
}
