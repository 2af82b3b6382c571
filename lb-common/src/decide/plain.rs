//! The short road: the decision about a plain packet whose rule is remembered.
//!
//! The steps are those of the general road, specialised by the compiler for what is known of such a packet; what they would
//! have to look further for, it declines. The general road then starts afresh, so both must decide alike: a property test
//! and the differential test compare them.

use super::Flow;
use crate::layout::RuleKey;
use crate::martian;
use crate::parse::{self, Family, Network};
use crate::rules;
use crate::tables::{Owner, Tables};
use crate::verdict::{Reason, Verdict};
use crate::wire::{self, Packet};

/// What delivery needs to know of a plain packet beside the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    pub verdict: Verdict,
    pub inner: parse::Inner,
}

/// Decides, and records the flow if its service tracks it; nothing if the general road has to be taken.
#[inline(always)]
pub fn plain<P: Packet, T: Tables>(tables: &T, packet: &P) -> Option<Plain> {
    // Each its own copy of all that follows: the family is a constant there.
    match parse::plain_family(packet)? {
        Family::V4 => of_network(tables, packet, &parse::plain_ipv4(packet)?),
        Family::V6 => of_network(tables, packet, &parse::plain_ipv6(packet)?),
    }
}

#[inline(always)]
fn of_network<P: Packet, T: Tables>(tables: &T, packet: &P, network: &Network) -> Option<Plain> {
    let inner = network.inner();
    if !tables.may_be_vip(&rules::filter_key(network)) {
        let verdict = Verdict::without_member(Reason::PassNoVip, 0);
        return Some(Plain { verdict, inner });
    }
    if martian::is_odd(network) {
        return None;
    }
    let recipient = wire::recipient(packet)?;
    if !tables.remembers_own(recipient) && tables.owner(tables.epoch(), recipient) != Owner::ThisHost {
        return None;
    }
    let transport = &parse::plain_transport(packet, network)?;
    let address = rules::destination_key(network);
    let exact = RuleKey::new(address, transport.protocol(), transport.destination_port(), 0);
    let rule = tables.recalled(&exact)?;
    let service = tables.service(rule.service)?;
    if rule.steering != 0 || !service.is_plain() {
        return None;
    }
    let flow = Flow {
        tables,
        network,
        transport,
        number: rule.service,
        service,
        is_plain: true,
    };
    let verdict = flow.decide();
    Some(Plain { verdict, inner })
}
