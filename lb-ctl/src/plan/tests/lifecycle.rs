//! Members and services over time (semantics §7), and the numbers that entries may name.

use std::collections::BTreeMap;

use lb_common::clock::TICK_SECONDS;
use lb_common::flow;
use lb_common::layout::Pool;
use proptest::prelude::*;

use super::events::{Life, any_event};
use super::world::{World, applied, failover, ip, key, number, path, v4};
use crate::model::{Ports, RuleProtocol};
use crate::plan::retired::TABLE_GRACE_SEC;
use crate::plan::{EndpointId, IpFamily, MemberStatus, Plan, ServiceKey};

fn status(plan: &Plan, address: &str) -> MemberStatus {
    let found = v4(plan, "web")
        .members
        .iter()
        .find(|(id, _)| id.address == ip(address));
    found.expect("a member").1.status
}

fn is_member(plan: &Plan, address: &str) -> bool {
    v4(plan, "web").members.keys().any(|id| id.address == ip(address))
}

const BOTH: &[&str] = &["10.0.0.1", "10.0.0.2"];
const FIRST: &[&str] = &["10.0.0.1"];

/// The idle timeout, in seconds. An entry that was seen in second t is dead from t + 64 on.
const IDLE: u32 = 60;

#[test]
fn removed_without_drain_it_ends_at_once() {
    let mut world = World::web(BOTH);
    let plan = world.compile(&Plan::default());
    let two = number(&plan, "web", "10.0.0.2");
    world.group("main", FIRST);
    let plan = world.compile(&plan);
    assert!(!is_member(&plan, "10.0.0.2"));
    let record = v4(&plan, "web").contents.members[&two];
    assert!(record.in_use() && !record.serves_entries(world.now));
    // The number is kept as long as an entry of this second may live, and soon after it is not.
    world.now += IDLE;
    let plan = world.compile(&plan);
    assert!(v4(&plan, "web").contents.members.contains_key(&two));
    let deadline = plan.next_deadline().expect("the number is waiting");
    assert!((world.now + 1..=world.now + 2 * TICK_SECONDS).contains(&deadline));
    world.now = deadline;
    let plan = world.compile(&plan);
    assert!(!v4(&plan, "web").contents.members.contains_key(&two));
    assert_eq!(plan.next_deadline(), None);
    world.group("main", &["10.0.0.1", "10.0.0.3"]);
    let plan = world.compile(&plan);
    assert_eq!(
        number(&plan, "web", "10.0.0.3"),
        two,
        "free numbers are used again"
    );
}

#[test]
fn removed_with_drain_it_is_kept_until_the_deadline() {
    let mut world = World::web(BOTH);
    world.service("web").draining_timeout_sec = 10;
    let plan = world.compile(&Plan::default());
    let two = number(&plan, "web", "10.0.0.2");
    world.group("main", FIRST);
    let plan = world.compile(&plan);
    // 10 s, counted from the end of this second.
    let deadline = world.now + 11;
    assert_eq!(status(&plan, "10.0.0.2"), MemberStatus::Draining(deadline));
    assert_eq!(
        applied(&plan, world.now).next_deadline(),
        Some(world.now + TABLE_GRACE_SEC),
        "first the old table's space is free"
    );
    let record = v4(&plan, "web").contents.members[&two];
    assert!(record.healthy() && record.backend() != 0);
    assert!(record.serves_entries(deadline - 1) && !record.serves_entries(deadline));
    let table = v4(&plan, "web").contents.table.clone().expect("a table").1;
    assert!(!table.contains(&two), "no new connections");

    world.now = deadline - 1;
    let plan = world.compile(&plan);
    assert_eq!(status(&plan, "10.0.0.2"), MemberStatus::Draining(deadline));
    world.now = deadline;
    let plan = world.compile(&plan);
    assert!(!is_member(&plan, "10.0.0.2"));
    assert!(
        v4(&plan, "web").contents.members.contains_key(&two),
        "its entries may still be there"
    );
    // The last refresh was in second deadline - 1.
    world.now = deadline - 1 + IDLE;
    let plan = world.compile(&plan);
    assert!(v4(&plan, "web").contents.members.contains_key(&two));
    world.now = deadline + IDLE + 2 * TICK_SECONDS;
    let plan = world.compile(&plan);
    assert!(!v4(&plan, "web").contents.members.contains_key(&two));
}

