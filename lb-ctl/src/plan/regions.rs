//! Space for selection tables inside one large array.
//!
//! Tables lie on a grid of cells, a cell of one size being made of whole cells of the next smaller one: so a large table never
//! lies across two places for large ones, and what stands in the way of one is smaller, and can be moved.

use imbl::{OrdMap, OrdSet};

use crate::model::TABLE_CELLS as CELLS;

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

/// The first place at or after `at` in the grid of a table of `size` slots; of what is no table, any.
fn next_place(size: u32, at: u32) -> Option<u32> {
    let [_, _, block, largest] = CELLS;
    let Some(class) = CELLS.iter().position(|cell| size <= *cell) else {
        return Some(at);
    };
    if size < CELLS[0] / 2 {
        return Some(at.next_multiple_of(2));
    }
    if class == 3 {
        return at.checked_next_multiple_of(largest);
    }
    let begin = at / block * block;
    let inside = (at - begin).next_multiple_of(CELLS[class].min(block));
    // A block has two slots more than the smaller cells in it.
    match inside + CELLS[class] <= block {
        true => begin.checked_add(inside),
        false => begin.checked_add(block),
    }
}

/// The gaps between runs in use: where each starts and ends. A copy costs nothing.
///
/// Two slots share a 64-bit word, so that every gap starts and ends at an even slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Regions {
    gaps: OrdMap<u32, u32>,
    /// Their lengths and starts.
    by_length: OrdSet<(u32, u32)>,
    /// Tables may lie off the grid.
    pub(super) is_loose: bool,
}

const END: u32 = u32::MAX - 1;

impl Default for Regions {
    fn default() -> Self {
        Self {
            gaps: OrdMap::unit(0, END),
            by_length: OrdSet::unit((END, 0)),
            is_loose: false,
        }
    }
}

impl Regions {
    /// `size` slots below `capacity`, in the smallest gap that has them in the grid.
    pub(super) fn take(&mut self, size: u32, capacity: u32) -> Option<Region> {
        let space = size.checked_next_multiple_of(2)?;
        let fitting = |(length, start): &(u32, u32)| {
            let end = (start + length).min(capacity & !1);
            let place = match self.is_loose {
                true => *start,
                false => next_place(size, *start)?,
            };
            (place.checked_add(space)? <= end).then_some(place)
        };
        let offset = self.by_length.range((space, 0)..).find_map(fitting)?;
        let region = Region { offset, size };
        self.mark(region);
        Some(region)
    }

    /// Every place in the grid for a table of `size` slots.
    pub(super) fn places(size: u32, capacity: u32) -> impl Iterator<Item = Region> {
        let next = move |at: u32| next_place(size, at).map(|offset| Region { offset, size });
        let fits = move |region: &Region| {
            region
                .offset
                .checked_add(region.space())
                .is_some_and(|end| end <= capacity)
        };
        std::iter::successors(next(0), move |region| next(region.offset + region.space())).take_while(fits)
    }

    /// Free slots below `capacity`.
    pub(super) fn free(&self, capacity: u32) -> u64 {
        let gaps = self
            .gaps
            .iter()
            .map(|(start, end)| (*end).min(capacity).saturating_sub(*start));
        gaps.map(u64::from).sum()
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
            self.remove_gap(gap);
            if gap < start {
                self.insert_gap(gap, start);
            }
            if gap_end > end {
                self.insert_gap(end, gap_end);
            }
        }
    }

    pub(super) fn release(&mut self, region: Region) {
        let (mut start, mut end) = whole_words(region);
        for (gap, gap_end) in self.gaps_at(start, end) {
            self.remove_gap(gap);
            start = start.min(gap);
            end = end.max(gap_end);
        }
        self.insert_gap(start, end);
    }

    fn insert_gap(&mut self, start: u32, end: u32) {
        self.gaps.insert(start, end);
        self.by_length.insert((end - start, start));
    }

    fn remove_gap(&mut self, start: u32) {
        if let Some(end) = self.gaps.remove(&start) {
            self.by_length.remove(&(end - start, start));
        }
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
    fn places_of_every_size_are_made_of_whole_smaller_ones() {
        let capacity = 3 * CELLS[3] + 5 * CELLS[2] + 20_000;
        for (larger, smaller) in [(3, 2), (2, 1), (1, 0)] {
            let small: Vec<Region> = Regions::places(CELLS[smaller], capacity).collect();
            for large in Regions::places(CELLS[larger], capacity) {
                let (start, end) = (large.offset, large.offset + large.space());
                let is_apart = |one: &Region| one.offset >= end || one.offset + one.space() <= start;
                let is_inside = |one: &Region| one.offset >= start && one.offset + one.space() <= end;
                assert!(small.iter().all(|one| is_apart(one) || is_inside(one)));
                assert!(small.iter().filter(|one| is_inside(one)).count() >= 4);
            }
        }
        assert_eq!(Regions::places(65_537, capacity).count(), 3 * 16 + 5);
        assert_eq!(Regions::places(4093, 8192).count(), 2);
    }

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
