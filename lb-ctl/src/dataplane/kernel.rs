//! The maps: reading them back, and applying operations to them.

mod copy;
mod cpus;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use aya::maps::lpm_trie::{Key as PrefixKey, LpmTrie};
use aya::maps::xdp::DevMapHash;
use aya::maps::{HashMap, MapData, MapError, PerCpuArray};
use imbl::OrdMap;
use lb_common::layout::{
    AddressKey, Backend, FilterBit, Interface, Member, MemberCounter, OwnMac, RuleKey, Selection, Service,
    SteeringKey, TupleHead, TupleRest, VerdictCounter, about, filter_key, map, size,
};
use lb_common::verdict::Reason;
use zerocopy::{FromBytes, IntoBytes, transmute};

use self::cpus::CpuStates;
use super::flows::FlowTable;
use super::fragments::FragmentMemory;
use super::load::Sizes;
use super::mapped::MappedArray;
use super::pin::PinDirectory;
use crate::plan::Arrivals;
use crate::plan::contents::{Contents, Numbered, RuleContents, ServiceContents, ZonePrefix};
use crate::plan::diff::Operation;
use crate::resources::StoreId;

/// Handles on every map. Keys and values cross as bytes: their layouts are checked by zerocopy, and aya's own
/// marker trait can't be implemented for types of another crate.
pub struct MapSet {
    rules: HashMap<MapData, [u8; 20], [u8; 8]>,
    vips: HashMap<MapData, [u8; 16], [u8; 16]>,
    interfaces: HashMap<MapData, u64, [u64; 2]>,
    own_macs: HashMap<MapData, [u64; 2], u64>,
    steering: LpmTrie<MapData, [u8; 20], u32>,
    zones: LpmTrie<MapData, [u8; 16], u32>,
    devices: DevMapHash<MapData>,
    cpus: CpuStates,
    member_stats: PerCpuArray<MapData, [u64; 4]>,
    services: MappedArray,
    members: MappedArray,
    backends: MappedArray,
    probes: MappedArray,
    tables: MappedArray,
    zone_tables: MappedArray,
    vip_filter: MappedArray,
    epoch: MappedArray,
    about: MappedArray,
    /// Shared with readers of its memory.
    pub flows: Arc<FlowTable>,
    pub fragments: FragmentMemory,
    flows_map_id: u32,
    /// The kernel's numbers of the maps, for another set of handles.
    ids: BTreeMap<&'static str, u32>,
    sizes: Sizes,
}

/// Why operations were not applied.
#[derive(Debug, thiserror::Error)]
#[error("{cause:#}")]
pub struct ApplyError {
    cause: anyhow::Error,
    about_devices: bool,
}

impl ApplyError {
    pub fn new(cause: anyhow::Error) -> Self {
        Self {
            cause,
            about_devices: false,
        }
    }

    /// Everything was applied but for interfaces that packets leave by, which may be gone.
    pub fn is_about_devices(&self) -> bool {
        self.about_devices
    }

    fn of_devices(errors: &[anyhow::Error]) -> Self {
        let errors: Vec<String> = errors.iter().map(|error| format!("{error:#}")).collect();
        Self {
            cause: anyhow::anyhow!("{}", errors.join("; ")),
            about_devices: true,
        }
    }
}

