//! A service of three primary and one failover endpoint behind one VIP of each family.

use crate::decide::decide;
use crate::flow::Slot;
use crate::frames::{OWN_MAC, VIP, VIP6, frame, ipv4, tcp, words};
use crate::hash::HashKeys;
use crate::layout::{Member, Pool, Pools, Rule, RuleKey, Selection, Service, Vip, ipv4_key, ipv6_prefix_key};
use crate::policy::{Persistence, Policy, PolicyWord, Scheme, SessionAffinity, TrackingMode};
use crate::testing::MemoryTables;
use crate::verdict::Verdict;

pub(super) const SERVICE: u32 = 3;
pub(super) const NOW: u32 = 4003;
pub(super) const IDLE: u32 = 60;

#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) healthy: bool,
    pub(super) pool: Pool,
    pub(super) backend: u32,
    pub(super) drain: Option<u32>,
    pub(super) attached: bool,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) policy: Policy,
    pub(super) members: Vec<Endpoint>,
    /// The eligible set: which members the table holds.
    pub(super) selected: Vec<usize>,
    pub(super) active: Pool,
    pub(super) nothing_healthy: bool,
    pub(super) drops: bool,
    pub(super) pool_deadline: u32,
    pub(super) leader: u64,
    /// Of the rule on all ports; 0 is L3_DEFAULT.
    pub(super) protocol: u8,
}

impl World {
    pub(super) fn new() -> Self {
        let endpoint = |pool| Endpoint {
            healthy: true,
            pool,
            backend: 5,
            drain: None,
            attached: true,
        };
        Self {
            policy: Policy {
                scheme: Scheme::Internal,
                affinity: SessionAffinity::None,
                mode: TrackingMode::PerConnection,
                persistence: Persistence::DefaultForProtocol,
                subsetting: false,
                idle_seconds: IDLE as u16,
            },
            members: vec![
                endpoint(Pool::Primary),
                endpoint(Pool::Primary),
                endpoint(Pool::Primary),
                endpoint(Pool::Failover),
            ],
            selected: vec![0, 1, 2],
            active: Pool::Primary,
            nothing_healthy: false,
            drops: false,
            pool_deadline: 0,
            leader: 0,
            protocol: 6,
        }
    }

    pub(super) fn scheme_external(&mut self) {
        self.policy.scheme = Scheme::External;
    }

    /// The member number of an endpoint.
    pub(super) fn number(&self, index: usize) -> u32 {
        10 + index as u32
    }

    pub(super) fn index(&self, number: u32) -> usize {
        (number - 10) as usize
    }

    pub(super) fn numbers(&self) -> Vec<u32> {
        (0..self.members.len()).map(|index| self.number(index)).collect()
    }

    pub(super) fn select_all_but(&mut self, member: u32) {
        let left = self.index(member);
        self.selected = (0..3).filter(|index| *index != left).collect();
    }

    pub(super) fn tables(&self) -> MemoryTables {
        let mut tables = MemoryTables::new(HashKeys::from_seed(1), 16);
        tables.now = NOW;
        tables.arrive_at(7, OWN_MAC, 1500);
        self.change(&mut tables);
        for address in [ipv4_key(words(&VIP)[0]), ipv6_prefix_key(words(&VIP6))] {
            let vip = Vip {
                blocks: [1 << 16, 1 << 16, 1 << 16],
                flags: Vip::L3_DEFAULT,
            };
            let rule = Rule {
                service: SERVICE,
                steering: 0,
            };
            tables.vips.insert(address, vip);
            tables
                .rules
                .insert(RuleKey::new(address, self.protocol, 0, RuleKey::ALL_PORTS), rule);
        }
        tables
    }

    /// Writes the service as it is now; flows stay.
    pub(super) fn change(&self, tables: &mut MemoryTables) {
        tables.slots = (0..252 * self.selected.len().min(1))
            .map(|slot| self.number(self.selected[slot % self.selected.len()]))
            .collect();
        let record = Service {
            policy: PolicyWord::new(&self.policy).0,
            selection: Selection {
                offset: 0,
                size: tables.slots.len() as u32,
            }
            .to_word(),
            pools: Pools::new(self.active, self.nothing_healthy, self.drops, self.pool_deadline).0,
            leader: self.leader,
            zones: 0,
        };
        tables.services.insert(SERVICE, record);
        tables.members = self
            .members
            .iter()
            .enumerate()
            .filter(|(_, member)| member.attached)
            .map(|(index, member)| {
                let record = Member::new(SERVICE, member.healthy, member.pool, member.backend, member.drain);
                (self.number(index), record)
            })
            .collect();
    }
}

/// A TCP packet over IPv4.
pub(super) fn packet(source_port: u16, flags: u8) -> Vec<u8> {
    frame(0, &ipv4(6, &tcp(source_port, 80, flags)))
}

pub(super) fn judge(tables: &MemoryTables, packet: &[u8]) -> Verdict {
    let network = crate::parse::network(&packet).unwrap_or_else(|reason| panic!("{reason:?}"));
    decide(tables, &packet, &network)
}

/// The members of every slot in use.
pub(super) fn entries(tables: &MemoryTables) -> Vec<u32> {
    let slots = tables.buckets.iter().flat_map(|bucket| bucket.snapshot().slots);
    slots
        .map(Slot)
        .filter(|slot| !slot.is_empty())
        .map(Slot::member)
        .collect()
}
