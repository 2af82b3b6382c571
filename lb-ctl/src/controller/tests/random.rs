//! Random requests, health, neighbours, links and time, with maps, store and history that fail at random: what was
//! acknowledged holds, packets meet nothing half-done, and once the faults end, the maps hold what they should.
//!
//! The seed of a run that fails is in its message; `LB_CONTROLLER_SEED` repeats it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::service;
use crate::control::{Control as _, ControlError};
use crate::controller::fake::{Stage, locked, reached};
use crate::dataplane::PinnedLinkState;
use crate::model::ResourcePath;
use crate::net::NextHop;
use crate::plan::contents::Contents;
use crate::resources::{Failure, ResourceStore as _};

const RUNS: u64 = 8;
const STEPS: u32 = 40;
const NAMES: [&str; 3] = ["a", "b", "c"];
const HOSTS: u8 = 8;
/// Longer than a next hop may be unresolved.
const A_WHILE_SEC: u32 = 6;

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    fn host(&mut self) -> u8 {
        1 + self.below(HOSTS.into()) as u8
    }

    fn hosts(&mut self) -> BTreeSet<u8> {
        (0..1 + self.below(6)).map(|_| self.host()).collect()
    }
}

/// What the store must hold: the endpoints of each service, and whether a rule leads to it.
type Ledger = BTreeMap<String, (BTreeSet<u8>, bool)>;

struct Run {
    stage: Stage,
    random: Random,
    acknowledged: Ledger,
    healthy: BTreeSet<u8>,
    unresolved: BTreeSet<u8>,
    /// How often a fault was in the way of a change.
    refused: u32,
}

fn address(host: u8) -> IpAddr {
    [10, 0, 0, host].into()
}

fn rule(name: &str) -> ResourcePath {
    ResourcePath::from_canonical(format!("projects/local/regions/local/forwardingRules/{name}"))
}

impl Run {
    async fn new(seed: u64) -> Self {
        Self {
            stage: Stage::start().await,
            random: Random(seed),
            acknowledged: Ledger::new(),
            healthy: BTreeSet::new(),
            unresolved: BTreeSet::new(),
            refused: 0,
        }
    }

    async fn step(&mut self) {
        match self.random.below(14) {
            0..=3 => self.put().await,
            4 => self.delete().await,
            5..=7 => self.flip(),
            8 => self.resolve(),
            9 => self.stage.clock.pass(1 + self.random.below(90) as u32),
            10 => self.relink(),
            11 | 12 => self.fail(),
            _ => self.heal(),
        }
        let pause = self.random.below(30);
        tokio::time::sleep(Duration::from_millis(pause * pause)).await;
        self.check_acknowledged();
    }

    async fn put(&mut self) {
        let at = self.random.below(NAMES.len() as u64) as usize;
        let hosts = self.random.hosts();
        let listed: Vec<u8> = hosts.iter().copied().collect();
        let result = self.stage.apply(service(NAMES[at], at as u8 + 1, &listed)).await;
        self.settle(NAMES[at], result.map(drop), Some((hosts, true)));
    }

    async fn delete(&mut self) {
        let name = NAMES[self.random.below(NAMES.len() as u64) as usize];
        let Some((hosts, true)) = self.acknowledged.get(name).cloned() else {
            return;
        };
        let result = self.stage.handle.delete(rule(name)).await;
        self.settle(name, result, Some((hosts, false)));
    }

    /// Takes down what became of a change.
    fn settle(&mut self, name: &str, result: Result<(), ControlError>, after: Option<(BTreeSet<u8>, bool)>) {
        let holds = match result {
            Ok(()) => true,
            Err(ControlError::Unavailable(_)) => false,
            Err(ControlError::Internal(reason)) => reason.contains("is stored"),
            Err(other) => panic!("{other}"),
        };
        self.refused += u32::from(!holds);
        if let (true, Some(after)) = (holds, after) {
            self.acknowledged.insert(name.to_owned(), after);
        }
    }

    fn flip(&mut self) {
        let host = self.random.host();
        let is_healthy = !self.healthy.remove(&host);
        if is_healthy {
            self.healthy.insert(host);
        }
        self.stage.tell_health(&address(host).to_string(), is_healthy);
    }

    fn resolve(&mut self) {
        let host = self.random.host();
        let hop = match self.unresolved.remove(&host) {
            true => reached(address(host)),
            false => {
                self.unresolved.insert(host);
                NextHop::Unresolved {
                    reason: "nobody answers".to_owned(),
                }
            }
        };
        self.stage
            .network
            .change(|state| drop(Arc::make_mut(&mut state.next_hops).insert(address(host), hop)));
    }

