//! Whether the kernel's maps hold what they should, when somebody asks.

use std::time::Duration;

use super::Controller;
use super::handle::Reply;
use super::inputs::Snapshot;
use super::work::Done;
use crate::control::ControlError;
use crate::plan::contents::Contents;
use crate::plan::diff::{Operation, diff};
use crate::plan::{Inputs, Plan, Scope as PlanScope, compile_what_fits};
use crate::views;

/// How many differences are told.
pub(super) const MOST_TOLD: usize = 20;
/// How often it is looked again because something was on its way, and the pause before each.
const MOST_TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(25);

/// A comparison of the maps with what everything compiles to.
pub(super) struct Verified {
    compared: Result<Compared, ControlError>,
    generation: u64,
    tries: u32,
    reply: Reply<views::Verification>,
}

struct Compared {
    services: usize,
    members: usize,
    differences: Vec<Operation>,
}

impl Controller {
    /// Reads the maps back and compares them with what everything compiles to, beside the loop.
    pub(super) fn verify(&self, reply: Reply<views::Verification>) {
        self.verify_again(reply, 0);
    }

    fn verify_again(&self, reply: Reply<views::Verification>, tries: u32) {
        let (reader, snapshot, generation) = (self.maps.reader(), self.snapshot(), self.generation);
        let deadlines_met_at = self.deadlines_met_at;
        let compare = move || {
            let internal = |error: &dyn std::fmt::Display| ControlError::Internal(format!("{error:#}"));
            let held = reader().map_err(|error| internal(&error))?;
            let differences = snapshot.compare(&held, deadlines_met_at);
            let members = held.services.values().map(|service| service.members.len());
            Ok(Compared {
                services: held.services.len(),
                members: members.sum(),
                differences,
            })
        };
        self.work
            .later(if tries == 0 { Duration::ZERO } else { PAUSE }, move || {
                Done::Verified(Box::new(Verified {
                    compared: compare(),
                    generation,
                    tries,
                    reply,
                }))
            });
    }

    /// What is on its way is no difference: then it looks again.
    pub(super) fn on_verified(&self, verified: Verified) {
        let Verified {
            compared,
            generation,
            tries,
            reply,
        } = verified;
        let mut compared = match compared {
            Ok(compared) => compared,
            Err(error) => return drop(reply.send(Err(error))),
        };
        compared
            .differences
            .retain(|operation| self.can_be_done(operation));
        let is_current = generation == self.generation && !self.is_on_the_way();
        if !compared.differences.is_empty() && !is_current && tries < MOST_TRIES {
            return self.verify_again(reply, tries + 1);
        }
        let told = compared.differences.iter().take(MOST_TOLD);
        let _ = reply.send(Ok(views::Verification {
            services: compared.services,
            members: compared.members,
            differences: told.map(|operation| format!("{operation:.200?}")).collect(),
        }));
    }

    /// The kernel itself takes an interface that is gone out of the ways that packets leave by; records that name it are
    /// kept for some seconds more.
    pub(super) fn can_be_done(&self, operation: &Operation) -> bool {
        let links = &self.network_state.links;
        !matches!(operation, Operation::PutDevice(index) if !links.contains_key(index))
    }

    /// Whether something is being done that changes the maps. What failed and waits to be tried again is not.
    fn is_on_the_way(&self) -> bool {
        let fails = self.maps_retry.waits() || self.keep_retry.waits();
        !fails
            && (self.is_behind()
                || !self.dirty.is_empty()
                || self.waits_for_history()
                || self.builds.are_any())
    }
}

impl Snapshot {
    fn compare(&self, held: &Contents, deadlines_met_at: u32) -> Vec<Operation> {
        differences(&self.inputs(), &self.plan, held, deadlines_met_at)
    }
}

/// The inputs are those of now, the second is the one at which deadlines were last looked after: ends of drains and
/// numbers that became free since then wait for their turn and are no difference. All that was due by then is done, or it
/// is told here, and so is whatever does not follow from time alone.
pub(super) fn differences(
    inputs: &Inputs<'_>,
    plan: &Plan,
    held: &Contents,
    deadlines_met_at: u32,
) -> Vec<Operation> {
    let desired = compile_what_fits(inputs, plan, PlanScope::All, deadlines_met_at);
    diff(held, &desired.contents)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plan::tests::world::{World, number, v4};

    const DRAIN_SEC: u32 = 10;
    /// Drains and numbers of every kind have ended long before.
    const LATER: u32 = 1000;

    /// A draining endpoint, one whose number waits, and a service that is removed.
    fn with_deadlines() -> (World, Plan) {
        let mut world = World::web(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        world.service("web").draining_timeout_sec = 0;
        add_service(&mut world, "gone");
        let plan = world.compile(&Plan::default());
        world.group("main", &["10.0.0.1", "10.0.0.2"]);
        let plan = world.compile(&plan);
        world.service("web").draining_timeout_sec = DRAIN_SEC;
        world.group("main", &["10.0.0.1"]);
        world.remove_service("gone");
        let plan = world.compile(&plan);
        (world, plan)
    }

    fn add_service(world: &mut World, name: &str) {
        use crate::model::{Ports, RuleProtocol};
        world.service(name);
        world.attach(name, "main", false);
        let ports = Ports::Ranges(vec![(443, 443)]);
        world.rule(name, "192.0.2.9", RuleProtocol::Tcp, ports, name);
    }

    fn found(world: &World, plan: &Plan, held: &Contents, second: u32) -> Vec<Operation> {
        differences(&world.inputs(), plan, held, second)
    }

    #[test]
    fn what_is_due_and_on_its_way_is_no_difference() {
        let (world, plan) = with_deadlines();
        let none: Vec<Operation> = Vec::new();
        assert_eq!(found(&world, &plan, &plan.contents, world.now), none);
        // A change that is made later, and looks after other deadlines only by the way, leaves that as it is.
        let mut later = world.clone();
        later.now += LATER;
        later.health("10.0.0.1", false);
        let changed = later.compile(&plan);
        assert_eq!(found(&later, &changed, &changed.contents, world.now), none);
    }

    #[test]
    fn what_was_due_when_deadlines_were_looked_after_is_told() {
        let (world, plan) = with_deadlines();
        let left = found(&world, &plan, &plan.contents, world.now + LATER);
        let is = |wanted: fn(&Operation) -> bool| left.iter().any(wanted);
        assert!(
            is(|operation| matches!(operation, Operation::ClearService(_))),
            "{left:?}"
        );
        assert!(
            is(|operation| matches!(operation, Operation::ClearMember(_))),
            "{left:?}"
        );
    }

    #[test]
    fn what_is_missing_is_told_whatever_is_due() {
        let (mut world, plan) = with_deadlines();
        for (address, is_attached) in [("10.0.0.1", true), ("10.0.0.2", false)] {
            let member = number(&plan, "web", address);
            let service = v4(&plan, "web").number;
            let mut held = plan.contents.clone();
            let mut contents = (*held.services[&service]).clone();
            contents.members.remove(&member);
            held.services.insert(service, Arc::new(contents));
            let told = found(&world, &plan, &held, world.now);
            let [Operation::PutMember(missing, record)] = told[..] else {
                panic!("{told:?}");
            };
            assert_eq!(missing, member);
            assert_eq!(record.serves_entries(u32::MAX), is_attached);
        }
        // An input that the maps don't follow.
        world.health("10.0.0.1", false);
        assert_ne!(found(&world, &plan, &plan.contents, world.now), []);
    }
}
