//! Connections to an endpoint that was removed from its group, while its drain lasts.

use std::collections::BTreeSet;

use lb_tests::balanced::{Balanced, backends_of};
use lb_tests::documents::{Documents, Service};
use lb_tests::topology::{Lab, PRIMARIES, VIP4};
use lb_tests::traffic::tcp::Connection;
use serde_json::json;

const MANY: usize = 30;
const LEAVES: &str = PRIMARIES[0];
const STAYS: &str = PRIMARIES[1];

fn documents(lab: &Lab, endpoints: &[&str]) -> Documents {
    let service = Service::tcp()
        .set("connectionDraining", json!({"drainingTimeoutSec": 3600}))
        .persistence("NEVER_PERSIST");
    Documents::new(lab, endpoints).service(service)
}

/// The daemon plans anew on every change of health; the second is what tells that the first was acted upon.
fn change_health_of_another(balanced: &mut Balanced<'_>) {
    balanced.set_health(STAYS, false);
    balanced.set_health(STAYS, true);
}

/// The endpoint is probed and its neighbour watched on: under NEVER_PERSIST its connections stay only while it is
/// healthy, and move at once when it is not.
#[test]
fn a_draining_endpoint_is_probed_and_delivered_to_until_it_fails() {
    let lab = Lab::flat("draining");
    let mut balanced = Balanced::start(&lab, &documents(&lab, &PRIMARIES));
    let connections = balanced.connect_many(VIP4, MANY);
    let mut leaving: Vec<Connection> = connections
        .into_iter()
        .filter(|connection| connection.backend == LEAVES)
        .collect();
    assert!(!leaving.is_empty());

    balanced.daemon.apply(&documents(&lab, &PRIMARIES[1..]));
    change_health_of_another(&mut balanced);
    for connection in &mut leaving {
        assert_eq!(connection.ask().as_deref(), Ok(LEAVES));
    }
    let others: BTreeSet<&str> = PRIMARIES[1..].iter().copied().collect();
    assert_eq!(backends_of(&balanced.connect_many(VIP4, MANY)), others);

    balanced.set_health(LEAVES, false);
    for connection in &mut leaving {
        assert!(
            connection.ask().is_err(),
            "another backend knows nothing of the connection"
        );
    }
}
