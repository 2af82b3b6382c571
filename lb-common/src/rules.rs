//! Which forwarding rule a packet matches (semantics §2).

use crate::layout::{AddressKey, Rule, RuleKey, SteeringKey, Vip, ipv4_key, ipv6_prefix_key};
use crate::martian;
use crate::opaque::{hide, mask};
use crate::parse::{Family, Network, Transport};
use crate::tables::Tables;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    Service(u32),
    /// The destination is a VIP, and the source no client's.
    Martian,
    /// The destination is a VIP, but none of its rules matches.
    NoRule,
    /// The destination is no VIP.
    NoVip,
}

/// The key of a packet's destination, if that is a VIP by itself.
#[inline(always)]
pub fn destination_key(network: &Network) -> AddressKey {
    match network.family {
        Family::V4 => ipv4_key(network.destination[0]),
        Family::V6 => network.destination,
    }
}

/// What the VIP filter knows the destination by.
#[inline(always)]
pub fn filter_key(network: &Network) -> AddressKey {
    match network.family {
        Family::V4 => ipv4_key(network.destination[0]),
        Family::V6 => ipv6_prefix_key(network.destination),
    }
}

/// The VIP that owns a packet's destination, and its key: the address itself comes before the /96 around it.
#[inline(always)]
pub fn vip<T: Tables>(tables: &T, network: &Network) -> Option<(AddressKey, Vip)> {
    let address = destination_key(network);
    match (tables.vip(&address), network.family) {
        (Some(vip), _) => Some((address, vip)),
        (None, Family::V4) => None,
        (None, Family::V6) => {
            let prefix = ipv6_prefix_key(address);
            Some((prefix, tables.vip(&prefix)?))
        }
    }
}

/// The key of a packet's source in the prefix maps.
#[inline(always)]
pub fn source_key(network: &Network) -> AddressKey {
    match network.family {
        Family::V4 => ipv4_key(network.source[0]),
        Family::V6 => network.source,
    }
}

/// The service that the packet's rule names, or that a steering rule names for its source.
#[inline(always)]
pub fn find<T: Tables>(tables: &T, network: &Network, transport: &Transport, epoch: u32) -> Match {
    let found = find_apart(tables, network, transport, epoch);
    match found >> 32 {
        FOUND => Match::Service(found as u32),
        NO_RULE => Match::NoRule,
        MARTIAN => Match::Martian,
        _ => Match::NoVip,
    }
}

const FOUND: u64 = 0;
const NO_RULE: u64 = 1;
const NO_VIP: u64 = 2;
const MARTIAN: u64 = 3;

/// A function of its own in the kernel too, because its keys take much of the stack; one register carries the result.
#[inline(never)]
fn find_apart<T: Tables>(tables: &T, network: &Network, transport: &Transport, epoch: u32) -> u64 {
    match rule(tables, network, transport, epoch) {
        Ok(_) if martian::is_martian(tables, network) => MARTIAN << 32,
        Ok(rule) => (FOUND << 32) | u64::from(steer(tables, network, rule)),
        Err(Match::NoRule) => NO_RULE << 32,
        Err(_) => NO_VIP << 32,
    }
}

/// What was found for the same protocol and port last time saves the look-ups; later fragments have no port.
#[inline(always)]
fn rule<T: Tables>(tables: &T, network: &Network, transport: &Transport, epoch: u32) -> Result<Rule, Match> {
    let address = destination_key(network);
    let exact = RuleKey::new(address, transport.protocol(), transport.destination_port(), 0);
    if transport.is_later_fragment() {
        look_up(tables, network, transport, &exact)
    } else {
        tables.recall(epoch, &exact, || look_up(tables, network, transport, &exact))
    }
}

/// An exact port is tried first: one look-up for the common rule. A rule for a protocol wins over L3_DEFAULT.
#[inline(always)]
fn look_up<T: Tables>(
    tables: &T,
    network: &Network,
    transport: &Transport,
    exact: &RuleKey,
) -> Result<Rule, Match> {
    if !tables.may_be_vip(&filter_key(network)) {
        return Err(Match::NoVip);
    }
    let protocol = transport.protocol();
    let port = transport.destination_port();
    // A protocol without ports has no rule for port 0, so this misses.
    if let Some(rule) = tables.rule(exact) {
        return Ok(rule);
    }
    let (address, vip) = vip(tables, network).ok_or(Match::NoVip)?;
    // A later fragment has no port: only a rule for all of them takes it.
    let later = mask(u32::from(transport.is_later_fragment()));
    let blocks = vip.port_blocks(protocol) & (!later | 1 << RuleKey::ALL_PORTS);
    // Of a /96, one port has not been tried yet.
    let mut bits = u64::from(address == exact.address);
    while hide(bits) <= u64::from(RuleKey::ALL_PORTS) {
        if blocks & (1 << bits) != 0
            && let Some(rule) = tables.rule(&RuleKey::new(address, protocol, port, bits as u8))
        {
            return Ok(rule);
        }
        bits += 1;
    }
    if vip.flags & Vip::L3_DEFAULT == 0 {
        return Err(Match::NoRule);
    }
    tables
        .rule(&RuleKey::new(address, 0, 0, RuleKey::ALL_PORTS))
        .ok_or(Match::NoRule)
}

#[inline(always)]
fn steer<T: Tables>(tables: &T, network: &Network, rule: Rule) -> u32 {
    if rule.steering == 0 {
        return rule.service;
    }
    let source = source_key(network);
    tables
        .steering(&SteeringKey {
            steering: rule.steering,
            source,
        })
        .unwrap_or(rule.service)
}
