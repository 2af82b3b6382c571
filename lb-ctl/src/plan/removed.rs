//! Services that nothing leads to any more: their numbers wait until no entry may name them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::compile::Plan;
use super::contents::ServiceContents;
use super::members::EndedMember;
use super::service::{GRACE_SEC, ServiceKey, ServicePlan};

/// A service without rules or configuration, whose numbers wait until no entry may name them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RemovedService {
    pub(super) number: u32,
    pub(super) members: Vec<EndedMember>,
    pub(super) free_at: u32,
    pub(super) contents: Arc<ServiceContents>,
}

impl Plan {
    /// Services that have no rule or no configuration any more: their members end, their numbers wait.
    ///
    /// One that packets are still led to, because its successor waits, stays.
    pub(super) fn remove_services(&mut self, in_use: &BTreeSet<ServiceKey>, now: u32) {
        let led_to = self.contents.rules.services();
        let services = self.services.iter();
        let gone =
            services.filter(|(key, service)| !in_use.contains(key) && !led_to.contains(&service.number));
        let gone: Vec<ServiceKey> = gone.map(|(key, _)| key.clone()).collect();
        for key in gone {
            let Some(service) = self.services.remove(&key) else {
                continue;
            };
            self.probes.leave(&key);
            let removed = RemovedService::of(&service, now);
            self.set_waiting(&key, None, &[]);
            for table in service.tables.iter() {
                self.space.retired.add(service.number, table.region, now);
            }
            self.space.retire_zone_words(service.zone_words, now);
            self.put_contents(removed.number, removed.contents.clone(), now);
            self.removed.push(Arc::new(removed));
        }
    }

    pub(super) fn release_removed(&mut self, now: u32) {
        let (free, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.removed)
            .into_iter()
            .partition(|service| now >= service.free_at);
        self.removed = waiting;
        for service in free {
            self.drop_contents(service.number, now);
            self.space.services.release(service.number);
            service
                .members
                .iter()
                .for_each(|member| self.space.members.release(member.number));
        }
    }
}

impl RemovedService {
    fn of(service: &ServicePlan, now: u32) -> Self {
        let present = service
            .members
            .values()
            .map(|member| service.end(member.number, now));
        let members: Vec<_> = present.chain(service.ended.iter().copied()).collect();
        let free_at = members
            .iter()
            .map(|member| member.free_at)
            .max()
            .unwrap_or(now + GRACE_SEC);
        Self::new(service.number, service.contents.record, members, free_at)
    }

    /// Packets that found the rule just before it went still find a service, without endpoints.
    pub(super) fn new(
        number: u32,
        record: lb_common::layout::Service,
        members: Vec<EndedMember>,
        free_at: u32,
    ) -> Self {
        let record = lb_common::layout::Service {
            selection: 0,
            zones: 0,
            ..record
        };
        let records = members
            .iter()
            .map(|member| (member.number, EndedMember::record(number)))
            .collect();
        let contents = Arc::new(ServiceContents {
            record,
            members: records,
            ..ServiceContents::default()
        });
        Self {
            number,
            members,
            free_at,
            contents,
        }
    }
}
