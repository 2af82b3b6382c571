//! The memory of first fragments from user space: where later fragments of the same datagrams go.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use aya::maps::{HashMap, Map, MapData, MapError};
use lb_common::layout::{FragmentKey, FragmentRecord, map};
use zerocopy::transmute;

/// A hash map that forgets the oldest datagram when it is full. Records that have passed their deadline stay until
/// then.
pub struct FragmentMemory(HashMap<MapData, [u8; 40], [u8; 8]>);

impl FragmentMemory {
    pub(super) fn new(data: MapData) -> Result<Self> {
        let map =
            HashMap::try_from(Map::LruHashMap(data)).with_context(|| format!("map {}", map::FRAGMENTS))?;
        Ok(Self(map))
    }

    pub fn get(&self, key: &FragmentKey) -> Result<Option<FragmentRecord>> {
        match self.0.get(&transmute!(*key), 0) {
            Ok(record) => Ok(Some(transmute!(record))),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Every record, the passed ones too.
    pub fn all(&self) -> Result<BTreeMap<FragmentKey, FragmentRecord>> {
        let mut records = BTreeMap::new();
        for entry in self.0.iter() {
            let (key, record) = entry?;
            records.insert(transmute!(key), transmute!(record));
        }
        Ok(records)
    }

    /// Makes `records` all that there is, for tests and for handing flows over.
    pub fn replace(&mut self, records: &BTreeMap<FragmentKey, FragmentRecord>) -> Result<()> {
        for key in self.all()?.keys().filter(|key| !records.contains_key(key)) {
            self.0.remove(&transmute!(*key))?;
        }
        for (key, record) in records {
            let (key, record): ([u8; 40], [u8; 8]) = (transmute!(*key), transmute!(*record));
            self.0.insert(key, record, 0)?;
        }
        Ok(())
    }

    /// Adds the records of datagrams that are unknown here.
    pub(super) fn add_missing(&mut self, records: &BTreeMap<FragmentKey, FragmentRecord>) -> Result<()> {
        /// `BPF_NOEXIST`.
        const IF_ABSENT: u64 = 1;
        for (key, record) in records {
            let (key, record): ([u8; 40], [u8; 8]) = (transmute!(*key), transmute!(*record));
            match self.0.insert(key, record, IF_ABSENT) {
                Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::EEXIST) => {
                }
                inserted => inserted?,
            }
        }
        Ok(())
    }
}
