//! The flow table: its rows and its counts.

use std::io::{self, Write};
use std::net::IpAddr;

use super::number::human_count;
use super::table::{pairs, table, yes_no};
use crate::views::{FlowCount, FlowList, FlowRow};

pub fn render_flow_list(out: &mut dyn Write, list: &FlowList) -> io::Result<()> {
    let header = [
        "PROTOCOL",
        "SOURCE",
        "DESTINATION",
        "SERVICE",
        "BACKEND",
        "HEALTHY",
        "CONFIRMED",
        "EXPIRES",
    ];
    table(out, &header, list.flows.iter().map(row))
}

fn row(flow: &FlowRow) -> Vec<String> {
    let unknown = if flow.tuple_known { "*" } else { "?" };
    let part = |address, port| address_and_port(address, port).unwrap_or_else(|| unknown.to_owned());
    let backend = flow
        .instance
        .clone()
        .unwrap_or_else(|| flow.ip_address.to_string());
    vec![
        flow.protocol.map_or_else(|| unknown.to_owned(), protocol_name),
        part(flow.source, flow.source_port),
        part(flow.destination, flow.destination_port),
        flow.service.name().to_owned(),
        format!("{}/{backend}", flow.group.name()),
        yes_no(flow.backend_healthy),
        yes_no(flow.confirmed),
        format!("{}s", flow.expires_in_sec),
    ]
}

fn address_and_port(address: Option<IpAddr>, port: Option<u16>) -> Option<String> {
    Some(match (address?, port) {
        (IpAddr::V6(address), Some(port)) => format!("[{address}]:{port}"),
        (address, Some(port)) => format!("{address}:{port}"),
        (address, None) => address.to_string(),
    })
}

/// By the names of the IANA registry, for the protocols that a rule can have.
fn protocol_name(number: u8) -> String {
    match number {
        1 => "ICMP".to_owned(),
        6 => "TCP".to_owned(),
        17 => "UDP".to_owned(),
        47 => "GRE".to_owned(),
        50 => "ESP".to_owned(),
        51 => "AH".to_owned(),
        58 => "ICMPv6".to_owned(),
        132 => "SCTP".to_owned(),
        other => other.to_string(),
    }
}

pub fn render_flow_count(out: &mut dyn Write, count: &FlowCount) -> io::Result<()> {
    let share = match count.slots {
        0 => 0.0,
        slots => count.live as f64 * 100.0 / slots as f64,
    };
    pairs(
        out,
        &[
            ("slots", human_count(count.slots)),
            ("live", format!("{} ({share:.2} %)", human_count(count.live))),
            ("confirmed", human_count(count.confirmed)),
        ],
    )?;
    if count.services.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let rows = count
        .services
        .iter()
        .map(|s| vec![s.service.name().to_owned(), human_count(s.live)]);
    table(out, &["SERVICE", "LIVE"], rows)
}
