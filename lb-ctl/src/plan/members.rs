//! The endpoints of one service over time (semantics §7): attached, draining, ended, forgotten.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use lb_common::clock::{self, TICK_SECONDS};
use lb_common::flow;
use lb_common::layout::{FRAGMENT_LIFETIME_SEC, Member, Pool};
use serde::{Deserialize, Serialize};

use super::ways::Undeliverable;
use crate::model::{EndpointWeight, ResourcePath};

/// An endpoint is (group, address, instance).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EndpointId {
    pub group: ResourcePath,
    pub address: IpAddr,
    pub instance: Option<String>,
}

/// What an attached or draining endpoint is to its service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberPlan {
    pub number: u32,
    pub status: MemberStatus,
    pub pool: Pool,
    pub healthy: bool,
    /// The weight in force, when the service is weighted.
    pub weight: Option<EndpointWeight>,
    pub delivery: &'static str,
    /// Why packets can't be delivered, when they can't.
    pub obstacle: Option<Obstacle>,
}

/// What stands between packets and an endpoint (semantics §9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Nobody has looked how it is reached: that is no verdict.
    Unknown,
    /// The next hop is not resolved, since this second; a sentence says why.
    Unresolved { reason: String, since: u32 },
    /// No frame can leave towards it.
    Undeliverable(Undeliverable),
}

/// How long a next hop may be unresolved before it counts, where no probe takes the same way.
const PATIENCE_SEC: u32 = 5;

impl Obstacle {
    /// The second from which on it makes the endpoint unhealthy, whatever probes say; nothing if it does not. Those that
    /// are delivered as packets are fail by themselves where the next hop is not resolved.
    pub(super) fn counts_from(&self, is_probed_there: bool) -> Option<u32> {
        match self {
            Self::Undeliverable(_) => Some(0),
            Self::Unresolved { since, .. } if !is_probed_there => Some(since + PATIENCE_SEC),
            Self::Unresolved { .. } | Self::Unknown => None,
        }
    }

    /// As tools print the way of delivery.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Undeliverable(_) => "undeliverable",
            Self::Unresolved { .. } | Self::Unknown => "unresolved",
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the route to it was not looked up yet"),
            Self::Unresolved { reason, .. } => f.write_str(reason),
            Self::Undeliverable(Undeliverable { device, reason }) => {
                write!(f, "undeliverable by {device}: {reason}")
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MemberStatus {
    Attached,
    /// Until the second.
    Draining(u32),
}

impl MemberStatus {
    /// Whether its entries have become unusable by time alone.
    pub(super) fn has_ended(self, now: u32) -> bool {
        matches!(self, Self::Draining(deadline) if deadline <= now)
    }
}

/// A member whose entries are unusable; its number waits until no entry may name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndedMember {
    pub(super) number: u32,
    /// The second from which on the number is free.
    pub(super) free_at: u32,
}

/// The shortest idle timeout that a service can have, in seconds.
const SHORTEST_IDLE_SEC: u32 = 60;

// What is remembered of first fragments names members too, and is forgotten while a number still waits.
const _: () = assert!(clock::deadline(0, FRAGMENT_LIFETIME_SEC) <= SHORTEST_IDLE_SEC);

impl EndedMember {
    /// `last_use` is the last second in which an entry could be refreshed.
    pub(super) fn new(number: u32, last_use: u32, idle_seconds: u32) -> Self {
        // A tick more, for the packet that is being judged.
        Self {
            number,
            free_at: (flow::expiry(last_use, idle_seconds) + 1) * TICK_SECONDS,
        }
    }

    /// A record that no entry can use, and that still belongs to the service, so that packets are counted as
    /// diverted.
    pub(super) fn record(service: u32) -> Member {
        Member::new(service, false, Pool::Primary, 0, Some(0))
    }
}

/// What becomes of a member that is no longer configured.
pub(super) enum Departure {
    Draining(u32),
    Ended { last_use: u32 },
}

/// `group_attached`: only the endpoint left its group; else the whole group left the service, which ends its entries
/// whatever the timeout.
pub(super) fn departure(
    status: MemberStatus,
    group_attached: bool,
    draining_timeout_sec: u32,
    now: u32,
) -> Departure {
    match status {
        _ if !group_attached => Departure::Ended { last_use: now },
        MemberStatus::Draining(deadline) if now < deadline => Departure::Draining(deadline),
        MemberStatus::Draining(deadline) => Departure::Ended { last_use: deadline },
        MemberStatus::Attached if draining_timeout_sec == 0 => Departure::Ended { last_use: now },
        MemberStatus::Attached => Departure::Draining(clock::deadline(now, draining_timeout_sec)),
    }
}

/// Members by endpoint.
pub(super) type Members = BTreeMap<EndpointId, MemberPlan>;
