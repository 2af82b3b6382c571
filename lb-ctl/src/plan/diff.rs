//! From what the maps hold to what they should: the operations, in an order in which every packet finds either the
//! old state or the new one (make before break).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use lb_common::layout::{
    AddressKey, Backend, Interface, Member, OwnMac, Pool, Pools, Rule, RuleKey, Service, SteeringKey, Vip,
    size,
};

use super::contents::{Contents, RuleContents, ServiceContents};

#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    PutOwnMac(OwnMac),
    PutInterface(u32, Interface),
    PutDevice(u32),
    PutBackend(u32, Backend),
    PutProbe(u32, u32),
    WriteTable(u32, Arc<[u32]>),
    PutMember(u32, Member),
    /// The selection of one zone's clients, at its place in the zone-table array.
    PutZoneSelection(u32, u64),
    PutService(u32, Service),
    PutSteering(SteeringKey, u32, u32),
    PutRule(RuleKey, Rule),
    PutVip(AddressKey, Vip),
    PutZone(AddressKey, u32, u32),
    DeleteZone(AddressKey, u32),
    DeleteVip(AddressKey),
    DeleteRule(RuleKey),
    DeleteSteering(SteeringKey, u32),
    ClearService(u32),
    ClearMember(u32),
    ClearProbe(u32),
    ClearBackend(u32),
    DeleteDevice(u32),
    DeleteInterface(u32),
    DeleteOwnMac(OwnMac),
}

/// Operations that turn `actual` into `desired`. What is named comes before what names it; what is no longer named
/// goes last.
pub fn diff(actual: &Contents, desired: &Contents) -> Vec<Operation> {
    let mut operations = Vec::new();
    put_arrivals(actual, desired, &mut operations);
    operations.extend(
        desired
            .devices
            .difference(&actual.devices)
            .copied()
            .map(Operation::PutDevice),
    );
    let backends = Changes::between(&actual.backends, &desired.backends);
    let put = |(number, backend): (&u32, &Backend)| Operation::PutBackend(*number, *backend);
    operations.extend(backends.put.into_iter().map(put));
    let probes = Changes::between(&actual.probes, &desired.probes);
    let put = |(path, record): (&u32, &u32)| Operation::PutProbe(*path, *record);
    operations.extend(probes.put.into_iter().map(put));
    // A service that loses its last rule serves until the rule leads elsewhere.
    let services = Changes::between(&actual.services, &desired.services);
    let (in_use, left): (Vec<_>, Vec<_>) = match Arc::ptr_eq(&actual.rules, &desired.rules) {
        true => (services.put.clone(), Vec::new()),
        false => {
            let led_to = services_led_to(desired);
            services
                .put
                .iter()
                .partition(|(number, _)| led_to.contains(number))
        }
    };
    for (number, service) in in_use {
        put_service(*number, actual.services.get(number), service, &mut operations);
    }
    // Words first: what a new zone's number finds is right already, and what an old one's found is the service's own.
    put_zones(actual, desired, &mut operations);
    diff_rules(actual, desired, &mut operations);
    for (number, service) in left {
        put_service(*number, actual.services.get(number), service, &mut operations);
    }
    clear_services(actual, &services, &mut operations);
    operations.extend(probes.gone.into_iter().copied().map(Operation::ClearProbe));
    operations.extend(backends.gone.into_iter().copied().map(Operation::ClearBackend));
    operations.extend(
        actual
            .devices
            .difference(&desired.devices)
            .copied()
            .map(Operation::DeleteDevice),
    );
    delete_arrivals(actual, desired, &mut operations);
    operations
}

/// An interface is known when all its addresses are: a packet never meets one of which half is there.
fn put_arrivals(actual: &Contents, desired: &Contents, operations: &mut Vec<Operation>) {
    let (actual, desired) = (&actual.arrivals, &desired.arrivals);
    if Arc::ptr_eq(actual, desired) {
        return;
    }
    let new = desired.own_macs.difference(&actual.own_macs);
    operations.extend(new.copied().map(Operation::PutOwnMac));
    put_changed(
        &actual.interfaces,
        &desired.interfaces,
        operations,
        Operation::PutInterface,
    );
}

fn delete_arrivals(actual: &Contents, desired: &Contents, operations: &mut Vec<Operation>) {
    let (actual, desired) = (&actual.arrivals, &desired.arrivals);
    if Arc::ptr_eq(actual, desired) {
        return;
    }
    clear_missing(
        &actual.interfaces,
        &desired.interfaces,
        operations,
        Operation::DeleteInterface,
    );
    let gone = actual.own_macs.difference(&desired.own_macs);
    operations.extend(gone.copied().map(Operation::DeleteOwnMac));
}

