//! The flow table against a model that keeps keys, services and seconds instead of bits.

use std::cell::Cell;

use proptest::prelude::*;

use super::*;
use crate::layout::Pool;
use crate::testing::MemoryBucket;

const SERVICE: u32 = 3;
const MEMBER: u32 = 5;

fn members(number: u32) -> Option<Member> {
    match number {
        MEMBER => Some(Member::new(SERVICE, true, Pool::Primary, 1, None)),
        6 => Some(Member::new(SERVICE, true, Pool::Primary, 1, None)),
        7 => Some(Member::new(SERVICE + 1, true, Pool::Primary, 1, None)),
        8 => Some(Member::default()),
        _ => None,
    }
}

fn look(bucket: &impl FlowBucket, tag: u32, now: u32) -> Found {
    find(bucket, tag, now, SERVICE, members)
}

fn bucket(slots: [Slot; 8]) -> MemoryBucket {
    let bucket = MemoryBucket::default();
    bucket.store(&crate::layout::Bucket {
        slots: slots.map(|slot| slot.0),
    });
    bucket
}

fn confirmed(tag: u32, expiry: u32) -> Slot {
    Slot(Slot::new(tag, MEMBER, expiry).0 | 1)
}

const EMPTY: Slot = Slot(0);
const NOW: u32 = 1000;

#[test]
fn a_slot_keeps_its_fields_at_their_limits() {
    for tag in [0, 1, 0x0fff_ffff] {
        for member in [1, 0xf_ffff] {
            for expiry in [0, 1, 0x7fff] {
                let slot = Slot::new(tag, member, expiry);
                assert_eq!((slot.tag(), slot.member()), (tag, member));
                assert!(!slot.is_confirmed() && !slot.is_empty());
                assert_eq!(slot.remaining(expiry.wrapping_sub(9)), 9);
            }
        }
    }
}

#[test]
fn an_entry_lives_for_its_idle_time_rounded_up_by_at_most_a_tick() {
    let wraps = [0, 1 << 16, 1 << 17, 1 << 30, u32::MAX - 3];
    for idle in [60, 61, 62, 63, 600, 57_597, MAX_IDLE_SECONDS] {
        for now in wraps
            .into_iter()
            .flat_map(|wrap| (0..12).map(move |ahead| wrap.wrapping_add(ahead)))
        {
            let slot = Slot::new(1, MEMBER, expiry(now, idle));
            let is_alive = |later| slot.is_alive(clock::tick(now.wrapping_add(later)));
            // Seen within the second `now`, it may be needed until within the second `now + idle`.
            for later in [0, 1, idle / 2, idle - 1, idle] {
                assert!(is_alive(later), "{idle} {now} {later}");
            }
            for later in [idle + TICK_SECONDS, idle + 5, idle + 0x1000] {
                assert!(!is_alive(later), "{idle} {now} {later}");
            }
        }
    }
}

#[test]
fn the_victim_is_empty_then_expired_then_the_unconfirmed_that_expires_first() {
    let alive = |left| Slot::new(9, MEMBER, NOW + left);
    let old = |left| confirmed(9, NOW + left);
    let dead = Slot::new(9, MEMBER, NOW);
    let long_dead = confirmed(9, NOW - 500);
    let entry = Slot::new(1, MEMBER, NOW + 20);
    let cases = [
        (
            [alive(1), EMPTY, alive(2), EMPTY, old(1), old(1), old(1), old(1)],
            1,
        ),
        (
            [alive(1), alive(2), dead, old(1), old(1), old(1), old(1), EMPTY],
            2,
        ),
        (
            [
                alive(1),
                old(1),
                old(2),
                old(3),
                old(4),
                old(5),
                long_dead,
                alive(1),
            ],
            6,
        ),
        (
            [
                alive(7),
                alive(3),
                alive(5),
                alive(3),
                old(1),
                old(1),
                old(1),
                old(1),
            ],
            1,
        ),
        (
            [
                old(1),
                old(1),
                old(1),
                old(1),
                old(1),
                old(1),
                old(1),
                alive(16_000),
            ],
            7,
        ),
    ];
    for (slots, victim) in cases {
        let table = bucket(slots);
        assert_eq!(insert(&table, entry, NOW, &Found::NONE), Insert::Recorded(victim));
        for (index, slot) in slots.iter().enumerate() {
            let expected = if index == victim { entry.0 } else { slot.0 };
            assert_eq!(table.load(index), expected, "slot {index}");
        }
    }
}

