//! Which VIPs the balancer answers for, and on which interfaces: those on a prefix that is connected there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::Context as _;

use super::Settings;
use crate::model::Config;
use crate::net::{Announcer, Links, VipRange};

pub(super) struct Announcements {
    links: Links,
    announcer: Announcer,
    enabled: bool,
    interfaces: BTreeSet<u32>,
    desired: BTreeMap<u32, BTreeSet<VipRange>>,
    /// Interfaces that could not be answered on, told of once.
    failed: bool,
}

impl Announcements {
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            links: Links::new().context("asking for interfaces")?,
            announcer: Announcer::new(),
            enabled: settings.announce,
            interfaces: settings.interfaces.iter().map(|(_, index)| *index).collect(),
            desired: BTreeMap::new(),
            failed: false,
        })
    }

    pub(super) async fn update(&mut self, config: &Config) {
        if !self.enabled {
            return;
        }
        let vips: BTreeSet<IpAddr> = config.rules.values().map(|rule| rule.vip.address).collect();
        let mut desired: BTreeMap<u32, BTreeSet<VipRange>> = BTreeMap::new();
        let state = match self.links.state().await {
            Ok(state) => state,
            Err(error) => {
                return tracing::warn!("finding the interfaces that VIPs are connected to: {error}");
            }
        };
        for vip in vips {
            match state.connected_interface(vip) {
                Some(link) if self.interfaces.contains(&link.index) => {
                    desired.entry(link.index).or_default().insert(range(vip));
                }
                _ => {}
            }
        }
        self.desired = desired;
        self.set();
    }

    /// Interfaces that failed are tried again.
    pub(super) async fn retry(&mut self) {
        if self.failed {
            self.set();
        }
    }

    fn set(&mut self) {
        let errors = self.announcer.set(&self.desired);
        for error in errors.iter().filter(|_| !self.failed) {
            tracing::warn!("answering for VIPs: {error}");
        }
        self.failed = !errors.is_empty();
    }
}

/// An IPv6 rule that names a /96 is answered for as a whole; one that names an address, for that address, because
/// the rest of its /96 may well be neighbours.
fn range(vip: IpAddr) -> VipRange {
    match vip {
        IpAddr::V6(address) if address.octets()[12..] == [0; 4] => VipRange::whole_96(address),
        _ => VipRange::host(vip),
    }
}
