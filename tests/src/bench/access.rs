//! What one access to memory costs by itself that has to wait for the one before it: a look-up in a table that no cache
//! holds can't take less. From user space, in the memory of the flow table itself.

use std::hint::black_box;

use anyhow::Result;
use lb_common::layout::BUCKET_SLOTS;
use lb_ctl::dataplane::FlowTable;
use serde::{Deserialize, Serialize};

use super::clock::{Spread, cpu_time};
use super::generator::{Walk, order};

/// In nanoseconds of CPU time, without what the same takes with a line that is always in the nearest cache.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Access {
    /// Cache lines that are visited, each once before any comes again.
    pub lines: u32,
    /// What a visit to the line in the nearest cache takes: nearly all of it passes between two visits.
    pub pause_ns: f64,
    /// Median of the runs.
    pub net_ns: f64,
    pub min: f64,
    pub max: f64,
}

/// Rotations by one bit between two accesses, so that lines are visited about as seldom as packets visit them: others on the
/// machine take what is left alone for long out of a cache that they share. A multiple of a word's bits, which rotates to where
/// it began.
const PAUSE: u32 = 8 * u64::BITS;

/// Buckets of a table, each of which names the next in its first word, and itself in its second.
pub(super) struct Ring<'a> {
    table: &'a FlowTable,
    lines: u32,
    start: u32,
}

/// Which word of a bucket is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Next,
    Itself,
}

impl<'a> Ring<'a> {
    /// As many buckets as so many flows can be in, in an order that no processor foresees. The flows that the table held are lost.
    pub(super) fn new(table: &'a FlowTable, flows: u32) -> Self {
        let lines = flows.min(table.bucket_count());
        let order = order(table.bucket_count(), Walk::Random);
        for step in 0..lines {
            let bucket = order.number(step);
            let next = order.number((step + 1) % lines);
            let mut words = [0; BUCKET_SLOTS as usize];
            words[Word::Next as usize] = next.into();
            words[Word::Itself as usize] = bucket.into();
            table.set_bucket(bucket, words);
        }
        Self {
            table,
            lines,
            start: order.number(0),
        }
    }

    /// In turns with visits to one bucket alone.
    pub(super) fn access(&self, runs: usize, steps: u32) -> Result<Access> {
        let (mut at, mut near, mut far) = (self.start, Vec::new(), Vec::new());
        for _ in 0..runs {
            near.push(self.follow(&mut at, Word::Itself, steps)?);
            far.push(self.follow(&mut at, Word::Next, steps)?);
        }
        let near = Spread::of(near).median;
        let Spread { median, min, max } = Spread::of(far.into_iter().map(|time| time - near));
        Ok(Access {
            lines: self.lines,
            pause_ns: near,
            net_ns: median,
            min,
            max,
        })
    }

    /// Nanoseconds a step.
    fn follow(&self, at: &mut u32, word: Word, steps: u32) -> Result<f64> {
        let (end, time) = cpu_time(|| {
            Ok((0..steps).fold(*at, |bucket, _| {
                paused(self.table.bucket(bucket)[word as usize]) as u32
            }))
        })?;
        *at = end;
        Ok(time.as_nanos() as f64 / f64::from(steps))
    }
}

/// The same number, later.
fn paused(number: u64) -> u64 {
    (0..PAUSE).fold(number, |number, _| black_box(number.rotate_left(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_changes_nothing() {
        assert_eq!(paused(0x0123_4567_89ab_cdef), 0x0123_4567_89ab_cdef);
    }
}
