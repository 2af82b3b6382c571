//! The daemon itself.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use super::number::{human_count, human_duration};
use super::table::{pairs, table};
use crate::views::{ConfigStatus, ConnectionLogStatus, Status, TableStatus, Verification, VipStatus};

pub fn render_status(out: &mut dyn Write, status: &Status) -> io::Result<()> {
    let resources: Vec<String> = status
        .resources
        .iter()
        .map(|(kind, n)| format!("{n} {kind}"))
        .collect();
    let place = &status.default_place;
    pairs(
        out,
        &[
            (
                "version",
                format!("{} (map layout {})", status.version, status.layout_version),
            ),
            ("pid", status.pid.to_string()),
            ("uptime", human_duration(Duration::from_secs(status.uptime_sec))),
            ("state directory", status.state_dir.clone()),
            (
                "resources",
                if resources.is_empty() {
                    "none".to_owned()
                } else {
                    resources.join(", ")
                },
            ),
            (
                "endpoints",
                format!("{} of {} healthy", status.healthy_endpoints, status.endpoints),
            ),
            ("flow slots", human_count(status.flow_slots)),
            ("table slots", table_slots(&status.tables)),
            (
                "default place",
                format!("{}, {}, {}", place.project, place.region, place.zone),
            ),
            ("connection log", connection_log(&status.connection_log)),
        ],
    )?;
    render_config(out, &status.config)?;
    writeln!(out)?;
    if status.interfaces.is_empty() {
        writeln!(out, "Not attached to any interface.")?;
    }
    let rows = status.interfaces.iter().map(|interface| {
        vec![
            interface.name.clone(),
            interface.index.to_string(),
            interface.xdp_mode.clone(),
            interface.program_id.to_string(),
        ]
    });
    table(out, &["INTERFACE", "INDEX", "XDP_MODE", "PROGRAM_ID"], rows)?;
    render_vips(out, &status.vips)?;
    for trouble in &status.troubles {
        let since = human_duration(Duration::from_secs(trouble.for_sec));
        writeln!(out, "error: {} (for {since})", trouble.text)?;
    }
    if status.mended > 0 {
        let mended = human_count(status.mended);
        writeln!(
            out,
            "warning: somebody else changed the kernel's maps; {mended} entries were mended"
        )?;
    }
    for warning in &status.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    Ok(())
}

/// Those of which the same is to be said, together.
fn render_vips(out: &mut dyn Write, vips: &[VipStatus]) -> io::Result<()> {
    /// There may be thousands; `--format json` has them all.
    const SHOWN: usize = 4;
    let mut alike: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for vip in vips {
        alike
            .entry(&vip.answering)
            .or_default()
            .push(vip.address.to_string());
    }
    for (answering, addresses) in alike {
        let first = addresses[..addresses.len().min(SHOWN)].join(", ");
        let more = match addresses.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {} more", human_count(more as u64)),
        };
        writeln!(out, "{first}{more}: {answering}")?;
    }
    Ok(())
}

/// Of all selection tables, and by their sizes.
fn table_slots(tables: &TableStatus) -> String {
    let sizes: Vec<String> = tables
        .services
        .iter()
        .map(|(slots, services)| format!("{services} x {slots}"))
        .collect();
    let services = match sizes.is_empty() {
        true => String::new(),
        false => format!("; services by size: {}", sizes.join(", ")),
    };
    let waiting = match tables.wanted {
        0 => String::new(),
        wanted => format!(", {} waited for", human_count(wanted)),
    };
    format!(
        "{} of {} in use, {} retired, {} in reserve{waiting}{services}",
        human_count(tables.in_use),
        human_count(tables.slots),
        human_count(tables.retired),
        human_count(tables.reserve),
    )
}

fn render_config(out: &mut dyn Write, config: &ConfigStatus) -> io::Result<()> {
    if let Some(loaded_at) = &config.loaded_at {
        writeln!(out, "\nFiles of --config, loaded at {loaded_at}:")?;
    }
    for (file, resources) in &config.files {
        writeln!(out, "  {file}: {resources} resources")?;
    }
    if let Some(refused) = &config.refused {
        writeln!(out, "A newer version was refused at {}:", refused.refused_at)?;
        for fault in &refused.faults {
            writeln!(out, "  {fault}")?;
        }
    }
    Ok(())
}

pub fn render_verification(out: &mut dyn Write, verification: &Verification) -> io::Result<()> {
    let Verification {
        services,
        members,
        differences,
    } = verification;
    writeln!(
        out,
        "{services} services and {members} endpoints in the kernel's maps, counted for each address family"
    )?;
    for difference in differences {
        writeln!(out, "missing: {difference}")?;
    }
    if differences.is_empty() {
        writeln!(out, "The maps hold what they should.")?;
    }
    Ok(())
}

fn connection_log(log: &ConnectionLogStatus) -> String {
    let services = match log.services {
        0 if log.lines == 0 && log.dropped == 0 => return "off".to_owned(),
        1 => "1 service".to_owned(),
        n => format!("{n} services"),
    };
    format!(
        "{services} to {}, {} connections, {} lines, {} dropped",
        log.destination,
        human_count(log.connections),
        human_count(log.lines),
        human_count(log.dropped)
    )
}
