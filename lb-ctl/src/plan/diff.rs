//! From what the maps hold to what they should: the operations, in an order in which every packet finds either the
//! old state or the new one (make before break).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lb_common::layout::{AddressKey, Backend, Member, Pool, Pools, Rule, RuleKey, Service, SteeringKey, Vip};

use super::contents::{Contents, ServiceContents};

#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    PutDevice(u32),
    PutBackend(u32, Backend),
    WriteTable(u32, Arc<[u32]>),
    PutMember(u32, Member),
    PutService(u32, Service),
    PutSteering(SteeringKey, u32, u32),
    PutRule(RuleKey, Rule),
    PutVip(AddressKey, Vip),
    DeleteVip(AddressKey),
    DeleteRule(RuleKey),
    DeleteSteering(SteeringKey, u32),
    ClearService(u32),
    ClearMember(u32),
    ClearBackend(u32),
    DeleteDevice(u32),
}

/// Operations that turn `actual` into `desired`. What is named comes before what names it; what is no longer named
/// goes last.
pub fn diff(actual: &Contents, desired: &Contents) -> Vec<Operation> {
    let mut operations = Vec::new();
    operations.extend(
        desired
            .devices
            .difference(&actual.devices)
            .copied()
            .map(Operation::PutDevice),
    );
    put_changed(
        &actual.backends,
        &desired.backends,
        &mut operations,
        Operation::PutBackend,
    );
    // A service that loses its last rule serves until the rule leads elsewhere.
    let led_to = services_led_to(desired);
    let (in_use, left): (Vec<_>, Vec<_>) = changed_services(actual, desired)
        .into_iter()
        .partition(|(number, _)| led_to.contains(number));
    for (number, service) in in_use {
        put_service(number, actual.services.get(&number), service, &mut operations);
    }
    diff_rules(actual, desired, &mut operations);
    for (number, service) in left {
        put_service(number, actual.services.get(&number), service, &mut operations);
    }
    clear_services(actual, desired, &mut operations);
    clear_missing(
        &actual.backends,
        &desired.backends,
        &mut operations,
        Operation::ClearBackend,
    );
    operations.extend(
        actual
            .devices
            .difference(&desired.devices)
            .copied()
            .map(Operation::DeleteDevice),
    );
    operations
}

fn changed_services<'a>(actual: &Contents, desired: &'a Contents) -> Vec<(u32, &'a Arc<ServiceContents>)> {
    let is_same = |number: &u32, service: &Arc<ServiceContents>| {
        actual
            .services
            .get(number)
            .is_some_and(|actual| Arc::ptr_eq(actual, service))
    };
    desired
        .services
        .iter()
        .filter(|(number, service)| !is_same(number, service))
        .map(|(number, service)| (*number, service))
        .collect()
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
    operations.extend(
        before
            .into_iter()
            .map(|(number, member)| Operation::PutMember(number, member)),
    );
    if let Some((offset, slots)) = &desired.table
        && actual.table != desired.table
    {
        operations.push(Operation::WriteTable(*offset, slots.clone()));
    }
    if actual.record != desired.record {
        operations.push(Operation::PutService(number, desired.record));
    }
    operations.extend(
        after
            .into_iter()
            .map(|(number, member)| Operation::PutMember(number, member)),
    );
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
fn clear_services(actual: &Contents, desired: &Contents, operations: &mut Vec<Operation>) {
    let taken: BTreeSet<u32> = changed_services(actual, desired)
        .into_iter()
        .flat_map(|(_, service)| service.members.keys().copied())
        .collect();
    for (number, service) in &actual.services {
        let desired = desired.services.get(number);
        if desired.is_some_and(|desired| Arc::ptr_eq(service, desired)) {
            continue;
        }
        if desired.is_none() {
            operations.push(Operation::ClearService(*number));
        }
        let gone = service.members.keys().filter(|member| !taken.contains(member));
        operations.extend(gone.copied().map(Operation::ClearMember));
    }
}

fn diff_rules(actual: &Contents, desired: &Contents, operations: &mut Vec<Operation>) {
    let (actual, desired) = (&actual.rules, &desired.rules);
    if Arc::ptr_eq(actual, desired) {
        return;
    }
    put_changed(
        &actual.steering,
        &desired.steering,
        operations,
        |(key, bits), service| Operation::PutSteering(key, bits, service),
    );
    put_changed(&actual.rules, &desired.rules, operations, Operation::PutRule);
    put_changed(&actual.vips, &desired.vips, operations, Operation::PutVip);
    clear_missing(&actual.vips, &desired.vips, operations, Operation::DeleteVip);
    clear_missing(&actual.rules, &desired.rules, operations, Operation::DeleteRule);
    clear_missing(&actual.steering, &desired.steering, operations, |(key, bits)| {
        Operation::DeleteSteering(key, bits)
    });
}