#[test]
fn a_drain_keeps_its_deadline_when_the_timeout_changes() {
    let mut world = World::web(BOTH);
    world.service("web").draining_timeout_sec = 3600;
    let plan = world.compile(&Plan::default());
    world.group("main", FIRST);
    let plan = world.compile(&plan);
    let MemberStatus::Draining(deadline) = status(&plan, "10.0.0.2") else {
        panic!("not draining");
    };
    assert_eq!(deadline, world.now + 3601);
    world.service("web").draining_timeout_sec = 0;
    world.now += 5;
    let plan = world.compile(&plan);
    assert_eq!(status(&plan, "10.0.0.2"), MemberStatus::Draining(deadline));
}

#[test]
fn a_detached_group_ends_whatever_the_timeout() {
    let mut world = World::web(BOTH);
    world.service("web").draining_timeout_sec = 3600;
    world.group("more", &["10.0.1.1"]);
    world.attach("web", "more", false);
    let plan = world.compile(&Plan::default());
    world.group("main", FIRST);
    let plan = world.compile(&plan);
    assert!(matches!(status(&plan, "10.0.0.2"), MemberStatus::Draining(_)));
    world.detach("web", "main");
    let plan = world.compile(&plan);
    assert!(
        !is_member(&plan, "10.0.0.1") && !is_member(&plan, "10.0.0.2"),
        "draining ones too"
    );
    assert!(is_member(&plan, "10.0.1.1"));
}

#[test]
fn added_again_while_draining_it_is_the_same() {
    let mut world = World::web(BOTH);
    world.service("web").draining_timeout_sec = 100;
    let plan = world.compile(&Plan::default());
    let before = number(&plan, "web", "10.0.0.2");
    world.group("main", FIRST);
    let plan = world.compile(&plan);
    world.now += 100;
    world.group("main", BOTH);
    let plan = world.compile(&plan);
    assert_eq!(number(&plan, "web", "10.0.0.2"), before);
    assert_eq!(status(&plan, "10.0.0.2"), MemberStatus::Attached);
    world.now += 1000;
    assert_eq!(status(&world.compile(&plan), "10.0.0.2"), MemberStatus::Attached);
}

#[test]
fn added_again_after_the_drain_it_is_new() {
    // Whether or not a compilation saw the end of the drain.
    for is_seen in [true, false] {
        let mut world = World::web(BOTH);
        world.service("web").draining_timeout_sec = 10;
        let plan = world.compile(&Plan::default());
        let before = number(&plan, "web", "10.0.0.2");
        world.group("main", FIRST);
        let mut plan = world.compile(&plan);
        world.now += 11;
        if is_seen {
            plan = world.compile(&plan);
        }
        world.group("main", BOTH);
        let plan = world.compile(&plan);
        assert_ne!(number(&plan, "web", "10.0.0.2"), before);
        let old = v4(&plan, "web").contents.members[&before];
        assert!(!old.serves_entries(world.now), "its old entries have ended");
    }
}

#[test]
fn an_instance_or_address_makes_another_endpoint() {
    let mut world = World::web(BOTH);
    let plan = world.compile(&Plan::default());
    let before = number(&plan, "web", "10.0.0.2");
    let group = world.config.groups.get_mut(&path("main")).expect("a group");
    group.endpoints[1].instance = Some("vm-2".to_owned());
    assert_ne!(number(&world.compile(&plan), "web", "10.0.0.2"), before);
}

#[test]
fn a_shorter_idle_timeout_does_not_free_numbers_early() {
    let mut world = World::web(BOTH);
    world.service("web").idle_timeout_sec = 57_600;
    let plan = world.compile(&Plan::default());
    let two = number(&plan, "web", "10.0.0.2");
    let last_long = world.now;
    world.service("web").idle_timeout_sec = 60;
    let plan = world.compile(&plan);
    world.now += 1;
    let plan = world.compile(&plan);
    world.group("main", FIRST);
    let plan = world.compile(&plan);
    world.now = flow::expiry(last_long, 57_600) * TICK_SECONDS - 1;
    let plan = world.compile(&plan);
    assert!(v4(&plan, "web").contents.members.contains_key(&two));
    world.now += 2 * TICK_SECONDS;
    let plan = world.compile(&plan);
    assert!(!v4(&plan, "web").contents.members.contains_key(&two));
}

#[test]
fn a_service_removed_and_made_again_has_another_number() {
    let mut world = World::web(BOTH);
    let empty = World::new();
    let plan = world.compile(&Plan::default());
    let (service, member) = (v4(&plan, "web").number, number(&plan, "web", "10.0.0.1"));
    let plan = World {
        now: world.now,
        ..empty.clone()
    }
    .compile(&plan);
    assert!(plan.services.is_empty());
    assert_eq!(plan.contents.services[&service].record.selection().size, 0);
    let again = world.compile(&plan);
    assert_ne!(v4(&again, "web").number, service);
    assert_ne!(number(&again, "web", "10.0.0.1"), member);
    // When no entry is left they are free.
    world.now += IDLE + 2 * TICK_SECONDS;
    let plan = World {
        now: world.now,
        ..empty
    }
    .compile(&plan);
    assert!(plan.contents.services.is_empty());
    let again = world.compile(&plan);
    assert_eq!(v4(&again, "web").number, service);
}

