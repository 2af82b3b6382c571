//! The Maglev table (Eisenbud et al., NSDI 2016, §3.4), weighted: external services.
//!
//! Every candidate walks its own permutation of the slots and takes the next free one in its turn. A candidate of
//! less than the largest weight sits out turns in proportion. The result is a function of the candidates'
//! identities and weights alone: the caller passes them sorted by identity.

use crate::hash::finish;

/// The primes that belong to the sizes of [`crate::rendezvous::SIZES`]: a step of a permutation must reach every slot.
pub const SIZES: [u32; 4] = [4093, 16_381, 65_537, 1_048_573];

/// The prime that belongs to a size.
pub fn prime_for(slots: u32) -> u32 {
    let place = crate::rendezvous::SIZES.iter().position(|size| *size == slots);
    place.map_or(slots, |place| SIZES[place])
}

/// A member that a selection table is built of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// Keyed hash of the endpoint's name.
    pub identity: u64,
    /// Share, relative to the others; at least 1.
    pub weight: u32,
    /// The number that the table holds.
    pub member: u32,
}

/// Where a candidate is in its permutation; scratch space of [`build`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk {
    at: u32,
    skip: u32,
    credit: u64,
}

/// Fills `table`, whose length is prime. `walks` is as long as `candidates`.
///
/// With no candidates the table is all 0, which names no member.
pub fn build(candidates: &[Candidate], table: &mut [u32], walks: &mut [Walk]) {
    table.fill(0);
    let size = table.len() as u32;
    let Some(heaviest) = candidates.iter().map(|c| u64::from(c.weight)).max() else {
        return;
    };
    for (walk, candidate) in walks.iter_mut().zip(candidates) {
        *walk = start(candidate.identity, size);
    }
    let mut free = size;
    while free > 0 {
        for (walk, candidate) in walks.iter_mut().zip(candidates) {
            walk.credit += u64::from(candidate.weight);
            if walk.credit < heaviest {
                continue;
            }
            walk.credit -= heaviest;
            take(walk, candidate.member, table);
            free -= 1;
            if free == 0 {
                return;
            }
        }
    }
}

fn start(identity: u64, size: u32) -> Walk {
    let offset = finish(identity ^ 0x6f66_6673_6574);
    let skip = finish(identity ^ 0x736b_6970);
    Walk {
        at: (offset % u64::from(size)) as u32,
        skip: (skip % u64::from(size - 1)) as u32 + 1,
        credit: 0,
    }
}

/// Puts `member` in the next free slot of the walk. There is one: the caller counts.
fn take(walk: &mut Walk, member: u32, table: &mut [u32]) {
    let size = table.len() as u32;
    while table[walk.at as usize] != 0 {
        walk.advance(size);
    }
    table[walk.at as usize] = member;
    walk.advance(size);
}

impl Walk {
    fn advance(&mut self, size: u32) {
        self.at += self.skip;
        if self.at >= size {
            self.at -= size;
        }
    }
}

#[cfg(test)]
mod tests;
