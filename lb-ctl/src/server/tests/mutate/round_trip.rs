//! What was inserted comes back, with the output-only fields and the defaults, and nothing else.

use proptest::prelude::*;

use super::*;

/// What the server may add to what was inserted.
const OUTPUT: [&str; 10] = [
    "kind",
    "id",
    "creationTimestamp",
    "selfLink",
    "region",
    "zone",
    "fingerprint",
    "labelFingerprint",
    "size",
    "usedBy",
];

/// The fields and values of a default, by kind of resource.
fn defaults(collection: &str) -> Value {
    match collection {
        "backendServices" => json!({"description": "", "protocol": "TCP", "sessionAffinity": "NONE",
            "loadBalancingScheme": "EXTERNAL", "timeoutSec": 30, "affinityCookieTtlSec": 0,
            "connectionDraining": {"drainingTimeoutSec": 0}}),
        "forwardingRules" => {
            json!({"description": "", "IPProtocol": "TCP", "loadBalancingScheme": "EXTERNAL"})
        }
        "healthChecks" => {
            json!({"description": "", "checkIntervalSec": 5, "timeoutSec": 5, "healthyThreshold": 2,
            "unhealthyThreshold": 2, "tcpHealthCheck": {"port": 80, "proxyHeader": "NONE"}})
        }
        _ => json!({"description": ""}),
    }
}

/// Whether everything of `given` is in `shown`; references by what they name.
fn holds(shown: &Value, given: &Value) -> bool {
    match (shown, given) {
        (Value::Object(shown), Value::Object(given)) => given
            .iter()
            .all(|(name, given)| shown.get(name).is_some_and(|shown| holds(shown, given))),
        (Value::Array(shown), Value::Array(given)) => {
            shown.len() == given.len() && shown.iter().zip(given).all(|(shown, given)| holds(shown, given))
        }
        (Value::String(shown), Value::String(given)) => {
            shown == given || shown.ends_with(&format!("/{given}"))
        }
        (shown, given) => shown == given,
    }
}

fn text() -> impl Strategy<Value = Value> {
    "[ -~äöü✓]{0,40}".prop_map(Value::from)
}

fn optional(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let field = |(name, value): (&'static str, BoxedStrategy<Value>)| {
        prop::option::of(value).prop_map(move |value| value.map(|value| (name.to_owned(), value)))
    };
    let fields: Vec<_> = fields.into_iter().map(field).collect();
    let object = |fields: Vec<Option<(String, Value)>>| Value::Object(fields.into_iter().flatten().collect());
    fields.prop_map(object).boxed()
}

fn number(range: std::ops::Range<i64>) -> BoxedStrategy<Value> {
    range.prop_map(Value::from).boxed()
}

fn labels() -> BoxedStrategy<Value> {
    let labels = prop::collection::btree_map("[a-z]{1,5}", "[a-z0-9]{0,5}", 0..4);
    labels.prop_map(|labels| json!(labels)).boxed()
}

fn one_of(values: &'static [&'static str]) -> BoxedStrategy<Value> {
    prop::sample::select(values).prop_map(Value::from).boxed()
}

fn flag() -> BoxedStrategy<Value> {
    any::<bool>().prop_map(Value::from).boxed()
}

/// A collection and a resource that is right in it.
fn resource() -> impl Strategy<Value = (&'static str, Value)> {
    let service = optional(vec![
        ("description", text().boxed()),
        ("protocol", one_of(&["TCP", "UDP", "UNSPECIFIED"])),
        (
            "sessionAffinity",
            one_of(&["NONE", "CLIENT_IP", "CLIENT_IP_PROTO", "CLIENT_IP_PORT_PROTO"]),
        ),
        ("timeoutSec", number(0..1000)),
        (
            "healthChecks",
            Just(json!(["regions/r1/healthChecks/hc"])).boxed(),
        ),
        ("metadatas", labels()),
        (
            "failoverPolicy",
            optional(vec![
                ("dropTrafficIfUnhealthy", flag()),
                ("disableConnectionDrainOnFailover", flag()),
                (
                    "failoverRatio",
                    (0..=1000u32).prop_map(|n| json!(f64::from(n) / 1000.0)).boxed(),
                ),
            ]),
        ),
        (
            "connectionDraining",
            number(0..3601)
                .prop_map(|n| json!({"drainingTimeoutSec": n}))
                .boxed(),
        ),
    ]);
    let check = optional(vec![
        ("description", text().boxed()),
        ("checkIntervalSec", number(5..300)),
        ("timeoutSec", number(1..6)),
        ("healthyThreshold", number(1..11)),
        (
            "tcpHealthCheck",
            optional(vec![
                ("port", number(1..65536)),
                ("request", "[a-z]{0,9}".prop_map(Value::from).boxed()),
            ]),
        ),
    ]);
    let rule = optional(vec![
        ("description", text().boxed()),
        ("labels", labels()),
        ("networkTier", one_of(&["PREMIUM", "STANDARD"])),
        ("allowGlobalAccess", flag()),
        (
            "network",
            Just(json!(
                "https://www.googleapis.com/compute/v1/projects/acme/global/networks/n"
            ))
            .boxed(),
        ),
    ]);
    let group = optional(vec![
        ("description", text().boxed()),
        ("annotations", labels()),
        ("network", text().boxed()),
    ]);
    prop_oneof![
        service.prop_map(|value| ("backendServices", value)),
        check.prop_map(|value| ("healthChecks", with(value, "type", json!("TCP")))),
        rule.prop_map(|mut value| {
            value["IPAddress"] = json!("192.0.2.7");
            value["ports"] = json!(["80", "443"]);
            value["backendService"] =
                json!("http://127.0.0.1:1/compute/v1/projects/acme/regions/r1/backendServices/old");
            ("forwardingRules", value)
        }),
        group.prop_map(|value| (
            "networkEndpointGroups",
            with(value, "networkEndpointType", json!("GCE_VM_IP"))
        )),
    ]
}

#[test]
fn what_was_inserted_comes_back() {
    let server = server();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(200));
    let result = runner.run(&resource(), |(collection, value)| {
        let place = if collection == "networkEndpointGroups" {
            ZONE
        } else {
            REGION
        };
        let url = format!("{place}/{collection}/thing");
        let given = with(value, "name", json!("thing"));
        server.post(&format!("{place}/{collection}"), &given).ok();
        let shown = server.get(&url).ok();
        let rule_service =
            "https://www.googleapis.com/compute/v1/projects/acme/regions/r1/backendServices/old";
        let mut expected = given.clone();
        if collection == "forwardingRules" {
            expected["backendService"] = json!(rule_service);
        }
        prop_assert!(holds(&shown, &expected), "{shown} lacks some of {expected}");
        let defaults = defaults(collection);
        for (field, value) in shown.as_object().expect("a resource") {
            let given = expected.get(field).is_some() || OUTPUT.contains(&field.as_str());
            prop_assert!(given || defaults[field] == *value, "{field} of {shown}");
        }
        // What comes back can be sent back.
        server.delete(&url).ok();
        server.post(&format!("{place}/{collection}"), &shown).ok();
        let again = server.get(&url).ok();
        for (field, value) in shown.as_object().expect("a resource") {
            let new = ["id", "creationTimestamp"].contains(&field.as_str());
            prop_assert!(new || again[field] == *value, "{field}: {} {value}", again[field]);
        }
        prop_assert_ne!(&again["id"], &shown["id"]);
        server.delete(&url).ok();
        Ok(())
    });
    result.expect("every resource to come back");
}
