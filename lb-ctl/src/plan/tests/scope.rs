//! Compiling only what an event touches gives what compiling everything gives.

use proptest::prelude::*;

use super::events::{Life, any_event, any_health};
use super::world::applied;
use crate::plan::{Plan, Scope, compile};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_health_event_touches_its_services_only(
        steps in proptest::collection::vec(any_event(), 0..12),
        health in proptest::collection::vec(any_health(), 1..4),
    ) {
        let mut life = Life::new();
        let mut plan = life.world.compile(&Plan::default());
        for event in &steps {
            life.on(event);
            plan = life.world.compile(&plan);
        }
        for event in &health {
            life.on(event);
            let touched = life.touched(event);
            let all = life.world.compile(&plan);
            let before = applied(&plan, life.world.now);
            let part = compile(&life.world.inputs(), &before, Scope::Services(&touched), life.world.now)
                .expect("it fits");
            prop_assert_eq!(&part, &all);
            for (number, contents) in &plan.contents.services {
                let is_touched = plan.services.iter().any(|(key, service)| {
                    service.number == *number && touched.contains(&key.service)
                });
                if !is_touched {
                    let after = &part.contents.services[number];
                    prop_assert!(std::sync::Arc::ptr_eq(contents, after));
                }
            }
            plan = part;
        }
    }

    #[test]
    fn what_is_due_is_all_that_time_changes(steps in proptest::collection::vec(any_event(), 0..16)) {
        let mut life = Life::new();
        let mut plan = life.world.compile(&Plan::default());
        for event in &steps {
            life.on(event);
            plan = life.world.compile(&plan);
        }
        while let Some(deadline) = plan.next_deadline() {
            prop_assert!(deadline > life.world.now);
            life.world.now = deadline;
            let all = life.world.compile(&plan);
            let before = applied(&plan, deadline);
            let due = compile(&life.world.inputs(), &before, Scope::Due, deadline).expect("it fits");
            prop_assert_eq!(&due, &all);
            plan = due;
        }
    }
}
