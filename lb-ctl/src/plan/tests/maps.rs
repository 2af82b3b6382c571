//! Maps in memory that take operations one by one, refuse those that leave a reference to nothing, and decide packets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use etherparse::PacketBuilder;
use lb_common::decide::decide;
use lb_common::hash::HashKeys;
use lb_common::layout::{Backend, Bucket, Interface, Member, OwnMac, Selection, Service};
use lb_common::parse;
use lb_common::testing::MemoryTables;
use lb_common::verdict::{Action, Verdict};

use super::world::SEED;
use crate::plan::contents::{Contents, RuleContents, ServiceContents, ZonePrefix};
use crate::plan::diff::{Operation, diff};
use crate::plan::{Arrivals, Limits};

pub(crate) struct FakeMaps {
    pub(crate) tables: MemoryTables,
    pub(crate) backends: BTreeMap<u32, Backend>,
    pub(crate) probes: BTreeMap<u32, u32>,
    pub(crate) devices: BTreeSet<u32>,
    pub(crate) zones: BTreeMap<ZonePrefix, u32>,
    pub(crate) zone_words: Vec<u64>,
}

impl FakeMaps {
    pub(crate) fn new() -> Self {
        Self::of(&super::world::LIMITS)
    }

    pub(crate) fn of(limits: &Limits) -> Self {
        let mut tables = MemoryTables::new(HashKeys::from_seed(SEED), 64);
        tables.slots = vec![0; limits.table_slots as usize];
        tables.ingress = super::world::INGRESS;
        Self {
            tables,
            backends: BTreeMap::new(),
            probes: BTreeMap::new(),
            devices: BTreeSet::new(),
            zones: BTreeMap::new(),
            // What no plan wrote is not to be relied upon.
            zone_words: vec![u64::MAX; limits.zone_tables as usize],
        }
    }

    /// Goes to `desired`, and arrives there.
    pub(crate) fn reach(&mut self, desired: &Contents) {
        for operation in diff(&self.contents(), desired) {
            self.apply(&operation);
        }
        assert_eq!(self.contents(), *desired);
        assert_eq!(diff(&self.contents(), desired), []);
    }

    /// Everything that the maps hold, as a new daemon would read it.
    pub(crate) fn contents(&self) -> Contents {
        let mut services: BTreeMap<u32, ServiceContents> = BTreeMap::new();
        for (number, record) in &self.tables.services {
            let zone_words = self.words(record).to_vec();
            let tables = zone_words
                .iter()
                .filter_map(|word| self.held(Selection::from_word(*word)));
            let service = ServiceContents {
                record: *record,
                members: BTreeMap::new(),
                table: self.held(record.selection()),
                zone_tables: tables.collect(),
                zone_words,
            };
            services.insert(*number, service);
        }
        for (number, member) in &self.tables.members {
            let service = services.entry(member.service()).or_default();
            service.members.insert(*number, *member);
        }
        Contents {
            services: services
                .into_iter()
                .map(|(number, service)| (number, Arc::new(service)))
                .collect(),
            rules: RuleContents {
                rules: self.tables.rules.clone(),
                vips: self.tables.vips.clone(),
                steering: self.tables.steering.clone(),
            }
            .into(),
            backends: self.backends.clone().into(),
            probes: self.probes.clone().into(),
            devices: self.devices.clone(),
            zones: self.zones.clone().into(),
            arrivals: Arrivals {
                interfaces: self.tables.interfaces.clone(),
                own_macs: self.tables.own_macs.clone(),
            }
            .into(),
        }
    }

    fn put_interface(&mut self, index: u32, interface: Interface) {
        self.tables.interfaces.insert(index, interface);
        self.assert_has_its_own_mac(index);
    }

    /// An interface that is known has at least its own address.
    fn assert_has_its_own_mac(&self, index: u32) {
        let interface = self.tables.interfaces.get(&index);
        let own = interface.map(|interface| OwnMac {
            ifindex: index.into(),
            mac: interface.mac,
        });
        assert!(own.is_none_or(|own| self.tables.own_macs.contains(&own)));
    }

    /// The selection words of a service's zones.
    pub(crate) fn words(&self, record: &Service) -> &[u64] {
        let zones = record.zones();
        let first = if zones.count == 0 { 0 } else { zones.first as usize };
        &self.zone_words[first..first + zones.count as usize]
    }

    pub(crate) fn slots(&self, selection: Selection) -> &[u32] {
        let start = selection.offset as usize;
        &self.tables.slots[start..start + selection.size as usize]
    }

