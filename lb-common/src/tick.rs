//! The data plane's clock: ticks of 4 s since boot.
//!
//! A tick is coarse so that a hit writes to its flow-table slot at most once in 4 s. Every timeout is rounded up
//! to whole ticks and counted from the end of the current one, so it may last up to one tick longer, never less.

/// Length of a tick, in seconds.
pub const TICK_SECONDS: u32 = 4;

/// 2^20 ns steps in 4 s, as a 32-bit fixed-point reciprocal: 2^32 / (4e9 / 2^20), rounded down.
/// Multiplying costs a few cycles; a 64-bit division by 4e9 costs tens.
const RECIPROCAL: u64 = ((1u128 << 52) / 4_000_000_000) as u64;

/// The tick of a monotonic time in nanoseconds (`CLOCK_MONOTONIC_COARSE`, `bpf_ktime_get_coarse_ns`).
#[inline(always)]
pub const fn from_nanoseconds(monotonic: u64) -> u32 {
    (((monotonic >> 20) * RECIPROCAL) >> 32) as u32
}

/// Whole ticks that a timeout of `seconds` takes.
pub const fn from_seconds(seconds: u32) -> u32 {
    seconds.div_ceil(TICK_SECONDS)
}

/// The first tick at which a timeout that starts now has ended.
pub const fn deadline(now: u32, seconds: u32) -> u32 {
    if seconds == 0 {
        now
    } else {
        now + from_seconds(seconds) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_four_seconds() {
        assert_eq!(from_nanoseconds(0), 0);
        assert_eq!(from_nanoseconds(3_990_000_000), 0);
        assert_eq!(from_nanoseconds(4_010_000_000), 1);
        // A year of uptime is off by less than a tick.
        let year = 365 * 24 * 3600_u64;
        let exact = (year / 4) as u32;
        assert!(from_nanoseconds(year * 1_000_000_000).abs_diff(exact) <= 8);
    }

    #[test]
    fn a_deadline_rounds_up_by_at_most_a_tick() {
        assert_eq!(deadline(10, 0), 10);
        for seconds in 1..=3600 {
            let length = (deadline(10, seconds) - 10) * TICK_SECONDS;
            // Counted from the last instant of tick 10 it lasts at least `seconds`.
            assert!(length - TICK_SECONDS >= seconds);
            assert!(length < seconds + 2 * TICK_SECONDS);
        }
    }
}