#[test]
fn a_family_comes_and_goes_with_its_rules() {
    let mut world = World::web(BOTH);
    let plan = world.compile(&Plan::default());
    let v4_number = v4(&plan, "web").number;
    world.rule("web-v6", "2001:db8::1", RuleProtocol::Tcp, Ports::All, "web");
    let plan = world.compile(&plan);
    assert_eq!(v4(&plan, "web").number, v4_number);
    let v6 = plan.services[&key("web", IpFamily::V6)].clone();
    assert_ne!(v6.number, v4_number);
    assert_eq!(
        v6.members.len(),
        2,
        "IPv4 endpoints take IPv6 packets by encapsulation"
    );
    world.config.rules.remove(&path("web-v6"));
    let plan = world.compile(&plan);
    assert_eq!(
        plan.services.keys().collect::<Vec<_>>(),
        [&key("web", IpFamily::V4)]
    );
    let held = &plan.contents.services[&v6.number];
    assert!(
        held.members
            .values()
            .all(|member| !member.serves_entries(world.now))
    );
}

fn two_pools() -> World {
    let mut world = World::web(FIRST);
    world.group("spare", &["10.0.1.1"]);
    world.attach("web", "spare", true);
    world.service("web").failover = Some(failover(0));
    world
}

#[test]
fn the_first_compilation_flips_nothing() {
    let mut world = two_pools();
    world.health("10.0.0.1", false);
    let plan = world.compile(&Plan::default());
    assert_eq!(v4(&plan, "web").active, Pool::Failover);
    assert_eq!(v4(&plan, "web").failover_deadline, 0);
}

#[test]
fn pools_flip_with_a_drain_of_600_seconds() {
    let mut world = two_pools();
    let plan = world.compile(&Plan::default());
    assert_eq!(
        (v4(&plan, "web").active, v4(&plan, "web").failover_deadline),
        (Pool::Primary, 0)
    );
    world.health("10.0.0.1", false);
    let plan = world.compile(&plan);
    assert_eq!(v4(&plan, "web").active, Pool::Failover);
    // Counted from the end of this second.
    let deadline = world.now + 601;
    assert_eq!(v4(&plan, "web").failover_deadline, deadline);
    world.now += 100;
    let plan = world.compile(&plan);
    assert_eq!(
        v4(&plan, "web").failover_deadline,
        deadline,
        "only a flip sets it"
    );
    // Failback has no hold-down, and drains too.
    world.health("10.0.0.1", true);
    let plan = world.compile(&plan);
    assert_eq!(v4(&plan, "web").active, Pool::Primary);
    assert_eq!(v4(&plan, "web").failover_deadline, world.now + 601);
}

#[test]
fn a_flip_without_drain_ends_at_once() {
    let mut world = two_pools();
    let mut policy = failover(0);
    policy.disable_connection_drain_on_failover = true;
    world.service("web").failover = Some(policy);
    let plan = world.compile(&Plan::default());
    world.health("10.0.0.1", false);
    let plan = world.compile(&plan);
    assert_eq!(v4(&plan, "web").active, Pool::Failover);
    assert!(v4(&plan, "web").failover_deadline <= world.now);
}

#[test]
fn while_empty_the_active_pool_stays() {
    let mut world = two_pools();
    let mut policy = failover(0);
    policy.drop_traffic_if_unhealthy = true;
    world.service("web").failover = Some(policy);
    let plan = world.compile(&Plan::default());
    world.health("10.0.0.1", false);
    let plan = world.compile(&plan);
    let flipped = v4(&plan, "web").failover_deadline;
    world.now += 10;
    world.health("10.0.1.1", false);
    let plan = world.compile(&plan);
    assert_eq!(v4(&plan, "web").active, Pool::Failover);
    assert_eq!(v4(&plan, "web").failover_deadline, flipped);
    assert_eq!(v4(&plan, "web").contents.record.selection().size, 0);
    world.health("10.0.1.1", true);
    let plan = world.compile(&plan);
    assert_eq!(
        v4(&plan, "web").failover_deadline,
        flipped,
        "back from EMPTY is no flip"
    );
    // Without dropping, nothing healthy means all of P: that is a flip.
    world.service("web").failover = Some(failover(0));
    world.health("10.0.1.1", false);
    let plan = world.compile(&plan);
    assert_eq!(v4(&plan, "web").active, Pool::Primary);
    assert_eq!(v4(&plan, "web").failover_deadline, world.now + 601);
}

