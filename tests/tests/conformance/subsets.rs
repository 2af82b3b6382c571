//! How many backends one client sees, with and without subsetting.

use std::collections::{BTreeMap, BTreeSet};

use lb_ctl::health::Weight;
use lb_tests::conformance::bench::Bench;
use lb_tests::conformance::documents::{self, ZONE};
use lb_tests::conformance::packet::{Ends, Position, frame};
use lb_tests::conformance::rows;
use lb_tests::conformance::world::{State, World};
use serde_json::{Value, json};

use super::START;

/// Semantics §6: at most so many.
const SUBSET: usize = 25;
const CLIENTS: usize = 6;
const FLOWS: u16 = 600;

/// The backends that each of a few clients reaches by many connections.
pub(crate) fn seen_by_clients(bench: &mut Bench, affinity: &str, policy: &str) -> Vec<BTreeSet<char>> {
    let mut policies = rows::accepted().into_iter();
    let character = policies
        .find(|row| row.is_internal() && row.affinity == affinity)
        .expect("an internal service of every affinity");
    let names: BTreeSet<char> = ('A'..='Z').chain('a'..='z').collect();
    let backend = json!({"group": format!("{ZONE}/networkEndpointGroups/primary")});
    let mut service = documents::service(0, &character, vec![backend]);
    service.insert("subsetting".into(), json!({"policy": policy}));
    let mut all = vec![documents::health_check(), documents::group("primary", &names)];
    all.push(Value::Object(service));
    all.extend(documents::rules(0, &character));
    let state = State {
        healthy: true,
        weight: Weight::default(),
    };
    let states: BTreeMap<char, State> = names.iter().map(|name| (*name, state)).collect();
    let mut world = World::new(bench, START);
    world.set_states(&Value::Array(all), &states);
    let tcp = rows::cases()[0];
    let seen_by = |_| {
        let client = world.client(documents::vip(0, false, false));
        let backends = (0..FLOWS).map(|port| {
            let ends = Ends {
                source_port: 10_000 + port,
                ..client
            };
            world
                .both(&frame(&tcp, &ends, Position::First))
                .backend
                .expect("forwarded")
        });
        backends.collect()
    };
    (0..CLIENTS).map(seen_by).collect()
}

pub(crate) fn check(bench: &mut Bench) {
    for affinity in ["NONE", "CLIENT_IP_PORT_PROTO"] {
        let seen = seen_by_clients(bench, affinity, "CONSISTENT_HASH_SUBSETTING");
        for backends in &seen {
            assert!(backends.len() <= SUBSET, "{affinity}: {backends:?}");
            assert!(backends.len() > SUBSET / 2, "{affinity}: {backends:?}");
        }
        assert_ne!(seen[0], seen[1], "clients have subsets of their own");
        for backends in seen_by_clients(bench, affinity, "NONE") {
            assert!(backends.len() > 45, "{affinity}: {backends:?}");
        }
    }
}
