//! The conformance table: every row by the whole road from documents to maps, through the decision on ordinary memory
//! and through the loaded program.
//!
//! Needs root. Everything happens in a network namespace of its own, and no map is pinned.

mod conformance;

use lb_tests::conformance::documents::Inventory;
use lb_tests::conformance::events::EVENTS;
use lb_tests::conformance::expected;
use lb_tests::conformance::rows;

use conformance::event::{self, Report};
use conformance::{START, boundaries, pools, subsets, tuples};
use lb_tests::conformance::bench::{Bench, enter_namespace};
use lb_tests::conformance::world::validated;

fn all_hold(report: &Report) {
    eprintln!(
        "{} rows ({} packets): {} as expected on the host, {} in the kernel, {} agree",
        report.rows, report.packets, report.host, report.kernel, report.both
    );
    for (outcome, count) in &report.outcomes {
        eprintln!("{count:8} {outcome:?}");
    }
    let shown: Vec<_> = report.differences.iter().take(5).map(String::as_str).collect();
    assert!(
        shown.is_empty(),
        "the first of {} rows that differ:\n{}",
        report.differences.len(),
        shown.join("\n\n")
    );
}

#[test]
fn every_row_holds_on_the_host_and_in_the_kernel() {
    enter_namespace();
    let mut bench = Bench::default();
    let mut report = Report::default();
    for event in EVENTS {
        event::run(&mut bench, event, START, &mut report);
    }
    all_hold(&report);
    assert_eq!(report.rows, rows::all().len());
}

#[test]
fn what_the_table_refuses_is_refused_and_nothing_else() {
    for policy in rows::policies() {
        let documents = Inventory::new(&EVENTS[0]).documents(&EVENTS[0], &[policy]);
        match (validated(&documents), expected::refused(&policy)) {
            (Ok(_), None) => {}
            (Err(faults), Some(_)) => {
                let fields = ["sessionAffinity", "connectionTrackingPolicy"];
                assert!(
                    faults
                        .iter()
                        .all(|fault| fields.iter().any(|field| fault.field.starts_with(field))),
                    "{policy:?}: {faults:?}"
                );
            }
            (Ok(_), Some(because)) => panic!("{policy:?} is accepted, though {because}"),
            (Err(faults), None) => panic!("{policy:?} is refused: {faults:?}"),
        }
    }
}

fn all_agree(report: &tuples::Report) {
    let differing = report.differences.len();
    eprintln!(
        "{} rows: {} agree on the host and in the kernel",
        report.rows,
        report.rows - differing
    );
    let shown: Vec<_> = report.differences.iter().take(8).map(String::as_str).collect();
    assert!(
        shown.is_empty(),
        "the first of {differing}:\n{}",
        shown.join("\n")
    );
    assert!(report.rows > 0);
}

#[test]
fn entries_and_selection_depend_on_the_fields_of_the_table_and_no_others() {
    enter_namespace();
    all_agree(&tuples::run(&mut Bench::default()));
}

#[test]
fn new_flows_go_to_the_eligible_set() {
    enter_namespace();
    all_agree(&pools::run(&mut Bench::default()));
}

/// Expiries are compared modulo 2^15 ticks.
#[test]
fn timeouts_hold_where_the_clock_of_the_flow_table_wraps() {
    enter_namespace();
    let mut report = Report::default();
    for start in [(1 << 17) - 77, (1 << 31) - 79] {
        let mut bench = Bench::default();
        for event in EVENTS {
            if event.section == "§3" || event.name.ends_with("its drain has ended") {
                event::run(&mut bench, event, start, &mut report);
            }
        }
    }
    all_hold(&report);
}

#[test]
fn no_timeout_ends_early_or_later_than_documented() {
    enter_namespace();
    boundaries::check(&mut Bench::default());
}

#[test]
fn subsetting_shows_a_client_at_most_25_backends() {
    enter_namespace();
    subsets::check(&mut Bench::default());
}
