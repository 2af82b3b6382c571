use super::*;
use crate::model::ResourcePath;
use crate::resources::{ChangeKind, Kind};

fn path(kind: Kind, name: &str) -> ResourcePath {
    Scope::default().path(kind, name)
}

fn changed(applied: &Applied, wanted: ChangeKind) -> Vec<&str> {
    applied
        .changes
        .iter()
        .filter(|change| change.kind == wanted)
        .map(|change| change.path.name())
        .collect()
}

#[test]
fn what_is_new_is_created_and_then_unchanged() {
    let first = apply(&internal()).unwrap();
    assert_eq!(
        changed(&first, ChangeKind::Created),
        ["shop", "front", "probe", "one", "two"]
    );
    let again = apply_to(&first.resources, &internal(), Mode::Additive).unwrap();
    assert_eq!(changed(&again, ChangeKind::Unchanged).len(), 5);
    assert_eq!(again.resources, first.resources);
}

#[test]
fn an_update_keeps_the_identity() {
    let first = apply(&internal()).unwrap().resources;
    let mut value = internal();
    edit(&mut value, &[("/3/description", json!("new"))]);
    let later = "2027-01-01T00:00:00Z".parse().unwrap();
    let next = first
        .apply(&documents(&value), &Scope::default(), Mode::Additive, later)
        .unwrap();
    assert_eq!(changed(&next, ChangeKind::Updated), ["shop"]);
    let service = path(Kind::BackendService, "shop");
    let (before, after) = (
        &first.get(&service).unwrap().value,
        &next.resources.get(&service).unwrap().value,
    );
    assert_eq!(before["id"], after["id"]);
    assert_eq!(before["creationTimestamp"], "2026-02-03T04:05:06.000Z");
    assert_eq!(before["creationTimestamp"], after["creationTimestamp"]);
    assert_ne!(before["fingerprint"], after["fingerprint"]);
}

/// The service of `internal` has another scheme, and its rule too.
fn of_other_scheme() -> Value {
    let mut value = internal();
    edit(
        &mut value,
        &[
            ("/3/loadBalancingScheme", json!("EXTERNAL")),
            ("/4/loadBalancingScheme", json!("EXTERNAL")),
            ("/4/IPAddress", json!("192.0.2.1")),
        ],
    );
    value
}

#[test]
fn what_is_set_once_makes_another_resource() {
    let first = apply(&internal()).unwrap().resources;
    let later = "2027-01-01T00:00:00Z".parse().unwrap();
    let next = first
        .apply(
            &documents(&of_other_scheme()),
            &Scope::default(),
            Mode::Additive,
            later,
        )
        .unwrap();
    assert_eq!(changed(&next, ChangeKind::Updated), ["shop", "front"]);
    for path in [
        path(Kind::BackendService, "shop"),
        path(Kind::ForwardingRule, "front"),
    ] {
        let of = |resources: &Resources| resources.get(&path).unwrap().value.clone();
        let (before, after) = (of(&first), of(&next.resources));
        assert_ne!(before["id"], after["id"], "{path}");
        assert_eq!(after["creationTimestamp"], "2027-01-01T00:00:00.000Z");
    }
    let check = path(Kind::HealthCheck, "probe");
    assert_eq!(next.resources.get(&check), first.get(&check));
}

#[test]
fn in_place_what_is_set_once_stays() {
    let first = apply(&internal()).unwrap().resources;
    let mut value = of_other_scheme();
    edit(
        &mut value,
        &[
            ("/4/backendService", json!("shop")),
            ("/4/description", json!("new")),
        ],
    );
    let faults = apply_to(&first, &value, Mode::InPlace).unwrap_err();
    let found: Vec<(&str, Option<&str>)> = faults
        .iter()
        .map(|f| (f.path.as_str(), f.hint.as_deref()))
        .collect();
    assert_eq!(
        found,
        [
            ("$[3].loadBalancingScheme", Some("it is \"INTERNAL\"")),
            ("$[4].IPAddress", Some("it is \"10.0.9.9\"")),
            (
                "$[4].description",
                Some("it is not set; delete the rule and insert it anew, or apply a file")
            ),
            ("$[4].loadBalancingScheme", Some("it is \"INTERNAL\"")),
        ]
    );
    let mut value = internal();
    edit(
        &mut value,
        &[
            ("/3/sessionAffinity", json!("CLIENT_IP")),
            ("/4/allPorts", json!(false)),
        ],
    );
    let next = apply_to(&first, &value, Mode::InPlace).unwrap();
    assert_eq!(changed(&next, ChangeKind::Updated), ["shop", "front"]);
}

