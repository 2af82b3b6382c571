//! The decision about a packet: semantics §1, steps 1 to 8, in its order.

use crate::clock;
use crate::flow::{self, Found, Insert, Place, Slot, Sought};
use crate::hash;
use crate::layout::{
    FRAGMENT_LIFETIME_SEC, FragmentRecord, Member, SUBSET_SIZE, Selection, Service, TupleRecord,
};
use crate::martian;
use crate::parse::{self, Family, Network, Quoted, Transport};
use crate::policy::{PolicyRow, Tuple};
use crate::rules::{self, Match};
use crate::tables::{Owner, Tables};
use crate::verdict::{Reason, Verdict};
use crate::wire::{self, Packet};

mod plain;

pub use plain::{Plain, plain};

/// Decides, and records the flow if its service tracks it.
#[inline(always)]
pub fn decide<P: Packet, T: Tables>(tables: &T, packet: &P, network: &Network) -> Verdict {
    decide_with(tables, packet, &mut { *network }, &mut { *network })
}

/// The same, with room for the packet that an ICMP error quotes: the kernel's stack is too small for it. Extension
/// headers are skipped in `network`.
///
/// The steps are functions of their own in the kernel too, called in turn: the stack is as large as the largest, and has no
/// room for all. Each gives one word, because a register carries it.
#[inline(always)]
pub fn decide_with<P: Packet, T: Tables>(
    tables: &T,
    packet: &P,
    network: &mut Network,
    room: &mut Network,
) -> Verdict {
    let epoch = tables.epoch();
    let passes = pass_on(tables, packet, network, epoch);
    if passes != OURS {
        return Verdict::without_member(Reason::of_word(passes), 0);
    }
    let mut transport = Transport::NONE;
    let subject = understand(tables, packet, network, room, &mut transport);
    let is_error = match subject {
        ITSELF => false,
        QUOTED => true,
        reason => return Verdict::without_member(Reason::of_word(reason), 0),
    };
    let subject = if is_error { &*room } else { &*network };
    let mut entropy = 0;
    let unreportable = transport.is_unreportable();
    if transport.is_later_fragment() && !is_error {
        let followed = follow_first_fragment(tables, subject, &transport, &mut entropy);
        if followed != 0 {
            return Verdict {
                service: (entropy >> 32) as u32,
                entropy: entropy as u32,
                unreportable,
                ..Verdict::unpack(followed)
            };
        }
    }
    let number = match rules::find(tables, subject, &transport, epoch) {
        Match::Service(number) => number,
        Match::NoRule => {
            let reason = match unmatched(tables, &transport, is_error) {
                Reason::ReplyEcho if martian::is_martian(tables, network) => Reason::DropMartianSource,
                reason => reason,
            };
            return Verdict::without_member(reason, 0);
        }
        Match::Martian => return Verdict::without_member(Reason::DropMartianSource, 0),
        Match::NoVip => return Verdict::without_member(Reason::PassNoVip, 0),
    };
    let sought = u64::from(number) | (u64::from(is_error) << 32);
    let matched = decide_matched(tables, subject, &transport, sought, &mut entropy);
    // The verifier shall not follow every reason on its own through all that comes after.
    let reason_and_member = packet.forget(matched as u32);
    let matched = (matched >> 32 << 32) | u64::from(reason_and_member);
    let verdict = Verdict {
        service: number,
        entropy: entropy as u32,
        unreportable,
        ..Verdict::unpack(matched)
    };
    if transport.is_first_fragment() && verdict.member != 0 {
        remember_first_fragment(tables, network, &transport, verdict.member);
    }
    verdict
}

/// [`pass_on`]: nothing says that the packet is not for us to judge.
const OURS: u64 = 1 << 8;

/// Semantics §1, step 1b, of a packet that may be for a VIP: the number of the reason why it passes, or [`OURS`].
#[inline(never)]
fn pass_on<P: Packet, T: Tables>(tables: &T, packet: &P, network: &Network, epoch: u32) -> u64 {
    if !tables.may_be_vip(&rules::filter_key(network)) {
        return OURS;
    }
    let recipient = wire::recipient(packet).unwrap_or_default();
    let owner = match tables.owner(epoch, recipient) {
        Owner::ThisHost => return OURS,
        // Nobody's own address is a group's.
        Owner::Unknown if wire::is_group(recipient) => Owner::AnotherHost,
        owner => owner,
    };
    let is_vip = rules::vip(tables, network).is_some();
    if owner == Owner::AnotherHost {
        let reason = match is_vip {
            true => Reason::PassOtherHost,
            false => Reason::PassNoVip,
        };
        return reason as u64;
    }
    if is_vip {
        tables.note_not_judged();
    }
    OURS
}

