//! What the flow table takes, and what it keeps.

use super::{grouped, or_dash, percent, table, tenths, whole};
use crate::bench::flows::Case;
use crate::performance::katran;

pub(super) fn memory(cases: &[Case]) -> String {
    let measured = cases.iter().filter_map(|case| {
        Some(vec![
            format!("{}: {}", case.table, case.name),
            grouped(case.slots),
            grouped(case.flows),
            tenths(case.bytes_per_slot?),
            tenths(case.bytes_per_flow?),
        ])
    });
    let dash = || or_dash(None);
    let katran = vec![
        "Katran".to_owned(),
        dash(),
        dash(),
        dash(),
        whole(katran::BYTES_PER_FLOW),
    ];
    table(
        &["table", "slots", "flows", "bytes a slot", "bytes a flow"],
        measured.chain([katran]),
    )
}

pub(super) fn room(cases: &[Case]) -> String {
    let rows = cases.iter().filter(|case| case.name == "room").map(|case| {
        let kept = case.kept.unwrap_or(0);
        vec![
            grouped(case.flows),
            grouped(case.slots),
            grouped(kept),
            percent(f64::from(kept) / f64::from(case.flows), 3),
        ]
    });
    table(&["flows", "slots", "recorded", "share"], rows)
}

pub(super) fn floods(cases: &[Case]) -> String {
    let rows = cases.iter().filter_map(|case| {
        let flood = case.flood?;
        Some(vec![
            case.name.clone(),
            case.table.to_string(),
            grouped(flood),
            grouped(case.flows),
            or_dash(case.kept.map(grouped)),
            or_dash(case.evicted.map(grouped)),
        ])
    });
    let header = [
        "flood",
        "table",
        "packets",
        "known flows",
        "known afterwards",
        "confirmed flows evicted",
    ];
    table(&header, rows)
}
