//! Forwarding rules to the keys that packets are looked up by (semantics §2).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use imbl::OrdMap;
use ipnet::IpNet;
use lb_common::layout::{AddressKey, Rule, RuleKey, SteeringKey, Vip, ipv4_key};
use lb_common::policy::RuleProtocol;

use super::contents::RuleContents;
use super::limits::{LeftOut, Limits};
use super::service::{IpFamily, ServiceKey};
use crate::model::{self, Config, ForwardingRule, Ports, ResourcePath};

/// What rules are compiled from.
pub(super) struct RuleTask<'a> {
    pub(super) config: &'a Config,
    /// Finds a service's number; none while its tables are not there.
    pub(super) number: &'a dyn Fn(&ServiceKey) -> Option<u32>,
    /// Finds the steering set of a base rule.
    pub(super) steering: &'a OrdMap<ResourcePath, u32>,
    /// What packets find now.
    pub(super) before: &'a RuleContents,
    pub(super) limits: &'a Limits,
}

/// What one rule puts into the maps.
#[derive(Default)]
struct Entries {
    rules: Vec<(RuleKey, Rule)>,
    vip: Option<(AddressKey, Vip)>,
    steering: Vec<((SteeringKey, u32), u32)>,
}

/// Rules that don't fit are left out as a whole; those that are there already come first.
pub(super) fn compile(task: &RuleTask<'_>) -> (RuleContents, Vec<LeftOut>) {
    let bases = bases(task.config);
    let entries: Vec<(&ForwardingRule, Entries)> = task
        .config
        .rules
        .values()
        .map(|rule| (rule, task.entries(rule, &bases)))
        .collect();
    let mut contents = RuleContents::default();
    entries.iter().for_each(|(_, entries)| contents.add(entries));
    match contents.overflow(task.limits) {
        None => (contents, Vec::new()),
        Some(_) => fill(task, &entries),
    }
}

fn fill(task: &RuleTask<'_>, entries: &[(&ForwardingRule, Entries)]) -> (RuleContents, Vec<LeftOut>) {
    let mut contents = RuleContents::default();
    let mut left_out = Vec::new();
    let (there, new): (Vec<_>, Vec<_>) = entries
        .iter()
        .partition(|(_, entries)| entries.are_in(task.before));
    for (rule, entries) in there.into_iter().chain(new) {
        match contents.overflow_with(entries, task.limits) {
            None => contents.add(entries),
            Some(reason) => left_out.push(LeftOut::new([rule.path.clone()], reason)),
        }
    }
    (contents, left_out)
}

/// The rules that lead to services which are new, beside those that packets find. Nothing if that is not all that
/// differs.
pub(super) fn add_missing(task: &RuleTask<'_>, new: &BTreeSet<ResourcePath>) -> Option<RuleContents> {
    let bases = bases(task.config);
    let mut contents = task.before.clone();
    let rules = task.config.rules.values();
    for rule in rules.filter(|rule| new.contains(&rule.service)) {
        let entries = task.entries(rule, &bases);
        if entries.are_as_in(task.before) {
            continue;
        }
        if entries.touch(&contents) || contents.overflow_with(&entries, task.limits).is_some() {
            return None;
        }
        contents.add(&entries);
    }
    Some(contents)
}

impl RuleTask<'_> {
    /// While the service that a rule leads to is not there, packets go where the same keys led them before.
    fn entries(&self, rule: &ForwardingRule, bases: &BTreeMap<Claim<'_>, &ForwardingRule>) -> Entries {
        let number = (self.number)(&ServiceKey {
            service: rule.service.clone(),
            family: IpFamily::of(rule.vip.address),
        });
        let mut entries = Entries::default();
        if rule.source_ranges.is_empty() {
            let steering = self.steering.get(&rule.path).copied().unwrap_or(0);
            let address = vip_key(rule.vip.address);
            for (port, bits) in blocks(&rule.ports) {
                let key = RuleKey::new(address, rule.protocol as u8, port, bits);
                let before = || self.before.rules.get(&key).map(|rule| rule.service);
                let Some(service) = number.or_else(before) else {
                    continue;
                };
                entries.rules.push((key, Rule { service, steering }));
                let (_, vip) = entries.vip.get_or_insert_with(|| (address, Vip::default()));
                vip.flags |= prefix_flag(rule.vip);
                note_block(vip, rule.protocol, bits);
            }
        } else if let Some(set) = bases
            .get(&claim(rule))
            .and_then(|base| self.steering.get(&base.path))
        {
            for range in &rule.source_ranges {
                let (source, bits) = prefix(range);
                let steering = *set;
                let key = (SteeringKey { steering, source }, bits);
                let before = || self.before.steering.get(&key).copied();
                entries
                    .steering
                    .extend(number.or_else(before).map(|service| (key, service)));
            }
        }
        entries
    }
}

