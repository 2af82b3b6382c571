//! Delivery records: their numbers, how many members name each, and when those that none names are free again.

use std::collections::BTreeMap;

use imbl::OrdMap;
use lb_common::layout::Backend;

use super::contents::ServiceContents;
use super::numbers::Numbers;
use super::service::GRACE_SEC;

/// A copy costs nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Backends {
    numbers: Numbers,
    by_record: OrdMap<Backend, u32>,
    records: OrdMap<u32, Backend>,
    /// How many members name a record; those that none names are absent.
    users: OrdMap<u32, u32>,
    /// With the second from which on they are free.
    retired: OrdMap<u32, u32>,
    /// How many records lead to an interface.
    devices: OrdMap<u32, u32>,
}

impl Backends {
    /// Takes up what the kernel's maps hold.
    pub(super) fn adopt(held: &OrdMap<u32, Backend>) -> Self {
        let mut backends = Self {
            numbers: Numbers::with_used(held.keys().copied().collect()),
            ..Self::default()
        };
        for (number, record) in held {
            backends.insert(*number, *record);
        }
        backends
    }

    /// The number of a record; why it has none, when none is left.
    pub(super) fn number(&mut self, record: Backend, limit: u32, devices: u32) -> Result<u32, String> {
        if let Some(number) = self.by_record.get(&record) {
            return Ok(*number);
        }
        if !self.devices.contains_key(&record.ifindex) && self.devices.len() as u64 >= u64::from(devices) {
            return Err(format!(
                "more than {devices} interfaces that packets leave by don't fit the data plane"
            ));
        }
        let number = self.numbers.take(limit);
        let number =
            number.ok_or_else(|| format!("more than {limit} ways of delivery don't fit the data plane"))?;
        self.insert(number, record);
        Ok(number)
    }

    fn insert(&mut self, number: u32, record: Backend) {
        self.by_record.insert(record, number);
        self.records.insert(number, record);
        *self.devices.entry(record.ifindex).or_insert(0) += 1;
    }

    pub(super) fn records(&self) -> &OrdMap<u32, Backend> {
        &self.records
    }

    /// Interfaces that packets may leave by.
    pub(super) fn devices(&self) -> impl Iterator<Item = u32> {
        self.devices.keys().copied()
    }

    /// A service's members changed. Records that no member names any more are freed after a while; one that is named
    /// again is not.
    pub(super) fn account(
        &mut self,
        before: Option<&ServiceContents>,
        after: Option<&ServiceContents>,
        now: u32,
    ) {
        let mut changes: BTreeMap<u32, i64> = BTreeMap::new();
        for number in named(after) {
            *changes.entry(number).or_default() += 1;
        }
        for number in named(before) {
            *changes.entry(number).or_default() -= 1;
        }
        for (number, change) in changes.into_iter().filter(|(_, change)| *change != 0) {
            let users = i64::from(self.users.get(&number).copied().unwrap_or(0)) + change;
            if users > 0 {
                self.users.insert(number, users as u32);
                self.retired.remove(&number);
            } else {
                self.users.remove(&number);
                self.retired.insert(number, now + GRACE_SEC);
            }
        }
    }

    /// Retires what nobody was ever said to use: what an adopted map holds beyond its services.
    pub(super) fn retire_unused(&mut self, now: u32) {
        if self.records.len() == self.users.len() + self.retired.len() {
            return;
        }
        for number in self.records.keys() {
            if !self.users.contains_key(number) && !self.retired.contains_key(number) {
                self.retired.insert(*number, now + GRACE_SEC);
            }
        }
    }

    pub(super) fn release_retired(&mut self, now: u32) {
        let free: Vec<u32> = self
            .retired
            .iter()
            .filter(|(_, free_at)| now >= **free_at)
            .map(|(number, _)| *number)
            .collect();
        for number in free {
            self.retired.remove(&number);
            self.numbers.release(number);
            if let Some(record) = self.records.remove(&number) {
                self.by_record.remove(&record);
                self.forget_device(record.ifindex);
            }
        }
    }

    fn forget_device(&mut self, ifindex: u32) {
        if let Some(records) = self.devices.get_mut(&ifindex) {
            *records -= 1;
            if *records == 0 {
                self.devices.remove(&ifindex);
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<u32> {
        self.retired.values().copied().min()
    }
}

fn named(contents: Option<&ServiceContents>) -> impl Iterator<Item = u32> {
    let members = contents
        .into_iter()
        .flat_map(|contents| contents.members.values());
    members
        .map(|member| member.backend())
        .filter(|number| *number != 0)
}
