//! The rendezvous table (Thaler and Ravishankar 1998), weighted: internal services.
//!
//! Each slot goes to the candidate with the lowest cost for it, -log2(u) / weight with u a hash of slot and
//! identity. A candidate that leaves gives up its own slots and moves no other; one that comes takes only what it
//! wins. The logarithm is fixed-point, so every host computes the same table, bit for bit.

use crate::hash::finish;
use crate::maglev::Candidate;

/// Table sizes in use. Another size is another table, which moves nearly every flow.
pub const SIZES: [u32; 4] = [1 << 12, 1 << 14, 1 << 16, 1 << 20];

/// With fewer slots for each candidate the shares are coarse.
pub const SLOTS_EACH: u32 = 100;

/// Fills `table`. With no candidates it is all 0, which names no member.
pub fn build(candidates: &[Candidate], table: &mut [u32]) {
    build_part(candidates, 0, table);
}

/// Fills the part of a table that begins with the slot `first`: slots do not depend on each other.
pub fn build_part(candidates: &[Candidate], first: usize, part: &mut [u32]) {
    let equal = are_equal(candidates);
    for (index, slot) in part.iter_mut().enumerate() {
        *slot = winner(candidates, first + index, equal);
    }
}

/// Whether all weights are the same: then they play no part.
pub fn are_equal(candidates: &[Candidate]) -> bool {
    candidates.windows(2).all(|pair| pair[0].weight == pair[1].weight)
}

/// Makes a table that was built of some candidates what [`build`] would make of `after`: a slot whose holder stays
/// can only go to one of `added`, the candidates that are new.
///
/// `holder` finds the candidate of a slot's member, if it stays. Weights that were all the same must still be so, and
/// those that were not, not; else the costs have another order.
pub fn update(
    table: &mut [u32],
    after: &[Candidate],
    added: &[Candidate],
    holder: impl Fn(u32) -> Option<Candidate>,
) {
    update_part(0, table, after, added, holder);
}

/// The same of the part of a table that begins with the slot `first`.
pub fn update_part(
    first: usize,
    part: &mut [u32],
    after: &[Candidate],
    added: &[Candidate],
    holder: impl Fn(u32) -> Option<Candidate>,
) {
    let equal = are_equal(after);
    for (index, slot) in part.iter_mut().enumerate() {
        let index = first + index;
        match holder(*slot) {
            None => *slot = winner(after, index, equal),
            Some(holder) => {
                for candidate in added {
                    let pair = [holder, *candidate];
                    if winner(&pair, index, equal) == candidate.member {
                        *slot = winner(added, index, equal);
                        break;
                    }
                }
            }
        }
    }
}

fn winner(candidates: &[Candidate], slot: usize, equal: bool) -> u32 {
    let salt = finish(slot as u64 ^ 0x736c_6f74);
    if equal {
        highest(candidates, salt)
    } else {
        cheapest(candidates, salt)
    }
}

/// With equal weights the lowest cost is the highest hash.
fn highest(candidates: &[Candidate], salt: u64) -> u32 {
    let mut best = (0, 0, 0);
    for candidate in candidates {
        let score = (finish(candidate.identity ^ salt), candidate.identity);
        if best.2 == 0 || score > (best.0, best.1) {
            best = (score.0, score.1, candidate.member);
        }
    }
    best.2
}

fn cheapest(candidates: &[Candidate], salt: u64) -> u32 {
    let mut best: Option<(u128, &Candidate)> = None;
    for candidate in candidates {
        let cost = u128::from(negative_log2(finish(candidate.identity ^ salt)));
        let better = match best {
            None => true,
            Some((lowest, holder)) => {
                // cost / weight < lowest / holder.weight, without dividing.
                let (ours, theirs) = (
                    cost * u128::from(holder.weight),
                    lowest * u128::from(candidate.weight),
                );
                ours < theirs || (ours == theirs && candidate.identity > holder.identity)
            }
        };
        if better {
            best = Some((cost, candidate));
        }
    }
    best.map_or(0, |(_, candidate)| candidate.member)
}

const LOG_BITS: u32 = 12;
const LOG_STEPS: usize = 1 << LOG_BITS;
/// Fraction bits of [`negative_log2`].
const FRACTION: u32 = 40;

/// log2(1 + i / 4096) with 40 fraction bits, by repeated squaring.
static LOG_TABLE: [u64; LOG_STEPS + 1] = log_table();

const fn log_table() -> [u64; LOG_STEPS + 1] {
    let mut table = [0; LOG_STEPS + 1];
    let mut index = 0;
    while index <= LOG_STEPS {
        // A number in 1..=2 with 62 fraction bits.
        let mut x = (1u128 << 62) + ((index as u128) << (62 - LOG_BITS));
        let mut log = 0u64;
        let mut bit = 0;
        if x == 2u128 << 62 {
            log = 1 << FRACTION;
        } else {
            while bit < FRACTION {
                x = (x * x) >> 62;
                log <<= 1;
                if x >= 2u128 << 62 {
                    x >>= 1;
                    log |= 1;
                }
                bit += 1;
            }
        }
        table[index] = log;
        index += 1;
    }
    table
}

/// -log2((hash + 1) / 2^64) with 40 fraction bits; linear between table steps, so it falls monotonically.
fn negative_log2(hash: u64) -> u64 {
    let Some(value) = hash.checked_add(1) else {
        return 0;
    };
    let leading = value.leading_zeros();
    let mantissa = value << leading;
    let step = ((mantissa << 1) >> (64 - LOG_BITS)) as usize;
    let rest = (mantissa << (1 + LOG_BITS)) >> 32;
    let (low, high) = (LOG_TABLE[step], LOG_TABLE[step + 1]);
    let log = low + (((high - low) as u128 * rest as u128) >> 32) as u64;
    // value / 2^64 = 2^-(leading + 1) * (1 + fraction)
    (u64::from(leading) + 1) * (1 << FRACTION) - log
}

#[cfg(test)]
mod tests;