impl Entries {
    fn are_in(&self, contents: &RuleContents) -> bool {
        self.rules.iter().all(|(key, _)| contents.rules.contains_key(key))
            && self.vip.iter().all(|(key, _)| contents.vips.contains_key(key))
            && self
                .steering
                .iter()
                .all(|(key, _)| contents.steering.contains_key(key))
    }
}

impl Entries {
    fn are_as_in(&self, contents: &RuleContents) -> bool {
        self.rules
            .iter()
            .all(|(key, rule)| contents.rules.get(key) == Some(rule))
            && self
                .steering
                .iter()
                .all(|(key, service)| contents.steering.get(key) == Some(service))
    }

    /// Whether packets are led elsewhere by the same keys.
    fn touch(&self, contents: &RuleContents) -> bool {
        let leads_elsewhere =
            |(key, rule): &(RuleKey, Rule)| contents.rules.get(key).is_some_and(|other| other != rule);
        let steers_elsewhere = |(key, service): &((SteeringKey, u32), u32)| {
            contents.steering.get(key).is_some_and(|other| other != service)
        };
        self.rules.iter().any(leads_elsewhere) || self.steering.iter().any(steers_elsewhere)
    }
}

impl RuleContents {
    /// The services that packets are led to.
    pub(super) fn services(&self) -> BTreeSet<u32> {
        let rules = self.rules.values().map(|rule| rule.service);
        rules.chain(self.steering.values().copied()).collect()
    }

    fn add(&mut self, entries: &Entries) {
        self.rules.extend(entries.rules.iter().copied());
        self.steering.extend(entries.steering.iter().copied());
        if let Some((address, vip)) = entries.vip {
            let known = self.vips.entry(address).or_default();
            known.flags |= vip.flags;
            for (blocks, more) in known.blocks.iter_mut().zip(vip.blocks) {
                *blocks |= more;
            }
        }
    }

    fn overflow(&self, limits: &Limits) -> Option<String> {
        self.overflow_with(&Entries::default(), limits)
    }

    /// Why the entries don't fit any more.
    fn overflow_with(&self, entries: &Entries, limits: &Limits) -> Option<String> {
        let new = |is_there: bool| usize::from(!is_there);
        let rules: usize = entries
            .rules
            .iter()
            .map(|(key, _)| new(self.rules.contains_key(key)))
            .sum();
        let vips: usize = entries
            .vip
            .iter()
            .map(|(key, _)| new(self.vips.contains_key(key)))
            .sum();
        let steering = entries.steering.iter();
        let steering: usize = steering
            .map(|(key, _)| new(self.steering.contains_key(key)))
            .sum();
        let is_over = |taken: usize, more: usize, limit: u32| taken + more > limit as usize;
        if is_over(self.rules.len(), rules, limits.rules) {
            Some(format!(
                "its ports don't fit the data plane: they take {rules} entries (a range of ports takes one for each \
                 aligned block of a power of two in it), and {} of {} are taken",
                self.rules.len(),
                limits.rules
            ))
        } else if is_over(self.vips.len(), vips, limits.vips) {
            Some(format!(
                "more than {} addresses of rules don't fit the data plane",
                limits.vips
            ))
        } else if is_over(self.steering.len(), steering, limits.steering) {
            Some(format!(
                "more than {} source ranges of rules don't fit the data plane",
                limits.steering
            ))
        } else {
            None
        }
    }
}

/// What a base rule and its steering rules have in common: address, protocol and ports.
type Claim<'a> = (AddressKey, u8, &'a Ports);