    fn held(&self, selection: Selection) -> Option<(u32, Arc<[u32]>)> {
        let slots = self.slots(selection);
        (!slots.is_empty()).then(|| (selection.offset, slots.into()))
    }

    /// Every table in force of a service.
    fn selections(&self, record: &Service) -> Vec<Selection> {
        let words = self.words(record).iter().map(|word| Selection::from_word(*word));
        words.chain([record.selection()]).collect()
    }

    /// The members that a service's tables name.
    fn named(&self, record: &Service) -> BTreeSet<u32> {
        let selections = self.selections(record);
        selections
            .into_iter()
            .flat_map(|selection| self.slots(selection).iter().copied())
            .collect()
    }

    pub(crate) fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::PutOwnMac(own) => assert!(self.tables.own_macs.insert(*own)),
            Operation::PutInterface(index, interface) => self.put_interface(*index, *interface),
            Operation::DeleteInterface(index) => assert!(self.tables.interfaces.remove(index).is_some()),
            Operation::DeleteOwnMac(own) => {
                assert!(self.tables.own_macs.remove(own));
                self.assert_has_its_own_mac(own.ifindex as u32);
            }
            Operation::PutDevice(device) => assert!(self.devices.insert(*device)),
            Operation::PutBackend(number, backend) => self.put_backend(*number, backend),
            Operation::PutProbe(path, record) => {
                assert!(self.backends.contains_key(record), "no delivery record {record}");
                self.probes.insert(*path, *record);
            }
            Operation::ClearProbe(path) => assert!(self.probes.remove(path).is_some()),
            Operation::WriteTable(offset, slots) => self.write_table(*offset, slots),
            Operation::PutMember(number, member) => self.put_member(*number, member),
            Operation::PutService(number, service) => self.put_service(*number, service),
            Operation::PutZoneSelection(index, word) => {
                let members = self.slots(Selection::from_word(*word));
                for member in members {
                    assert!(self.tables.members.contains_key(member), "no member {member}");
                }
                self.zone_words[*index as usize] = *word;
            }
            Operation::PutZone(key, bits, zone) => {
                self.zones.insert((*key, *bits), *zone);
                assert!(self.zones.len() <= super::world::LIMITS.zone_prefixes as usize);
            }
            Operation::DeleteZone(key, bits) => {
                assert!(self.zones.remove(&(*key, *bits)).is_some());
            }
            Operation::PutSteering(key, bits, service) => {
                self.expect_service(*service);
                self.tables.steering.insert((*key, *bits), *service);
            }
            Operation::PutRule(key, rule) => {
                self.expect_service(rule.service);
                let has_set = |set| self.tables.steering.keys().any(|(key, _)| key.steering == set);
                assert!(
                    rule.steering == 0 || has_set(rule.steering),
                    "an empty steering set"
                );
                self.tables.rules.insert(*key, *rule);
            }
            Operation::PutVip(key, vip) => drop(self.tables.vips.insert(*key, *vip)),
            Operation::DeleteVip(key) => assert!(self.tables.vips.remove(key).is_some()),
            Operation::DeleteRule(key) => assert!(self.tables.rules.remove(key).is_some()),
            Operation::DeleteSteering(key, bits) => {
                assert!(self.tables.steering.remove(&(*key, *bits)).is_some());
            }
            Operation::ClearService(number) => self.clear_service(*number),
            Operation::ClearMember(number) => self.clear_member(*number),
            Operation::ClearBackend(number) => {
                let is_named = self
                    .tables
                    .members
                    .values()
                    .any(|member| member.backend() == *number);
                let is_probed = self.probes.values().any(|record| record == number);
                assert!(!is_named && !is_probed, "backend {number} is named");
                assert!(self.backends.remove(number).is_some());
            }
            Operation::DeleteDevice(device) => {
                let is_named = self.backends.values().any(|backend| backend.ifindex == *device);
                assert!(!is_named, "device {device} is named");
                assert!(self.devices.remove(device));
            }
        }
    }

    fn expect_service(&self, number: u32) {
        assert!(self.tables.services.contains_key(&number), "no service {number}");
    }

    fn put_backend(&mut self, number: u32, backend: &Backend) {
        assert_ne!(number, 0);
        assert!(
            self.devices.contains(&backend.ifindex),
            "no device {}",
            backend.ifindex
        );
        let is_named = self
            .tables
            .members
            .values()
            .any(|member| member.backend() == number);
        assert!(!is_named, "backend {number} changes while a member names it");
        self.backends.insert(number, *backend);
    }

    fn write_table(&mut self, offset: u32, slots: &[u32]) {
        let end = offset + slots.len() as u32;
        for (number, service) in &self.tables.services {
            for selection in self.selections(service) {
                let is_apart = end <= selection.offset || selection.offset + selection.size <= offset;
                assert!(
                    selection.size == 0 || is_apart,
                    "the table of service {number} is in force"
                );
            }
        }
        for slot in slots {
            assert!(self.tables.members.contains_key(slot), "no member {slot}");
        }
        self.tables.slots[offset as usize..end as usize].copy_from_slice(slots);
    }

    fn put_member(&mut self, number: u32, member: &Member) {
        assert_ne!(number, 0);
        let backend = member.backend();
        assert!(
            backend == 0 || self.backends.contains_key(&backend),
            "no backend {backend}"
        );
        if let Some(old) = self.tables.members.get(&number) {
            let is_over = !old.serves_entries(self.tables.now);
            assert!(
                old.service() == member.service() || is_over,
                "member {number} changes sides"
            );
        }
        self.tables.members.insert(number, *member);
    }

    fn put_service(&mut self, number: u32, service: &Service) {
        assert_ne!(number, 0);
        assert!(service.policy().in_use());
        for member in self.named(service) {
            let record = self
                .tables
                .members
                .get(&member)
                .expect("the table names a member");
            assert_eq!(
                record.service(),
                number,
                "the table names another service's member"
            );
        }
        self.tables.services.insert(number, *service);
    }

    fn clear_service(&mut self, number: u32) {
        let rules = self.tables.rules.values().map(|rule| rule.service);
        let led_to: BTreeSet<u32> = rules.chain(self.tables.steering.values().copied()).collect();
        assert!(!led_to.contains(&number), "a rule leads to service {number}");
        assert!(self.tables.services.remove(&number).is_some());
    }

    fn clear_member(&mut self, number: u32) {
        let is_named = |service: &Service| self.named(service).contains(&number);
        assert!(
            !self.tables.services.values().any(is_named),
            "a table names member {number}"
        );
        assert!(self.tables.members.remove(&number).is_some());
    }

    /// Decides a frame, which may record its flow.
    pub(crate) fn decide(&self, frame: &[u8]) -> Verdict {
        let network = parse::network(&frame).expect("an IP packet");
        let verdict = decide(&self.tables, &frame, &network);
        assert!(!verdict.reason.is_broken_invariant(), "{verdict:?}");
        if verdict.reason.action() == Action::Forward {
            assert!(self.backends.contains_key(&verdict.backend), "{verdict:?}");
        }
        verdict
    }

    /// Decides each frame as if it were the next one: the flow table is left as it was.
    pub(crate) fn foresee(&self, frames: &[Vec<u8>]) -> Vec<Verdict> {
        let flows: Vec<Bucket> = self
            .tables
            .buckets
            .iter()
            .map(|bucket| bucket.snapshot())
            .collect();
        let restore = || {
            for (bucket, flows) in self.tables.buckets.iter().zip(&flows) {
                bucket.store(flows);
            }
        };
        let verdicts = frames.iter().map(|frame| {
            let verdict = self.decide(frame);
            restore();
            verdict
        });
        verdicts.collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Syn,
    Ack,
    Udp,
    Icmp,
}

