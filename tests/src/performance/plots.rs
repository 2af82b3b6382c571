//! The plots of the page.

use anyhow::Result;
use plotters::style::RGBColor;

use super::Reports;
use super::bars::{Groups, Series, bars};
use super::plot::{Curve, Words, curves};
use super::tables::one_flow;
use crate::bench::{flows, forward, report};

const OURS: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const OTHER: RGBColor = RGBColor(0xd6, 0x5f, 0x0e);
const FLOOR: RGBColor = RGBColor(0x77, 0x77, 0x77);
const TARGET: RGBColor = RGBColor(0x2c, 0x8c, 0x3c);

/// Each with the name of its file.
pub(super) fn all(reports: &Reports) -> Result<Vec<(&'static str, String)>> {
    let packet = &reports.packet.cases;
    Ok(vec![
        ("by-flows", by_flows(packet)?),
        ("by-services", by_services(packet)?),
        ("by-endpoints", by_endpoints(packet)?),
        ("shares", shares(&reports.forward.cases)?),
        ("floods", floods(&reports.flows.cases)?),
    ])
}

fn curve(name: &'static str, color: RGBColor, points: impl Iterator<Item = (f64, f64)>) -> Curve {
    let mut points: Vec<(f64, f64)> = points.collect();
    points.sort_by(|one, other| one.0.total_cmp(&other.0));
    Curve { name, color, points }
}

fn by_flows(cases: &[report::Case]) -> Result<String> {
    let of = |value: fn(&report::Case) -> Option<f64>| {
        cases
            .iter()
            .filter(|case| case.access.is_some())
            .filter_map(move |case| Some((f64::from(case.flows?), value(case)?)))
    };
    let one = one_flow(cases).unwrap_or(0.0);
    let words = Words {
        title: "What a packet costs, by the number of live flows",
        x: "flows (TCP over IPv4, IPIP, random order)",
        y: "ns a packet",
    };
    let all = [
        curve(
            "the same over the kernel's LRU hash",
            OTHER,
            of(|case| case.lru_ns),
        ),
        curve(
            "one flow + one memory access",
            FLOOR,
            of(|case| Some(case.access?.net_ns)).map(|(x, y)| (x, y + one)),
        ),
        curve("target, at most", TARGET, of(|case| case.target_ns)),
        // Over the others, where it lies on them.
        curve("as shipped", OURS, of(|case| Some(case.net_ns))),
    ];
    curves(&words, &all)
}

fn by_services(cases: &[report::Case]) -> Result<String> {
    let words = Words {
        title: "What a packet costs, by the number of services",
        x: "services, which 100 k flows are spread over",
        y: "ns a packet",
    };
    let points = growing(cases, "service").filter_map(|case| Some((f64::from(case.services?), case.net_ns)));
    curves(&words, &[curve("as shipped", OURS, points)])
}

fn by_endpoints(cases: &[report::Case]) -> Result<String> {
    let words = Words {
        title: "What a packet costs, by the number of endpoints",
        x: "endpoints of one service, which 100 k flows are spread over",
        y: "ns a packet",
    };
    let points =
        growing(cases, "endpoint").filter_map(|case| Some((f64::from(case.endpoints?), case.net_ns)));
    curves(&words, &[curve("as shipped", OURS, points)])
}

/// The cases where the number of these things grows, as their names say.
fn growing<'a>(cases: &'a [report::Case], what: &'a str) -> impl Iterator<Item = &'a report::Case> {
    let is_due = move |case: &&report::Case| case.name.trim_end_matches('s').ends_with(what);
    cases.iter().filter(is_due)
}

fn shares(cases: &[forward::Case]) -> Result<String> {
    let aimed_at: Vec<&forward::Case> = cases.iter().filter(|case| case.target.is_some()).collect();
    let mut groups = Groups {
        names: Vec::new(),
        targets: Vec::new(),
    };
    for case in &aimed_at {
        if !groups.names.contains(&case.name) {
            groups.names.push(case.name.clone());
            groups.targets.push(case.target);
        }
    }
    let series = [("l2", OURS), ("ipip", OTHER)].map(|(way, color)| Series {
        name: way,
        color,
        values: groups
            .names
            .iter()
            .map(|name| {
                let mut found = aimed_at
                    .iter()
                    .filter(|case| case.way == way && case.name == *name);
                found.next().map(|case| case.share)
            })
            .collect(),
    });
    let words = Words {
        title: "Packets a second, as a share of the least that an XDP program can do",
        x: "",
        y: "share of XDP_TX alone",
    };
    bars(&words, &groups, &series)
}

fn floods(cases: &[flows::Case]) -> Result<String> {
    let floods: Vec<&flows::Case> = cases.iter().filter(|case| case.flood.is_some()).collect();
    let mut names: Vec<String> = Vec::new();
    for case in &floods {
        if !names.contains(&case.name) {
            names.push(case.name.clone());
        }
    }
    let series = [("flow table", OURS), ("LRU hash", OTHER)].map(|(table, color)| Series {
        name: table,
        color,
        values: names
            .iter()
            .map(|name| {
                let mut found = floods
                    .iter()
                    .filter(|case| case.table == table && case.name == *name);
                let case = found.next()?;
                Some(f64::from(case.kept?) / f64::from(case.flows))
            })
            .collect(),
    });
    let groups = Groups {
        targets: vec![None; names.len()],
        names,
    };
    let words = Words {
        title: "Known flows that are still known after a flood",
        x: "",
        y: "share",
    };
    bars(&words, &groups, &series)
}
