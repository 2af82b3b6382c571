//! Whether packets were treated as they should be, by what the program counted and by what came back.

use anyhow::{Result, ensure};
use lb_common::verdict::Reason;

use super::{ENDPOINTS, Traffic, Way};
use crate::bench::check;
use crate::bench::forward::wire::Carried;
use crate::bench::generator::{Last, Load};
use crate::bench::subject::Outcomes;
use crate::conformance::bench::XDP_TX;

/// Of the frames that arrive: Ethernet, IPv4 and UDP headers.
const SHORTEST: usize = 42;

/// The share of packets that the program treated as it should.
pub(super) fn expected(traffic: Traffic, outcomes: &Outcomes) -> Result<f64> {
    let reason = match traffic.flows {
        Some(_) => Reason::ForwardTracked,
        None => Reason::ForwardNew,
    };
    let total: u64 = outcomes.values().sum();
    let share = outcomes.get(&reason).copied().unwrap_or(0) as f64 / total as f64;
    ensure!(share > 0.99, "packets had other outcomes: {outcomes:?}");
    Ok(share)
}

/// Whether what came back is what this way makes of what was sent, and went to every endpoint.
pub(super) fn check(way: Way, traffic: Traffic, load: &Load, carried: &Carried) -> Result<()> {
    let endpoints = carried.arrived.iter().filter(|count| **count != 0).count();
    let wanted = match way {
        Way::Swap | Way::Route => 1,
        Way::Balanced(_) | Way::Dnat if traffic.flows == Some(1) => 1,
        Way::Balanced(_) | Way::Dnat => ENDPOINTS as usize,
    };
    ensure!(
        endpoints == wanted,
        "{endpoints} endpoints of {wanted} got packets"
    );
    let frame = carried.sample.clone();
    ensure!(frame.len() >= SHORTEST, "no frame was kept: {frame:02x?}");
    match way {
        Way::Swap => {
            let ends = [&load.frame[6..12], &load.frame[..6]].concat();
            ensure!(
                frame.get(..12) == Some(&ends[..]),
                "the addresses were not exchanged: {frame:02x?}"
            );
            Ok(())
        }
        Way::Balanced(delivery) => {
            let last = Last {
                action: XDP_TX,
                frame,
            };
            check::delivered(delivery, true, load, &last)
        }
        Way::Dnat | Way::Route => check::routed(load, &frame, way == Way::Dnat),
    }
}
