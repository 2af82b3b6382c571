//! The addresses that are answered for on one interface, found at once however many there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

use super::VipRange;

#[derive(Debug, Default)]
pub(super) struct Answered {
    hosts: HashMap<IpAddr, VipRange>,
    /// By their first 96 bits.
    prefixes: BTreeMap<u128, VipRange>,
}

impl Answered {
    pub(super) fn new(ranges: &BTreeSet<VipRange>) -> Self {
        let mut answered = Self::default();
        for range in ranges {
            match (range.is_host(), range.announced()) {
                (false, IpAddr::V6(address)) => {
                    answered.prefixes.insert(first_96_bits(address), *range);
                }
                (_, address) => {
                    answered.hosts.insert(address, *range);
                }
            }
        }
        answered
    }

    /// The range that an address belongs to, if it is answered for.
    pub(super) fn find(&self, address: IpAddr) -> Option<VipRange> {
        let host = self.hosts.get(&address);
        let found = host.or_else(|| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => self.prefixes.get(&first_96_bits(address)),
        });
        found.copied()
    }
}

fn first_96_bits(address: Ipv6Addr) -> u128 {
    address.to_bits() >> 32
}
