//! What an earlier run has left pinned: whose it is, and how large its maps are.

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::maps::MapData;
use lb_common::layout::{BUCKET_SLOTS, about, map};

use super::load::Sizes;
use super::mapped::MappedArray;
use super::pin::PinDirectory;
use crate::resources::StoreId;

/// Maps that a program may forward by at this moment.
#[derive(Clone, Debug)]
pub struct Pinned {
    /// The store that they were written from, if they say.
    pub store: Option<StoreId>,
    /// As [`MapSet::incarnation`](super::MapSet::incarnation).
    pub incarnation: u32,
    pub sizes: Sizes,
}

impl PinDirectory {
    /// Nothing unless some interface's link is pinned: maps alone forward nothing.
    pub fn pinned(&self) -> Result<Option<Pinned>> {
        if self.linked_interfaces()?.is_empty() {
            return Ok(None);
        }
        read(self.maps()).with_context(|| format!("reading what is pinned in {}", self.maps().display()))
    }
}

/// Nothing without a flow table.
fn read(maps: &Path) -> Result<Option<Pinned>> {
    let flows = maps.join(map::FLOWS);
    if !flows.exists() {
        return Ok(None);
    }
    let about = about_words(maps)?;
    let incarnation = match about[about::INCARNATION as usize] as u32 {
        0 => MapData::from_pin(flows)?.info()?.id(),
        number => number,
    };
    Ok(Some(Pinned {
        store: StoreId::from_words(about::STORE.map(|word| about[word as usize])),
        incarnation,
        sizes: sizes(maps)?,
    }))
}

fn about_words(maps: &Path) -> Result<[u64; about::WORDS as usize]> {
    let path = maps.join(map::ABOUT);
    if !path.exists() {
        return Ok([0; about::WORDS as usize]);
    }
    let map = MapData::from_pin(path)?;
    let words = MappedArray::new(map.fd(), about::WORDS, 8)?;
    Ok(std::array::from_fn(|word| words.load::<1>(word)[0]))
}

/// What the maps of a directory have room for.
pub(super) fn sizes(maps: &Path) -> Result<Sizes> {
    let entries = |name: &str| -> Result<u32> {
        let map = MapData::from_pin(maps.join(name)).with_context(|| format!("opening the map {name}"))?;
        Ok(map.info()?.max_entries())
    };
    Ok(Sizes {
        flow_slots: entries(map::FLOWS)? * BUCKET_SLOTS,
        table_slots: entries(map::TABLES)? * 2,
        services: entries(map::SERVICES)?,
        members: entries(map::MEMBERS)?,
        backends: entries(map::BACKENDS)?,
        zone_tables: entries(map::ZONE_TABLES)?,
        zone_prefixes: entries(map::ZONES)?,
    })
}
