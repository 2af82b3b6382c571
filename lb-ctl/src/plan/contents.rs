//! What the kernel's maps hold, or should hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::arrivals::Arrivals;
use imbl::OrdMap;
use lb_common::layout::{AddressKey, Backend, Member, Rule, RuleKey, Service, SteeringKey, Vip};

/// What the slots of an array map hold, by their numbers; copies share it.
pub type Numbered<V> = OrdMap<u32, V>;

/// The content of every map that the plan owns. What is large is shared between copies, so that a copy costs nothing,
/// and what an event did not touch is recognised without a look inside.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    pub services: Numbered<Arc<ServiceContents>>,
    pub rules: Arc<RuleContents>,
    pub backends: Numbered<Backend>,
    /// From the number of a probe path to that of its delivery record.
    pub probes: Numbered<u32>,
    /// Interfaces that packets may leave by.
    pub devices: BTreeSet<u32>,
    /// The interfaces that packets arrive on.
    pub arrivals: Arc<Arrivals>,
    /// Client prefix and its length to zone; IPv4 as it is in [`AddressKey`], 96 bits longer. Zone 0 is none.
    pub zones: Arc<BTreeMap<ZonePrefix, u32>>,
}

/// The key of a client prefix, and its length (0..=128).
pub type ZonePrefix = (AddressKey, u32);

/// A service's record, its members and its selection tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceContents {
    pub record: Service,
    pub members: BTreeMap<u32, Member>,
    /// Where the table starts, and its slots; absent when the eligible set is empty.
    pub table: Option<(u32, Arc<[u32]>)>,
    /// The words at the record's `zones()`: the selections of clients in zone 1, 2, …
    pub zone_words: Vec<u64>,
    /// The tables that those words name, by where they start.
    pub zone_tables: BTreeMap<u32, Arc<[u32]>>,
}

impl ServiceContents {
    /// Whether packets without an entry may go to `member`.
    pub(super) fn names(&self, member: u32) -> bool {
        let leader = self.record.leader();
        let mut tables = self
            .table
            .iter()
            .map(|(_, slots)| slots)
            .chain(self.zone_tables.values());
        leader.is_set() && leader.member() == member || tables.any(|slots| slots.contains(&member))
    }
}

/// Everything that maps a packet to a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleContents {
    pub rules: BTreeMap<RuleKey, Rule>,
    pub vips: BTreeMap<AddressKey, Vip>,
    /// Key and prefix length of its source part (0..=128) to service.
    pub steering: BTreeMap<(SteeringKey, u32), u32>,
}
