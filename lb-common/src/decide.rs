//! The decision about a packet: semantics §1, steps 1 to 8, in its order.

use crate::flow::{self, Found, Insert, Place, Slot};
use crate::hash;
use crate::layout::{BUCKET_SLOTS, Member, Service, TupleRecord};
use crate::parse::{self, Family, Network, Transport};
use crate::policy::{PolicyRow, Tuple};
use crate::rules::{self, Match};
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};
use crate::wire::Packet;

/// Decides, and records the flow if its service tracks it.
#[inline(always)]
pub fn decide<P: Packet, T: Tables>(tables: &T, packet: &P, network: &Network) -> Verdict {
    let transport = match parse::transport(packet, network) {
        Ok(transport) => transport,
        Err(reason) => return unless_not_ours(tables, network, reason),
    };
    if transport.is_neighbor_discovery() {
        return Verdict::without_member(Reason::PassNeighborDiscovery, 0);
    }
    if transport.is_later_fragment() {
        return unless_not_ours(tables, network, Reason::DropFragment);
    }
    let number = match rules::find(tables, network, &transport) {
        Match::Service(number) => number,
        Match::NoRule => return Verdict::without_member(Reason::DropNoRule, 0),
        Match::NoVip => return Verdict::without_member(Reason::PassNoVip, 0),
    };
    match tables.service(number) {
        Some(service) if service.policy().in_use() => {
            let flow = Flow {
                tables,
                network,
                transport: &transport,
                number,
                service,
            };
            flow.decide()
        }
        _ => Verdict::without_member(Reason::DropBadService, number),
    }
}

/// A packet that can't be understood is only ours to drop if its destination is.
#[inline(always)]
fn unless_not_ours<T: Tables>(tables: &T, network: &Network, reason: Reason) -> Verdict {
    match tables.vip(&rules::vip_key(network)) {
        Some(_) => Verdict::without_member(reason, 0),
        None => Verdict::without_member(Reason::PassNoVip, 0),
    }
}

/// Where a packet's entry is, or would be; no bucket if the packet is not tracked.
struct Tracked<'a, T: Tables> {
    place: Place,
    bucket: Option<&'a T::Bucket>,
    found: Found,
}

/// A packet that matched a rule.
struct Flow<'a, T: Tables> {
    tables: &'a T,
    network: &'a Network,
    transport: &'a Transport,
    number: u32,
    service: Service,
}

