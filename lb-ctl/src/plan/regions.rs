//! Space for selection tables inside one large array: first fit.

use std::collections::BTreeMap;

/// A run of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Region {
    pub(super) offset: u32,
    pub(super) size: u32,
}

/// Runs in use, by offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Regions {
    used: BTreeMap<u32, u32>,
}

impl Regions {
    /// The first gap of `size` slots below `capacity`. Offsets are even: two slots share a 64-bit word.
    pub(super) fn take(&mut self, size: u32, capacity: u32) -> Option<Region> {
        let mut offset = 0;
        for (start, length) in &self.used {
            if offset + size <= *start {
                break;
            }
            offset = (start + length).next_multiple_of(2);
        }
        if offset.checked_add(size)? > capacity {
            return None;
        }
        self.used.insert(offset, size);
        Some(Region { offset, size })
    }

    pub(super) fn mark(&mut self, region: Region) {
        self.used.insert(region.offset, region.size);
    }

    pub(super) fn release(&mut self, region: Region) {
        self.used.remove(&region.offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled_and_offsets_are_even() {
        let mut regions = Regions::default();
        let first = regions.take(5, 100).expect("room");
        let second = regions.take(7, 100).expect("room");
        assert_eq!((first.offset, second.offset), (0, 6));
        regions.release(first);
        assert_eq!(regions.take(6, 100).expect("room").offset, 0);
        assert_eq!(regions.take(6, 100).expect("room").offset, 14);
        assert!(regions.take(90, 100).is_none());
    }
}
