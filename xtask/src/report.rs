//! Counting what passed and what failed, over phases that are test runs and phases that are single checks.
//!
//! A run whose exit status contradicts its own count is a failure of its own: a test binary that doesn't compile or dies
//! prints no count at all, and must not look like success.

use std::fmt;
use std::ops::AddAssign;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Count {
    pub(crate) const PASSED: Self = Self {
        passed: 1,
        failed: 0,
        skipped: 0,
    };
    pub(crate) const FAILED: Self = Self {
        passed: 0,
        failed: 1,
        skipped: 0,
    };

    pub(crate) fn is_success(self) -> bool {
        self.failed == 0
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

/// Who ran the tests, and so how the count is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runner {
    CargoTest,
    /// It repeats the output of failed tests, in which other counts occur.
    Nextest,
}

/// The count of one test run: its output's own summary lines, set right by its exit status.
pub(crate) fn of_run(runner: Runner, output: &str, succeeded: bool) -> Count {
    let mut count = match runner {
        Runner::CargoTest => of_cargo_test_run(output),
        Runner::Nextest => of_nextest_run(output),
    };
    if !succeeded && count.failed == 0 {
        count.failed = 1;
    }
    count
}

fn of_cargo_test_run(output: &str) -> Count {
    let mut total = Count::default();
    for rest in output
        .lines()
        .filter_map(|line| line.strip_prefix("test result: "))
    {
        total += of_cargo_test(rest);
    }
    total
}

fn of_nextest_run(output: &str) -> Count {
    let summary = output
        .lines()
        .rev()
        .find(|line| line.trim_start().starts_with("Summary ["));
    summary.map_or_else(Count::default, of_nextest)
}

/// `ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s`
fn of_cargo_test(rest: &str) -> Count {
    let fields = rest.split_once(". ").map_or("", |(_, fields)| fields);
    let number = |name| {
        numbers(fields, ';')
            .find(|(found, _)| *found == name)
            .map_or(0, |(_, n)| n)
    };
    Count {
        passed: number("passed"),
        failed: number("failed"),
        skipped: number("ignored"),
    }
}

/// `Summary [   0.005s] 4 tests run: 2 passed (1 slow), 1 failed, 1 timed out, 3 skipped`
fn of_nextest(line: &str) -> Count {
    let mut count = Count::default();
    for (name, number) in numbers(line.rsplit_once(": ").map_or("", |(_, fields)| fields), ',') {
        match name {
            "passed" => count.passed += number,
            "skipped" => count.skipped += number,
            _ => count.failed += number,
        }
    }
    count
}

fn numbers(fields: &str, separator: char) -> impl Iterator<Item = (&str, u64)> {
    fields.split(separator).filter_map(|field| {
        let (number, name) = field.trim().split_once(' ')?;
        let name = name.split(" (").next().unwrap_or(name);
        Some((name, number.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_binary_of_a_cargo_test_run_is_counted() {
        let output = "running 3 tests\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 4 filtered out; finished in 0.00s\n";
        assert_eq!(
            of_run(Runner::CargoTest, output, false),
            Count {
                passed: 4,
                failed: 2,
                skipped: 1
            }
        );
    }

    #[test]
    fn nextest_knows_more_ways_to_fail() {
        let line =
            "     Summary [   0.005s] 5 tests run: 2 passed (1 slow), 1 failed, 2 timed out, 3 skipped\n";
        assert_eq!(
            of_run(Runner::Nextest, line, false),
            Count {
                passed: 2,
                failed: 3,
                skipped: 3
            }
        );
    }

    #[test]
    fn a_run_that_failed_without_a_failed_test_counts_as_one() {
        assert_eq!(
            of_run(Runner::Nextest, "error: could not compile", false),
            Count::FAILED
        );
        let crashed = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(
            of_run(Runner::CargoTest, crashed, false),
            Count {
                passed: 3,
                failed: 1,
                skipped: 0
            }
        );
    }

    #[test]
    fn the_summary_names_skipped_tests_only_when_there_are_some() {
        assert_eq!(Count::PASSED.to_string(), "1 passed, 0 failed");
        assert_eq!(
            Count {
                passed: 2,
                failed: 0,
                skipped: 3
            }
            .to_string(),
            "2 passed, 0 failed, 3 skipped"
        );
    }
}
