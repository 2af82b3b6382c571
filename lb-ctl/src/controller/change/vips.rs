//! What a change says of VIPs that this host knows to be wrong or doubtful.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::announce::{doubts, place};
use super::prepare::Ground;
use crate::model::Config;
use crate::plan::announce::unusable;
use crate::resources::{Document, Fault, RefusedVip, Scope};

/// A fault for each new address that can't be a VIP here.
pub(super) fn refused(documents: &[Document], scope: &Scope, ground: &Ground) -> Vec<Fault> {
    let network = &ground.snapshot.network;
    let judge = |vip: IpAddr| {
        let unusable = unusable(vip, network)?;
        Some(RefusedVip {
            reason: unusable.reason,
            hint: unusable.hint,
        })
    };
    ground.in_force.resources.refused_vips(documents, scope, judge)
}

/// The warnings of `status` that come with this configuration.
pub(super) fn new_doubts(config: &Config, ground: &Ground) -> Vec<String> {
    let (network, settings) = (&ground.snapshot.network, &ground.snapshot.settings);
    let of = |config| -> BTreeSet<String> {
        let placed = place(config, network, settings, settings.announce);
        doubts(config, network, &placed).collect()
    };
    let (before, after) = (of(&ground.in_force.config), of(config));
    after.difference(&before).cloned().collect()
}
