//! The house rules that a machine can see: each is a line of text that may occur only where the rule says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::sh;

const LONGEST_FILE: usize = 600;

/// A text that code may contain only in some places.
struct Rule {
    texts: &'static [&'static str],
    /// Where the rule looks: prefixes of paths from the workspace's root.
    within: &'static [&'static str],
    /// Where the text may occur nevertheless.
    except: &'static [&'static str],
    why: &'static str,
}

const RULES: [Rule; 7] = [
    Rule {
        texts: &["TODO", "FIXME", "XXX:"],
        within: &[""],
        except: &["xtask/src/tidy.rs"],
        why: "work that is left belongs to an issue",
    },
    Rule {
        texts: &["thread::sleep", "time::sleep("],
        within: &["tests/", "lb-ctl/tests/"],
        except: &["tests/src/condition.rs"],
        why: "tests wait for a condition with a bound",
    },
    Rule {
        texts: &["use aya::", "aya::"],
        within: &["lb-ctl/src/"],
        except: &["lb-ctl/src/dataplane"],
        why: "only `dataplane` knows the kernel interface",
    },
    Rule {
        texts: &["rtnetlink::", "netlink_packet_route::"],
        within: &["lb-ctl/src/"],
        except: &["lb-ctl/src/net"],
        why: "only `net` speaks netlink",
    },
    Rule {
        texts: &["println!(", "print!(", "io::stdout("],
        within: &["lb-ctl/src/"],
        except: &["lb-ctl/src/output"],
        why: "only `output` writes to stdout",
    },
    Rule {
        texts: &[
            "std::time",
            "Instant::now",
            "SystemTime",
            "extern crate alloc",
            "alloc::",
            "std::fs",
            "std::net::Tcp",
        ],
        within: &["lb-common/src/"],
        except: &["lb-common/src/testing"],
        why: "the decision has no clock, no allocation and no files",
    },
    Rule {
        texts: &["extern crate std"],
        within: &["lb-ebpf/src/"],
        except: &[],
        why: "the kernel program has no std",
    },
];

pub(crate) fn run() -> Result<ExitCode> {
    check()?;
    println!("the house is tidy");
    Ok(ExitCode::SUCCESS)
}

/// Every violation at once.
pub(crate) fn check() -> Result<()> {
    let mut faults = Vec::new();
    for path in sources()? {
        let text = fs::read_to_string(sh::root().join(&path)).with_context(|| format!("reading {path}"))?;
        faults.extend(faults_of(&path, &text));
    }
    if !faults.is_empty() {
        bail!("{} untidy places:\n  {}", faults.len(), faults.join("\n  "));
    }
    Ok(())
}

/// The Rust files that git knows or would add.
fn sources() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for package in ["lb-common", "lb-ebpf", "lb-ctl", "xtask", "tests"] {
        collect(Path::new(package), &mut found)?;
    }
    found.sort();
    Ok(found)
}

fn collect(directory: &Path, found: &mut Vec<String>) -> Result<()> {
    let full = sh::root().join(directory);
    for entry in fs::read_dir(&full).with_context(|| format!("reading {}", full.display()))? {
        let entry = entry.with_context(|| format!("reading {}", full.display()))?;
        let path: PathBuf = directory.join(entry.file_name());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

fn faults_of(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = text.lines().count();
    if lines > LONGEST_FILE && !is_test_file(path) {
        faults.push(format!("{path}: {lines} lines; split it at {LONGEST_FILE}"));
    }
    let rules: Vec<&Rule> = RULES.iter().filter(|rule| rule.applies_to(path)).collect();
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        if is_unreasoned_allow(text, number) {
            faults.push(format!("{path}:{number}: allow without a reason"));
        }
        for rule in rules.iter().filter(|rule| rule.is_broken_by(line)) {
            faults.push(format!("{path}:{number}: {}", rule.why));
        }
    }
    faults
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// `#[allow(…)]`, on one line or several, needs `reason = …` before its closing bracket.
fn is_unreasoned_allow(text: &str, number: usize) -> bool {
    let mut rest = text.lines().skip(number - 1);
    let Some(first) = rest.next().map(str::trim_start) else {
        return false;
    };
    if !(first.starts_with("#[allow(") || first.starts_with("#![allow(")) {
        return false;
    }
    let attribute: Vec<&str> = std::iter::once(first).chain(rest).take(5).collect();
    let attribute = attribute.join(" ");
    !attribute
        .split(")]")
        .next()
        .is_some_and(|inside| inside.contains("reason"))
}

impl Rule {
    fn applies_to(&self, path: &str) -> bool {
        let under = |prefixes: &[&str]| prefixes.iter().any(|prefix| path.starts_with(prefix));
        under(self.within) && !under(self.except)
    }

    fn is_broken_by(&self, line: &str) -> bool {
        let is_comment = line.trim_start().starts_with("//");
        self.texts.iter().any(|text| {
            let in_comments_too = text.chars().all(|c| c.is_uppercase() || c == ':');
            (in_comments_too || !is_comment) && contains_word(line, text)
        })
    }
}

/// Whether `text` occurs other than as the end of a longer name: `aya::` is not in `my_aya::`.
fn contains_word(line: &str, text: &str) -> bool {
    line.match_indices(text).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_holds_only_where_it_applies() {
        assert_eq!(
            faults_of("lb-ctl/src/plan/mod.rs", "use aya::maps::Array;").len(),
            1
        );
        assert!(faults_of("lb-ctl/src/dataplane/kernel.rs", "use aya::maps::Array;").is_empty());
        assert!(faults_of("lb-ctl/src/plan/mod.rs", "// aya::maps is not for us").is_empty());
    }

    #[test]
    fn an_allow_needs_its_reason() {
        assert_eq!(
            faults_of("lb-ctl/src/a.rs", "#[allow(dead_code)]\nfn f() {}").len(),
            1
        );
        assert!(
            faults_of(
                "lb-ctl/src/a.rs",
                "#[allow(\n    dead_code,\n    reason = \"…\"\n)]"
            )
            .is_empty()
        );
    }

    #[test]
    fn long_files_are_named_with_their_length() {
        let text = "\n".repeat(LONGEST_FILE + 1);
        assert_eq!(
            faults_of("lb-ctl/src/a.rs", &text),
            ["lb-ctl/src/a.rs: 601 lines; split it at 600"]
        );
        assert!(faults_of("lb-ctl/src/a/tests.rs", &text).is_empty());
    }

    #[test]
    fn unfinished_work_is_found_in_comments() {
        assert_eq!(faults_of("lb-ctl/src/a.rs", "// TODO: later").len(), 1);
    }

    #[test]
    fn the_longer_name_is_not_the_shorter_one() {
        assert!(!contains_word("my_aya::x", "aya::"));
        assert!(contains_word("eprintln!(); println!()", "println!("));
        assert!(!contains_word("eprintln!()", "println!("));
    }
}
