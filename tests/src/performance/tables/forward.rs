//! Packets and connections a second.

use super::{hundredths, or_dash, table, tenths, whole};
use crate::bench::forward::Case;
use crate::bench::report;
use crate::performance::katran;

/// The share that the path leaves to a program which takes no longer than one flow and the row's one access to memory do.
fn floor(case: &Case, cases: &[Case], packets: &[report::Case]) -> Option<f64> {
    let alone = cases
        .iter()
        .find(|case| case.flows.is_none() && case.share == 1.0)?;
    let one = packets.iter().find(|row| {
        let is_one = row.flows == Some(1) && row.protocol == "TCP" && row.family == 4;
        is_one && row.delivery == case.way
    })?;
    // A new flow is in any line of the table, as each of a million is.
    let flows = case.flows.unwrap_or(1_000_000);
    let access = packets
        .iter()
        .find(|row| row.flows == Some(flows) && row.access.is_some())?
        .access?;
    let path = 1e9 / alone.per_second;
    Some(path / (path + one.net_ns + access.net_ns))
}

pub(super) fn packets(cases: &[Case], packet_cases: &[report::Case]) -> String {
    let rows = cases.iter().filter(|case| case.unit == "packets").map(|case| {
        let katran = katran::forward_share(&case.name, &case.way);
        let (share, times) = (case.target.map(hundredths), case.dnat_target.map(tenths));
        vec![
            case.name.clone(),
            case.way.to_string(),
            case.protocol.to_string(),
            format!("{:.2}", case.per_second / 1e6),
            format!("{:.2} – {:.2}", case.min / 1e6, case.max / 1e6),
            format!("**{:.2}**", case.share),
            or_dash(share.map(|share| format!("≥ {share}"))),
            or_dash(floor(case, cases, packet_cases).map(hundredths)),
            or_dash(katran.map(hundredths)),
            or_dash(case.dnat_ratio.map(tenths)),
            or_dash(times.map(|times| format!("≥ {times}"))),
        ]
    });
    let header = [
        "packets of",
        "forwarded by",
        "protocol",
        "million a second",
        "min – max",
        "share of XDP_TX alone",
        "target",
        "at the floor",
        "Katran",
        "times DNAT",
        "target",
    ];
    table(&header, rows)
}

pub(super) fn connections(cases: &[Case]) -> String {
    let rows = cases
        .iter()
        .filter(|case| case.unit == "connections")
        .map(|case| {
            vec![
                case.way.to_string(),
                whole(case.per_second),
                format!("{:.0} – {:.0}", case.min, case.max),
                hundredths(case.share),
                or_dash(case.dnat_ratio.map(hundredths)),
            ]
        });
    let header = [
        "forwarded by",
        "connections a second",
        "min – max",
        "share of none in between",
        "times DNAT",
    ];
    table(&header, rows)
}
