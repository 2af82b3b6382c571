//! By which interfaces packets leave: what the network says of them is brought together, and what is closed is told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::Controller;
use super::troubles::Subject;
use crate::model::ResourcePath;
use crate::net::XdpMode;
use crate::plan::{Undeliverable, Way, WayInputs, Ways, ways};

/// Endpoints that one sentence names.
const NAMED: usize = 3;

impl Controller {
    /// Services whose endpoints are reached in another way from now on are compiled anew.
    pub(super) fn follow_ways(&mut self) {
        let next = ways(&WayInputs {
            network: &self.network_state,
            arms: &self.arms(),
            broken: &self.failures.broken(),
        });
        if *self.ways == next {
            return;
        }
        let before = std::mem::replace(&mut self.ways, Arc::new(next));
        let touched: BTreeSet<ResourcePath> = differing(&before, &self.ways)
            .filter_map(|address| self.index.addresses.get(address))
            .flatten()
            .cloned()
            .collect();
        self.dirty.services(touched);
        self.tell_undeliverable();
    }

    /// The interfaces that the program is attached to, as the kernel says.
    fn arms(&self) -> BTreeMap<u32, XdpMode> {
        let links = self.network_state.links.values();
        let named = links.filter(|link| self.settings.interfaces.contains(&link.name));
        let attached = named.filter_map(|link| Some((link.index, link.xdp.first()?.mode)));
        attached.filter(|_| !self.interfaces.detached).collect()
    }

    pub(super) fn tell_undeliverable(&mut self) {
        let mut behind: BTreeMap<&Undeliverable, Vec<IpAddr>> = BTreeMap::new();
        for (address, way) in self.ways.iter() {
            if let (Way::Closed(closed), true) = (way, self.index.addresses.contains_key(address)) {
                behind.entry(closed).or_default().push(*address);
            }
        }
        let mut told: BTreeMap<Subject, String> = BTreeMap::new();
        for (closed, addresses) in behind {
            let text = sentence(closed, &addresses);
            told.entry(Subject::Way(closed.device.clone()))
                .and_modify(|other| *other = format!("{other}; {text}"))
                .or_insert(text);
        }
        self.troubles
            .replace(|subject| matches!(subject, Subject::Way(_)), told);
    }
}

fn sentence(closed: &Undeliverable, addresses: &[IpAddr]) -> String {
    let named: Vec<String> = addresses.iter().take(NAMED).map(ToString::to_string).collect();
    let named = named.join(", ");
    let whom = match (addresses.len(), addresses.len().saturating_sub(NAMED)) {
        (1, _) => format!("endpoint {named} is"),
        (_, 0) => format!("endpoints {named} are"),
        (_, more) => format!("endpoints {named} and {more} more are"),
    };
    format!(
        "{whom} undeliverable, so they count as unhealthy: {}",
        closed.reason
    )
}

/// The addresses whose ways are not the same in both.
fn differing<'a>(one: &'a Ways, other: &'a Ways) -> impl Iterator<Item = &'a IpAddr> {
    let changed = one
        .iter()
        .filter(|(address, way)| other.get(*address) != Some(*way));
    let new = other.iter().filter(|(address, _)| !one.contains_key(*address));
    changed.chain(new).map(|(address, _)| address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(device: &str) -> Undeliverable {
        Undeliverable {
            device: device.to_owned(),
            reason: format!("{device} is a bridge"),
        }
    }

    #[test]
    fn a_sentence_names_a_few_and_counts_the_rest() {
        let addresses: Vec<IpAddr> = (1..=5).map(|last| [10, 0, 0, last].into()).collect();
        let said = |count| sentence(&closed("br0"), &addresses[..count]);
        assert!(said(1).starts_with("endpoint 10.0.0.1 is undeliverable"));
        assert!(said(2).starts_with("endpoints 10.0.0.1, 10.0.0.2 are undeliverable"));
        assert!(said(5).contains("10.0.0.3 and 2 more are") && said(5).ends_with("br0 is a bridge"));
    }

    #[test]
    fn what_comes_goes_or_changes_differs() {
        let way = |device| Way::Closed(closed(device));
        let address = |last| IpAddr::from([10, 0, 0, last]);
        let one = Ways::from([
            (address(1), way("a")),
            (address(2), way("a")),
            (address(3), way("a")),
        ]);
        let other = Ways::from([
            (address(1), way("a")),
            (address(2), way("b")),
            (address(4), way("a")),
        ]);
        let found: BTreeSet<_> = differing(&one, &other).copied().collect();
        assert_eq!(found, BTreeSet::from([address(2), address(3), address(4)]));
    }
}
