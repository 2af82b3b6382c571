//! What the tables take of memory, as the kernel accounts for the maps of the loaded program.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, AsRawFd as _};

use anyhow::{Context as _, Result};
use aya::maps::MapInfo;
use lb_common::layout::{map, size};

use super::{Case, table_name};
use crate::bench::subject::{Build, Subject};

const LRU: &str = "LB_LRU";

/// The flow table without and with the tuples for listing; or the kernel's.
pub(super) fn cases(subject: &mut Subject, slots: u32, flows: u32) -> Result<Vec<Case>> {
    let bytes = bytes_of_maps(subject)?;
    let sum = |names: &[&str]| -> Result<u64> {
        let mut all = names.iter().map(|name| bytes.get(*name));
        all.try_fold(0, |sum, bytes| Some(sum + bytes?))
            .with_context(|| format!("the program does not use {names:?}"))
    };
    let table = table_name(subject.build);
    let case = |name: &str, bytes: u64, slots: u32, flows: u32| Case {
        name: name.to_owned(),
        table: table.into(),
        slots,
        flows,
        bytes_per_slot: Some(bytes as f64 / f64::from(slots)),
        bytes_per_flow: Some(bytes as f64 / f64::from(flows)),
        ..Case::default()
    };
    if subject.build == Build::Lru {
        // Its entries are not scattered over buckets: it holds as many flows as it has entries.
        let entries = size::FLOW_SLOTS;
        return Ok(vec![case("memory", sum(&[LRU])?, entries, entries)]);
    }
    Ok(vec![
        case("memory, hot", sum(&[map::FLOWS])?, slots, flows),
        case(
            "memory, with tuples",
            sum(&[map::FLOWS, map::TUPLES, map::TUPLES6])?,
            slots,
            flows,
        ),
    ])
}

fn bytes_of_maps(subject: &mut Subject) -> Result<BTreeMap<String, u64>> {
    let info = subject.xdp().info().context("asking about the program")?;
    let ids = info
        .map_ids()?
        .context("the kernel doesn't tell a program's maps")?;
    ids.into_iter().map(bytes_of_map).collect()
}

fn bytes_of_map(id: u32) -> Result<(String, u64)> {
    let info = MapInfo::from_id(id).context("asking about a map")?;
    let name = info.name_as_str().unwrap_or_default().to_owned();
    let descriptor = info.fd()?;
    let path = format!("/proc/self/fdinfo/{}", descriptor.as_fd().as_raw_fd());
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let bytes = text.lines().find_map(|line| line.strip_prefix("memlock:"));
    let bytes = bytes.with_context(|| format!("{path} does not tell the map's memory"))?;
    Ok((name, bytes.trim().parse().context("a number of bytes")?))
}
