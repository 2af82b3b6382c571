//! Captures on all backends at once: who received what.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::capture::Capture;
use crate::condition::eventually;
use crate::packet::Received;
use crate::topology::{BACKENDS, Lab, VIP4, VIP6};

const SOON: Duration = Duration::from_secs(5);

/// Watches what comes for the VIPs.
pub struct Witness {
    captures: Vec<(&'static str, Capture)>,
}

/// What one backend received.
#[derive(Debug)]
pub struct Delivery {
    pub backend: &'static str,
    pub packet: Received,
}

impl Witness {
    pub fn start(lab: &Lab) -> Self {
        let captures = BACKENDS.map(|name| (name, Capture::start(&lab.host(name).namespace, "eth0")));
        Self {
            captures: captures.into(),
        }
    }

    /// What arrived so far.
    pub fn deliveries(&self, which: impl Fn(&Received) -> bool) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        for (backend, capture) in &self.captures {
            capture.look(|captured| {
                let packets = captured
                    .frames
                    .iter()
                    .filter_map(|frame| Received::of_frame(frame));
                let wanted = packets.filter(|packet| is_for_vip(packet) && which(packet));
                deliveries.extend(wanted.map(|packet| Delivery { backend, packet }));
            });
        }
        deliveries
    }

    /// Waits until so many arrived, and panics if there are more.
    #[track_caller]
    pub fn exactly(&self, count: usize, which: impl Fn(&Received) -> bool) -> Vec<Delivery> {
        let deliveries = eventually(SOON, || {
            let deliveries = self.deliveries(&which);
            match deliveries.len() {
                found if found < count => Err(format!("{found} of {count} packets arrived")),
                _ => Ok(deliveries),
            }
        });
        assert_eq!(deliveries.len(), count, "more packets arrived than were sent");
        deliveries
    }

    /// Waits for the first, and says who received it and those that came with it.
    #[track_caller]
    pub fn receivers(&self, which: impl Fn(&Received) -> bool) -> BTreeSet<&'static str> {
        let deliveries = eventually(SOON, || match self.deliveries(&which) {
            deliveries if deliveries.is_empty() => Err("no such packet arrived".to_owned()),
            deliveries => Ok(deliveries),
        });
        deliveries.into_iter().map(|delivery| delivery.backend).collect()
    }

    /// No checksum was wrong on any backend.
    #[track_caller]
    pub fn assert_checksums(&self) {
        for (_, capture) in &self.captures {
            capture.look(|captured| captured.assert_checksums());
        }
    }
}

fn is_for_vip(packet: &Received) -> bool {
    packet.destination == VIP4 || packet.destination == VIP6
}

/// Who received each flow; a flow that several received fails.
#[track_caller]
pub fn one_backend_each<K: Ord + std::fmt::Debug>(
    deliveries: &[Delivery],
    flow: impl Fn(&Received) -> K,
) -> BTreeMap<K, &'static str> {
    let mut owners = BTreeMap::new();
    for delivery in deliveries {
        let key = flow(&delivery.packet);
        match owners.get(&key) {
            Some(owner) => assert_eq!(*owner, delivery.backend, "a flow came to two: {key:?}"),
            None => drop(owners.insert(key, delivery.backend)),
        }
    }
    owners
}