/// What differs between two maps; what they share is not looked at.
struct Changes<'a, V> {
    put: Vec<(&'a u32, &'a V)>,
    gone: Vec<&'a u32>,
}

impl<'a, V: PartialEq> Changes<'a, V> {
    fn between(actual: &'a OrdMap<u32, V>, desired: &'a OrdMap<u32, V>) -> Self {
        let (mut put, mut gone) = (Vec::new(), Vec::new());
        for item in actual.diff(desired) {
            match item {
                DiffItem::Add(number, value) => put.push((number, value)),
                DiffItem::Update { new, .. } => put.push(new),
                DiffItem::Remove(number, _) => gone.push(number),
            }
        }
        Self { put, gone }
    }
}

fn services_led_to(contents: &Contents) -> BTreeSet<u32> {
    let rules = contents.rules.rules.values().map(|rule| rule.service);
    rules.chain(contents.rules.steering.values().copied()).collect()
}

fn put_changed<K: Ord + Copy, V: PartialEq + Copy>(
    actual: &BTreeMap<K, V>,
    desired: &BTreeMap<K, V>,
    operations: &mut Vec<Operation>,
    put: impl Fn(K, V) -> Operation,
) {
    let changed = desired
        .iter()
        .filter(|(key, value)| actual.get(key) != Some(value));
    operations.extend(changed.map(|(key, value)| put(*key, *value)));
}

fn clear_missing<K: Ord + Copy, V>(
    actual: &BTreeMap<K, V>,
    desired: &BTreeMap<K, V>,
    operations: &mut Vec<Operation>,
    clear: impl Fn(K) -> Operation,
) {
    let gone = actual.keys().filter(|key| !desired.contains_key(key));
    operations.extend(gone.map(|key| clear(*key)));
}

fn put_service(
    number: u32,
    actual: Option<&Arc<ServiceContents>>,
    desired: &ServiceContents,
    operations: &mut Vec<Operation>,
) {
    let nothing = ServiceContents::default();
    let actual = actual.map_or(&nothing, |actual| actual);
    let changed = desired
        .members
        .iter()
        .filter(|(number, member)| actual.members.get(number) != Some(member));
    // What the new table may name comes before it. A member that gets fewer packets is one that the old table names,
    // or whose entries would be selected anew by it: its turn comes when the old table is gone.
    let (after, before): (Vec<_>, Vec<_>) = changed
        .map(|(number, member)| (*number, *member))
        .partition(|(number, member)| actual.members.get(number).is_some_and(|old| loses(old, member)));
    operations.extend(resolved_first(actual, desired, &after));
    operations.extend(
        before
            .into_iter()
            .map(|(number, member)| Operation::PutMember(number, member)),
    );
    write_tables(actual, desired, operations);
    put_zone_selections(actual, desired, operations);
    if actual.record != desired.record {
        operations.push(Operation::PutService(number, desired.record));
    }
    operations.extend(
        after
            .into_iter()
            .map(|(number, member)| Operation::PutMember(number, member)),
    );
}

/// A member may lose in a change that makes it reachable: one whose next hop was found, or one with a number that waited,
/// for another pool. What names it next finds its delivery record, and the rest of it waits its turn.
fn resolved_first(
    actual: &ServiceContents,
    desired: &ServiceContents,
    losing: &[(u32, Member)],
) -> Vec<Operation> {
    let early = losing.iter().filter_map(|(number, member)| {
        let old = actual.members.get(number)?;
        let is_early = old.backend() == 0 && member.backend() != 0 && desired.names(*number);
        is_early.then(|| Operation::PutMember(*number, old.with_backend(member.backend())))
    });
    early.collect()
}

fn write_tables(actual: &ServiceContents, desired: &ServiceContents, operations: &mut Vec<Operation>) {
    let tables = |contents: &ServiceContents| -> BTreeMap<u32, Arc<[u32]>> {
        contents
            .zone_tables
            .clone()
            .into_iter()
            .chain(contents.table.clone())
            .collect()
    };
    let held = tables(actual);
    let new = tables(desired)
        .into_iter()
        .filter(|(offset, slots)| held.get(offset) != Some(slots));
    operations.extend(new.map(|(offset, slots)| Operation::WriteTable(offset, slots)));
}

