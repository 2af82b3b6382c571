use std::collections::BTreeSet;

use super::events::EVENTS;
use super::{expected, render, rows};

#[test]
fn the_document_is_what_the_table_renders() {
    let committed = include_str!("../../../docs/conformance.md");
    assert!(
        committed == render::document(),
        "docs/conformance.md is out of date: run `cargo xtask docs`"
    );
}

#[test]
fn every_policy_has_one_row_in_each_table() {
    for policy in rows::accepted() {
        for case in rows::cases() {
            // Panics where no row fits, or two.
            expected::tracking(&policy, &case);
            expected::selection(&policy, &case);
            expected::persists(&policy, &case);
        }
    }
}

#[test]
fn no_row_of_a_table_is_idle() {
    let accepted = rows::accepted();
    for (text, columns) in [
        (expected::TRACKING, 3),
        (expected::PERSIST, 3),
        (expected::SYN_IS_NEW, 2),
    ] {
        let table = expected::table(text);
        for row in &table[1..] {
            let used = accepted.iter().any(|policy| {
                let value = |column: &str| match column {
                    "scheme" => policy.scheme,
                    "affinity" => policy.affinity,
                    "mode" => policy.mode,
                    "persistence" => policy.persistence,
                    other => panic!("{other} is no field of a policy"),
                };
                (0..columns).all(|at| row[at] == "any" || row[at] == value(table[0][at]))
            });
            assert!(used, "{row:?}");
        }
    }
}

#[test]
fn events_have_names_of_their_own() {
    let names: BTreeSet<&str> = EVENTS.iter().map(|event| event.name).collect();
    assert_eq!(names.len(), EVENTS.len());
}
