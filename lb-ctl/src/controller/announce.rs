//! Which VIPs the balancer answers for, and on which interfaces: those on a prefix that is connected there.

use std::collections::BTreeSet;

use anyhow::Context as _;

use super::Settings;
use crate::model::Config;
use crate::net::{Announcer, Desired, Links};
use crate::plan::announce::{self, AnnounceInputs};

pub(super) struct Announcements {
    links: Links,
    announcer: Announcer,
    enabled: bool,
    interfaces: BTreeSet<u32>,
    desired: Desired,
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
            desired: Desired::default(),
            failed: false,
        })
    }

    pub(super) async fn update(&mut self, config: &Config) {
        let network = match self.links.state().await {
            Ok(network) => network,
            Err(error) => {
                return tracing::warn!("finding the interfaces that VIPs are connected to: {error}");
            }
        };
        let inputs = AnnounceInputs {
            network: &network,
            interfaces: &self.interfaces,
            enabled: self.enabled,
            repeat: None,
        };
        self.desired = announce::Announcements::new(&announce::vips(config), &inputs).desired;
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
