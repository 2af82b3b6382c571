//! What packets may execute: a file in git, so that dearer ones are a change that somebody made and somebody saw.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::sh;

const FILE: &str = "tests/budget.json";
const COMMAND: &str = "cargo xtask instructions --update";
/// Shares of the budget, in percent. A budget that is more generous than this would hide what comes next.
const GENEROUS: u64 = 5;
/// Another kernel's helpers and verifier may be dearer than those that the budget was counted with.
const OTHER_KERNEL: u64 = 1;

/// What was counted, and what may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Release of the kernel that was counted on.
    kernel: String,
    /// Instructions of the program that the verifier looked at.
    verified: u64,
    /// Instructions that one packet executes, by kinds of packets.
    executed: BTreeMap<String, u64>,
}

impl Counts {
    /// Everything by the name that people read.
    fn all(&self) -> BTreeMap<String, u64> {
        let packets = self.executed.iter();
        let mut all: BTreeMap<_, _> = packets
            .map(|(name, count)| (format!("a packet of: {name}"), *count))
            .collect();
        all.insert("the verifier".to_owned(), self.verified);
        all
    }
}

/// Makes what was counted the budget.
pub(super) fn update(counted: &Counts) -> Result<()> {
    let former = read()?;
    print!("{}", table(former.as_ref(), counted));
    let mut text = serde_json::to_string_pretty(counted).context("writing the budget")?;
    text.push('\n');
    fs::write(path(), text).with_context(|| format!("writing {FILE}"))?;
    println!("{FILE} says so now: commit it with what changed it");
    Ok(())
}

/// Shows both, and fails where they don't fit.
pub(super) fn judge(counted: &Counts) -> Result<()> {
    let budget = read()?.with_context(|| format!("there is no {FILE}; `{COMMAND}` writes it"))?;
    print!("{}", table(Some(&budget), counted));
    if budget.kernel != counted.kernel {
        println!(
            "counted on Linux {}, but the budget is of {}: up to {OTHER_KERNEL} % more are let pass until `{COMMAND}`",
            counted.kernel, budget.kernel
        );
    }
    let faults = faults(&budget, counted);
    if !faults.is_empty() {
        bail!(
            "{}\nIf that is meant to be so, run `{COMMAND}`, and commit {FILE} with what changed it.",
            faults.join("\n")
        );
    }
    Ok(())
}

/// Half of what the verifier looks at before it gives up.
const ENOUGH: u64 = 500_000;

/// Older verifiers follow more ways through the same program.
pub(super) fn judge_oldest(counted: &Counts) -> Result<()> {
    let Counts { kernel, verified, .. } = counted;
    println!("Linux {kernel} verifies {verified} instructions (at most {ENOUGH})");
    if *verified > ENOUGH {
        bail!("the verifier of Linux {kernel} looks at more than {ENOUGH} instructions, {verified}");
    }
    Ok(())
}

fn read() -> Result<Option<Counts>> {
    let path = path();
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).with_context(|| format!("reading {FILE}"))?;
    let budget = serde_json::from_str(&text).with_context(|| format!("reading {FILE}"))?;
    Ok(Some(budget))
}

fn path() -> PathBuf {
    sh::root().join(FILE)
}

fn faults(budget: &Counts, counted: &Counts) -> Vec<String> {
    let tolerance = if budget.kernel == counted.kernel {
        0
    } else {
        OTHER_KERNEL
    };
    let (budget, counted) = (budget.all(), counted.all());
    let names: BTreeSet<&String> = budget.keys().chain(counted.keys()).collect();
    let fault = |name: &String| match (budget.get(name), counted.get(name)) {
        (Some(budget), Some(counted)) => fault(*budget, *counted, tolerance),
        (None, Some(_)) => Some("has no budget".to_owned()),
        _ => Some("has a budget, but is not counted".to_owned()),
    };
    names
        .into_iter()
        .filter_map(|name| Some(format!("{name} {}", fault(name)?)))
        .collect()
}

fn fault(budget: u64, counted: u64, tolerance: u64) -> Option<String> {
    if counted * 100 > budget * (100 + tolerance) {
        Some(format!(
            "takes {counted} instructions, {} more than its budget of {budget}",
            counted - budget
        ))
    } else if counted * 100 < budget * (100 - GENEROUS) {
        Some(format!(
            "takes {counted} instructions, so its budget of {budget} is too generous"
        ))
    } else {
        None
    }
}

fn table(budget: Option<&Counts>, counted: &Counts) -> String {
    let budget = budget.map(Counts::all).unwrap_or_default();
    let mut text = format!(
        "{:<48} {:>8} {:>8} {:>7}\n",
        "INSTRUCTIONS OF", "BUDGET", "COUNTED", "CHANGE"
    );
    for (name, counted) in counted.all() {
        let (budget, change) = match budget.get(&name) {
            Some(budget) => (
                budget.to_string(),
                format!("{:+}", counted.cast_signed() - budget.cast_signed()),
            ),
            None => ("-".to_owned(), "-".to_owned()),
        };
        text.push_str(&format!("{name:<48} {budget:>8} {counted:>8} {change:>7}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(kernel: &str, verified: u64, flow: u64) -> Counts {
        Counts {
            kernel: kernel.to_owned(),
            verified,
            executed: BTreeMap::from([("one flow".to_owned(), flow)]),
        }
    }

    #[test]
    fn one_more_instruction_is_too_many() {
        let budget = counts("a", 10_000, 400);
        assert!(faults(&budget, &budget).is_empty());
        assert_eq!(
            faults(&budget, &counts("a", 10_000, 401)),
            ["a packet of: one flow takes 401 instructions, 1 more than its budget of 400"]
        );
        assert_eq!(
            faults(&budget, &counts("a", 10_001, 400)),
            ["the verifier takes 10001 instructions, 1 more than its budget of 10000"]
        );
    }

    #[test]
    fn another_kernel_may_take_a_little_more() {
        let budget = counts("a", 10_000, 400);
        assert!(faults(&budget, &counts("b", 10_100, 404)).is_empty());
        assert_eq!(faults(&budget, &counts("b", 10_101, 405)).len(), 2);
    }

    #[test]
    fn a_budget_follows_what_got_cheaper() {
        let budget = counts("a", 10_000, 400);
        assert!(faults(&budget, &counts("a", 9_500, 380)).is_empty());
        assert_eq!(
            faults(&budget, &counts("a", 10_000, 379)),
            ["a packet of: one flow takes 379 instructions, so its budget of 400 is too generous"]
        );
    }

    #[test]
    fn budget_and_counts_are_of_the_same_packets() {
        let mut other = counts("a", 10_000, 400);
        other.executed = BTreeMap::from([("new flows".to_owned(), 400)]);
        assert_eq!(
            faults(&counts("a", 10_000, 400), &other),
            [
                "a packet of: new flows has no budget",
                "a packet of: one flow has a budget, but is not counted",
            ]
        );
    }
}