#[test]
fn a_draining_member_follows_its_group_to_the_other_pool() {
    let mut world = World::web(BOTH);
    world.service("web").draining_timeout_sec = 100;
    let plan = world.compile(&Plan::default());
    world.group("main", FIRST);
    let plan = world.compile(&plan);
    world.service("web").backends[0].failover = true;
    let plan = world.compile(&plan);
    assert!(
        v4(&plan, "web")
            .members
            .values()
            .all(|member| member.pool == Pool::Failover)
    );
}

/// Who a number stands for, and until when an entry may name it: written down from outside.
#[derive(Default)]
struct Ledger {
    members: BTreeMap<u32, (ServiceKey, u32, EndpointId, u32)>,
    services: BTreeMap<u32, (ServiceKey, u32)>,
}

impl Ledger {
    /// Between `from` and `to` packets flow by `plan`.
    fn flow(&mut self, plan: &Plan, from: u32, to: u32) {
        for (key, service) in &plan.services {
            for (id, member) in &service.members {
                let last = match member.status {
                    MemberStatus::Attached => to,
                    MemberStatus::Draining(deadline) => to.min(deadline.saturating_sub(1)),
                };
                if last < from {
                    continue;
                }
                let gone = flow::expiry(last, service.idle_seconds) * TICK_SECONDS;
                let (_, _, _, until) = self
                    .members
                    .entry(member.number)
                    .or_insert_with(|| (key.clone(), service.number, id.clone(), 0));
                *until = gone.max(*until);
                let (_, until) = self
                    .services
                    .entry(service.number)
                    .or_insert_with(|| (key.clone(), 0));
                *until = gone.max(*until);
            }
        }
    }

    /// A number stands for what it stood for, unless no entry is left at `now`.
    fn check(&mut self, plan: &Plan, now: u32) {
        self.members.retain(|_, (.., until)| now < *until);
        self.services.retain(|_, (_, until)| now < *until);
        let mut seen = BTreeMap::new();
        for (key, service) in &plan.services {
            if let Some((owner, until)) = self.services.get(&service.number) {
                assert_eq!(
                    owner, key,
                    "service {} at {now}, entries until {until}",
                    service.number
                );
            }
            for (id, member) in &service.members {
                let owner = (key.clone(), service.number, id.clone());
                assert_eq!(
                    seen.insert(member.number, owner.clone()),
                    None,
                    "one number twice"
                );
                if let Some((key, service, id, until)) = self.members.get(&member.number) {
                    let known = (key.clone(), *service, id.clone());
                    assert_eq!(
                        known, owner,
                        "member {} at {now}, entries until {until}",
                        member.number
                    );
                }
            }
        }
        // Nor do records contradict each other.
        let mut records = BTreeMap::new();
        for (service, contents) in &plan.contents.services {
            for (number, record) in &contents.members {
                assert_eq!(record.service(), *service);
                assert_eq!(
                    records.insert(*number, service),
                    None,
                    "member {number} has two records"
                );
            }
        }
        for (number, (_, service, ..)) in &self.members {
            assert_eq!(
                records.get(number),
                Some(&service),
                "an entry may name member {number}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_number_is_never_given_away_while_an_entry_may_name_it(
        steps in proptest::collection::vec(proptest::collection::vec(any_event(), 1..4), 1..16)
    ) {
        let mut life = Life::new();
        let mut ledger = Ledger::default();
        let mut plan = life.world.compile(&Plan::default());
        for step in &steps {
            let from = life.world.now;
            step.iter().for_each(|event| life.on(event));
            let now = life.world.now;
            ledger.flow(&plan, from, now);
            plan = life.world.compile(&plan);
            ledger.check(&plan, now);
            for (key, service) in &plan.services {
                for member in service.members.values() {
                    if let MemberStatus::Draining(deadline) = member.status {
                        prop_assert!(now < deadline, "{} drains past its deadline", key);
                    }
                }
            }
        }
        // In the end everything is free again, and time alone has nothing more to do.
        life.world.config = Default::default();
        plan = life.world.compile(&plan);
        while let Some(deadline) = plan.next_deadline() {
            prop_assert!(deadline > life.world.now);
            life.world.now = deadline;
            plan = life.world.compile(&plan);
        }
        prop_assert_eq!(plan.contents, life.world.compile(&Plan::default()).contents);
    }
}
