//! What happened in the flow table since the last look at it.
//!
//! Of every slot that a logged service has, the word of the last look is kept (8 bytes) and which connection it is of
//! (4 bytes); of every connection in the sample its tuple, endpoint and times (56 bytes). The tuple is needed at the end,
//! when the slot may be another flow's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lb_common::clock::{self, TICK_SECONDS};
use lb_common::flow::Slot;
use lb_common::hash::HashKeys;
use lb_common::layout::TupleRecord;

use super::event::{Counters, Event, EventKind, Limits, SLOTS, Slots};
use super::snapshot::{Endpoint, MoveReason, Snapshot, is_sampled};
use crate::dataplane::is_of_slot;

struct Connection {
    tuple: TupleRecord,
    endpoint: Arc<Endpoint>,
    start: Option<std::num::NonZeroU32>,
    last: u32,
}

/// Which connection a slot is of: nothing, or its index and 1.
type Follow = u32;
const UNFOLLOWED: Follow = 0;
/// Its tuple was being written when it was looked at.
const UNREAD: Follow = u32::MAX;

pub struct Scanner {
    keys: HashKeys,
    limits: Limits,
    counters: Arc<Counters>,
    snapshot: Arc<Snapshot>,
    /// By number.
    members: Vec<Option<Arc<Endpoint>>>,
    /// Numbers of the services.
    logged: BTreeSet<u32>,
    /// Of those whose entries are only learned.
    learned: BTreeSet<u32>,
    words: Vec<u64>,
    follows: Vec<Follow>,
    connections: Vec<Option<Connection>>,
    free: Vec<u32>,
    /// Whether some slot is [`UNREAD`].
    unread: bool,
    now: u32,
    last_scan: u32,
    events_left: usize,
}

impl Scanner {
    pub fn new(keys: HashKeys, limits: Limits, counters: Arc<Counters>) -> Self {
        Self {
            keys,
            limits,
            counters,
            snapshot: Arc::default(),
            members: Vec::new(),
            logged: BTreeSet::new(),
            learned: BTreeSet::new(),
            words: Vec::new(),
            follows: Vec::new(),
            connections: Vec::new(),
            free: Vec::new(),
            unread: false,
            now: 0,
            last_scan: 0,
            events_left: 0,
        }
    }

    /// Whether the snapshot has services whose present entries should be learned now.
    pub fn has_to_learn(&self, snapshot: &Snapshot) -> bool {
        let mut services = snapshot.services.keys();
        services.any(|key| !self.snapshot.services.contains_key(key))
    }

    /// Gives all memory back.
    pub fn forget(&mut self) {
        *self = Self::new(self.keys, self.limits, self.counters.clone());
        self.counters.connections.store(0, Ordering::Relaxed);
    }