#[test]
fn urls_of_networks_have_one_form() {
    let of = |network: &str| {
        let mut value = internal();
        edit(&mut value, &[("/4/network", json!(network))]);
        let resources = apply(&value).unwrap().resources;
        resources.get(&path(Kind::ForwardingRule, "front")).unwrap().value["network"].clone()
    };
    let full = "https://www.googleapis.com/compute/v1/projects/p/global/networks/n";
    assert_eq!(
        of("http://127.0.0.1:1/compute/v1/projects/p/global/networks/n"),
        full
    );
    assert_eq!(
        of("https://www.googleapis.com/compute/beta/projects/p/global/networks/n"),
        full
    );
    for kept in [full, "global/networks/n", "projects/p/global/networks/n", "n"] {
        assert_eq!(of(kept), kept);
    }
}

#[test]
fn the_stored_form_is_what_the_api_shows() {
    let mut value = external();
    edit(
        &mut value,
        &[
            ("/4/ports", Value::Null),
            ("/4/portRange", json!("80")),
            ("/3/params", json!({})),
        ],
    );
    let resources = apply(&value).unwrap().resources;
    let root = "https://www.googleapis.com/compute/v1/projects/local";
    let service = &resources.get(&path(Kind::BackendService, "shop")).unwrap().value;
    assert_eq!(service["kind"], "compute#backendService");
    assert_eq!(
        service["selfLink"],
        format!("{root}/regions/local/backendServices/shop")
    );
    assert_eq!(service["region"], format!("{root}/regions/local"));
    assert_eq!(
        service["healthChecks"][0],
        format!("{root}/regions/local/healthChecks/probe")
    );
    assert_eq!(service["backends"][0]["balancingMode"], "CONNECTION");
    assert_eq!(service["connectionDraining"]["drainingTimeoutSec"], 0);
    for (field, default) in [
        ("sessionAffinity", json!("NONE")),
        ("timeoutSec", json!(30)),
        ("affinityCookieTtlSec", json!(0)),
    ] {
        assert_eq!(service[field], default);
    }
    assert!(service["id"].as_str().unwrap().parse::<u64>().unwrap() > 0);
    assert!(!service.contains_key("params"));
    let rule = &resources.get(&path(Kind::ForwardingRule, "front")).unwrap().value;
    assert_eq!(rule["portRange"], "80-80");
    let check = &resources.get(&path(Kind::HealthCheck, "probe")).unwrap().value;
    assert_eq!(
        check["httpHealthCheck"],
        json!({"port": 8080, "requestPath": "/", "proxyHeader": "NONE"})
    );
    let group = resources.get(&path(Kind::NetworkEndpointGroup, "one")).unwrap();
    assert_eq!(
        (
            group.value.get("networkEndpoints"),
            &group.value["size"],
            group.members.len()
        ),
        (None, &json!(2), 2)
    );
    assert_eq!(group.value["zone"], format!("{root}/zones/local-a"));
}

#[test]
fn a_document_of_a_resource_makes_it_again() {
    let first = apply(&internal()).unwrap().resources;
    let written: Vec<Value> = first
        .iter()
        .map(|(_, resource)| Value::Object(resource.document()))
        .collect();
    let again = apply_to(&first, &json!(written), Mode::Prune).unwrap();
    assert_eq!(changed(&again, ChangeKind::Unchanged).len(), 5);
}

#[test]
fn apply_adds_and_prune_removes() {
    let first = apply(&external()).unwrap().resources;
    let side = json!([external()[5]]);
    let added = apply_to(&first, &side, Mode::Additive).unwrap();
    assert_eq!(added.resources, first);
    assert_eq!(added.changes.len(), 1);

    let mut fewer = external();
    fewer.as_array_mut().unwrap().pop();
    let pruned = apply_to(&first, &fewer, Mode::Prune).unwrap();
    assert_eq!(changed(&pruned, ChangeKind::Deleted), ["side"]);
    let dangling = apply_to(&first, &side, Mode::Prune).unwrap_err();
    assert_eq!(kinds(&dangling), [FaultKind::Dangling]);
}

