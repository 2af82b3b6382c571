//! From the file's text to settings.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum as _;
use ipnet::IpNet;
use toml::{Table, Value};

use super::mac::Mac;
use super::walk::{Faults, Walk, path_of};
use super::{COMPARE_INTERVAL, FileSettings, FlagDefaults, GUE_PORT, announce};
use crate::cli::{DefaultPlace, XdpMode, flow_slots, table_slots};
use crate::flowlog::Destination;
use crate::plan::{ProbeDestination, ZonePrefixes};
use crate::resources::{DefaultSlots, Fault, FaultKind, is_resource_name, is_table_size, table_sizes};

/// A day.
const MOST_SECONDS: u64 = 86_400;

const KEYS: &[&str] = &[
    "zones",
    "answer-echo",
    "gue-port",
    "virtual-macs",
    "probe-destination",
    "probe-mark",
    "compare-interval-sec",
    "log",
    "tables",
    "interfaces",
    "config",
    "state-dir",
    "runtime-dir",
    "listen",
    "token-file",
    "xdp-mode",
    "flow-slots",
    "table-slots",
    "project",
    "region",
    "zone",
    "announce",
    "pin-dir",
    "hash-seed",
];

impl FileSettings {
    /// Every fault of the file at once.
    pub fn read(path: &Path) -> Result<Self, Vec<Fault>> {
        let source = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&source, &text),
            Err(error) => Err(vec![Fault::of_source(
                &source,
                FaultKind::Unreadable,
                format!("can't be read: {error}"),
            )]),
        }
    }

    /// `source` is what faults name the text.
    pub fn parse(source: &str, text: &str) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::new(source);
        match text.parse::<Table>() {
            Ok(table) => {
                let settings = read(&table, &mut faults);
                if faults.list.is_empty() {
                    return Ok(settings);
                }
            }
            Err(error) => {
                let place = error.span().map_or(0, |span| span.start);
                let reason = format!("is no TOML: {}", error.message());
                faults.add(&line_of(text, place), FaultKind::Malformed, None, reason);
            }
        }
        Err(faults.list)
    }
}

fn line_of(text: &str, at: usize) -> String {
    let before = text.as_bytes().get(..at).unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    format!("line {line}")
}

fn read(table: &Table, faults: &mut Faults<'_>) -> FileSettings {
    faults.refuse_unknown(table, KEYS);
    let zones = zones(table, faults);
    let log_connections = log_connections(table, faults).unwrap_or_default();
    let (default_table_slots, table_reserve) = tables(table, faults);
    let announce = announce::read(table, faults);
    let mut walk = Walk { table, faults };
    FileSettings {
        zones,
        log_connections,
        default_table_slots: default_table_slots.unwrap_or_default(),
        table_reserve,
        answer_echo: walk.boolean("answer-echo").unwrap_or(false),
        gue_port: walk.integer("gue-port", port).unwrap_or(GUE_PORT),
        virtual_macs: walk
            .list("virtual-macs")
            .into_iter()
            .map(|Mac(mac)| mac)
            .collect(),
        probe_destination: walk
            .choice("probe-destination", PROBE_DESTINATIONS)
            .unwrap_or_default(),
        probe_mark: walk.parsed("probe-mark").unwrap_or_default(),
        announce_repeat: announce.repeat,
        compare_interval: walk
            .integer("compare-interval-sec", seconds)
            .unwrap_or(COMPARE_INTERVAL),
        flags: FlagDefaults {
            interfaces: walk.list("interfaces"),
            config: walk.list("config"),
            state_dir: walk.parsed("state-dir"),
            runtime_dir: walk.parsed("runtime-dir"),
            listen: walk.list("listen"),
            token_file: walk.parsed("token-file"),
            xdp_mode: xdp_mode(&mut walk),
            flow_slots: walk.integer("flow-slots", |n| flow_slots(&n.to_string())),
            table_slots: walk.integer("table-slots", |n| table_slots(&n.to_string())),
            place: DefaultPlace {
                project: walk.text("project"),
                region: walk.text("region"),
                zone: walk.text("zone"),
            },
            announce: announce.enabled,
            pin_dir: walk.parsed("pin-dir"),
            hash_seed: walk.secret("hash-seed"),
        },
    }
}

const PROBE_DESTINATIONS: &[(&str, ProbeDestination)] = &[
    ("vip", ProbeDestination::Vip),
    ("own-address", ProbeDestination::OwnAddress),
];

fn port(number: i64) -> Result<u16, String> {
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    port.ok_or_else(|| "must be a port, 1 to 65535".to_owned())
}

fn seconds(number: i64) -> Result<Duration, String> {
    let seconds = u64::try_from(number).ok();
    let seconds = seconds.filter(|seconds| (1..=MOST_SECONDS).contains(seconds));
    let seconds = seconds.ok_or_else(|| format!("must be 1 to {MOST_SECONDS} seconds"))?;
    Ok(Duration::from_secs(seconds))
}

