//! Space for selection tables inside one large array: best fit, small ones from the bottom, large ones from the top, so
//! that a small one does not lie where a large one could.

use imbl::OrdMap;

/// A run of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Region {
    pub(super) offset: u32,
    pub(super) size: u32,
}

impl Region {
    /// With the slot that nobody else can have: two share a word.
    pub(super) fn space(self) -> u32 {
        self.size.next_multiple_of(2)
    }
}

/// Runs of so many slots lie at the top.
const LARGE: u32 = 1 << 15;

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
    /// `size` slots below `capacity`, in the smallest gap that has them.
    pub(super) fn take(&mut self, size: u32, capacity: u32) -> Option<Region> {
        let space = size.checked_next_multiple_of(2)?;
        let gaps = self
            .gaps
            .iter()
            .map(|(start, end)| (*start, (*end).min(capacity & !1)));
        let fitting = gaps.filter(|(start, end)| end.saturating_sub(*start) >= space);
        let (start, end) = match size >= LARGE {
            false => fitting.min_by_key(|(start, end)| (end - start, *start))?,
            true => fitting.min_by_key(|(start, end)| (end - start, u32::MAX - start))?,
        };
        let offset = if size >= LARGE { end - space } else { start };
        let region = Region { offset, size };
        self.mark(region);
        Some(region)
    }

    /// Free slots below `capacity`.
    pub(super) fn free(&self, capacity: u32) -> u64 {
        let gaps = self
            .gaps
            .iter()
            .map(|(start, end)| (*end).min(capacity).saturating_sub(*start));
        gaps.map(u64::from).sum()
    }

    /// Where the gaps below `capacity` start and end.
    pub(super) fn edges(&self, capacity: u32) -> impl Iterator<Item = (u32, u32)> {
        let gaps = self
            .gaps
            .iter()
            .map(move |(start, end)| (*start, (*end).min(capacity & !1)));
        gaps.filter(|(start, end)| start < end)
    }

    /// Free slots in `start..end`.
    pub(super) fn free_within(&self, start: u32, end: u32) -> u64 {
        let before = self.gaps.range(..start).next_back();
        let gaps = before.into_iter().chain(self.gaps.range(start..end));
        gaps.map(|(gap, gap_end)| u64::from((*gap_end).min(end).saturating_sub((*gap).max(start))))
            .sum()
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
