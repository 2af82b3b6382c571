//! Space for selection tables inside one large array: first fit.

use imbl::OrdMap;

/// A run of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Region {
    pub(super) offset: u32,
    pub(super) size: u32,
}

/// The gaps between runs in use: where each starts and ends. A copy costs nothing.
///
/// Two slots share a 64-bit word, so that every gap starts and ends at an even slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Regions {
    gaps: OrdMap<u32, u32>,
}

const END: u32 = u32::MAX - 1;

impl Default for Regions {
    fn default() -> Self {
        Self {
            gaps: OrdMap::unit(0, END),
        }
    }
}

impl Regions {
    /// The first gap of `size` slots below `capacity`.
    pub(super) fn take(&mut self, size: u32, capacity: u32) -> Option<Region> {
        let (offset, _) = self.gaps.iter().find(|(start, end)| *end - *start >= size)?;
        let region = Region {
            offset: *offset,
            size,
        };
        if region.offset.checked_add(size)? > capacity {
            return None;
        }
        self.mark(region);
        Some(region)
    }

    pub(super) fn mark(&mut self, region: Region) {
        let (start, end) = whole_words(region);
        for (gap, gap_end) in self.gaps_at(start, end) {
            self.gaps.remove(&gap);
            if gap < start {
                self.gaps.insert(gap, start);
            }
            if gap_end > end {
                self.gaps.insert(end, gap_end);
            }
        }
    }

    pub(super) fn release(&mut self, region: Region) {
        let (mut start, mut end) = whole_words(region);
        for (gap, gap_end) in self.gaps_at(start, end) {
            self.gaps.remove(&gap);
            start = start.min(gap);
            end = end.max(gap_end);
        }
        self.gaps.insert(start, end);
    }

    /// The gaps that overlap `start..end` or touch it.
    fn gaps_at(&self, start: u32, end: u32) -> Vec<(u32, u32)> {
        let before = self.gaps.range(..start).next_back();
        let before = before.filter(|(_, gap_end)| **gap_end >= start);
        let inside = self.gaps.range(start..=end);
        let gaps = before.into_iter().chain(inside);
        gaps.map(|(gap, gap_end)| (*gap, *gap_end)).collect()
    }
}

fn whole_words(region: Region) -> (u32, u32) {
    let end = region.offset.saturating_add(region.size).min(END);
    (region.offset & !1, end.next_multiple_of(2))
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

    #[test]
    fn released_neighbours_become_one_gap_again() {
        let mut regions = Regions::default();
        let taken: Vec<Region> = (0..5).filter_map(|_| regions.take(3, 100)).collect();
        assert_eq!(taken.len(), 5);
        for position in [1, 3, 2, 0, 4] {
            regions.release(taken[position]);
            regions.release(taken[position]);
        }
        assert_eq!(regions, Regions::default());
        regions.mark(Region { offset: 10, size: 5 });
        regions.mark(Region { offset: 12, size: 6 });
        assert_eq!(regions.take(10, 100).expect("room").offset, 0);
        assert_eq!(regions.take(2, 100).expect("room").offset, 18);
    }
}