fn xdp_mode(walk: &mut Walk<'_, '_>) -> Option<XdpMode> {
    let text = walk.text("xdp-mode")?;
    let mode = XdpMode::from_str(&text, false);
    if mode.is_err() {
        let value = Value::String(text);
        walk.faults
            .invalid("xdp-mode", &value, "must be auto, native or generic");
    }
    mode.ok()
}

fn log_connections(table: &Table, faults: &mut Faults<'_>) -> Option<Destination> {
    let log = table.get("log")?;
    let Some(log) = log.as_table() else {
        faults.invalid("log", log, "expected a table");
        return None;
    };
    for key in log.keys().filter(|key| *key != "connections") {
        let path = format!("log.{}", path_of(key));
        faults.add(
            &path,
            FaultKind::UnknownField,
            None,
            "is no setting (known is log.connections)",
        );
    }
    let value = log.get("connections")?;
    let text = value.as_str().ok_or_else(|| "expected a string".to_owned());
    match text.and_then(str::parse) {
        Ok(destination) => Some(destination),
        Err(reason) => {
            faults.invalid("log.connections", value, reason);
            None
        }
    }
}

/// `[tables]`: how large a service's selection tables are, and what they are succeeded from.
fn tables(table: &Table, faults: &mut Faults<'_>) -> (Option<DefaultSlots>, Option<u32>) {
    let Some(value) = table.get("tables") else {
        return (None, None);
    };
    let Some(tables) = value.as_table() else {
        faults.invalid("tables", value, "expected a table");
        return (None, None);
    };
    const KNOWN: [&str; 2] = ["default-slots", "reserve-slots"];
    for key in tables.keys().filter(|key| !KNOWN.contains(&key.as_str())) {
        let path = format!("tables.{}", path_of(key));
        let reason = "is no setting (known are tables.default-slots, tables.reserve-slots)";
        faults.add(&path, FaultKind::UnknownField, None, reason);
    }
    let checked = |key: &str| {
        let value = tables.get(key)?;
        Some((format!("tables.{key}"), value))
    };
    let default = checked("default-slots").and_then(|(path, value)| {
        let slots = default_slots(value);
        if slots.is_none() {
            faults.invalid(
                &path,
                value,
                format!("must be \"auto\", or the size of a table: {}", table_sizes()),
            );
        }
        slots
    });
    let reserve = checked("reserve-slots").and_then(|(path, value)| {
        let slots = value.as_integer().and_then(|number| u32::try_from(number).ok());
        if slots.is_none() {
            faults.invalid(&path, value, "must be a number of slots, less than table-slots");
        }
        slots
    });
    (default, reserve)
}

fn default_slots(value: &Value) -> Option<DefaultSlots> {
    if value.as_str() == Some("auto") {
        return Some(DefaultSlots::Auto);
    }
    let slots = u32::try_from(value.as_integer()?).ok()?;
    is_table_size(slots).then_some(DefaultSlots::Slots(slots))
}

fn zones(table: &Table, faults: &mut Faults<'_>) -> ZonePrefixes {
    let mut zones = ZonePrefixes::new();
    let mut owners: BTreeMap<IpNet, String> = BTreeMap::new();
    let Some(value) = table.get("zones") else {
        return zones;
    };
    let Some(table) = value.as_table() else {
        faults.invalid("zones", value, "expected a table of zones");
        return zones;
    };
    for (zone, value) in table {
        let path = format!("zones.{}", path_of(zone));
        if !is_resource_name(zone) {
            faults.add(&path, FaultKind::Invalid, None, "is no name of a zone");
        }
        let Some(items) = value.as_array() else {
            faults.invalid(&path, value, "expected a list of prefixes");
            continue;
        };
        let mut prefixes = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            match prefix(item) {
                Err(reason) => faults.invalid(&path, item, reason),
                Ok(net) => match owners.insert(net, path.clone()) {
                    Some(first) => faults.invalid(&path, item, format!("is {first} already")),
                    None => drop(prefixes.insert(net)),
                },
            }
        }
        zones.insert(zone.clone(), prefixes);
    }
    zones
}

fn prefix(value: &Value) -> Result<IpNet, String> {
    let expected = "expected a prefix such as 10.1.0.0/16, or an address";
    let text = value.as_str().ok_or(expected)?;
    let net = text
        .parse::<IpAddr>()
        .map(IpNet::from)
        .or_else(|_| text.parse())
        .map_err(|_| expected)?;
    if net.trunc() != net {
        return Err(format!(
            "has bits set beyond its prefix; the prefix is {}",
            net.trunc()
        ));
    }
    let mapped = |address: Ipv6Addr| address.to_ipv4_mapped().is_some();
    match net {
        IpNet::V6(net) if net.prefix_len() >= 96 && mapped(net.addr()) => {
            Err("is IPv4 in IPv6's clothes; write it as an IPv4 prefix".to_owned())
        }
        _ => Ok(net),
    }
}