/// [`understand`]: the packet itself is to be judged.
const ITSELF: u64 = 1 << 8;
/// The packet is an ICMP error, and what it quotes is to be judged.
const QUOTED: u64 = 2 << 8;

/// Finds the transport layer of the packet, or of the one that it quotes, which is then in `room`: [`ITSELF`], [`QUOTED`], or
/// the number of the reason why there is nothing to judge.
#[inline(never)]
fn understand<P: Packet, T: Tables>(
    tables: &T,
    packet: &P,
    network: &mut Network,
    room: &mut Network,
    transport: &mut Transport,
) -> u64 {
    if let Err(reason) = parse::skip_extensions(packet, network) {
        return unless_not_ours(tables, network, reason);
    }
    let network = &*network;
    let (subject, is_error) = match parse::quoted(packet, network) {
        Quoted::Nothing => (network, false),
        Quoted::Packet(quoted) => {
            *room = quoted.reversed();
            if parse::skip_extensions(packet, room).is_err() {
                return unless_not_ours(tables, network, Reason::DropIcmpError);
            }
            (&*room, true)
        }
        Quoted::Unreadable => return unless_not_ours(tables, network, Reason::DropIcmpError),
    };
    *transport = match parse::transport(packet, subject) {
        Ok(transport) if is_error => transport.of_error(),
        Ok(transport) => transport,
        Err(reason) => return unless_not_ours(tables, network, reason),
    };
    if transport.is_neighbor_discovery() {
        return Reason::PassNeighborDiscovery as u64;
    }
    // An error comes to the address that the packet it is about was sent from.
    if is_error && rules::destination_key(subject) != rules::destination_key(network) {
        return unless_not_ours(tables, network, Reason::DropIcmpError);
    }
    // An error is judged by whom it comes from, too, and not only by what it quotes.
    if is_error && martian::is_martian(tables, network) {
        return unless_not_ours(tables, network, Reason::DropMartianSource);
    }
    if is_error { QUOTED } else { ITSELF }
}

/// What a service does with a packet, or with an error about one if bit 32 of `sought` is set. A function of its own in the
/// kernel too, because the stack would be too small for it beside what comes before; one register carries its result.
#[inline(never)]
fn decide_matched<T: Tables>(
    tables: &T,
    network: &Network,
    transport: &Transport,
    sought: u64,
    entropy: &mut u64,
) -> u64 {
    let number = sought as u32;
    let verdict = match tables.service(number) {
        Some(service) if service.policy().in_use() => {
            let flow = Flow {
                tables,
                network,
                transport,
                number,
                service,
                is_plain: false,
            };
            if sought >> 32 != 0 {
                flow.about_error()
            } else {
                flow.decide()
            }
        }
        _ => Verdict::without_member(Reason::DropBadService, number),
    };
    *entropy = u64::from(verdict.entropy);
    verdict.pack()
}

/// For a VIP, but no rule takes it.
#[inline(always)]
fn unmatched<T: Tables>(tables: &T, transport: &Transport, is_error: bool) -> Reason {
    if is_error {
        Reason::DropIcmpError
    } else if transport.is_later_fragment() {
        Reason::DropFragment
    } else if transport.is_echo_request() && tables.answers_echo() {
        Reason::ReplyEcho
    } else {
        Reason::DropNoRule
    }
}

/// A function of its own in the kernel too: its key would not fit the stack beside the rest of the decision.
#[inline(never)]
fn remember_first_fragment<T: Tables>(tables: &T, network: &Network, transport: &Transport, member: u32) {
    let deadline = clock::deadline(tables.now(), FRAGMENT_LIFETIME_SEC);
    tables.remember_fragment(
        &transport.fragment_key(network),
        &FragmentRecord { member, deadline },
    );
}