/// A packet from client `client` (an arbitrary number) to a VIP, by its text, and a port.
pub(crate) fn frame(kind: Kind, client: u16, vip: &str, port: u16) -> Vec<u8> {
    let [high, low] = client.to_be_bytes();
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 9], [2, 0, 0, 0, 0, 1]);
    let builder = match super::world::ip(vip) {
        std::net::IpAddr::V4(vip) => builder.ipv4([198, 51, high, low], vip.octets(), 64),
        std::net::IpAddr::V6(vip) => {
            let mut source = [0; 16];
            source[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
            source[14..].copy_from_slice(&[high, low]);
            builder.ipv6(source, vip.octets(), 64)
        }
    };
    let source_port = 40_000 + client % 1000;
    let mut bytes = Vec::new();
    let written = match kind {
        Kind::Syn => builder
            .tcp(source_port, port, 1, 1000)
            .syn()
            .write(&mut bytes, &[]),
        Kind::Ack => builder
            .tcp(source_port, port, 1, 1000)
            .ack(1)
            .write(&mut bytes, &[]),
        Kind::Udp => builder.udp(source_port, port).write(&mut bytes, b"payload"),
        Kind::Icmp => builder.icmpv4_echo_request(1, 1).write(&mut bytes, b"payload"),
    };
    written.expect("memory takes it");
    bytes
}
