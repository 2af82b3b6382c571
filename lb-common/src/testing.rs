//! [`Tables`] in ordinary memory: for tests, plans and explanations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::flow::FlowBucket;
use crate::hash::HashKeys;
use crate::layout::{
    AddressKey, BUCKET_SLOTS, Bucket, FragmentKey, FragmentRecord, Interface, Member, OwnMac, Rule, RuleKey,
    Service, SteeringKey, TupleRecord, Vip, filter_key, ipv6_prefix_key, mac_word,
};
use crate::tables::{Owner, Tables};

#[derive(Debug, Default)]
pub struct MemoryBucket([AtomicU64; BUCKET_SLOTS as usize]);

impl FlowBucket for MemoryBucket {
    fn load(&self, slot: usize) -> u64 {
        self.0[slot].load(Ordering::Relaxed)
    }

    fn compare_exchange(&self, slot: usize, old: u64, new: u64) -> bool {
        self.0[slot]
            .compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

impl MemoryBucket {
    pub fn snapshot(&self) -> Bucket {
        Bucket {
            slots: std::array::from_fn(|slot| self.load(slot)),
        }
    }

    pub fn store(&self, bucket: &Bucket) {
        for (slot, value) in self.0.iter().zip(bucket.slots) {
            slot.store(value, Ordering::Relaxed);
        }
    }
}

/// Everything that a decision reads, and the flows that it writes.
#[derive(Debug)]
pub struct MemoryTables {
    pub keys: HashKeys,
    pub now: u32,
    pub rules: BTreeMap<RuleKey, Rule>,
    pub vips: BTreeMap<AddressKey, Vip>,
    /// Prefix length in bits of the source part (0..=128), longest first is not required.
    pub steering: BTreeMap<(SteeringKey, u32), u32>,
    /// Prefix (with its length in bits, 0..=128) to zone.
    pub zones: BTreeMap<(AddressKey, u32), u32>,
    pub zone_tables: BTreeMap<u32, u64>,
    pub fragments: Mutex<BTreeMap<FragmentKey, FragmentRecord>>,
    pub answers_echo: bool,
    pub services: BTreeMap<u32, Service>,
    pub members: BTreeMap<u32, Member>,
    pub slots: Vec<u32>,
    pub buckets: Vec<MemoryBucket>,
    pub tuples: Mutex<BTreeMap<u32, TupleRecord>>,
    /// The interface that packets come by.
    pub ingress: u32,
    pub interfaces: BTreeMap<u32, Interface>,
    pub own_macs: BTreeSet<OwnMac>,
    pub not_judged: AtomicU64,
}

impl MemoryTables {
    pub fn new(keys: HashKeys, buckets: usize) -> Self {
        Self {
            keys,
            now: 1,
            rules: BTreeMap::new(),
            vips: BTreeMap::new(),
            steering: BTreeMap::new(),
            zones: BTreeMap::new(),
            zone_tables: BTreeMap::new(),
            fragments: Mutex::default(),
            answers_echo: false,
            services: BTreeMap::new(),
            members: BTreeMap::new(),
            slots: Vec::new(),
            buckets: std::iter::repeat_with(MemoryBucket::default)
                .take(buckets)
                .collect(),
            tuples: Mutex::default(),
            ingress: 0,
            interfaces: BTreeMap::new(),
            own_macs: BTreeSet::new(),
            not_judged: AtomicU64::new(0),
        }
    }
}

impl MemoryTables {
    /// Packets come by this interface, which has this address.
    pub fn arrive_at(&mut self, ingress: u32, mac: [u8; 6], mtu: u64) {
        let mac = mac_word(mac);
        self.ingress = ingress;
        self.interfaces.insert(ingress, Interface { mac, mtu });
        let ifindex = ingress.into();
        self.own_macs.insert(OwnMac { ifindex, mac });
    }
}

impl Tables for MemoryTables {
    type Bucket = MemoryBucket;

    fn keys(&self) -> &HashKeys {
        &self.keys
    }

    fn now(&self) -> u32 {
        self.now
    }

    fn rule(&self, key: &RuleKey) -> Option<Rule> {
        self.rules.get(key).copied()
    }

    fn vip(&self, key: &AddressKey) -> Option<Vip> {
        self.vips.get(key).copied()
    }

    fn may_be_vip(&self, key: &AddressKey) -> bool {
        let mut addresses = self
            .vips
            .keys()
            .chain(self.rules.keys().map(|rule| &rule.address));
        addresses.any(|address| filter_key(*address) == *key)
    }

    /// A rule for just this port is what the whole look-up finds first.
    fn recalled(&self, exact: &RuleKey) -> Option<Rule> {
        let of_prefix = RuleKey {
            address: ipv6_prefix_key(exact.address),
            ..*exact
        };
        let is_vip = self.vips.contains_key(&exact.address);
        let found = self.rules.get(exact);
        found
            .or_else(|| self.rules.get(&of_prefix).filter(|_| !is_vip))
            .copied()
    }

    fn owner(&self, _epoch: u32, mac: u64) -> Owner {
        let ifindex = self.ingress.into();
        if self.own_macs.contains(&OwnMac { ifindex, mac }) {
            Owner::ThisHost
        } else if self.interfaces.contains_key(&self.ingress) {
            Owner::AnotherHost
        } else {
            Owner::Unknown
        }
    }

    fn note_not_judged(&self) {
        self.not_judged.fetch_add(1, Ordering::Relaxed);
    }

    fn steering(&self, key: &SteeringKey) -> Option<u32> {
        self.steering
            .iter()
            .filter(|((rule, bits), _)| rule.steering == key.steering && shares_prefix(rule, key, *bits))
            .max_by_key(|((_, bits), _)| *bits)
            .map(|(_, service)| *service)
    }

    fn service(&self, number: u32) -> Option<Service> {
        self.services.get(&number).copied()
    }

    fn member(&self, number: u32) -> Option<Member> {
        self.members.get(&number).copied()
    }

    fn selected(&self, slot: u32) -> u32 {
        self.slots.get(slot as usize).copied().unwrap_or(0)
    }

    fn zone(&self, client: &AddressKey) -> u32 {
        let matching = self
            .zones
            .iter()
            .filter(|((prefix, bits), _)| addresses_share_prefix(prefix, client, *bits));
        matching
            .max_by_key(|((_, bits), _)| *bits)
            .map_or(0, |(_, zone)| *zone)
    }

    fn zone_selection(&self, index: u32) -> u64 {
        self.zone_tables.get(&index).copied().unwrap_or(0)
    }

    fn fragment(&self, key: &FragmentKey) -> Option<FragmentRecord> {
        self.fragments.lock().expect("no holder panics").get(key).copied()
    }

    fn remember_fragment(&self, key: &FragmentKey, record: &FragmentRecord) {
        self.fragments
            .lock()
            .expect("no holder panics")
            .insert(*key, *record);
    }

    fn answers_echo(&self) -> bool {
        self.answers_echo
    }

    fn bucket_count(&self) -> u32 {
        self.buckets.len() as u32
    }

    fn bucket(&self, index: u32) -> Option<&MemoryBucket> {
        self.buckets.get(index as usize)
    }

    fn keep_tuple(&self, index: u32, tuple: &TupleRecord) {
        self.tuples
            .lock()
            .expect("no holder panics")
            .insert(index, *tuple);
    }
}

fn shares_prefix(rule: &SteeringKey, key: &SteeringKey, bits: u32) -> bool {
    addresses_share_prefix(&rule.source, &key.source, bits)
}

fn addresses_share_prefix(one: &AddressKey, other: &AddressKey, bits: u32) -> bool {
    let as_number = |words: &AddressKey| {
        let words = words.iter().map(|word| u128::from(u32::from_be(*word)));
        words.fold(0u128, |total, word| (total << 32) | word)
    };
    bits == 0 || (as_number(one) ^ as_number(other)) >> (128 - bits) == 0
}