impl<T: Tables> Flow<'_, T> {
    #[inline(always)]
    fn decide(&self) -> Verdict {
        if self.service.leader().is_set() {
            return self.to_leader();
        }
        let row = self.service.policy().row(self.transport.class());
        let now = self.tables.now();
        let tracked = self.look_up(row, now);
        if let Some(bucket) = tracked.bucket
            && tracked.found.is_some()
            && !self.is_always_new()
            && let Some(reason) = self.usable(row, &tracked.found.member, now)
        {
            let entry = &tracked.found;
            flow::refresh(bucket, entry, self.expiry(now));
            return self.forward(reason, entry.slot.member(), &entry.member);
        }
        let (number, member) = match self.select(row) {
            Ok(selected) => selected,
            Err(reason) => return self.refuse(reason),
        };
        let reason = match tracked.bucket {
            Some(bucket) => self.record(row, bucket, &tracked, number, now),
            None => Reason::ForwardUntracked,
        };
        self.forward(reason, number, &member)
    }

    #[inline(always)]
    fn to_leader(&self) -> Verdict {
        let number = self.service.leader().member();
        match self.tables.member(number) {
            Some(member) if member.in_use() => self.forward(Reason::ForwardLeader, number, &member),
            _ => self.refuse(Reason::DropNoLeader),
        }
    }

    #[inline(always)]
    fn look_up(&self, row: PolicyRow, now: u32) -> Tracked<'_, T> {
        if row.tracking() == Tuple::Off as u32 {
            return Tracked {
                place: Place { bucket: 0, tag: 0 },
                bucket: None,
                found: Found::NONE,
            };
        }
        let key = hash::flow(
            self.tables.keys(),
            self.number,
            row.tracking(),
            self.network,
            self.transport,
        );
        let place = Place::of(key, self.tables.bucket_count());
        match self.tables.bucket(place.bucket) {
            Some(bucket) => {
                let member = |number| self.tables.member(number);
                let found = flow::find(bucket, place.tag, now, self.number, member);
                Tracked {
                    place,
                    bucket: Some(bucket),
                    found,
                }
            }
            None => Tracked {
                place,
                bucket: None,
                found: Found::NONE,
            },
        }
    }

    /// Semantics §1, step 4, as far as an entry is concerned.
    #[inline(always)]
    fn is_always_new(&self) -> bool {
        self.transport.opens() && self.service.policy().syn_is_new()
    }

    #[inline(always)]
    fn expiry(&self, now: u32) -> u32 {
        flow::expiry(now, self.service.policy().idle_ticks())
    }

    /// Step 8.
    #[inline(always)]
    fn record(
        &self,
        row: PolicyRow,
        bucket: &T::Bucket,
        tracked: &Tracked<'_, T>,
        member: u32,
        now: u32,
    ) -> Reason {
        let Tracked { place, found, .. } = tracked;
        let entry = Slot::new(place.tag, member, self.expiry(now));
        match flow::insert(bucket, entry, now, found) {
            Insert::Recorded(slot) => {
                let index = place.bucket * BUCKET_SLOTS + slot as u32;
                self.tables.keep_tuple(index, &self.tuple_record(row.tracking()));
                let diverted = found.is_some() && !self.is_always_new();
                if diverted {
                    Reason::ForwardDiverted
                } else {
                    Reason::ForwardNew
                }
            }
            Insert::Full => Reason::ForwardBucketFull,
            Insert::Raced => Reason::ForwardInsertRaced,
        }
    }

    /// Semantics §5: why the entry decides, or nothing if it does not.
    #[inline(always)]
    fn usable(&self, row: PolicyRow, member: &Member, now: u32) -> Option<Reason> {
        let pools = self.service.pools();
        if !member.serves_entries(now) || !pools.counts(member, now) {
            return None;
        }
        if member.healthy() {
            return Some(Reason::ForwardTracked);
        }
        if row.persists() || pools.nothing_healthy() {
            Some(Reason::ForwardPersisted)
        } else {
            None
        }
    }

    /// Steps 6 and 7: the eligible set is what the table was built from.
    #[inline(always)]
    fn select(&self, row: PolicyRow) -> Result<(u32, Member), Reason> {
        let table = self.service.selection();
        if table.size == 0 {
            let drops = self.service.pools().drops_if_unhealthy();
            return Err(if drops {
                Reason::DropNoHealthyBackend
            } else {
                Reason::DropNoBackend
            });
        }
        let keys = self.tables.keys();
        let hash = hash::selection(
            keys,
            row.selection(),
            row.symmetric(),
            self.network,
            self.transport,
        );
        let slot = table.offset.wrapping_add(hash::reduce(hash, table.size));
        let number = self.tables.selected(slot);
        if number == 0 {
            return Err(Reason::DropBadTable);
        }
        match self.tables.member(number) {
            Some(member) if member.in_use() => Ok((number, member)),
            _ => Err(Reason::DropBadMember),
        }
    }

    #[inline(always)]
    fn forward(&self, reason: Reason, number: u32, member: &Member) -> Verdict {
        let backend = member.backend();
        let reason = if backend == 0 {
            Reason::DropUnresolved
        } else {
            reason
        };
        Verdict {
            reason,
            service: self.number,
            member: number,
            backend,
        }
    }

    #[inline(always)]
    fn refuse(&self, reason: Reason) -> Verdict {
        Verdict::without_member(reason, self.number)
    }

    #[inline(always)]
    fn tuple_record(&self, tuple: u32) -> TupleRecord {
        let v6 = self.network.family == Family::V6;
        TupleRecord {
            source: self.network.source,
            destination: self.network.destination,
            ports: self.transport.ports,
            kind: u32::from(self.transport.protocol()) | (tuple << 8) | (u32::from(v6) << 16),
        }
    }
}

#[cfg(test)]
mod tests;
