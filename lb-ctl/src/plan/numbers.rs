//! Numbers that name things in the kernel: the lowest free one, from 1 on.

use std::collections::BTreeSet;

/// Numbers in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    used: BTreeSet<u32>,
    /// Every number below is in use.
    first_free: u32,
}

impl Numbers {
    pub(super) fn with_used(used: BTreeSet<u32>) -> Self {
        Self { used, first_free: 1 }
    }

    /// The lowest free number that is less than `limit`.
    pub(super) fn take(&mut self, limit: u32) -> Option<u32> {
        let mut number = self.first_free.max(1);
        while self.used.contains(&number) {
            number += 1;
        }
        if number >= limit {
            return None;
        }
        self.used.insert(number);
        self.first_free = number + 1;
        Some(number)
    }

    pub(super) fn reserve(&mut self, number: u32) {
        self.used.insert(number);
    }

    pub(super) fn release(&mut self, number: u32) {
        self.used.remove(&number);
        self.first_free = self.first_free.min(number);
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
}
