//! What changes take.

use super::{grouped, hundredths, or_dash, table};
use crate::bench::control::Case;

/// Tables are built apart from configurations: of one service, by names without a stage.
fn is_change(case: &Case) -> bool {
    case.name.contains(": ")
}

/// A column for each size of the configuration.
pub(super) fn changes(cases: &[Case]) -> String {
    let changes: Vec<&Case> = cases.iter().filter(|case| is_change(case)).collect();
    let mut shapes: Vec<(u32, u32)> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for case in &changes {
        if !shapes.contains(&(case.services, case.endpoints)) {
            shapes.push((case.services, case.endpoints));
        }
        if !names.contains(&case.name.as_str()) {
            names.push(&case.name);
        }
    }
    let titles = shapes
        .iter()
        .map(|(services, endpoints)| format!("{} × {}", grouped(*services), grouped(*endpoints)));
    let header: Vec<String> = ["change: stage".to_owned()].into_iter().chain(titles).collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let rows = names.iter().map(|name| {
        let cells = shapes.iter().map(|shape| {
            let mut found = changes
                .iter()
                .filter(|case| case.name == *name && (case.services, case.endpoints) == *shape);
            or_dash(found.next().map(|case| format!("{:.2}", case.median_ms)))
        });
        [(*name).to_owned()].into_iter().chain(cells).collect()
    });
    table(&header, rows)
}

pub(super) fn builds(cases: &[Case]) -> String {
    let rows = cases
        .iter()
        .filter(|case| !is_change(case) && case.event().is_none())
        .map(|case| {
            vec![
                case.name.clone(),
                grouped(case.endpoints),
                hundredths(case.median_ms),
                hundredths(case.worst_ms),
                hundredths(case.processor_ms),
            ]
        });
    table(
        &["table", "backends", "median ms", "worst ms", "processor ms"],
        rows,
    )
}

/// What a running daemon took.
pub(super) fn events(cases: &[Case]) -> String {
    let rows = cases.iter().filter_map(|case| {
        Some(vec![
            case.event()?.to_owned(),
            format!("{} × {}", grouped(case.services), grouped(case.endpoints)),
            hundredths(case.median_ms),
            hundredths(case.worst_ms),
            or_dash(case.other_answer_ms.map(hundredths)),
        ])
    });
    table(
        &[
            "event",
            "services × endpoints",
            "median ms",
            "worst ms",
            "worst other answer ms",
        ],
        rows,
    )
}
