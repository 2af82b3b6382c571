//! Numbers that name things in the kernel: the lowest free one, from 1 on.

use std::collections::BTreeSet;

use imbl::OrdSet;

/// Numbers in use. A copy costs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    /// Free ones below `next`.
    free: OrdSet<u32>,
    /// From here on all are free; the one before is not.
    next: u32,
}

const FIRST: u32 = 1;

impl Default for Numbers {
    fn default() -> Self {
        Self {
            free: OrdSet::new(),
            next: FIRST,
        }
    }
}

impl Numbers {
    pub(super) fn with_used(used: BTreeSet<u32>) -> Self {
        let mut numbers = Self::default();
        used.into_iter().for_each(|number| numbers.reserve(number));
        numbers
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
