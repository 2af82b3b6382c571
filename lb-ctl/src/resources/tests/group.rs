//! The rules of groups, endpoints and instances, alone and in a service.

use super::*;

#[test]
fn at_most_fifty_groups_of_a_pool() {
    for failover in [false, true] {
        let mut value = internal();
        let mut backends = Vec::new();
        for i in 0..51 {
            let neg = json!({"kind": "compute#networkEndpointGroup", "name": format!("g{i}"), "networkEndpointType": "GCE_VM_IP"});
            edit(&mut value, &[("/-", neg)]);
            backends.push(json!({"group": format!("g{i}"), "failover": failover}));
        }
        expect_one(
            value.clone(),
            &[("/3/backends", json!(backends))],
            "$[3].backends",
            "at most 50",
        );
        expect(value, &[("/3/backends", json!(backends[..50]))], &[]);
    }
}

#[test]
fn groups_are_of_one_kind() {
    let mut value = internal();
    for document in instances().as_array().unwrap() {
        edit(&mut value, &[("/-", document.clone())]);
    }
    expect(value.clone(), &[("/3/backends", json!([{"group": "vms"}]))], &[]);
    let mixed = json!([{"group": "one"}, {"group": "vms"}]);
    let fault = expect(value, &[("/3/backends", mixed)], &["$[3].backends[1].group"]).remove(0);
    assert_eq!(
        fault.reason,
        "is an instance group, but backends[0].group is a network endpoint group; a service has groups of one kind"
    );
}

#[test]
fn an_endpoint_stands_in_one_group_of_a_service() {
    let same = [("/2/networkEndpoints/0/ipAddress", json!("10.0.0.1"))];
    expect_one(internal(), &same, "$[3].backends[1].group", "10.0.0.1");
    let same = [("/2/networkEndpoints/0/ipv6Address", json!("fd00:0::2"))];
    expect_one(internal(), &same, "$[3].backends[1].group", "fd00::2");
    let twice = [("/1/networkEndpoints/1/ipAddress", json!("10.0.0.1"))];
    expect_one(internal(), &twice, "$[1].networkEndpoints[1]", "same address");
    expect_one(
        internal(),
        &[("/3/backends/1/group", json!("one"))],
        "$[3].backends[1].group",
        "same group",
    );
}

#[test]
fn an_endpoint_has_an_address() {
    let bare = ("/1/networkEndpoints/0", json!({"instance": "vm-1"}));
    expect_one(
        internal(),
        std::slice::from_ref(&bare),
        "$[1].networkEndpoints[0]",
        "no instance of this name",
    );
    expect(internal(), &[bare, ("/-", instances()[0].clone())], &[]);
    expect_one(
        internal(),
        &[("/1/networkEndpoints/0", json!({}))],
        "$[1].networkEndpoints[0]",
        "has no address",
    );
    for (field, bad) in [
        ("ipAddress", "10.0.0.256"),
        ("ipAddress", "fd00::1"),
        ("ipv6Address", "10.0.0.1"),
        ("ipAddress", "224.0.0.5"),
    ] {
        let pointer = format!("/1/networkEndpoints/0/{field}");
        expect(
            internal(),
            &[(&pointer, json!(bad))],
            &[&format!("$[1].networkEndpoints[0].{field}")],
        );
    }
}

#[test]
fn a_port_of_an_endpoint_decides_nothing() {
    let port = ("/1/networkEndpoints/0/port", json!(8080));
    expect_one(
        internal(),
        std::slice::from_ref(&port),
        "$[1].networkEndpoints[0].port",
        "has no port",
    );
    expect_one(
        internal(),
        &[("/1/defaultPort", json!(80))],
        "$[1].defaultPort",
        "has no port",
    );
    let mut hybrid = internal();
    edit(
        &mut hybrid,
        &[port, ("/1/networkEndpointType", json!("NON_GCP_PRIVATE_IP_PORT"))],
    );
    let warnings = apply(&hybrid).unwrap().warnings;
    assert_eq!(
        warnings.iter().map(|w| w.path.as_str()).collect::<Vec<_>>(),
        ["$[1].networkEndpoints[0].port"]
    );
}

#[test]
fn our_own_annotations_are_known_ones() {
    for (key, value, fine) in [
        ("lb~1delivery", "ipip", true),
        ("lb~1delivery", "pigeon", false),
        ("lb~1deliverie", "l2", false),
        ("team", "pigeon", true),
    ] {
        let mut value = json!({ key.replace("~1", "/"): value });
        let mut base = internal();
        base[1]["annotations"] = value.take();
        assert_eq!(faults(&base).is_empty(), fine, "{key}");
    }
    let mut base = internal();
    base[1]["networkEndpoints"][0]["annotations"] = json!({"lb/delivery": "l2"});
    expect(base, &[], &["$[1].networkEndpoints[0].annotations.lb/delivery"]);
}

#[test]
fn instances_of_a_group_exist_once_and_in_its_zone() {
    expect_one(
        instances(),
        &[("/2/instances/1/instance", json!("vm-9"))],
        "$[2].instances[1].instance",
        "no such instance",
    );
    expect_one(
        instances(),
        &[("/2/instances/1/instance", json!("vm-1"))],
        "$[2].instances[1].instance",
        "same instance",
    );
    let elsewhere = [
        ("/1/zone", json!("other-b")),
        ("/2/instances/1/instance", json!("zones/other-b/instances/vm-2")),
    ];
    expect_one(
        instances(),
        &elsewhere,
        "$[2].instances[1].instance",
        "another zone",
    );
    let same = [("/1/networkInterfaces/0/networkIP", json!("10.0.5.1"))];
    expect_one(instances(), &same, "$[2].instances[1]", "same address");
}
