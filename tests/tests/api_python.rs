//! The official Python client, unmodified, drives a daemon that was given nothing. Each test is a module below
//! `clients/python`, whose own tests say what they prove; here is seen to it that they leave no method out.

use std::collections::{BTreeMap, BTreeSet};

use lb_tests::clients::Api;
use lb_tests::topology::Lab;

const TABLE: &str = include_str!("../../docs/api-coverage.md");

/// The methods of each test, by the documents' own table: `forwarding_rules.list` and the like.
fn table() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut methods = BTreeMap::<_, BTreeSet<_>>::new();
    for line in TABLE.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect();
        let ["", _collection, _method, called, test, ""] = cells[..] else {
            panic!("{line}");
        };
        let test = test
            .strip_prefix("lb-tests api_python::")
            .unwrap_or_else(|| panic!("{line}"));
        assert!(methods.entry(test).or_default().insert(called), "twice: {line}");
    }
    methods
}

fn run(name: &str) {
    let lab = Lab::flat(&format!("py-{name}"));
    let api = Api::start(&lab);
    let called = api.python_tests(&format!("test_{name}"));
    let uncalled: Vec<&str> = table()[name]
        .iter()
        .copied()
        .filter(|method| !called.contains(*method))
        .collect();
    assert!(
        uncalled.is_empty(),
        "docs/api-coverage.md promises calls of {uncalled:?}"
    );
    // What was refused was not the daemon's fault.
    api.daemon.assert_quiet(&[]);
}

#[test]
fn backend_services() {
    run("backend_services");
}

#[test]
fn forwarding_rules() {
    run("forwarding_rules");
}

#[test]
fn health_checks() {
    run("health_checks");
}

#[test]
fn groups() {
    run("groups");
}

#[test]
fn operations() {
    run("operations");
}

#[test]
fn every_row_of_the_table_has_a_test_here() {
    let methods = table();
    assert_eq!(
        methods.keys().copied().collect::<Vec<_>>(),
        [
            "backend_services",
            "forwarding_rules",
            "groups",
            "health_checks",
            "operations"
        ]
    );
    assert!(methods.values().map(BTreeSet::len).sum::<usize>() > 60);
}
