//! From what the maps hold to what they should: the operations, in an order in which every packet finds either the
//! old state or the new one (make before break).

use std::collections::BTreeMap;
use std::sync::Arc;

use lb_common::layout::{AddressKey, Backend, Member, Rule, RuleKey, Service, SteeringKey, Vip};

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
    for (number, service) in &desired.services {
        put_service(*number, actual.services.get(number), service, &mut operations);
    }
    diff_rules(actual, desired, &mut operations);
    for (number, service) in &actual.services {
        clear_service(*number, service, desired.services.get(number), &mut operations);
    }
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
    desired: &Arc<ServiceContents>,
    operations: &mut Vec<Operation>,
) {
    if actual.is_some_and(|actual| Arc::ptr_eq(actual, desired)) {
        return;
    }
    let nothing = ServiceContents::default();
    let actual = actual.map_or(&nothing, |actual| actual);
    // New members first: the table names them. Their state next: a member that left the eligible set stops being
    // judged healthy before the table forgets it.
    put_changed(
        &actual.members,
        &desired.members,
        operations,
        Operation::PutMember,
    );
    if let Some((offset, slots)) = &desired.table
        && actual.table.as_ref() != Some(&(*offset, slots.clone()))
    {
        operations.push(Operation::WriteTable(*offset, slots.clone()));
    }
    if actual.record != desired.record {
        operations.push(Operation::PutService(number, desired.record));
    }
}

fn clear_service(
    number: u32,
    actual: &Arc<ServiceContents>,
    desired: Option<&Arc<ServiceContents>>,
    operations: &mut Vec<Operation>,
) {
    match desired {
        Some(desired) if Arc::ptr_eq(actual, desired) => {}
        Some(desired) => clear_missing(
            &actual.members,
            &desired.members,
            operations,
            Operation::ClearMember,
        ),
        None => {
            operations.push(Operation::ClearService(number));
            operations.extend(actual.members.keys().copied().map(Operation::ClearMember));
        }
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