#[test]
fn members_follow_the_file_when_it_speaks_of_them() {
    let first = apply(&internal()).unwrap().resources;
    let count = |resources: &Resources| {
        resources
            .get(&path(Kind::NetworkEndpointGroup, "one"))
            .unwrap()
            .members
            .len()
    };
    let group = |members: Value| {
        let mut value = json!([internal()[1]]);
        edit(&mut value, &[("/0/networkEndpoints", members)]);
        apply_to(&first, &value, Mode::Additive).unwrap()
    };
    assert_eq!(count(&group(Value::Null).resources), 2);
    assert_eq!(changed(&group(Value::Null), ChangeKind::Unchanged), ["one"]);
    assert_eq!(count(&group(json!([{"ipAddress": "10.0.0.9"}])).resources), 1);
    assert_eq!(count(&group(json!([])).resources), 0);
}

#[test]
fn one_fault_leaves_everything_as_it_was() {
    let mut value = internal();
    edit(&mut value, &[("/4/ports", json!(["0"]))]);
    assert_eq!(apply(&value).unwrap_err().len(), 1);
}

#[test]
fn a_steering_rule_finds_its_base_in_the_store() {
    let mut steering = external()[4].clone();
    edit(
        &mut steering,
        &[
            ("/name", json!("steer")),
            ("/sourceIpRanges", json!(["198.51.100.0/24"])),
        ],
    );
    let stored = apply(&external()).unwrap().resources;
    assert!(apply_to(&stored, &steering, Mode::Additive).is_ok());
    let mut without_base = external();
    without_base.as_array_mut().unwrap().remove(4);
    let stored = apply(&without_base).unwrap().resources;
    let found = apply_to(&stored, &steering, Mode::Additive).unwrap_err();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path, "$.sourceIpRanges");
}

#[test]
fn stored_and_new_rules_are_judged_together() {
    let first = apply(&internal()).unwrap().resources;
    let mut rule = internal()[4].clone();
    // By name it comes before the stored one, and still is the one to blame.
    edit(&mut rule, &[("/name", json!("a-rule"))]);
    let found = apply_to(&first, &rule, Mode::Additive).unwrap_err();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path, "$.ports");
    assert_eq!(
        found[0].reason,
        "overlaps forwarding rule front in address, protocol and port"
    );
}

#[test]
fn the_same_resource_twice_is_a_fault() {
    let mut value = internal();
    let again = value[0].clone();
    edit(&mut value, &[("/-", again)]);
    expect_one(value, &[], "$[5].name", "stands here twice");
}

#[test]
fn what_is_in_use_stays() {
    let mut value = external();
    let mut steering = value[4].clone();
    edit(
        &mut steering,
        &[
            ("/name", json!("steer")),
            ("/sourceIpRanges", json!(["198.51.100.0/24"])),
        ],
    );
    edit(
        &mut value,
        &[
            ("/-", steering),
            ("/-", instances()[0].clone()),
            ("/1/networkEndpoints/-", json!({"instance": "vm-1"})),
        ],
    );
    let resources = apply(&value).unwrap().resources;
    for (kind, name) in [
        (Kind::HealthCheck, "probe"),
        (Kind::NetworkEndpointGroup, "one"),
        (Kind::BackendService, "shop"),
        (Kind::ForwardingRule, "front"),
        (Kind::Instance, "vm-1"),
    ] {
        let fault = resources.delete(&path(kind, name)).unwrap_err();
        assert_eq!(
            (fault.kind, fault.kind.http_code()),
            (FaultKind::ResourceInUse, 400),
            "{name}"
        );
        assert_eq!(fault.kind.reason(), "resourceInUseByAnotherResource");
    }
    let users = resources.used_by(&path(Kind::BackendService, "shop"));
    assert_eq!(
        users.iter().map(ResourcePath::name).collect::<Vec<_>>(),
        ["front", "side", "steer"]
    );
}

#[test]
fn everything_can_be_deleted_from_the_top() {
    let mut resources = apply(&internal()).unwrap().resources;
    for (kind, name) in [
        (Kind::ForwardingRule, "front"),
        (Kind::BackendService, "shop"),
        (Kind::HealthCheck, "probe"),
        (Kind::NetworkEndpointGroup, "one"),
        (Kind::NetworkEndpointGroup, "two"),
    ] {
        resources = resources.delete(&path(kind, name)).unwrap();
    }
    assert!(resources.is_empty());
    let fault = resources.delete(&path(Kind::HealthCheck, "probe")).unwrap_err();
    assert_eq!(
        fault.message(),
        "The resource 'projects/local/regions/local/healthChecks/probe' was not found"
    );
    assert_eq!(fault.kind.http_code(), 404);
}
