//! The tables of the page.

mod control;
mod flows;
mod forward;
mod packet;

use super::Reports;
use super::page::Table;
use crate::conformance::render::line;

pub(super) use packet::one_flow;

pub(super) fn all(reports: &Reports) -> Vec<Table> {
    vec![
        ("machine", machine(reports)),
        ("packet", packet::packet(&reports.packet.cases)),
        ("growth", packet::growth(&reports.packet.cases)),
        ("floor", packet::floor(&reports.packet.cases)),
        (
            "packets",
            forward::packets(&reports.forward.cases, &reports.packet.cases),
        ),
        ("connections", forward::connections(&reports.forward.cases)),
        ("memory", flows::memory(&reports.flows.cases)),
        ("room", flows::room(&reports.flows.cases)),
        ("floods", flows::floods(&reports.flows.cases)),
        ("changes", control::changes(&reports.control.cases)),
        ("builds", control::builds(&reports.control.cases)),
        ("events", control::events(&reports.control.cases)),
    ]
}

fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text = String::new();
    line(&mut text, header.iter().copied());
    line(&mut text, header.iter().map(|_| "---"));
    for row in rows {
        line(&mut text, row.iter().map(String::as_str));
    }
    text
}

fn or_dash(value: Option<String>) -> String {
    value.unwrap_or_else(|| "–".to_owned())
}

fn whole(value: f64) -> String {
    // Not "-0".
    format!("{:.0}", value.round() + 0.0)
}

fn tenths(value: f64) -> String {
    format!("{value:.1}")
}

fn hundredths(value: f64) -> String {
    format!("{value:.2}")
}

/// In groups of three digits.
fn grouped(value: u32) -> String {
    let digits = value.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).expect("digits"))
        .collect();
    groups.join(",")
}

fn percent(part: f64, digits: usize) -> String {
    format!("{:.digits$} %", part * 100.0)
}

/// Parts that were measured on the same machine share a row.
fn machine(reports: &Reports) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (part, machine) in [
        ("`packet`", &reports.packet.machine),
        ("`control`", &reports.control.machine),
        ("`forward`", &reports.forward.machine),
        ("`flows`", &reports.flows.machine),
    ] {
        let machine = machine.to_string();
        match rows.iter_mut().find(|row| row[1] == machine) {
            Some(row) => row[0] = format!("{}, {part}", row[0]),
            None => rows.push(vec![part.to_owned(), machine]),
        }
    }
    table(&["part", "measured on"], rows)
}