#[test]
fn a_bucket_of_confirmed_flows_takes_no_other() {
    let slots = std::array::from_fn(|index| confirmed(index as u32, NOW + 1 + index as u32));
    let table = bucket(slots);
    let entry = Slot::new(99, MEMBER, NOW + 20);
    assert_eq!(insert(&table, entry, NOW, &Found::NONE), Insert::Full);
    assert_eq!(table.snapshot().slots, slots.map(|slot| slot.0));
    // Its own entry may still be written over.
    let found = look(&table, 4, NOW);
    let own = Slot::new(4, MEMBER, NOW + 20);
    assert_eq!(insert(&table, own, NOW, &found), Insert::Replaced);
    assert_eq!(table.load(4), own.0);
    // What is there already is not written.
    let contended = Contended {
        inside: bucket([own, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY]),
        attempts: Cell::new(0),
    };
    let found = look(&contended, 4, NOW);
    assert_eq!(insert(&contended, own, NOW, &found), Insert::Replaced);
    assert_eq!(contended.attempts.get(), 0);
    // And one tick later the first has expired.
    assert_eq!(
        insert(&table, Slot::new(98, MEMBER, NOW + 20), NOW + 1, &Found::NONE),
        Insert::Recorded(0)
    );
}

/// Loses every race.
struct Contended {
    inside: MemoryBucket,
    attempts: Cell<u32>,
}

impl FlowBucket for Contended {
    fn load(&self, slot: usize) -> u64 {
        self.inside.load(slot)
    }

    fn compare_exchange(&self, _slot: usize, _old: u64, _new: u64) -> bool {
        self.attempts.set(self.attempts.get() + 1);
        false
    }
}

#[test]
fn losing_every_race_is_bounded_and_said() {
    let table = Contended {
        inside: bucket([EMPTY; 8]),
        attempts: Cell::new(0),
    };
    let entry = Slot::new(1, MEMBER, NOW + 20);
    assert_eq!(insert(&table, entry, NOW, &Found::NONE), Insert::Raced);
    // The first free slot, then the cheapest.
    assert_eq!(table.attempts.get(), 1 + ATTEMPTS as u32);
    assert_eq!(table.inside.snapshot().slots, [0; 8]);
}

/// Another CPU takes the chosen slot once, just before the exchange.
struct Overtaken {
    inside: MemoryBucket,
    by: Cell<Option<u64>>,
}

impl FlowBucket for Overtaken {
    fn load(&self, slot: usize) -> u64 {
        self.inside.load(slot)
    }

    fn compare_exchange(&self, slot: usize, old: u64, new: u64) -> bool {
        if let Some(other) = self.by.take() {
            let current = self.inside.load(slot);
            assert!(self.inside.compare_exchange(slot, current, other));
        }
        self.inside.compare_exchange(slot, old, new)
    }
}

#[test]
fn losing_one_race_takes_the_next_slot_and_harms_nobody() {
    let other = confirmed(77, NOW + 9);
    let table = Overtaken {
        inside: bucket([EMPTY; 8]),
        by: Cell::new(Some(other.0)),
    };
    let entry = Slot::new(1, MEMBER, NOW + 20);
    assert_eq!(insert(&table, entry, NOW, &Found::NONE), Insert::Recorded(1));
    assert_eq!((table.load(0), table.load(1)), (other.0, entry.0));
}

/// Another CPU writes to a slot after so many loads.
struct Rewritten {
    inside: MemoryBucket,
    loads_before: Cell<u32>,
    slot: usize,
    by: Slot,
}

impl FlowBucket for Rewritten {
    fn load(&self, slot: usize) -> u64 {
        match self.loads_before.get().checked_sub(1) {
            Some(left) => self.loads_before.set(left),
            None => {
                let current = self.inside.load(self.slot);
                self.inside.compare_exchange(self.slot, current, self.by.0);
            }
        }
        self.inside.load(slot)
    }

    fn compare_exchange(&self, slot: usize, old: u64, new: u64) -> bool {
        self.inside.compare_exchange(slot, old, new)
    }
}

#[test]
fn a_slot_that_was_taken_since_it_was_weighed_is_not_written_over() {
    let other = confirmed(77, NOW + 9);
    let mut slots = [confirmed(5, NOW + 9); 8];
    slots[0] = Slot::new(6, MEMBER, NOW + 9);
    // All eight are found taken and then weighed, then the cheapest is written to.
    let table = Rewritten {
        inside: bucket(slots),
        loads_before: Cell::new(16),
        slot: 0,
        by: other,
    };
    let entry = Slot::new(1, MEMBER, NOW + 20);
    assert_eq!(insert(&table, entry, NOW, &Found::NONE), Insert::Full);
    assert_eq!(table.load(0), other.0);
}

