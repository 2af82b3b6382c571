//! Numbers that name things in the kernel: the lowest free one, from 1 on.

use std::collections::BTreeSet;

use imbl::ordmap::DiffItem;
use imbl::{OrdMap, OrdSet};

/// Numbers in use. A copy costs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    /// Free ones below `next`.
    free: OrdSet<u32>,
    /// From here on all are free; the one before is not.
    next: u32,
    set_aside: OrdMap<u32, ()>,
}

const FIRST: u32 = 1;

impl Default for Numbers {
    fn default() -> Self {
        Self {
            free: OrdSet::new(),
            next: FIRST,
            set_aside: OrdMap::new(),
        }
    }
}

impl Numbers {
    pub(super) fn with_used(used: BTreeSet<u32>) -> Self {
        let mut numbers = Self::default();
        used.into_iter().for_each(|number| numbers.reserve(number));
        numbers
    }

    /// Whether a number is given out here that is not in `other`. Those that are set aside are given out later.
    pub(super) fn go_beyond(&self, other: &Self) -> bool {
        if self == other {
            return false;
        }
        let is_given = |number: &u32| {
            *number < self.next && !self.free.contains(number) && !self.set_aside.contains_key(number)
        };
        other.free.iter().any(is_given)
            || (other.next..self.next).any(|number| is_given(&number))
            || other.set_aside.diff(&self.set_aside).any(|item| match item {
                DiffItem::Remove(number, ()) => is_given(number),
                DiffItem::Add(..) | DiffItem::Update { .. } => false,
            })
    }

    /// The number is taken, and nothing is called by it yet.
    pub(super) fn set_aside(&mut self, number: u32) {
        self.reserve(number);
        self.set_aside.insert(number, ());
    }

    /// A number that was set aside is given out.
    pub(super) fn give(&mut self, number: u32) {
        self.set_aside.remove(&number);
    }

    /// The lowest free number that is less than `limit`.
    pub(super) fn take(&mut self, limit: u32) -> Option<u32> {
        let number = self.free.get_min().copied().unwrap_or(self.next);
        if number >= limit {
            return None;
        }
        self.reserve(number);
        Some(number)
    }

    pub(super) fn reserve(&mut self, number: u32) {
        if number < self.next {
            self.free.remove(&number);
            return;
        }
        self.free.extend(self.next..number);
        self.next = number + 1;
    }

    pub(super) fn release(&mut self, number: u32) {
        if !(FIRST..self.next).contains(&number) {
            return;
        }
        self.set_aside.remove(&number);
        self.free.insert(number);
        while self.free.get_max().is_some_and(|last| *last == self.next - 1) {
            self.next -= 1;
            self.free.remove(&self.next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_number_is_taken() {
        let mut numbers = Numbers::with_used(BTreeSet::from([2]));
        assert_eq!(numbers.take(5), Some(1));
        assert_eq!(numbers.take(5), Some(3));
        assert_eq!(numbers.take(5), Some(4));
        assert_eq!(numbers.take(5), None);
        numbers.release(2);
        assert_eq!(numbers.take(5), Some(2));
    }

    #[test]
    fn what_was_set_aside_is_new_when_it_is_given() {
        let mut numbers = Numbers::with_used(BTreeSet::from([1]));
        let kept = numbers.clone();
        numbers.set_aside(2);
        assert!(!numbers.go_beyond(&kept));
        let kept = numbers.clone();
        assert_eq!(numbers.take(5), Some(3));
        assert!(numbers.go_beyond(&kept));
        numbers.release(3);
        assert!(!numbers.go_beyond(&kept));
        numbers.give(2);
        assert!(numbers.go_beyond(&kept));
        assert!(!numbers.go_beyond(&numbers.clone()));
    }

    #[test]
    fn the_same_numbers_in_use_are_equal_whatever_their_history() {
        let mut numbers = Numbers::default();
        let taken: Vec<u32> = (0..9).filter_map(|_| numbers.take(100)).collect();
        for number in taken.iter().rev().filter(|number| **number != 4) {
            numbers.release(*number);
        }
        numbers.release(77);
        assert_eq!(numbers, Numbers::with_used(BTreeSet::from([4])));
        numbers.release(4);
        assert_eq!(numbers, Numbers::default());
    }
}
