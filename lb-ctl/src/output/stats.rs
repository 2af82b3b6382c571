//! The counters: verdicts that happened, then each service's backends as a tree.

use std::io::{self, Write};

use super::number::{human_bytes, human_count};
use super::table::{or_dash, table};
use crate::views::{BackendStats, ServiceStats, Stats};

/// Verdicts that never happened are left out.
pub fn render_stats(out: &mut dyn Write, stats: &Stats) -> io::Result<()> {
    let happened = stats.verdicts.iter().filter(|verdict| verdict.packets > 0);
    let rows: Vec<Vec<String>> = happened
        .map(|v| {
            vec![
                v.name.clone(),
                v.action.clone(),
                human_count(v.packets),
                human_bytes(v.bytes),
            ]
        })
        .collect();
    if rows.is_empty() {
        writeln!(out, "No packet was seen yet.")?;
    }
    table(out, &["VERDICT", "ACTION", "PACKETS", "BYTES"], rows)?;
    if !stats.xdp_failures.is_empty() {
        writeln!(out)?;
        let rows = stats.xdp_failures.iter().map(|failure| {
            vec![
                failure.interface.clone(),
                failure.event.clone(),
                or_dash(failure.error.as_deref()),
                human_count(failure.frames),
            ]
        });
        table(out, &["NOT_SENT_BY", "EVENT", "ERROR", "FRAMES"], rows)?;
    }
    if stats.not_judged > 0 {
        writeln!(
            out,
            "\n{} of these packets came by interfaces whose Ethernet addresses are not known: whom their frames were for was not judged.",
            human_count(stats.not_judged)
        )?;
    }
    for service in &stats.services {
        writeln!(out)?;
        render_service(out, service)?;
    }
    Ok(())
}

fn render_service(out: &mut dyn Write, service: &ServiceStats) -> io::Result<()> {
    writeln!(
        out,
        "{} ({}, active pool: {})",
        service.service.name(),
        service.ip_version,
        service.active_pool
    )?;
    let header = [
        "  BACKEND",
        "IP_ADDRESS",
        "POOL",
        "STATE",
        "WEIGHT",
        "DELIVERY",
        "PACKETS",
        "BYTES",
        "NEW_FLOWS",
        "PERSISTED",
        "FLOWS",
    ];
    table(out, &header, service.backends.iter().map(backend))
}

fn backend(backend: &BackendStats) -> Vec<String> {
    let instance = backend.instance.as_deref().unwrap_or("-");
    vec![
        format!("  {}/{instance}", backend.group.name()),
        backend.ip_address.to_string(),
        backend.pool.clone(),
        state(backend).to_owned(),
        or_dash(backend.weight),
        backend.delivery.clone(),
        human_count(backend.packets),
        human_bytes(backend.bytes),
        human_count(backend.new_flows),
        human_count(backend.persisted_packets),
        or_dash(backend.flows.map(human_count)),
    ]
}

fn state(backend: &BackendStats) -> &'static str {
    match (backend.healthy, backend.draining) {
        (true, false) => "healthy",
        (false, false) => "unhealthy",
        (true, true) => "draining",
        (false, true) => "draining,unhealthy",
    }
}
