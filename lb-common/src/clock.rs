//! The data plane's clock: whole seconds since boot.
//!
//! Every timeout is a number of whole seconds, so nothing finer is needed: one that starts within a second has ended
//! for certain at the end of the second that it leads to. It lasts up to one second longer, never less. Flow-table
//! slots have room for less than that and keep ticks of 4 s, rounded up once, from the moment at which the timeout
//! ends: an entry lives up to one tick longer, and a hit writes to its slot at most once a tick.
//!
//! The kernel's side reads the coarse clock, which advances once a jiffy.

/// Length of a flow-table tick, in seconds.
pub const TICK_SECONDS: u32 = 1 << TICK_SHIFT;
const TICK_SHIFT: u32 = 2;

/// 2^20 ns steps in a second, as a 32-bit fixed-point reciprocal: 2^32 / (1e9 / 2^20), rounded down.
/// Multiplying costs a few cycles; a 64-bit division by 1e9 costs tens.
const RECIPROCAL: u64 = ((1u128 << 52) / 1_000_000_000) as u64;

/// The second of a monotonic time in nanoseconds (`CLOCK_MONOTONIC`, `bpf_ktime_get_coarse_ns`).
#[inline(always)]
pub const fn from_nanoseconds(monotonic: u64) -> u32 {
    (((monotonic >> 20) * RECIPROCAL) >> 32) as u32
}

/// The second at which a timeout that starts now has ended. One of 0 s has ended now.
#[inline(always)]
pub const fn deadline(now: u32, seconds: u32) -> u32 {
    if seconds == 0 { now } else { now + seconds + 1 }
}

/// The tick that a second is in.
#[inline(always)]
pub const fn tick(second: u32) -> u32 {
    second >> TICK_SHIFT
}

/// The first tick that begins when a timeout that starts now has ended.
#[inline(always)]
pub const fn tick_after(now: u32, seconds: u32) -> u32 {
    tick(now.wrapping_add(seconds)).wrapping_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_second_is_a_second() {
        assert_eq!(from_nanoseconds(0), 0);
        assert_eq!(from_nanoseconds(SECOND - 2_000_000), 0);
        assert_eq!(from_nanoseconds(SECOND + 2_000_000), 1);
        // Ten years of uptime are off by less than a minute, and an hour in them by less than a second.
        let years = 10 * 365 * 24 * 3600_u64;
        assert!(from_nanoseconds(years * SECOND).abs_diff(years as u32) < 60);
        let hour = from_nanoseconds((years + 3600) * SECOND) - from_nanoseconds(years * SECOND);
        assert!((3599..=3600).contains(&hour), "{hour}");
    }

    #[test]
    fn a_tick_is_four_seconds() {
        assert_eq!(TICK_SECONDS, 4);
        for second in 0..40 {
            assert_eq!(tick(second), second / 4);
        }
    }

    #[test]
    fn no_time_has_ended_now() {
        assert_eq!(deadline(10, 0), 10);
    }

    proptest! {
        /// Whatever the timeout, and wherever in a second and in a tick it starts.
        #[test]
        fn no_timeout_ends_early_nor_later_than_documented(
            second in 0..u32::MAX / 2,
            phase in 0..1000_u64,
            timeout in 1..=57_600_u32,
        ) {
            let ends = (u64::from(second) + u64::from(timeout)) * 1000 + phase;
            let late = |at: u64| (at * 1000).checked_sub(ends);
            let drained = late(deadline(second, timeout).into());
            prop_assert!(drained.is_some_and(|late| late <= 1000), "{drained:?} ms");
            let expired = late(u64::from(tick_after(second, timeout)) * u64::from(TICK_SECONDS));
            prop_assert!(expired.is_some_and(|late| late <= 4000), "{expired:?} ms");
        }
    }
}