/// Semantics §8: before any rule, a later fragment goes where its first one went. The packed verdict, or 0 if that is not
/// known; its service is in the high half of `entropy`.
#[inline(never)]
fn follow_first_fragment<T: Tables>(
    tables: &T,
    network: &Network,
    transport: &Transport,
    entropy: &mut u64,
) -> u64 {
    let Some(first) = tables.fragment(&transport.fragment_key(network)) else {
        return 0;
    };
    let now = tables.now();
    if now >= first.deadline {
        return 0;
    }
    match tables.member(first.member) {
        Some(member) if member.serves_entries(now) => {
            let service = member.service();
            *entropy = u64::from(spread(tables, network, transport)) | (u64::from(service) << 32);
            let verdict = Verdict::without_member(Reason::ForwardFragment, 0);
            verdict
                .to_member(Reason::ForwardFragment, service, first.member, &member, 0)
                .pack()
        }
        _ => 0,
    }
}

/// Hash bits for a packet that nothing else hashes: every fragment of a datagram has the same.
#[inline(always)]
fn spread<T: Tables>(tables: &T, network: &Network, transport: &Transport) -> u32 {
    hash::selection(tables.keys(), Tuple::Three as u32, 0, network, transport)
}

/// A packet that can't be understood is only ours to drop if its destination is.
#[inline(always)]
fn unless_not_ours<T: Tables>(tables: &T, network: &Network, reason: Reason) -> u64 {
    let reason = match rules::vip(tables, network) {
        Some(_) => reason,
        None => Reason::PassNoVip,
    };
    reason as u64
}

impl Verdict {
    #[inline(always)]
    fn to_member(self, reason: Reason, service: u32, number: u32, member: &Member, entropy: u32) -> Self {
        let backend = member.backend();
        // Only delivery records 1 and up exist.
        let reason = if backend == 0 {
            Reason::DropUnresolved
        } else {
            reason
        };
        Self {
            reason,
            service,
            member: number,
            backend,
            entropy,
            ..self
        }
    }
}

/// Where a packet's entry is, or would be; no bucket if the packet is not tracked.
struct Tracked<'a, T: Tables> {
    place: Place,
    bucket: Option<&'a T::Bucket>,
    found: Found,
    entropy: u32,
}

/// What the eligible set's table holds for a packet.
struct Selected {
    number: u32,
    member: Member,
    hash: u32,
}

/// A packet that matched a rule.
struct Flow<'a, T: Tables> {
    tables: &'a T,
    network: &'a Network,
    transport: &'a Transport,
    number: u32,
    service: Service,
    /// The service is known to be [`Service::is_plain`]; a constant, so that the compiler leaves the rest out.
    is_plain: bool,
}

