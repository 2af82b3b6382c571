//! An operation of the API is done when packets go as it says: what each method changes, a client sees at once.

use std::collections::BTreeSet;

use lb_tests::balanced::{Balanced, backends_of};
use lb_tests::documents::{Documents, Service};
use lb_tests::topology::{Lab, PRIMARIES, VIP4};
use lb_tests::traffic::tcp::Connection;
use serde_json::{Value, json};

const MANY: usize = 30;
const LEAVES: &str = PRIMARIES[0];
const SERVICE: &str = "lab/regions/lab-1/backendServices/web";
const RULE: &str = "lab/regions/lab-1/forwardingRules/web-ipv4";
const GROUP: &str = "lab/zones/lab-1-a/networkEndpointGroups/primary";

fn documents(lab: &Lab) -> Documents {
    let draining = json!({"drainingTimeoutSec": 3600});
    Documents::new(lab, &PRIMARIES).service(Service::tcp().set("connectionDraining", draining))
}

fn change(balanced: &Balanced<'_>, method: &str, path: &str, body: &Value) {
    let operation = balanced.daemon.api(method, path, body);
    assert_eq!(operation["status"], "DONE", "{operation}");
}

fn serving(balanced: &Balanced<'_>) -> usize {
    backends_of(&balanced.connect_many(VIP4, MANY)).len()
}

#[test]
fn endpoints_are_detached_and_attached() {
    let lab = Lab::flat("api-endpoints");
    let balanced = Balanced::start(&lab, &documents(&lab));
    let connections = balanced.connect_many(VIP4, MANY);
    let mut leaving: Vec<Connection> = connections
        .into_iter()
        .filter(|connection| connection.backend == LEAVES)
        .collect();
    assert!(!leaving.is_empty());

    let host = lab.host(LEAVES);
    let named = json!({"networkEndpoints": [{"instance": LEAVES}]});
    change(
        &balanced,
        "POST",
        &format!("{GROUP}/detachNetworkEndpoints"),
        &named,
    );
    let others: BTreeSet<&str> = PRIMARIES[1..].iter().copied().collect();
    assert_eq!(backends_of(&balanced.connect_many(VIP4, MANY)), others);
    for connection in &mut leaving {
        assert_eq!(connection.ask().as_deref(), Ok(LEAVES), "it drains");
    }

    let whole = json!({"instance": LEAVES, "ipAddress": host.ipv4, "ipv6Address": host.ipv6});
    let body = json!({ "networkEndpoints": [whole] });
    change(
        &balanced,
        "POST",
        &format!("{GROUP}/attachNetworkEndpoints"),
        &body,
    );
    balanced.daemon.wait_for_health(LEAVES, true);
    balanced.daemon.wait_for_delivery();
    assert_eq!(serving(&balanced), PRIMARIES.len());
    assert_eq!(balanced.daemon.api("GET", GROUP, &Value::Null)["size"], 3);
}

#[test]
fn a_service_is_patched_and_updated() {
    let lab = Lab::flat("api-service");
    let balanced = Balanced::start(&lab, &documents(&lab));
    assert_eq!(serving(&balanced), PRIMARIES.len());

    change(
        &balanced,
        "PATCH",
        SERVICE,
        &json!({"sessionAffinity": "CLIENT_IP"}),
    );
    assert_eq!(
        serving(&balanced),
        1,
        "all connections of a client go to one backend"
    );

    let mut whole = balanced.daemon.api("GET", SERVICE, &Value::Null);
    whole["sessionAffinity"] = "NONE".into();
    change(&balanced, "PUT", SERVICE, &whole);
    assert_eq!(serving(&balanced), PRIMARIES.len());

    change(&balanced, "DELETE", RULE, &Value::Null);
    assert!(balanced.connect(VIP4).is_err(), "nobody takes packets to the VIP");
}