    /// The interface is made again.
    fn relink(&mut self) {
        locked(&self.stage.hooks.links)
            .values_mut()
            .for_each(|state| *state = PinnedLinkState::Dead);
        self.stage.network.change(|state| {
            let links = Arc::make_mut(&mut state.links);
            let (_, mut link) = links.pop_first().expect("an interface");
            link.index += 1;
            links.insert(link.index, link);
        });
    }

    fn fail(&mut self) {
        match self.random.below(3) {
            0 => {
                let mut random = Random(self.random.below(u64::MAX >> 33) | 1);
                let one_in = 1 + self.random.below(6);
                self.stage.maps.fail(move |_| random.below(one_in) == 0);
            }
            1 => {
                let full = Failure::Unavailable("no space left on the device".to_owned());
                self.stage.store.fail(Some(full));
            }
            _ => self.stage.notes.fails.store(1, Ordering::Relaxed),
        }
    }

    fn heal(&mut self) {
        self.stage.maps.heal();
        self.stage.store.fail(None);
        self.stage.notes.fails.store(0, Ordering::Relaxed);
    }

    fn check_acknowledged(&self) {
        let stored = self.stage.store.load().expect("memory is read").resources;
        for name in NAMES {
            let known = self.acknowledged.get(name);
            let has_rule = stored.get(&rule(name)).is_some();
            assert_eq!(has_rule, known.is_some_and(|(_, has_rule)| *has_rule), "{name}");
            let group = ResourcePath::from_canonical(format!(
                "projects/local/zones/local-a/networkEndpointGroups/{name}"
            ));
            let members = stored.get(&group).map(|group| group.members.len());
            assert_eq!(members, known.map(|(hosts, _)| hosts.len()), "{name}");
        }
    }

    /// After all faults.
    async fn end(mut self) {
        self.heal();
        for host in 1..=HOSTS {
            self.stage
                .tell_health(&address(host).to_string(), self.healthy.contains(&host));
        }
        // By now whoever is not resolved counts as unhealthy.
        self.stage.until_maps_are_right().await;
        self.stage.clock.pass(A_WHILE_SEC);
        self.stage.until_well().await;
        let held = self.stage.maps.contents();
        for (at, name) in NAMES.iter().enumerate() {
            let Some((hosts, has_rule)) = self.acknowledged.get(*name) else {
                continue;
            };
            let selected = selected(&held, at as u8 + 1);
            assert_eq!(selected, has_rule.then(|| self.eligible(hosts)), "{name}");
        }
    }

    /// By the rules of semantics §6 and §9.
    fn eligible(&self, hosts: &BTreeSet<u8>) -> BTreeSet<u8> {
        let healthy = hosts.intersection(&self.healthy).copied();
        let healthy: BTreeSet<u8> = healthy.filter(|host| !self.unresolved.contains(host)).collect();
        let eligible = if healthy.is_empty() { hosts } else { &healthy };
        // Those that can't be reached have no delivery record.
        let record = |host: &u8| if self.unresolved.contains(host) { 0 } else { *host };
        eligible.iter().map(record).collect()
    }
}

/// The hosts that new connections to a VIP go to, by their MAC addresses; those that can't be reached by none.
fn selected(held: &Contents, vip: u8) -> Option<BTreeSet<u8>> {
    let address = lb_common::layout::ipv4_key(u32::from_ne_bytes([192, 0, 2, vip]));
    let (_, rule) = held.rules.rules.iter().find(|(key, _)| key.address == address)?;
    let service = &held.services[&rule.service];
    let (_, slots) = service.table.as_ref().expect("a table");
    let members: BTreeSet<u32> = slots.iter().copied().collect();
    let host = |member: &u32| {
        let backend = service.members[member].backend();
        held.backends
            .get(&backend)
            .map_or(0, |backend| backend.ethernet[5])
    };
    Some(members.iter().map(host).collect())
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_holds_and_the_maps_get_there() {
    let given = std::env::var("LB_CONTROLLER_SEED").ok();
    let given = given.map(|seed| seed.parse::<u64>().expect("a number"));
    let seeds: Vec<u64> = match given {
        Some(seed) => vec![seed],
        None => (1..=RUNS).map(|run| run * 0x9e37_79b9).collect(),
    };
    let mut refused = 0;
    for seed in seeds {
        eprintln!("LB_CONTROLLER_SEED={seed}");
        let mut run = Run::new(seed).await;
        for _ in 0..STEPS {
            run.step().await;
        }
        refused += run.refused;
        run.end().await;
    }
    assert!(
        given.is_some() || refused > 5,
        "faults were in the way {refused} times"
    );
}