fn claim(rule: &ForwardingRule) -> Claim<'_> {
    (vip_key(rule.vip.address), rule.protocol as u8, &rule.ports)
}

/// The rules without ranges, by what they claim; built only where some rule steers.
fn bases(config: &Config) -> BTreeMap<Claim<'_>, &ForwardingRule> {
    let steers = config.rules.values().any(|rule| !rule.source_ranges.is_empty());
    let bases = config
        .rules
        .values()
        .filter(|rule| steers && rule.source_ranges.is_empty());
    bases.map(|rule| (claim(rule), rule)).collect()
}

/// Base rules that have steering rules.
pub(super) fn steered(config: &Config) -> BTreeSet<&ResourcePath> {
    let bases = bases(config);
    let rules = config
        .rules
        .values()
        .filter(|rule| !rule.source_ranges.is_empty());
    rules
        .filter_map(|rule| Some(&bases.get(&claim(rule))?.path))
        .collect()
}

fn note_block(vip: &mut Vip, protocol: RuleProtocol, bits: u8) {
    let index = match protocol {
        RuleProtocol::Tcp => 0,
        RuleProtocol::Udp => 1,
        RuleProtocol::Sctp => 2,
        RuleProtocol::L3Default => {
            vip.flags |= Vip::L3_DEFAULT;
            return;
        }
        RuleProtocol::Esp | RuleProtocol::Ah | RuleProtocol::Icmp => return,
    };
    vip.blocks[index] |= 1 << bits;
}

fn prefix_flag(vip: model::Vip) -> u32 {
    match vip.owned() {
        IpNet::V6(owned) if owned.prefix_len() < 128 => Vip::WHOLE_PREFIX,
        _ => 0,
    }
}

/// What packets to a VIP find it by.
pub fn vip_key(address: IpAddr) -> AddressKey {
    match address {
        IpAddr::V4(address) => ipv4_key(u32::from_ne_bytes(address.octets())),
        // That of a /96 has no bits set behind it.
        IpAddr::V6(address) => v6_words(address.octets()),
    }
}

fn v6_words(octets: [u8; 16]) -> [u32; 4] {
    std::array::from_fn(|word| {
        u32::from_ne_bytes(octets[4 * word..4 * word + 4].try_into().expect("four octets"))
    })
}

/// A prefix as longest-prefix maps hold it.
pub(super) fn prefix(range: &IpNet) -> (AddressKey, u32) {
    match range.trunc() {
        IpNet::V4(net) => {
            let address = u32::from_ne_bytes(net.addr().octets());
            (ipv4_key(address), 96 + u32::from(net.prefix_len()))
        }
        IpNet::V6(net) => (v6_words(net.addr().octets()), u32::from(net.prefix_len())),
    }
}

/// The aligned power-of-two blocks that make up a rule's ports.
fn blocks(ports: &Ports) -> Vec<(u16, u8)> {
    match ports {
        Ports::All => vec![(0, RuleKey::ALL_PORTS)],
        Ports::Ranges(ranges) => ranges
            .iter()
            .flat_map(|(first, last)| range_blocks(*first, *last))
            .collect(),
    }
}

fn range_blocks(first: u16, last: u16) -> Vec<(u16, u8)> {
    let (mut at, end) = (u32::from(first), u32::from(last) + 1);
    let mut blocks = Vec::new();
    while at < end {
        let aligned = if at == 0 { 16 } else { at.trailing_zeros() };
        let bits = aligned.min((end - at).ilog2());
        blocks.push((at as u16, bits as u8));
        at += 1 << bits;
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_a_range_exactly() {
        for (first, last) in [
            (80, 80),
            (8000, 8010),
            (0, 65535),
            (1, 65535),
            (1, 1),
            (65535, 65535),
            (7, 23),
        ] {
            let blocks = range_blocks(first, last);
            let mut ports = Vec::new();
            for (port, bits) in &blocks {
                assert_eq!(u32::from(*port) % (1 << bits), 0, "aligned");
                ports.extend(u32::from(*port)..u32::from(*port) + (1 << bits));
            }
            assert!(ports.into_iter().eq(u32::from(first)..=u32::from(last)));
            assert!(blocks.len() <= 31);
        }
    }
}
