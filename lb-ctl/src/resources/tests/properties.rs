//! Laws that hold for any documents.

use proptest::prelude::*;

use super::*;
use crate::resources::{ChangeKind, Kind, validate};

/// Words that documents are made of, so that random JSON gets past the first checks.
fn word() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "kind",
        "name",
        "region",
        "zone",
        "selfLink",
        "backends",
        "group",
        "failover",
        "protocol",
        "healthChecks",
        "type",
        "failoverPolicy",
        "failoverRatio",
        "connectionTrackingPolicy",
        "trackingMode",
        "idleTimeoutSec",
        "haPolicy",
        "leader",
        "backendGroup",
        "networkEndpoint",
        "instance",
        "networkEndpoints",
        "ipAddress",
        "ipv6Address",
        "port",
        "annotations",
        "lb/delivery",
        "IPAddress",
        "IPProtocol",
        "ports",
        "portRange",
        "allPorts",
        "sourceIpRanges",
        "loadBalancingScheme",
        "backendService",
        "networkInterfaces",
        "networkIP",
        "instances",
        "cdnPolicy",
        "iap",
        "subsetting",
        "policy",
        "networkPassThroughLbTrafficPolicy",
        "zonalAffinity",
        "spillover",
        "httpHealthCheck",
        "compute#backendService",
        "compute#forwardingRule",
        "compute#healthCheck",
        "compute#networkEndpointGroup",
        "compute#instanceGroup",
        "compute#instance",
        "INTERNAL",
        "EXTERNAL",
        "TCP",
        "UDP",
        "HTTP",
        "L3_DEFAULT",
        "a",
        "b",
        "GCE_VM_IP",
        "10.0.0.1",
        "fd00::1",
        "2001:db8::/96",
        "80",
        "1-65535",
        "PER_SESSION",
        "global/healthChecks/a",
        "projects/p/zones/z/networkEndpointGroups/a",
        "https://h/projects/p/regions/r/backendServices/b",
    ]);
    prop_oneof![9 => known.prop_map(String::from), 1 => ".{0,8}"]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        4 => word().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            2 => prop::collection::btree_map(word(), inner, 0..8).prop_map(|object| Value::Object(object.into_iter().collect())),
        ]
    })
}

/// A right set of documents: services with groups and rules that do not collide.
fn right() -> impl Strategy<Value = Vec<Value>> {
    let affinity = prop::sample::select(vec![
        "NONE",
        "CLIENT_IP",
        "CLIENT_IP_PROTO",
        "CLIENT_IP_PORT_PROTO",
    ]);
    let service = (any::<bool>(), affinity, 0..4usize, 0..3600u32, 0..=1000u32);
    prop::collection::vec(service, 1..5).prop_map(|services| {
        let mut documents = vec![json!({"kind": "compute#healthCheck", "name": "probe", "type": "TCP"})];
        for (i, (external, affinity, endpoints, drain, ratio)) in services.into_iter().enumerate() {
            let scheme = if external { "EXTERNAL" } else { "INTERNAL" };
            let members: Vec<Value> = (0..endpoints).map(|e| json!({"ipAddress": format!("10.{i}.0.{}", e + 1)})).collect();
            documents.push(json!({"kind": "compute#networkEndpointGroup", "name": format!("g{i}"),
                "networkEndpointType": "GCE_VM_IP", "networkEndpoints": members}));
            documents.push(json!({"kind": "compute#backendService", "name": format!("s{i}"), "protocol": "UNSPECIFIED",
                "loadBalancingScheme": scheme, "sessionAffinity": affinity, "healthChecks": ["probe"],
                "backends": [{"group": format!("g{i}")}], "connectionDraining": {"drainingTimeoutSec": drain},
                "failoverPolicy": {"failoverRatio": f64::from(ratio) / 1000.0}}));
            for protocol in ["TCP", "UDP"] {
                documents.push(json!({"kind": "compute#forwardingRule", "name": format!("r{i}-{}", protocol.to_lowercase()),
                    "IPProtocol": protocol, "IPAddress": format!("192.0.2.{}", i + 1), "ports": ["80", "443"],
                    "loadBalancingScheme": scheme, "backendService": format!("s{i}")}));
            }
        }
        documents
    })
}

proptest! {
    #[test]
    fn a_second_apply_changes_nothing(documents in right()) {
        let first = apply(&json!(documents)).unwrap();
        let second = apply_to(&first.resources, &json!(documents), Mode::Prune).unwrap();
        prop_assert!(second.changes.iter().all(|change| change.kind == ChangeKind::Unchanged));
        prop_assert_eq!(second.resources, first.resources);
    }

    #[test]
    fn the_order_of_documents_does_not_matter(
        (one, other) in right().prop_flat_map(|documents| (Just(documents.clone()), Just(documents).prop_shuffle())),
    ) {
        let (one, other) = (apply(&json!(one)).unwrap(), apply(&json!(other)).unwrap());
        prop_assert_eq!(one.resources, other.resources);
        prop_assert_eq!(one.config, other.config);
        prop_assert_eq!(one.changes, other.changes);
    }

    #[test]
    fn a_ratio_in_thousandths_is_exact(thousandths in 0..=1000u64) {
        let mut value = internal();
        edit(&mut value, &[("/3/failoverPolicy", json!({"failoverRatio": thousandths as f64 / 1000.0}))]);
        let config = apply(&value).unwrap().config;
        let ratio = config.services.values().next().unwrap().failover.unwrap().ratio;
        prop_assert_eq!(ratio.numerator * 1000, thousandths * ratio.denominator);
    }

    #[test]
    fn any_json_is_judged_without_panic(values in prop::collection::vec(json_value(), 0..6)) {
        if let Ok(documents) = parse("any", &json!(values).to_string()) {
            judge(&documents);
        }
    }

    #[test]
    fn any_text_is_parsed_without_panic(text in ".{0,64}") {
        if let Ok(documents) = parse("any", &text) {
            judge(&documents);
        }
    }

    /// Random values in the fields of right documents get further than random documents do.
    #[test]
    fn any_value_in_any_place_is_judged_without_panic(
        places in prop::collection::vec((0..6usize, word(), json_value()), 1..4),
    ) {
        let mut value = external();
        for (document, field, replacement) in places {
            value[document][field] = replacement;
        }
        if let Ok(documents) = parse("any", &value.to_string()) {
            judge(&documents);
        }
    }
}

/// Whatever comes out is whole: faults have places, and what has none is stored and read back the same.
fn judge(documents: &[Document]) {
    let now = "2026-02-03T04:05:06Z".parse().unwrap();
    match Resources::default().apply(documents, &Scope::default(), Mode::Additive, now) {
        Err(faults) => {
            assert!(!faults.is_empty());
            assert!(
                faults.iter().all(|fault| fault.path.starts_with('$')
                    && !fault.reason.contains("a fault of the load balancer"))
            );
        }
        Ok(applied) => {
            assert_eq!(applied.resources.config().unwrap().0, applied.config);
            let text = serde_json::to_string(&applied.resources).unwrap();
            assert_eq!(
                serde_json::from_str::<Resources>(&text).unwrap(),
                applied.resources
            );
            for kind in Kind::ALL {
                applied
                    .resources
                    .of_kind(kind)
                    .for_each(|(path, _)| drop(applied.resources.delete(path)));
            }
            assert!(validate(documents, &Scope::default()).is_ok());
        }
    }
}