#[test]
fn a_slot_that_was_taken_since_its_tag_was_compared_is_left_to_its_new_flow() {
    let mine = Slot::new(1, MEMBER, NOW + 9);
    let other = Slot::new(2, 6, NOW + 9);
    let table = Rewritten {
        inside: bucket([mine, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY]),
        loads_before: Cell::new(1),
        slot: 0,
        by: other,
    };
    let found = look(&table, 1, NOW);
    assert_eq!(found.slot, mine);
    assert_eq!(table.load(0), other.0);
    refresh(&table, &found, NOW + 10);
    assert_eq!(table.load(0), other.0);
}

#[test]
fn an_entry_is_confirmed_when_its_expiry_moves_which_it_does_once_a_tick() {
    for idle in [60, 61, 62, 63] {
        for start in 4000..4004 {
            let table = bucket([EMPTY; 8]);
            let at = |now: u32| (clock::tick(now), expiry(now, idle));
            let (tick, expires) = at(start);
            insert(&table, Slot::new(1, MEMBER, expires), tick, &Found::NONE);
            let mut written = vec![table.load(0)];
            for now in start..=start + 12 {
                let (tick, expires) = at(now);
                let before = table.load(0);
                refresh(&table, &look(&table, 1, tick), expires);
                let slot = Slot(table.load(0));
                assert_eq!(slot.remaining(tick), expires - tick);
                assert_eq!((slot.tag(), slot.member()), (1, MEMBER));
                if slot.0 != before {
                    written.push(slot.0);
                }
            }
            assert_eq!(written.len(), 1 + 3, "{idle} from {start}");
            let confirmed: Vec<_> = written.iter().map(|slot| Slot(*slot).is_confirmed()).collect();
            assert_eq!(confirmed, [false, true, true, true]);
        }
    }
}

#[test]
fn an_entry_is_only_written_to_when_its_expiry_has_moved() {
    let entry = confirmed(1, NOW + 15);
    let contended = Contended {
        inside: bucket([entry, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY]),
        attempts: Cell::new(0),
    };
    refresh(&contended, &look(&contended, 1, NOW), NOW + 15);
    assert_eq!(contended.attempts.get(), 0);
    refresh(&contended, &look(&contended, 1, NOW), NOW + 16);
    assert_eq!(contended.attempts.get(), 1);
}

#[test]
fn an_entry_of_another_service_or_of_no_endpoint_names_no_member() {
    for (number, in_use) in [(MEMBER, true), (7, false), (8, false), (9, false)] {
        let table = bucket([EMPTY; 8]);
        insert(&table, Slot::new(1, number, NOW + 9), NOW, &Found::NONE);
        assert_eq!(look(&table, 1, NOW).member.in_use(), in_use, "member {number}");
        assert!(!look(&table, 2, NOW).is_some(), "another tag");
        assert!(!look(&table, 1, NOW + 9).is_some(), "expired");
    }
}

#[test]
fn a_flow_whose_endpoint_is_gone_gets_its_own_slot_again() {
    let table = bucket([EMPTY; 8]);
    insert(&table, Slot::new(1, 8, NOW + 9), NOW, &Found::NONE);
    for _ in 0..3 {
        let found = look(&table, 1, NOW);
        assert!(found.is_some());
        insert(&table, Slot::new(1, MEMBER, NOW + 9), NOW, &found);
    }
    let occupied = table.snapshot().slots.iter().filter(|slot| **slot != 0).count();
    assert_eq!(occupied, 1);
    assert_eq!(look(&table, 1, NOW).member.service(), SERVICE);
}

#[test]
fn of_two_slots_with_one_tag_the_first_is_meant() {
    let twin = |member| Slot::new(1, member, NOW + 9);
    let table = bucket([EMPTY, EMPTY, twin(6), EMPTY, twin(MEMBER), EMPTY, EMPTY, EMPTY]);
    let found = look(&table, 1, NOW);
    assert_eq!((found.index, found.slot.member()), (2, 6));
}

/// An entry of the model.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    key: u32,
    member: u32,
    /// The second.
    expires: u64,
    confirmed: bool,
}

/// Eight places, as the module comment tells it.
#[derive(Default)]
struct Model([Option<Entry>; 8]);

impl Model {
    fn position(&self, key: u32, now: u64) -> Option<usize> {
        self.0
            .iter()
            .position(|place| place.is_some_and(|entry| entry.key == key && entry.expires > now))
    }

