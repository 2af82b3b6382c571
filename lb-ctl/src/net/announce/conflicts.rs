//! Who else claims addresses that are answered for here.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Family;
use super::schedule::ASK_INTERVAL;
use crate::net::MacAddr;

/// All that were seen lately.
pub type Conflicts = BTreeMap<ConflictKey, Conflict>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConflictKey {
    pub ifindex: u32,
    pub address: IpAddr,
    /// The other host's.
    pub mac: MacAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub claim: Claim,
    pub first_seen: Timestamp,
    /// To about a minute.
    pub last_seen: Timestamp,
}

/// What another host did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// It asked for somebody else in the name of the address, which moves what others remember.
    AskedInItsName,
    /// It said unasked that the address is there.
    Announced,
    /// It answered for the address.
    Answered,
}

/// A conflict ends when it was not seen in three rounds of questions.
const LIFETIME: Duration = Duration::from_secs(ASK_INTERVAL.as_secs() * 7 / 2);
/// How often an address is defended against one other host (RFC 5227 DEFEND_INTERVAL).
const DEFENCE_INTERVAL: Duration = Duration::from_secs(10);
/// What is seen again is told again this often.
const TELL_INTERVAL: Duration = Duration::from_secs(30);
/// Whoever forges claims fills no memory.
const MOST: usize = 256;

/// The conflicts of one family on one interface.
#[derive(Debug)]
pub(super) struct Watch {
    ifindex: u32,
    family: Family,
    seen: BTreeMap<(IpAddr, MacAddr), Seen>,
    all: Arc<watch::Sender<Arc<Conflicts>>>,
    told_full: bool,
}

#[derive(Debug)]
struct Seen {
    conflict: Conflict,
    at: Instant,
    told: Instant,
    defended: Instant,
}

impl Watch {
    pub(super) fn new(ifindex: u32, family: Family, all: Arc<watch::Sender<Arc<Conflicts>>>) -> Self {
        Self {
            ifindex,
            family,
            seen: BTreeMap::new(),
            all,
            told_full: false,
        }
    }

    /// Takes up a claim. True when the address is to be defended.
    pub(super) fn on_claim(&mut self, address: IpAddr, mac: MacAddr, claim: Claim, now: Instant) -> bool {
        let when = Timestamp::now();
        if let Some(seen) = self.seen.get_mut(&(address, mac)) {
            let stronger = claim > seen.conflict.claim;
            seen.conflict.claim = seen.conflict.claim.max(claim);
            seen.conflict.last_seen = when;
            seen.at = now;
            let defends = now >= seen.defended + DEFENCE_INTERVAL;
            if defends {
                seen.defended = now;
            }
            if stronger || now >= seen.told + TELL_INTERVAL {
                seen.told = now;
                self.tell();
            }
            return defends;
        }
        if self.seen.len() >= MOST {
            if !std::mem::replace(&mut self.told_full, true) {
                tracing::warn!(
                    ifindex = self.ifindex,
                    "more than {MOST} claims to VIPs by other hosts; the others are not listed"
                );
            }
            return false;
        }
        let conflict = Conflict {
            claim,
            first_seen: when,
            last_seen: when,
        };
        let seen = Seen {
            conflict,
            at: now,
            told: now,
            defended: now,
        };
        self.seen.insert((address, mac), seen);
        self.tell();
        true
    }

    /// When the next one ends, if nothing is seen of it.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.seen.values().map(|seen| seen.at + LIFETIME).min()
    }

    /// Forgets what was not seen for long, and what is `answered` for no more.
    pub(super) fn end(&mut self, now: Instant, answered: impl Fn(IpAddr) -> bool) {
        let before = self.seen.len();
        self.seen
            .retain(|(address, _), seen| answered(*address) && now < seen.at + LIFETIME);
        if self.seen.len() != before {
            self.told_full = false;
            self.tell();
        }
    }

    fn tell(&self) {
        let own = self.seen.iter().map(|((address, mac), seen)| {
            let key = ConflictKey {
                ifindex: self.ifindex,
                address: *address,
                mac: *mac,
            };
            (key, seen.conflict)
        });
        self.replace(own.collect());
    }

    fn replace(&self, own: Conflicts) {
        let is_own =
            |key: &ConflictKey| key.ifindex == self.ifindex && Family::of(key.address) == self.family;
        self.all.send_if_modified(|all| {
            let others = all.iter().filter(|(key, _)| !is_own(key));
            let next: Conflicts = others
                .map(|(key, conflict)| (*key, *conflict))
                .chain(own)
                .collect();
            let changed = **all != next;
            if changed {
                *all = Arc::new(next);
            }
            changed
        });
    }
}

impl Drop for Watch {
    /// Nobody looks after them any more.
    fn drop(&mut self) {
        self.replace(Conflicts::new());
    }
}