    /// Tells what happened since the last scan. Entries of services that were not logged then are learned silently.
    pub fn scan(
        &mut self,
        table: &impl Slots,
        snapshot: &Arc<Snapshot>,
        now: u32,
        emit: &mut dyn FnMut(&Event<'_>),
    ) {
        let buckets = table.bucket_count();
        let slots = buckets as usize * SLOTS;
        if self.words.len() != slots {
            self.forget();
            (self.words, self.follows) = (vec![0; slots], vec![UNFOLLOWED; slots]);
        }
        let all = self.adopt(snapshot) | std::mem::take(&mut self.unread);
        self.now = now;
        self.events_left = self.limits.events;
        for bucket in 0..buckets {
            self.scan_bucket(table, bucket, all, emit);
        }
        self.last_scan = now;
        let followed = self.connections.len() - self.free.len();
        self.counters
            .connections
            .store(followed as u64, Ordering::Relaxed);
    }

    /// Returns whether the meaning of any number has changed.
    fn adopt(&mut self, snapshot: &Arc<Snapshot>) -> bool {
        self.learned.clear();
        if Arc::ptr_eq(&self.snapshot, snapshot) {
            return false;
        }
        let before = std::mem::replace(&mut self.snapshot, snapshot.clone());
        self.members.clear();
        self.logged.clear();
        for (key, logged) in &snapshot.services {
            self.logged.insert(logged.service.number);
            if !before.services.contains_key(key) {
                self.learned.insert(logged.service.number);
            }
            for (number, endpoint) in &logged.members {
                let number = *number as usize;
                if self.members.len() <= number {
                    self.members.resize(number + 1, None);
                }
                self.members[number] = Some(endpoint.clone());
            }
        }
        true
    }

    fn scan_bucket(&mut self, table: &impl Slots, bucket: u32, all: bool, emit: &mut dyn FnMut(&Event<'_>)) {
        let tick = clock::tick(self.now);
        let first = bucket as usize * SLOTS;
        let words = table.bucket(bucket);
        let mut before = [0; SLOTS];
        before.copy_from_slice(&self.words[first..first + SLOTS]);
        let is_settled = |word: &u64| *word == 0 || Slot(*word).is_alive(tick);
        if words == before && (words == [0; SLOTS] || !all && words.iter().all(is_settled)) {
            return;
        }
        let mut follows = [UNFOLLOWED; SLOTS];
        follows.copy_from_slice(&self.follows[first..first + SLOTS]);
        let mut continued = [false; SLOTS];
        let mut origins = [None; SLOTS];
        for (position, word) in words.iter().enumerate() {
            if Slot(*word).is_alive(tick) {
                origins[position] = predecessor(&before, &words, &continued, position);
                if let Some(origin) = origins[position] {
                    continued[origin] = true;
                }
            }
        }
        // Ends come first: the same tuple may have begun anew in another slot.
        for (follow, _) in follows.iter().zip(continued).filter(|(_, continued)| !continued) {
            self.end(*follow, emit);
        }
        let mut next = [(0, UNFOLLOWED); SLOTS];
        for (position, word) in words.iter().enumerate() {
            let (slot, index) = (Slot(*word), (first + position) as u32);
            if slot.is_alive(tick) {
                next[position] = match origins[position] {
                    Some(old) => self.go_on(table, Slot(before[old]), follows[old], slot, index, emit),
                    None => self.begin(table, slot, index, emit),
                };
            }
        }
        for (position, (word, follow)) in next.into_iter().enumerate() {
            (self.words[first + position], self.follows[first + position]) = (word, follow);
        }
    }

    fn member(&self, slot: Slot) -> Option<Arc<Endpoint>> {
        self.members.get(slot.member() as usize)?.clone()
    }

    /// An entry that was there at the last look.
    fn go_on(
        &mut self,
        table: &impl Slots,
        old: Slot,
        follow: Follow,
        slot: Slot,
        index: u32,
        emit: &mut dyn FnMut(&Event<'_>),
    ) -> (u64, Follow) {
        let Some(endpoint) = self.member(slot) else {
            return self.outlast(follow, slot);
        };
        let last = self.last_packet(slot, &endpoint);
        let seen_anew = old.member() == slot.member() && old.is_confirmed() && !slot.is_confirmed();
        let had_ended = slot != old && !old.is_alive(clock::tick(last));
        if seen_anew || had_ended {
            self.end(follow, emit);
            return self.begin(table, slot, index, emit);
        }
        if follow == UNREAD {
            let (word, follow) = self.begin(table, slot, index, emit);
            if follow == UNREAD {
                self.drop_line();
                return (word, UNFOLLOWED);
            }
            return (word, follow);
        }
        let now_there = self.member(old);
        if let Some(connection) = self.connection(follow) {
            connection.last = connection.last.max(last);
            let from = std::mem::replace(&mut connection.endpoint, endpoint.clone());
            if !from.is(&endpoint) {
                let reason = match now_there.filter(|now| now.is(&from)) {
                    Some(now) => now.leaving,
                    None => Some(MoveReason::Drained),
                };
                self.tell(follow, EventKind::Moved { from: &from, reason }, emit);
            }
        }
        (slot.0, follow)
    }

    /// An entry whose member is no more: its endpoint has gone, or its service is no longer logged.
    fn outlast(&mut self, follow: Follow, slot: Slot) -> (u64, Follow) {
        if self.is_logged(follow) {
            return (slot.0, follow);
        }
        self.release(follow);
        (0, UNFOLLOWED)
    }

    /// An entry that was not.
    fn begin(
        &mut self,
        table: &impl Slots,
        slot: Slot,
        index: u32,
        emit: &mut dyn FnMut(&Event<'_>),
    ) -> (u64, Follow) {
        let Some(endpoint) = self.member(slot) else {
            return (0, UNFOLLOWED);
        };
        let service = &endpoint.service;
        let learned = self.learned.contains(&service.number);
        let tuple = table.tuple(index);
        if !is_of_slot(
            &self.keys,
            service.number,
            &tuple,
            slot,
            index,
            table.bucket_count(),
        ) {
            let follow = if learned { UNFOLLOWED } else { UNREAD };
            self.unread |= follow == UNREAD;
            return (slot.0, follow);
        }
        if !is_sampled(&self.keys, &tuple, service.logging.sample_rate) {
            return (slot.0, UNFOLLOWED);
        }
        let last = self.last_packet(slot, &endpoint);
        let start = if slot.is_confirmed() { self.last_scan } else { last };
        let connection = Connection {
            tuple,
            endpoint,
            start: std::num::NonZeroU32::new(if learned { 0 } else { start }),
            last,
        };
        // A connection is logged from its beginning on or not at all.
        if !learned && self.events_left == 0 {
            self.drop_line();
            return (slot.0, UNFOLLOWED);
        }
        let Some(follow) = self.follow(connection) else {
            self.drop_line();
            return (slot.0, UNFOLLOWED);
        };
        if !learned {
            self.tell(follow, EventKind::Begin, emit);
        }
        (slot.0, follow)
    }

    fn end(&mut self, follow: Follow, emit: &mut dyn FnMut(&Event<'_>)) {
        match follow {
            UNFOLLOWED => {}
            UNREAD => self.drop_line(),
            _ => {
                if self.is_logged(follow) {
                    self.tell(follow, EventKind::End, emit);
                }
                self.release(follow);
            }
        }
    }

    /// Whether its service still is.
    fn is_logged(&mut self, follow: Follow) -> bool {
        let number = self.connection(follow).map(|it| it.endpoint.service.number);
        number.is_some_and(|number| self.logged.contains(&number))
    }

    fn tell(&mut self, follow: Follow, kind: EventKind<'_>, emit: &mut dyn FnMut(&Event<'_>)) {
        if self.events_left == 0 {
            return self.drop_line();
        }
        self.events_left -= 1;
        if let Some(connection) = self.connection(follow) {
            emit(&Event {
                kind,
                tuple: &connection.tuple,
                endpoint: &connection.endpoint,
                start: connection.start.map(std::num::NonZeroU32::get),
                last: connection.last,
            });
        }
    }

    fn drop_line(&self) {
        self.counters.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// The second of an entry's last packet, as its expiry tells it: up to a tick too early.
    fn last_packet(&self, slot: Slot, endpoint: &Endpoint) -> u32 {
        let tick = clock::tick(self.now);
        let expiry = tick + slot.remaining(tick);
        let earliest = ((expiry - 1) * TICK_SECONDS).saturating_sub(endpoint.service.idle_seconds);
        earliest.min(self.now)
    }

    fn follow(&mut self, connection: Connection) -> Option<Follow> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.connections.len() < self.limits.connections => {
                self.connections.push(None);
                self.connections.len() as u32 - 1
            }
            None => return None,
        };
        self.connections[index as usize] = Some(connection);
        Some(index + 1)
    }

    fn release(&mut self, follow: Follow) {
        if self.connection(follow).is_some() {
            self.connections[follow as usize - 1] = None;
            self.free.push(follow - 1);
        }
    }

    fn connection(&mut self, follow: Follow) -> Option<&mut Connection> {
        self.connections
            .get_mut((follow as usize).checked_sub(1)?)?
            .as_mut()
    }
}

/// Where the flow in a slot was at the last look: in the same slot, or in another one of the bucket that it has left.
fn predecessor(
    before: &[u64; SLOTS],
    words: &[u64; SLOTS],
    continued: &[bool; SLOTS],
    position: usize,
) -> Option<usize> {
    let tag = Slot(words[position]).tag();
    let was = |at: usize| before[at] != 0 && !continued[at] && Slot(before[at]).tag() == tag;
    if was(position) {
        return Some(position);
    }
    (0..SLOTS).find(|at| was(*at) && Slot(words[*at]).tag() != tag)
}