    fn victim(&self, now: u64) -> Option<usize> {
        let free = self
            .0
            .iter()
            .position(|place| place.is_none_or(|entry| entry.expires <= now));
        let unconfirmed = self.0.iter().enumerate().filter_map(|(index, place)| {
            place
                .filter(|entry| !entry.confirmed)
                .map(|entry| (entry.expires, index))
        });
        free.or_else(|| unconfirmed.min().map(|(_, index)| index))
    }

    /// A packet of the flow: a hit refreshes, a miss records. One that opens is selected anew.
    fn packet(&mut self, key: u32, now: u64, idle: u64, opens: Option<u32>) {
        let expires = (now + idle) / 4 * 4 + 4;
        let found = self.position(key, now);
        if let (Some(index), None) = (found, opens) {
            let entry = self.0[index].as_mut().expect("just found");
            if entry.expires != expires {
                *entry = Entry {
                    expires,
                    confirmed: true,
                    ..*entry
                };
            }
        } else if let Some(index) = found.or_else(|| self.victim(now)) {
            self.0[index] = Some(Entry {
                key,
                member: opens.unwrap_or(MEMBER),
                expires,
                confirmed: false,
            });
        }
    }
}

fn packet(table: &MemoryBucket, tag: u32, now: u32, idle: u32, opens: Option<u32>) {
    let tick = clock::tick(now);
    let found = look(table, tag, tick);
    if found.is_some() && opens.is_none() {
        refresh(table, &found, expiry(now, idle));
    } else {
        let entry = Slot::new(tag, opens.unwrap_or(MEMBER), expiry(now, idle));
        insert(table, entry, tick, &found);
    }
}

/// What both sides hold, expired places left out: the model forgets nothing, the table may have wrapped.
fn alive(table: &MemoryBucket, now: u32) -> Vec<(usize, u32, u32, u32, bool)> {
    let tick = clock::tick(now);
    let slots = table.snapshot().slots.map(Slot);
    slots
        .iter()
        .enumerate()
        .filter(|(_, slot)| slot.is_alive(tick))
        .map(|(index, slot)| {
            let remaining = slot.remaining(tick);
            (index, slot.tag(), slot.member(), remaining, slot.is_confirmed())
        })
        .collect()
}

/// Whether a packet opens a connection, and which member is selected then.
fn opening() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![2 => Just(None), 1 => Just(Some(MEMBER)), 1 => Just(Some(6))]
}

proptest! {
    #[test]
    fn two_buckets_follow_the_model(
        start in prop_oneof![Just(1u64), Just(0xffc0), Just(0x1_ffc0), Just(0xffff_ffc0), 0..u64::from(u32::MAX)],
        steps in prop::collection::vec((1u32..24, 0u64..20, prop::bool::weighted(0.3), opening()), 1..300),
        idle in 1u32..160,
    ) {
        // 16 slots: even keys in one bucket, odd ones in the other.
        let tables = [MemoryBucket::default(), MemoryBucket::default()];
        let mut models = [Model::default(), Model::default()];
        let mut now = start;
        for (key, ahead, passes, opens) in steps {
            if passes {
                now += ahead;
            }
            let side = (key % 2) as usize;
            packet(&tables[side], key, now as u32, idle, opens);
            models[side].packet(key, now, u64::from(idle), opens);
            for (table, model) in tables.iter().zip(&models) {
                let expected: Vec<_> = model.0.iter().enumerate().filter_map(|(index, place)| {
                    place.filter(|entry| entry.expires > now).map(|entry| {
                        (index, entry.key, entry.member, (entry.expires / 4 - now / 4) as u32, entry.confirmed)
                    })
                }).collect();
                prop_assert_eq!(alive(table, now as u32), expected);
            }
        }
    }

    #[test]
    fn cost_orders_as_the_comment_says(slots in prop::array::uniform8(any::<u64>()), now in any::<u32>()) {
        for slot in slots.map(Slot) {
            let expected = if !slot.is_alive(now) {
                0
            } else if slot.is_confirmed() {
                u64::from(slot.remaining(now)) | CONFIRMED_COST
            } else {
                u64::from(slot.remaining(now))
            };
            prop_assert_eq!(cost(slot, now), expected);
        }
    }

    #[test]
    fn every_place_is_in_the_table(hash in any::<u64>(), buckets in 1u32..=1 << 29) {
        let place = Place::of(hash, buckets);
        prop_assert!(place.bucket < buckets);
        prop_assert!(place.tag < 1 << 28);
    }
}
