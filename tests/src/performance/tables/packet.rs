//! What a packet takes.

use super::{grouped, or_dash, percent, table, tenths, whole};
use crate::bench::report::Case;
use crate::performance::katran;

pub(super) fn packet(cases: &[Case]) -> String {
    let rows = cases.iter().filter(|case| case.services.is_none()).map(|case| {
        let katran = katran::packet_ns(&case.name, &case.protocol, case.family, &case.delivery);
        vec![
            case.name.clone(),
            case.delivery.to_string(),
            format!("{} v{}", case.protocol, case.family),
            format!("**{:.0}**", case.net_ns),
            format!("{:.0} – {:.0}", case.min, case.max),
            or_dash(case.without_tuples_ns.map(whole)),
            or_dash(case.target_ns.map(whole)),
            or_dash(case.lru_ns.map(whole)),
            or_dash(case.lru_ratio.map(tenths)),
            or_dash(katran.map(whole)),
            percent(case.expected, 2),
        ]
    });
    let header = [
        "packets of",
        "delivery",
        "protocol",
        "ns",
        "min – max",
        "without tuples",
        "target",
        "LRU ns",
        "LRU / ours",
        "Katran ns",
        "as expected",
    ];
    table(&header, rows)
}

pub(super) fn growth(cases: &[Case]) -> String {
    let rows = cases.iter().filter_map(|case| {
        let (services, endpoints) = (case.services?, case.endpoints?);
        Some(vec![
            grouped(services),
            grouped(endpoints),
            whole(case.net_ns),
            format!("{:.0} – {:.0}", case.min, case.max),
        ])
    });
    table(&["services", "endpoints of each", "ns", "min – max"], rows)
}

/// What a packet of one flow takes, where everything that it needs is in the nearest cache.
pub(in crate::performance) fn one_flow(cases: &[Case]) -> Option<f64> {
    let mut cases = cases.iter();
    let case = cases.find(|case| case.access.is_some() && case.flows == Some(1))?;
    Some(case.net_ns)
}

pub(super) fn floor(cases: &[Case]) -> String {
    let one = one_flow(cases);
    let rows = cases.iter().filter_map(|case| {
        let access = case.access?;
        Some(vec![
            or_dash(case.flows.map(grouped)),
            grouped(access.lines),
            whole(access.net_ns),
            format!("{:.0} – {:.0}", access.min, access.max),
            or_dash(one.map(|one| whole(one + access.net_ns))),
            whole(case.net_ns),
        ])
    });
    let header = [
        "flows",
        "lines visited",
        "ns of one access",
        "min – max",
        "one flow + one access",
        "measured",
    ];
    table(&header, rows)
}
