//! The table of the documented semantics names tests that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const TABLE: &str = include_str!("../../docs/semantics-coverage.md");
const PACKAGES: [(&str, &str); 3] = [
    ("lb-common", "lb-common"),
    ("lb-ctl", "lb-ctl"),
    ("lb-tests", "tests"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The Rust files below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("a directory entry").path());
    let below = paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    below
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs"))
        .collect()
}

/// The module that a file is, as a test's name begins.
fn module(file: &Path, base: &Path) -> Vec<String> {
    let relative = file
        .strip_prefix(base)
        .expect("below its base")
        .with_extension("");
    let parts = relative
        .iter()
        .map(|part| part.to_str().expect("UTF-8").to_owned());
    parts
        .filter(|part| !matches!(part.as_str(), "mod" | "lib"))
        .collect()
}

/// The names of a file's tests, in the module `tests` of the file if they are indented there.
fn tests_of(module: &[String], text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut is_inline = false;
    let mut is_test = false;
    for line in text.lines() {
        is_inline |= line == "mod tests {";
        let code = line.trim_start();
        is_test |= code.starts_with("#[test]") || code.starts_with("#[tokio::test");
        let code = code.strip_prefix("async ").unwrap_or(code);
        if let Some(rest) = code.strip_prefix("fn ").filter(|_| is_test) {
            let name = rest.split('(').next().expect("split has a first part");
            let inline = is_inline.then_some("tests");
            let path = module.iter().map(String::as_str).chain(inline).chain([name]);
            names.insert(path.collect::<Vec<_>>().join("::"));
            is_test = false;
        }
    }
    names
}

/// Every test, by package and path.
fn existing() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (package, directory) in PACKAGES {
        for part in ["src", "tests"] {
            let base = root().join(directory).join(part);
            for file in sources(&base) {
                let text = fs::read_to_string(&file).expect("a source file");
                let names = tests_of(&module(&file, &base), &text);
                all.extend(names.into_iter().map(|name| format!("{package} {name}")));
            }
        }
    }
    all
}

struct Row {
    section: String,
    statement: String,
    tests: Vec<String>,
}

fn rows() -> Vec<Row> {
    let mut section = "";
    let mut rows = Vec::new();
    for line in TABLE.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title;
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", statement, tests, ""] = cells[..]
            && !matches!(statement, "statement" | "---")
        {
            rows.push(Row {
                section: section.to_owned(),
                statement: statement.to_owned(),
                tests: tests.split('`').skip(1).step_by(2).map(str::to_owned).collect(),
            });
        }
    }
    rows
}

#[test]
fn every_test_that_the_table_names_exists() {
    let existing = existing();
    assert!(existing.len() > 500, "{} tests were found", existing.len());
    let rows = rows();
    let named = rows
        .iter()
        .flat_map(|row| row.tests.iter().map(move |test| (row, test)));
    let missing: Vec<String> = named
        .filter(|(_, test)| !existing.contains(*test))
        .map(|(row, test)| format!("{test}, of {:?}", row.statement))
        .collect();
    assert!(missing.is_empty(), "no such tests:\n{}", missing.join("\n"));
}

#[test]
fn every_row_has_a_test_and_stands_once() {
    let rows = rows();
    let lines = TABLE.lines().filter(|line| line.starts_with("| ")).count();
    let mut sections: Vec<&str> = rows.iter().map(|row| row.section.as_str()).collect();
    sections.dedup();
    assert_eq!(lines, rows.len() + 2 * sections.len(), "a line is no row");
    for (number, section) in (1..).zip(&sections) {
        assert!(section.starts_with(&format!("{number}. ")), "{section}");
    }
    assert!(sections.len() >= 9, "{sections:?}");
    let mut statements = BTreeSet::new();
    for row in &rows {
        assert!(!row.tests.is_empty(), "{}", row.statement);
        assert!(statements.insert(&row.statement), "twice: {}", row.statement);
    }
}
