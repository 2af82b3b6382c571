//! Selection tables: how large they are, and what they take up.

use std::collections::BTreeMap;

use super::change::{Asker, Change};
use super::{Controller, Settings};
use crate::control::ControlError;
use crate::model::{ResourcePath, larger_pool};
use crate::plan::Plan;
use crate::resources::{Resources, TableRoom, coarse_shares};
use crate::views;

impl Settings {
    /// What there is room for; and what is there of services whose size was never decided.
    pub(super) fn table_room(&self, resources: &Resources, plan: &Plan) -> TableRoom {
        let has_clients = self.zones.iter().filter(|(_, prefixes)| !prefixes.is_empty());
        let undecided = resources.undecided_sizes();
        TableRoom {
            slots: self.limits.table_slots,
            reserve: self.limits.table_reserve,
            default_slots: self.default_table_slots,
            zones: has_clients.map(|(zone, _)| zone.clone()).collect(),
            held: undecided
                .map(|path| (path.clone(), plan.held_sizes(path)))
                .collect(),
        }
    }
}

impl Controller {
    /// What an older version decided by the number of endpoints is kept from now on.
    pub(super) fn keep_table_sizes(&mut self) {
        if self.in_force.resources.undecided_sizes().next().is_some() {
            self.ask_for(Change::KeepTableSizes, Asker::Nobody);
        }
    }

    pub(super) fn table_slots(&self, path: &ResourcePath) -> Result<views::TableSlots, ControlError> {
        let config = &self.in_force.config;
        let service = config.services.get(path);
        let service = service.ok_or_else(|| ControlError::not_found(path))?;
        Ok(views::TableSlots {
            service: path.clone(),
            slots: service.table_slots.slots,
            zones: service.table_slots.zones.clone(),
            endpoints: larger_pool(config, service, |_| true),
            note: coarse_shares(config, service),
        })
    }

    pub(super) fn table_views(&self) -> views::TableStatus {
        let space = self.plan.table_space(&self.settings.limits);
        let mut services: BTreeMap<u32, usize> = BTreeMap::new();
        for service in self.in_force.config.services.values() {
            *services.entry(service.table_slots.slots).or_default() += 1;
        }
        views::TableStatus {
            slots: space.slots,
            reserve: space.reserve,
            in_use: space.in_use,
            retired: space.retired,
            wanted: space.wanted,
            services,
        }
    }

    pub(super) fn coarse_shares(&self) -> impl Iterator<Item = String> {
        let config = &self.in_force.config;
        let services = config.services.values();
        services.filter_map(|service| {
            let note = coarse_shares(config, service)?;
            Some(format!("{}: {note}", service.path.name()))
        })
    }
}
