//! What is said to the network: which VIPs this host answers for; and what others say of the same addresses.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::troubles::Subject;
use super::{Controller, Settings, claims};
use crate::model::Config;
use crate::net::{Conflicts, NetworkState, NextHops};
use crate::plan::announce::{self, AnnounceInputs};
use crate::views;

#[derive(Default)]
pub(super) struct Announcements {
    /// Of what the placing was made.
    made_of: Option<(Arc<Config>, Arc<NetworkState>)>,
    placed: announce::Announcements,
    /// Interfaces that could not be answered on, a clause each; they are tried again.
    failed: Vec<String>,
    /// Of what the log's sentences about other hosts were made.
    told: Option<(Arc<Conflicts>, Arc<NextHops>)>,
}

impl Announcements {
    /// Something beside the rules and the network has changed.
    pub(super) fn place_anew(&mut self) {
        self.made_of = None;
    }
}

/// Where the VIPs of a configuration are answered for.
pub(super) fn place(
    config: &Config,
    network: &NetworkState,
    settings: &Settings,
    enabled: bool,
) -> announce::Announcements {
    let names = &settings.interfaces;
    let links = network.links.values().filter(|link| names.contains(&link.name));
    let inputs = AnnounceInputs {
        network,
        interfaces: &links.map(|link| link.index).collect(),
        enabled,
        repeat: settings.announce_repeat,
    };
    announce::Announcements::new(&announce::vips(config), &inputs)
}

/// What may be a mistake about VIPs, from all that this host knows: whom they claim addresses from, where nobody answers.
pub(super) fn doubts(
    config: &Config,
    network: &NetworkState,
    placed: &announce::Announcements,
) -> impl Iterator<Item = String> {
    claims::warnings(config, network)
        .into_iter()
        .chain(placed.warnings())
}

impl Controller {
    /// Makes what is answered for follow the rules, the links and the addresses. What failed is tried again.
    pub(super) fn announce(&mut self) {
        if self.frozen.is_some() {
            return;
        }
        let is_same = self.is_placed();
        if !is_same {
            self.place_vips();
            self.tell_warnings();
        }
        if !is_same || !self.announcements.failed.is_empty() {
            self.announcements.failed = self.network.answer_for(&self.announcements.placed.desired);
        }
        self.tell_of_conflicts();
        let mut wrong = self.announcements.failed.clone();
        wrong.extend(self.network.troubles());
        match wrong.is_empty() {
            true => self.troubles.clear(&Subject::Vips),
            false => self.troubles.set(
                Subject::Vips,
                format!(
                    "not all VIPs are answered for, which is tried again: {}",
                    wrong.join("; ")
                ),
            ),
        }
    }

    /// Who the other host is may be known only later, when its neighbour entry is.
    fn tell_of_conflicts(&mut self) {
        let conflicts = self.network.conflicts().borrow().clone();
        let next_hops = &self.network_state.next_hops;
        let told = self.announcements.told.as_ref();
        let is_told =
            told.is_some_and(|(of, with)| Arc::ptr_eq(of, &conflicts) && Arc::ptr_eq(with, next_hops));
        if !is_told && !conflicts.is_empty() {
            self.announcements.told = Some((conflicts, next_hops.clone()));
            self.tell_warnings();
        }
    }

    fn is_placed(&self) -> bool {
        let (config, state) = (&self.in_force.config, &self.network_state);
        self.announcements.made_of.as_ref().is_some_and(|(of, with)| {
            Arc::ptr_eq(of, config)
                && Arc::ptr_eq(&with.links, &state.links)
                && Arc::ptr_eq(&with.addresses, &state.addresses)
        })
    }

    fn place_vips(&mut self) {
        let (config, state) = (self.in_force.config.clone(), self.network_state.clone());
        let enabled = self.settings.announce && !self.interfaces.detached;
        self.announcements.placed = place(&config, &state, &self.settings, enabled);
        self.announcements.made_of = Some((config, state));
    }

    /// What may be a mistake about VIPs: whom they claim addresses from, who claims theirs, where nobody answers.
    pub(super) fn vip_warnings(&self) -> Vec<String> {
        let (config, state) = (&self.in_force.config, &self.network_state);
        let mut warnings: Vec<String> = doubts(config, state, &self.announcements.placed).collect();
        let conflicts = self.network.conflicts();
        warnings.extend(announce::conflict_warnings(&conflicts.borrow(), config, state));
        warnings
    }

    /// Each is logged once, as long as it lasts.
    pub(super) fn tell_warnings(&mut self) {
        let warnings: BTreeSet<String> = self.vip_warnings().into_iter().collect();
        for warning in warnings.difference(&self.told) {
            tracing::warn!("{warning}");
        }
        self.told = warnings;
    }

    pub(super) fn vip_views(&self) -> Vec<views::VipStatus> {
        let how = self.announcements.placed.how.iter();
        how.map(|(address, answering)| views::VipStatus {
            address: *address,
            answering: answering.to_string(),
        })
        .collect()
    }
}
