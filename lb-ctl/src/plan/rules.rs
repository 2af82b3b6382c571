//! Forwarding rules to the keys that packets are looked up by (semantics §2).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use imbl::OrdMap;
use ipnet::IpNet;
use lb_common::layout::{AddressKey, Rule, RuleKey, SteeringKey, Vip, ipv4_key, ipv6_vip_key};
use lb_common::policy::RuleProtocol;

use super::contents::RuleContents;
use super::service::{IpFamily, ServiceKey};
use crate::model::{Config, ForwardingRule, Ports, ResourcePath};

/// `number` finds a service's number; `steering` that of a base rule's steering set.
pub(super) fn compile(
    config: &Config,
    number: impl Fn(&ServiceKey) -> Option<u32>,
    steering: &OrdMap<ResourcePath, u32>,
) -> RuleContents {
    let mut contents = RuleContents::default();
    let bases = bases(config);
    for rule in config.rules.values() {
        let key = ServiceKey {
            service: rule.service.clone(),
            family: IpFamily::of(rule.vip.address),
        };
        let Some(service) = number(&key) else { continue };
        if rule.source_ranges.is_empty() {
            let set = steering.get(&rule.path).copied().unwrap_or(0);
            add_base(
                rule,
                Rule {
                    service,
                    steering: set,
                },
                &mut contents,
            );
        } else if let Some(set) = bases.get(&claim(rule)).and_then(|base| steering.get(&base.path)) {
            for range in &rule.source_ranges {
                let (source, bits) = prefix(range);
                contents.steering.insert(
                    (
                        SteeringKey {
                            steering: *set,
                            source,
                        },
                        bits,
                    ),
                    service,
                );
            }
        }
    }
    contents
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

fn add_base(rule: &ForwardingRule, value: Rule, contents: &mut RuleContents) {
    let address = vip_key(rule.vip.address);
    let protocol = rule.protocol as u8;
    let vip = contents.vips.entry(address).or_default();
    for (port, bits) in blocks(&rule.ports) {
        contents
            .rules
            .insert(RuleKey::new(address, protocol, port, bits), value);
        note_block(vip, rule.protocol, bits);
    }
}

fn note_block(vip: &mut Vip, protocol: RuleProtocol, bits: u8) {
    let index = match protocol {
        RuleProtocol::Tcp => 0,
        RuleProtocol::Udp => 1,
        RuleProtocol::Sctp => 2,
        RuleProtocol::L3Default => {
            vip.l3_default = 1;
            return;
        }
        RuleProtocol::Esp | RuleProtocol::Ah | RuleProtocol::Icmp => return,
    };
    vip.blocks[index] |= 1 << bits;
}

pub(super) fn vip_key(address: IpAddr) -> AddressKey {
    match address {
        IpAddr::V4(address) => ipv4_key(u32::from_ne_bytes(address.octets())),
        IpAddr::V6(address) => ipv6_vip_key(v6_words(address.octets())),
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