impl<T: Tables> Flow<'_, T> {
    #[inline(always)]
    fn decide(&self) -> Verdict {
        if !self.is_plain && self.service.leader().is_set() {
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
            let tuple = || self.tuple_record(row.tracking());
            let sought = self.sought(bucket, tracked.place, now);
            self.tables.refresh_flow(sought, tuple, entry, self.expiry(now));
            return self.forward(reason, entry.slot.member(), &entry.member, tracked.entropy);
        }
        let Selected { number, member, hash } = match self.select(row) {
            Ok(selected) => selected,
            Err(reason) => return self.refuse(reason),
        };
        match tracked.bucket {
            Some(bucket) => {
                let reason = self.record(row, bucket, &tracked, number, now);
                self.forward(reason, number, &member, tracked.entropy)
            }
            None => self.forward(Reason::ForwardUntracked, number, &member, hash),
        }
    }

    /// Semantics §8: an ICMP error goes to the backend that its flow is on, and changes no entry.
    #[inline(always)]
    fn about_error(&self) -> Verdict {
        if self.service.leader().is_set() {
            return self.to_leader();
        }
        let row = self.service.policy().row(self.transport.class());
        let now = self.tables.now();
        let found = self.look_up(row, now).found;
        if found.is_some() && self.usable(row, &found.member, now).is_some() {
            return self.forward(Reason::ForwardIcmpError, found.slot.member(), &found.member, 0);
        }
        match self.select(row) {
            Ok(selected) => self.forward(Reason::ForwardIcmpError, selected.number, &selected.member, 0),
            Err(reason) => self.refuse(reason),
        }
    }

    #[inline(always)]
    fn to_leader(&self) -> Verdict {
        let number = self.service.leader().member();
        match self.tables.member(number) {
            Some(member) if member.in_use() => {
                let entropy = spread(self.tables, self.network, self.transport);
                self.forward(Reason::ForwardLeader, number, &member, entropy)
            }
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
                entropy: 0,
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
        let entropy = (key >> 16) as u32;
        match self.tables.bucket(place.bucket) {
            Some(bucket) => {
                let tuple = || self.tuple_record(row.tracking());
                let found = self.tables.find_flow(self.sought(bucket, place, now), tuple);
                Tracked {
                    place,
                    bucket: Some(bucket),
                    found,
                    entropy,
                }
            }
            None => Tracked {
                place,
                bucket: None,
                found: Found::NONE,
                entropy,
            },
        }
    }

    #[inline(always)]
    fn sought<'a>(&self, bucket: &'a T::Bucket, place: Place, now: u32) -> Sought<'a, T::Bucket> {
        Sought {
            bucket,
            place,
            service: self.number,
            tick: clock::tick(now),
        }
    }

    /// Semantics §1, step 4, as far as an entry is concerned.
    #[inline(always)]
    fn is_always_new(&self) -> bool {
        self.transport.opens() && self.service.policy().syn_is_new()
    }

    #[inline(always)]
    fn expiry(&self, now: u32) -> u32 {
        flow::expiry(now, self.service.policy().idle_seconds())
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
        let tuple = || self.tuple_record(row.tracking());
        let sought = self.sought(bucket, *place, now);
        match self.tables.record_flow(sought, tuple, found, entry) {
            Insert::Recorded(_) | Insert::Replaced => {
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
        if member.is_plain(self.number, pools) {
            return Some(Reason::ForwardTracked);
        }
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
    fn select(&self, row: PolicyRow) -> Result<Selected, Reason> {
        let table = self.selection();
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
        let hash = if !self.is_plain && self.service.policy().subsetting() {
            self.subset(hash)
        } else {
            hash
        };
        let slot = table.offset.wrapping_add(hash::reduce(hash, table.size));
        let number = self.tables.selected(slot);
        if number == 0 {
            return Err(Reason::DropBadTable);
        }
        match self.tables.member(number) {
            Some(member) if member.in_use() => Ok(Selected { number, member, hash }),
            _ => Err(Reason::DropBadMember),
        }
    }

    /// The table for the client's zone, or the service's own.
    #[inline(always)]
    fn selection(&self) -> Selection {
        let zones = self.service.zones();
        let mut word = 0;
        if !self.is_plain && zones.count != 0 {
            let zone = self.tables.zone(&rules::source_key(self.network));
            if zone.wrapping_sub(1) < zones.count {
                word = self.tables.zone_selection(zones.first.wrapping_add(zone - 1));
            }
        }
        if word == 0 {
            self.service.selection()
        } else {
            Selection::from_word(word)
        }
    }

    /// Subsetting (semantics §6): one of a client's few slots, by the hash of its packet.
    #[inline(always)]
    fn subset(&self, hash: u32) -> u32 {
        let keys = self.tables.keys();
        let client = hash::selection(keys, Tuple::One as u32, 0, self.network, self.transport);
        let choice = hash::reduce(hash, SUBSET_SIZE);
        (hash::finish((u64::from(client) << 32) | u64::from(choice)) >> 32) as u32
    }

    #[inline(always)]
    fn forward(&self, reason: Reason, number: u32, member: &Member, entropy: u32) -> Verdict {
        Verdict::without_member(reason, 0).to_member(reason, self.number, number, member, entropy)
    }

    #[inline(always)]
    fn refuse(&self, reason: Reason) -> Verdict {
        Verdict::without_member(reason, self.number)
    }

    #[inline(always)]
    fn tuple_record(&self, tuple: u32) -> TupleRecord {
        let v6 = self.network.family == Family::V6;
        TupleRecord::new(
            self.network.source,
            self.network.destination,
            self.transport.ports,
            self.transport.protocol(),
            tuple,
            v6,
        )
    }
}

#[cfg(test)]
mod tests;