/// Finds the map of a name.
pub(super) type Source<'a> = &'a mut dyn FnMut(&'static str) -> Result<MapData>;

fn array(source: Source<'_>, name: &'static str, values: u32, value_size: usize) -> Result<MappedArray> {
    let map = source(name)?;
    MappedArray::new(map.fd(), values, value_size).with_context(|| format!("map {name}"))
}

impl MapSet {
    /// From wherever `source` finds a map of a name.
    pub(super) fn new(source: Source<'_>, sizes: &Sizes) -> Result<Self> {
        let maps = Self::open(source, sizes)?;
        // A former daemon may have ended between a change and what belongs to it.
        maps.filter_vips()?;
        maps.start_epoch();
        Ok(maps)
    }

    /// Other handles on the same maps, for another thread.
    pub fn reopen(&self) -> Result<Self> {
        let mut source = |name: &'static str| {
            let id = self.ids.get(name).copied();
            let id = id.with_context(|| format!("no map {name}"))?;
            MapData::from_id(id).with_context(|| format!("opening the map {name} again"))
        };
        Self::open(&mut source, &self.sizes)
    }

    /// The same without a change of any map.
    pub(super) fn open(find: Source<'_>, sizes: &Sizes) -> Result<Self> {
        let mut ids = BTreeMap::new();
        let source: Source<'_> = &mut |name| {
            let map = find(name)?;
            ids.insert(name, map.info()?.id());
            Ok(map)
        };
        let flows = source(map::FLOWS)?;
        let flows_map_id = flows.info()?.id();
        let buckets = sizes.flow_slots / lb_common::layout::BUCKET_SLOTS;
        let flows = MappedArray::new(flows.fd(), buckets, 64)?;
        let tuples = array(source, map::TUPLES, sizes.flow_slots, size_of::<TupleHead>())?;
        let tuples6 = array(source, map::TUPLES6, sizes.flow_slots, size_of::<TupleRest>())?;
        let kind = |name: &'static str| move || format!("map {name}");
        Ok(Self {
            rules: HashMap::try_from(aya::maps::Map::HashMap(source(map::RULES)?))
                .with_context(kind(map::RULES))?,
            vips: HashMap::try_from(aya::maps::Map::HashMap(source(map::VIPS)?))
                .with_context(kind(map::VIPS))?,
            interfaces: HashMap::try_from(aya::maps::Map::HashMap(source(map::INTERFACES)?))
                .with_context(kind(map::INTERFACES))?,
            own_macs: HashMap::try_from(aya::maps::Map::HashMap(source(map::OWN_MACS)?))
                .with_context(kind(map::OWN_MACS))?,
            steering: LpmTrie::try_from(aya::maps::Map::LpmTrie(source(map::STEERING)?))
                .with_context(kind(map::STEERING))?,
            zones: LpmTrie::try_from(aya::maps::Map::LpmTrie(source(map::ZONES)?))
                .with_context(kind(map::ZONES))?,
            devices: DevMapHash::try_from(aya::maps::Map::DevMapHash(source(map::DEVICES)?))
                .with_context(kind(map::DEVICES))?,
            cpus: CpuStates::new(source(map::CPU)?)?,
            member_stats: PerCpuArray::try_from(aya::maps::Map::PerCpuArray(source(map::MEMBER_STATS)?))
                .with_context(kind(map::MEMBER_STATS))?,
            services: array(source, map::SERVICES, sizes.services, size_of::<Service>())?,
            members: array(source, map::MEMBERS, sizes.members, size_of::<Member>())?,
            backends: array(source, map::BACKENDS, sizes.backends, size_of::<Backend>())?,
            probes: array(source, map::PROBES, sizes.members, 8)?,
            tables: array(source, map::TABLES, sizes.table_slots / 2, 8)?,
            zone_tables: array(source, map::ZONE_TABLES, sizes.zone_tables, 8)?,
            vip_filter: array(source, map::VIP_FILTER, size::VIP_FILTER, 8)?,
            epoch: array(source, map::EPOCH, 1, 8)?,
            about: array(source, map::ABOUT, about::WORDS, 8)?,
            flows: Arc::new(FlowTable::new(flows, tuples, tuples6)),
            fragments: FragmentMemory::new(source(map::FRAGMENTS)?)?,
            flows_map_id,
            ids,
            sizes: *sizes,
        })
    }

    /// Those that a daemon has pinned, without loading its program.
    pub fn pinned(pins: &PinDirectory, sizes: &Sizes) -> Result<Self> {
        let mut open = |name: &'static str| {
            let map = MapData::from_pin(pins.maps().join(name));
            map.with_context(|| format!("opening the pinned map {name}"))
        };
        Self::open(&mut open, sizes)
    }

    /// Tells one life of the maps from another: a map made anew has a new id, and one that was copied says whose.
    pub fn incarnation(&self) -> u32 {
        match self.about.load::<1>(about::INCARNATION as usize) {
            [0] => self.flows_map_id,
            [copied] => copied as u32,
        }
    }

    /// The maps take over the life of others, whose content they were given.
    pub(super) fn set_incarnation(&self, number: u32) {
        self.about
            .store(about::INCARNATION as usize, &[u64::from(number)]);
    }

    /// The maps take over the life and the store of others, whose content they were given.
    pub(super) fn take_identity(&self, from: &Self) {
        for index in about::STORE {
            let words = from.about.load::<1>(index as usize);
            self.about.store(index as usize, &words);
        }
        self.set_incarnation(from.incarnation());
    }

    /// From now on the maps say that they are written from this store.
    pub fn set_store(&self, store: StoreId) {
        for (index, word) in about::STORE.into_iter().zip(store.words()) {
            self.about.store(index as usize, &[word]);
        }
    }

    /// In their order; the first that fails is the last. An interface that can't be made a way out is passed over: what
    /// leaves by it is lost anyway, and nothing else has to wait for it. One that is gone is no failure.
    pub fn apply(&mut self, operations: &[Operation]) -> Result<(), ApplyError> {
        let mut without = Vec::new();
        for operation in operations {
            let applied = self.apply_one(operation);
            let applied = applied.with_context(|| format!("applying {operation:.200?}"));
            match (operation, applied) {
                (_, Ok(())) => {}
                (Operation::PutDevice(index), Err(_)) if is_gone(*index) => {}
                (Operation::PutDevice(_), Err(error)) => without.push(error),
                (_, Err(error)) => return Err(ApplyError::new(error)),
            }
        }
        // A bit may be that of several addresses.
        let deletes = |operation| matches!(operation, &Operation::DeleteVip(_) | &Operation::DeleteRule(_));
        if operations.iter().any(deletes) {
            self.filter_vips().map_err(ApplyError::new)?;
        }
        match without.is_empty() {
            true => Ok(()),
            false => Err(ApplyError::of_devices(&without)),
        }
    }

    /// Sets the bits of the addresses that are there, and no others.
    fn filter_vips(&self) -> Result<()> {
        let mut words = vec![0; size::VIP_FILTER as usize];
        let mut set = |address: &AddressKey| {
            let FilterBit { word, mask } = FilterBit::of(&filter_key(*address));
            words[word as usize] |= mask;
        };
        for key in self.vips.keys() {
            set(&transmute!(key?));
        }
        for key in self.rules.keys() {
            let key: RuleKey = transmute!(key?);
            set(&key.address);
        }
        for (index, word) in words.into_iter().enumerate() {
            self.vip_filter.store(index, &[word]);
        }
        Ok(())
    }

    fn set_filter_bit(&self, key: &AddressKey) {
        let FilterBit { word, mask } = FilterBit::of(&filter_key(*key));
        let [old] = self.vip_filter.load(word as usize);
        self.vip_filter.store(word as usize, &[old | mask]);
    }

    /// Ends what packets remember of the rules.
    fn start_epoch(&self) {
        let [old] = self.epoch.load(0);
        self.epoch.store(0, &[old + 1]);
    }

    fn apply_one(&mut self, operation: &Operation) -> Result<()> {
        match operation {
            Operation::PutDevice(index) => self.devices.insert(*index, *index, None, 0)?,
            Operation::DeleteDevice(index) => gone(self.devices.remove(*index))?,
            Operation::PutInterface(index, interface) => {
                self.interfaces
                    .insert(u64::from(*index), [interface.mac, interface.mtu], 0)?;
                self.start_epoch();
            }
            Operation::DeleteInterface(index) => {
                gone(self.interfaces.remove(&u64::from(*index)))?;
                self.start_epoch();
            }
            Operation::PutOwnMac(OwnMac { ifindex, mac }) => self.own_macs.insert([*ifindex, *mac], 1, 0)?,
            Operation::DeleteOwnMac(OwnMac { ifindex, mac }) => {
                gone(self.own_macs.remove(&[*ifindex, *mac]))?;
                self.start_epoch();
            }
            Operation::PutBackend(number, backend) => {
                let words: [u64; 8] = transmute!(*backend);
                self.backends.store(*number as usize, &words);
            }
            Operation::PutProbe(path, record) => self.probes.store(*path as usize, &[u64::from(*record)]),
            Operation::ClearProbe(path) => self.probes.store(*path as usize, &[0]),
            Operation::ClearBackend(number) => self.backends.store(*number as usize, &[0; 8]),
            Operation::WriteTable(offset, slots) => self.write_table(*offset, slots),
            Operation::PutMember(number, member) => {
                self.members
                    .store(*number as usize, &[member.state, member.route]);
            }
            Operation::ClearMember(number) => {
                self.members.store(*number as usize, &[0; 2]);
                self.clear_member_stats(*number)?;
            }
            Operation::PutZoneSelection(index, word) => self.zone_tables.store(*index as usize, &[*word]),
            Operation::PutZone(key, bits, zone) => {
                self.zones
                    .insert(&PrefixKey::new(*bits, transmute!(*key)), zone, 0)?;
            }
            Operation::DeleteZone(key, bits) => {
                gone(self.zones.remove(&PrefixKey::new(*bits, transmute!(*key))))?;
            }
            Operation::PutService(number, service) => {
                let words: [u64; 5] = transmute!(*service);
                self.services.store(*number as usize, &words);
            }
            Operation::ClearService(number) => self.services.store(*number as usize, &[0; 5]),
            Operation::PutSteering(key, bits, service) => {
                self.steering.insert(&prefix(key, *bits), service, 0)?;
            }
            Operation::DeleteSteering(key, bits) => gone(self.steering.remove(&prefix(key, *bits)))?,
            Operation::PutRule(key, rule) => {
                self.set_filter_bit(&key.address);
                let (key, rule): ([u8; 20], [u8; 8]) = (transmute!(*key), transmute!(*rule));
                self.rules.insert(key, rule, 0)?;
                self.start_epoch();
            }
            Operation::DeleteRule(key) => {
                gone(self.rules.remove(&transmute!(*key)))?;
                self.start_epoch();
            }
            Operation::PutVip(key, vip) => {
                self.set_filter_bit(key);
                let (key, vip): ([u8; 16], [u8; 16]) = (transmute!(*key), transmute!(*vip));
                self.vips.insert(key, vip, 0)?;
                self.start_epoch();
            }
            Operation::DeleteVip(key) => {
                gone(self.vips.remove(&transmute!(*key)))?;
                self.start_epoch();
            }
        }
        Ok(())
    }

    fn write_table(&self, offset: u32, slots: &[u32]) {
        for (index, pair) in slots.chunks(2).enumerate() {
            let word = u64::from(pair[0]) | (u64::from(pair.get(1).copied().unwrap_or(0)) << 32);
            self.tables.store(offset as usize / 2 + index, &[word]);
        }
    }

    /// A number that is given again starts with counters at 0.
    fn clear_member_stats(&mut self, number: u32) -> Result<()> {
        let cpus = self.member_stats.get(&number, 0)?.len();
        let zeros = aya::maps::PerCpuValues::try_from(vec![[0u64; 4]; cpus])?;
        self.member_stats.set(number, zeros, 0)?;
        Ok(())
    }

    /// What the maps hold now.
    pub fn read(&self) -> Result<Contents> {
        let mut services: BTreeMap<u32, ServiceContents> = BTreeMap::new();
        for number in 1..self.services.len() {
            let record: Service = transmute!(self.services.load::<5>(number));
            if record != Service::default() {
                services.insert(number as u32, self.read_service(record));
            }
        }
        for number in 1..self.members.len() {
            let member: Member = transmute!(self.members.load::<2>(number));
            if member != Member::default() {
                services
                    .entry(member.service())
                    .or_default()
                    .members
                    .insert(number as u32, member);
            }
        }
        Ok(Contents {
            services: services
                .into_iter()
                .map(|(number, service)| (number, Arc::new(service)))
                .collect(),
            rules: Arc::new(self.read_rules()?),
            backends: self.read_backends(),
            probes: self.read_probes(),
            devices: self.devices.keys().collect::<Result<BTreeSet<_>, _>>()?,
            zones: Arc::new(self.read_zones()?),
            arrivals: Arc::new(self.read_arrivals()?),
        })
    }

    fn read_arrivals(&self) -> Result<Arrivals> {
        let mut arrivals = Arrivals::default();
        for entry in self.interfaces.iter() {
            let (index, [mac, mtu]) = entry?;
            arrivals.interfaces.insert(index as u32, Interface { mac, mtu });
        }
        for key in self.own_macs.keys() {
            let [ifindex, mac] = key?;
            arrivals.own_macs.insert(OwnMac { ifindex, mac });
        }
        Ok(arrivals)
    }

    /// All but the members.
    fn read_service(&self, record: Service) -> ServiceContents {
        let zone_words = self.read_zone_words(&record);
        let zone_tables = zone_words
            .iter()
            .filter_map(|word| self.read_table(Selection::from_word(*word)));
        ServiceContents {
            record,
            members: BTreeMap::new(),
            table: self.read_table(record.selection()),
            zone_tables: zone_tables.collect(),
            zone_words,
        }
    }

    fn read_zone_words(&self, record: &Service) -> Vec<u64> {
        let zones = record.zones();
        let end = (zones.first as usize + zones.count as usize).min(self.zone_tables.len());
        (zones.first as usize..end)
            .map(|index| self.zone_tables.load::<1>(index)[0])
            .collect()
    }

    fn read_table(&self, selection: Selection) -> Option<(u32, Arc<[u32]>)> {
        let end = selection.offset as usize + selection.size as usize;
        if selection.size == 0 || end > 2 * self.tables.len() {
            return None;
        }
        let slots = (selection.offset as usize..end).map(|slot| {
            let [pair] = self.tables.load::<1>(slot / 2);
            (pair >> (32 * (slot % 2))) as u32
        });
        Some((selection.offset, slots.collect()))
    }

    fn read_zones(&self) -> Result<BTreeMap<ZonePrefix, u32>> {
        let mut zones = BTreeMap::new();
        for entry in self.zones.iter() {
            let (key, zone) = entry?;
            zones.insert((transmute!(key.data()), key.prefix_len()), zone);
        }
        Ok(zones)
    }

    fn read_rules(&self) -> Result<RuleContents> {
        let mut contents = RuleContents::default();
        for entry in self.rules.iter() {
            let (key, rule) = entry?;
            contents.rules.insert(transmute!(key), transmute!(rule));
        }
        for entry in self.vips.iter() {
            let (key, vip) = entry?;
            contents.vips.insert(transmute!(key), transmute!(vip));
        }
        for entry in self.steering.iter() {
            let (key, service) = entry?;
            let bits = key.prefix_len() - SteeringKey::SCOPE_BITS;
            let key =
                SteeringKey::read_from_bytes(&key.data()).map_err(|_| anyhow::anyhow!("a steering key"))?;
            contents.steering.insert((key, bits), service);
        }
        Ok(contents)
    }

    fn read_backends(&self) -> OrdMap<u32, Backend> {
        (1..self.backends.len())
            .map(|number| (number as u32, transmute!(self.backends.load::<8>(number))))
            .filter(|(_, backend): &(u32, Backend)| backend.mode != 0)
            .collect()
    }

    fn read_probes(&self) -> Numbered<u32> {
        (1..self.probes.len())
            .map(|path| (path as u32, self.probes.load::<1>(path)[0] as u32))
            .filter(|(_, record)| *record != 0)
            .collect()
    }

    /// Packets and bytes of every verdict, over all CPUs.
    pub fn verdicts(&self) -> Result<BTreeMap<Reason, VerdictCounter>> {
        let mut totals: BTreeMap<_, _> = Reason::ALL
            .iter()
            .map(|reason| (*reason, VerdictCounter::default()))
            .collect();
        for state in self.cpus.read()? {
            for (reason, total) in &mut totals {
                let counter = state.verdicts[*reason as usize];
                total.packets += counter.packets;
                total.bytes += counter.bytes;
            }
        }
        Ok(totals)
    }

    /// Packets to VIPs by interfaces that nothing is known of, over all CPUs.
    pub fn not_judged(&self) -> Result<u64> {
        Ok(self.cpus.read()?.iter().map(|state| state.not_judged).sum())
    }

    /// Packets and bytes of one verdict, over all CPUs.
    pub fn verdict(&self, reason: Reason) -> Result<VerdictCounter> {
        Ok(self.verdicts()?[&reason])
    }

    /// Counters of one member, over all CPUs.
    pub fn member_counter(&self, number: u32) -> Result<MemberCounter> {
        let mut total = MemberCounter::default();
        for [packets, bytes, new_flows, persisted] in self.member_stats.get(&number, 0)?.iter() {
            total.packets += packets;
            total.bytes += bytes;
            total.new_flows += new_flows;
            total.persisted += persisted;
        }
        Ok(total)
    }
}

/// What shall not be there is not there: the kernel removes ways out by interfaces that go away, and somebody else may
/// have removed the rest.
fn gone(removed: Result<(), MapError>) -> Result<(), MapError> {
    match removed {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        removed => removed,
    }
}

/// Whether no interface has this number any more.
fn is_gone(index: u32) -> bool {
    nix::net::if_::if_indextoname(index).is_err()
}

fn prefix(key: &SteeringKey, bits: u32) -> PrefixKey<[u8; 20]> {
    let mut data = [0; 20];
    data.copy_from_slice(key.as_bytes());
    PrefixKey::new(SteeringKey::SCOPE_BITS + bits, data)
}

// The byte sizes above are those of the layout.
const _: () = {
    assert!(size_of::<RuleKey>() == 20 && size_of::<SteeringKey>() == 20);
    assert!(size_of::<MemberCounter>() == 32);
};
