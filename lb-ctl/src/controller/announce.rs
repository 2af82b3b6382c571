//! Which VIPs the balancer answers for, and on which interfaces: those on a prefix that is connected there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::{Controller, claims};
use crate::model::Config;
use crate::net::{NetworkState, VipRange};

pub(super) type Answered = BTreeMap<u32, BTreeSet<VipRange>>;

/// What was said to the network last, and of what it was made.
#[derive(Default)]
pub(super) struct Announcements {
    made_of: Option<(Arc<Config>, Arc<NetworkState>)>,
    answered: Answered,
    /// Interfaces that could not be answered on, told of once.
    failed: bool,
}

impl Controller {
    /// Makes what is answered for follow the rules, the links and the addresses. What failed is tried again.
    pub(super) fn announce(&mut self) {
        let (config, state) = (&self.in_force.config, &self.network_state);
        let made_of = self.announcements.made_of.as_ref();
        let is_same = made_of.is_some_and(|(of, with)| {
            Arc::ptr_eq(of, config)
                && Arc::ptr_eq(&with.links, &state.links)
                && Arc::ptr_eq(&with.addresses, &state.addresses)
        });
        if is_same && !self.announcements.failed {
            return;
        }
        if !is_same {
            self.announcements.made_of = Some((config.clone(), state.clone()));
            if self.settings.announce {
                self.announcements.answered = answered(config, state, &self.settings.interfaces);
            }
            self.tell_claims();
        }
        let errors = self.network.answer_for(&self.announcements.answered);
        for error in errors.iter().filter(|_| !self.announcements.failed) {
            tracing::warn!("answering for VIPs: {error}");
        }
        self.announcements.failed = !errors.is_empty();
    }

    /// Addresses of others that VIPs claim.
    pub(super) fn claims(&self) -> Vec<String> {
        claims::warnings(&self.in_force.config, self.network_state.own_addresses())
    }

    fn tell_claims(&mut self) {
        let claims: BTreeSet<String> = self.claims().into_iter().collect();
        for warning in claims.difference(&self.told) {
            tracing::warn!("{warning}");
        }
        self.told = claims;
    }
}

fn answered(config: &Config, state: &NetworkState, interfaces: &[String]) -> Answered {
    let vips: BTreeSet<IpAddr> = config.rules.values().map(|rule| rule.vip.address).collect();
    let mut answered = Answered::new();
    for vip in vips {
        if let Some(link) = state.connected_interface(vip)
            && interfaces.contains(&link.name)
        {
            answered.entry(link.index).or_default().insert(range(vip));
        }
    }
    answered
}

/// An IPv6 rule that names a /96 is answered for as a whole; one that names an address, for that address, because
/// the rest of its /96 may well be neighbours.
fn range(vip: IpAddr) -> VipRange {
    match vip {
        IpAddr::V6(address) if address.octets()[12..] == [0; 4] => VipRange::whole_96(address),
        _ => VipRange::host(vip),
    }
}
