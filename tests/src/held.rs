//! What the kernel's maps hold for one VIP, read past the daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use lb_common::layout::{AddressKey, Selection, ipv4_key, ipv6_prefix_key};
use lb_ctl::plan::contents::{Contents, ServiceContents};

pub struct Held(pub Contents);

impl Held {
    /// The service that the VIP's first rule leads to.
    #[track_caller]
    pub fn service(&self, vip: IpAddr) -> &ServiceContents {
        let (number, service) = self
            .found(vip)
            .unwrap_or_else(|| panic!("no rule leads from {vip} to a service"));
        assert_ne!(number, 0, "the rule of {vip} leads nowhere");
        service
    }

    /// The same, if it is there.
    pub fn found(&self, vip: IpAddr) -> Option<(u32, &ServiceContents)> {
        let keys = keys_of(vip);
        let mut rules = self.0.rules.rules.iter();
        let (_, rule) = rules.find(|(rule, _)| keys.contains(&rule.address))?;
        let service = self.0.services.get(&rule.service)?;
        Some((rule.service, service))
    }

    /// Members that new connections to the VIP may go to.
    #[track_caller]
    pub fn in_rotation(&self, vip: IpAddr) -> BTreeSet<u32> {
        members_of(&self.own_table(vip))
    }

    /// Members of the VIP's service that the maps call healthy.
    #[track_caller]
    pub fn healthy(&self, vip: IpAddr) -> BTreeSet<u32> {
        let members = self.service(vip).members.iter();
        members
            .filter(|(_, member)| member.healthy() && member.serves_entries(u32::MAX))
            .map(|(number, _)| *number)
            .collect()
    }

    /// The service's own table; empty when there is none.
    #[track_caller]
    pub fn own_table(&self, vip: IpAddr) -> Arc<[u32]> {
        let table = self.service(vip).table.as_ref();
        table.map_or_else(|| Arc::from([]), |(_, slots)| slots.clone())
    }

    /// The service's own table and those of its zones, by zone (0 is the own one).
    #[track_caller]
    pub fn tables(&self, vip: IpAddr) -> BTreeMap<usize, Arc<[u32]>> {
        let service = self.service(vip);
        let words = service.zone_words.iter().enumerate();
        let zones = words.filter_map(|(zone, word)| {
            let slots = service.zone_tables.get(&Selection::from_word(*word).offset)?;
            Some((zone + 1, slots.clone()))
        });
        std::iter::once((0, self.own_table(vip))).chain(zones).collect()
    }
}

/// The address alone, and its /96.
fn keys_of(vip: IpAddr) -> [AddressKey; 2] {
    match vip {
        IpAddr::V4(vip) => [ipv4_key(u32::from_ne_bytes(vip.octets())); 2],
        IpAddr::V6(vip) => {
            let mut words = [0; 4];
            for (word, bytes) in words.iter_mut().zip(vip.octets().chunks_exact(4)) {
                *word = u32::from_ne_bytes(bytes.try_into().expect("four bytes"));
            }
            [words, ipv6_prefix_key(words)]
        }
    }
}

pub fn members_of(table: &[u32]) -> BTreeSet<u32> {
    table.iter().copied().filter(|member| *member != 0).collect()
}

/// The share of flows that go to another member by `after` than by `before`, whatever the sizes of the tables.
pub fn moved(before: &[u32], after: &[u32]) -> f64 {
    moved_if(before, after, |_, _| true)
}

/// The same of flows for whose members (before, after) `counts`.
pub fn moved_if(before: &[u32], after: &[u32], counts: impl Fn(u32, u32) -> bool) -> f64 {
    // As many flows as the larger table has slots, evenly spread over all hashes.
    let flows = before.len().max(after.len());
    let at =
        |table: &[u32], flow: usize| table[(flow as u128 * table.len() as u128 / flows as u128) as usize];
    let moved = (0..flows).filter(|flow| {
        let (one, other) = (at(before, *flow), at(after, *flow));
        one != other && counts(one, other)
    });
    moved.count() as f64 / flows as f64
}