/// At another place all of them are new, because nobody knows what lies there.
fn put_zone_selections(actual: &ServiceContents, desired: &ServiceContents, operations: &mut Vec<Operation>) {
    let (old, new) = (actual.record.zones(), desired.record.zones());
    let is_held =
        |position: usize, word: &u64| old.first == new.first && actual.zone_words.get(position) == Some(word);
    let changed = desired
        .zone_words
        .iter()
        .enumerate()
        .filter(|(position, word)| !is_held(*position, word));
    operations.extend(
        changed.map(|(position, word)| Operation::PutZoneSelection(new.first + position as u32, *word)),
    );
}

fn put_zones(actual: &Contents, desired: &Contents, operations: &mut Vec<Operation>) {
    let (actual, desired) = (&actual.zones, &desired.zones);
    if Arc::ptr_eq(actual, desired) {
        return;
    }
    put_changed(actual, desired, operations, |(key, bits), zone| {
        Operation::PutZone(key, bits, zone)
    });
    clear_missing(actual, desired, operations, |(key, bits)| {
        Operation::DeleteZone(key, bits)
    });
}

fn loses(old: &Member, new: &Member) -> bool {
    const PRIMARY: Pools = Pools::new(Pool::Primary, false, false, 0);
    let is_attached = |member: &Member| member.serves_entries(u32::MAX);
    // One that changes pools stays in the old one until the service record says which pool drains.
    let changes_pool = PRIMARY.counts(old, 0) != PRIMARY.counts(new, 0);
    changes_pool
        || (old.healthy() && !new.healthy())
        || (is_attached(old) && !is_attached(new))
        || (old.backend() != 0 && new.backend() == 0)
}

/// Services and members that should not be there. A member may have gone to another service by its number.
fn clear_services(
    actual: &Contents,
    changes: &Changes<'_, Arc<ServiceContents>>,
    operations: &mut Vec<Operation>,
) {
    let put = changes.put.iter();
    let taken: BTreeSet<u32> = put
        .clone()
        .flat_map(|(_, service)| service.members.keys().copied())
        .collect();
    let clear_members = |number: &u32| {
        let held = actual.services.get(number).into_iter();
        let gone = held
            .flat_map(|service| service.members.keys())
            .filter(|member| !taken.contains(member));
        gone.copied().map(Operation::ClearMember).collect::<Vec<_>>()
    };
    for (number, _) in put {
        operations.extend(clear_members(number));
    }
    for number in &changes.gone {
        operations.push(Operation::ClearService(**number));
        operations.extend(clear_members(number));
    }
}

/// What packets find is put before it is deleted, unless both don't fit at once.
fn diff_rules(actual: &Contents, desired: &Contents, operations: &mut Vec<Operation>) {
    let (actual, desired) = (&actual.rules, &desired.rules);
    if Arc::ptr_eq(actual, desired) {
        return;
    }
    if fit_together(actual, desired) {
        put_rules(actual, desired, operations);
        delete_rules(actual, desired, operations);
    } else {
        delete_rules(actual, desired, operations);
        put_rules(actual, desired, operations);
    }
}

fn fit_together(actual: &RuleContents, desired: &RuleContents) -> bool {
    fits(&actual.rules, &desired.rules, size::RULES)
        && fits(&actual.vips, &desired.vips, size::VIPS)
        && fits(&actual.steering, &desired.steering, size::STEERING)
}

fn fits<K: Ord, V>(actual: &BTreeMap<K, V>, desired: &BTreeMap<K, V>, limit: u32) -> bool {
    let limit = limit as usize;
    actual.len() + desired.len() <= limit || {
        let gone = actual.keys().filter(|key| !desired.contains_key(key)).count();
        desired.len() + gone <= limit
    }
}

fn put_rules(actual: &RuleContents, desired: &RuleContents, operations: &mut Vec<Operation>) {
    put_changed(
        &actual.steering,
        &desired.steering,
        operations,
        |(key, bits), service| Operation::PutSteering(key, bits, service),
    );
    put_changed(&actual.rules, &desired.rules, operations, Operation::PutRule);
    put_changed(&actual.vips, &desired.vips, operations, Operation::PutVip);
}

fn delete_rules(actual: &RuleContents, desired: &RuleContents, operations: &mut Vec<Operation>) {
    clear_missing(&actual.vips, &desired.vips, operations, Operation::DeleteVip);
    clear_missing(&actual.rules, &desired.rules, operations, Operation::DeleteRule);
    clear_missing(&actual.steering, &desired.steering, operations, |(key, bits)| {
        Operation::DeleteSteering(key, bits)
    });
}
