//! Rules in a plan: which service each leads to, once that is there.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::compile::{Inputs, Plan};
use super::rules::{self, RuleTask};
use super::service::{self, ServiceKey};
use crate::model::ResourcePath;

impl Plan {
    /// The rules, and the end of services that none leads to.
    pub(super) fn compile_rules(&mut self, inputs: &Inputs<'_>, in_use: &BTreeSet<ServiceKey>, now: u32) {
        let steered: BTreeSet<ResourcePath> = rules::steered(inputs.config).into_iter().cloned().collect();
        let space = &mut self.space;
        let gone: Vec<(ResourcePath, u32)> = self
            .steering
            .iter()
            .filter(|(path, _)| !steered.contains(path))
            .map(|(path, number)| (path.clone(), *number))
            .collect();
        for path in steered {
            if !self.steering.contains_key(&path) {
                self.steering
                    .insert(path, space.steering.take(u32::MAX).unwrap_or(0));
            }
        }
        // After the new ones: while the maps change, a set's number must not mean another set.
        let unclaimed = std::mem::take(&mut self.unclaimed.steering);
        for (path, _) in &gone {
            self.steering.remove(path);
        }
        gone.into_iter()
            .map(|(_, number)| number)
            .chain(unclaimed)
            .for_each(|number| space.steering.release(number));
        let number = |key: &ServiceKey| self.services.get(key).map(|service| service.number);
        let (rules, left_out) = rules::compile(&RuleTask {
            config: inputs.config,
            number: &number,
            steering: &self.steering,
            before: &self.contents.rules,
            limits: &inputs.limits,
        });
        if *self.contents.rules != rules {
            self.contents.rules = Arc::new(rules);
        }
        self.left_out_rules = left_out;
        self.remove_services(in_use, now);
    }

    /// Rules are led to services that were not there before.
    ///
    /// Where packets have been led elsewhere meanwhile, or space is short, all rules are looked at.
    pub(super) fn lead_to_new(&mut self, inputs: &Inputs<'_>, new: &BTreeSet<ResourcePath>, now: u32) {
        let number = |key: &ServiceKey| self.services.get(key).map(|service| service.number);
        let task = RuleTask {
            config: inputs.config,
            number: &number,
            steering: &self.steering,
            before: &self.contents.rules,
            limits: &inputs.limits,
        };
        match rules::add_missing(&task, new) {
            Some(rules) => self.contents.rules = Arc::new(rules),
            None => self.compile_rules(inputs, &service::keys_in_use(inputs.config), now),
        }
    }
}
