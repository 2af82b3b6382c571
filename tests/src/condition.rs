//! Waiting for what must become true, with a bound. The one place that sleeps.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(10);

/// Polls until `condition` is met and returns its value; panics with the last refusal when `bound` passes first.
#[track_caller]
pub fn eventually<T>(bound: Duration, mut condition: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match condition() {
            Ok(value) => return value,
            Err(why) if start.elapsed() >= bound => panic!("not within {bound:?}: {why}"),
            Err(_) => pause(),
        }
    }
}

/// Polls for the whole of `period` and panics as soon as `condition` is broken.
#[track_caller]
pub fn throughout(period: Duration, mut condition: impl FnMut() -> Result<(), String>) {
    let start = Instant::now();
    while start.elapsed() < period {
        if let Err(why) = condition() {
            panic!("no longer after {:?}: {why}", start.elapsed());
        }
        pause();
    }
}

/// The interval between two looks, for a loop that has more to do than to wait.
pub(crate) fn pause() {
    std::thread::sleep(INTERVAL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_arrives_when_the_condition_is_met() {
        let mut tries = 0;
        let value = eventually(Duration::from_secs(5), || {
            tries += 1;
            if tries == 3 {
                Ok(tries)
            } else {
                Err(format!("only {tries} tries"))
            }
        });
        assert_eq!(value, 3);
    }

    #[test]
    #[should_panic(expected = "not within 1ms: never")]
    fn the_bound_ends_the_wait_with_the_last_refusal() {
        eventually::<()>(Duration::from_millis(1), || Err("never".to_owned()));
    }
}
