//! The rules across fields and across resources.

use super::*;

const TRACKING: &str = "/3/connectionTrackingPolicy";
const MODE: &str = "/3/connectionTrackingPolicy/trackingMode";
const IDLE: &str = "/3/connectionTrackingPolicy/idleTimeoutSec";
const IDLE_PATH: &str = "$[3].connectionTrackingPolicy.idleTimeoutSec";
const STRONG: &str = "/3/connectionTrackingPolicy/enableStrongAffinity";
const STRONG_PATH: &str = "$[3].connectionTrackingPolicy.enableStrongAffinity";
const SPILLOVER: &str = "/3/networkPassThroughLbTrafficPolicy/zonalAffinity/spillover";
const SPILLOVER_PATH: &str = "$[3].networkPassThroughLbTrafficPolicy.zonalAffinity.spillover";

#[test]
fn affinity_without_destination_is_internal() {
    let edit = [("/3/sessionAffinity", json!("CLIENT_IP_NO_DESTINATION"))];
    expect(internal(), &edit, &[]);
    expect_one(external(), &edit, "$[3].sessionAffinity", "INTERNAL");
}

#[test]
fn an_idle_timeout_needs_sessions_of_fewer_fields() {
    let session = |affinity: &str, seconds: i64| {
        vec![
            (MODE, json!("PER_SESSION")),
            (IDLE, json!(seconds)),
            ("/3/sessionAffinity", json!(affinity)),
        ]
    };
    for affinity in ["CLIENT_IP", "CLIENT_IP_PROTO", "CLIENT_IP_NO_DESTINATION"] {
        expect(internal(), &session(affinity, 600), &[]);
        expect(internal(), &session(affinity, 57600), &[]);
    }
    for affinity in ["NONE", "CLIENT_IP_PORT_PROTO"] {
        expect_one(
            internal(),
            &session(affinity, 600),
            IDLE_PATH,
            "needs sessionAffinity",
        );
    }
    for seconds in [599, 57601] {
        expect_one(
            internal(),
            &session("CLIENT_IP", seconds),
            IDLE_PATH,
            "600..57600",
        );
    }
    expect_one(
        internal(),
        &[(IDLE, json!(600)), ("/3/sessionAffinity", json!("CLIENT_IP"))],
        IDLE_PATH,
        "PER_SESSION",
    );

    expect(external(), &session("CLIENT_IP", 60), &[]);
    expect_one(external(), &session("CLIENT_IP", 61), IDLE_PATH, "must be 60");
    let mut strong = session("CLIENT_IP", 57600);
    strong.push((STRONG, json!(true)));
    expect(external(), &strong, &[]);
    strong[1].1 = json!(59);
    expect_one(external(), &strong, IDLE_PATH, "60..57600");
}

#[test]
fn strong_affinity_is_external_and_per_session() {
    expect(
        external(),
        &[(
            TRACKING,
            json!({"enableStrongAffinity": true, "trackingMode": "PER_SESSION"}),
        )],
        &[],
    );
    expect_one(external(), &[(STRONG, json!(true))], STRONG_PATH, "PER_SESSION");
    let both = expect(internal(), &[(STRONG, json!(true))], &[STRONG_PATH, STRONG_PATH]);
    assert!(both.iter().any(|fault| fault.reason.contains("EXTERNAL")));
    expect(internal(), &[(STRONG, json!(false))], &[]);
}

#[test]
fn always_persist_is_per_connection() {
    let always = "/3/connectionTrackingPolicy/connectionPersistenceOnUnhealthyBackends";
    expect(internal(), &[(always, json!("ALWAYS_PERSIST"))], &[]);
    let path = "$[3].connectionTrackingPolicy.connectionPersistenceOnUnhealthyBackends";
    expect_one(
        internal(),
        &[(always, json!("ALWAYS_PERSIST")), (MODE, json!("PER_SESSION"))],
        path,
        "PER_SESSION",
    );
}

#[test]
fn the_locality_policy_fits_the_scheme() {
    let policy = |policy: &str| [("/3/localityLbPolicy", json!(policy))];
    for good in ["MAGLEV", "WEIGHTED_MAGLEV"] {
        expect(external(), &policy(good), &[]);
        expect_one(internal(), &policy(good), "$[3].localityLbPolicy", "EXTERNAL");
    }
    for good in ["GCP_RENDEZVOUS", "WEIGHTED_GCP_RENDEZVOUS"] {
        expect(internal(), &policy(good), &[]);
        expect_one(external(), &policy(good), "$[3].localityLbPolicy", "INTERNAL");
    }
}

#[test]
fn weights_need_a_check_that_carries_them() {
    let weighted = ("/3/localityLbPolicy", json!("WEIGHTED_MAGLEV"));
    for probe in ["TCP", "SSL"] {
        let edits = [
            weighted.clone(),
            ("/0/type", json!(probe)),
            ("/0/httpHealthCheck", Value::Null),
        ];
        expect_one(
            external(),
            &edits,
            "$[3].localityLbPolicy",
            "HTTP, HTTPS or HTTP2",
        );
    }
    for probe in ["HTTPS", "HTTP2"] {
        expect(
            external(),
            &[
                weighted.clone(),
                ("/0/type", json!(probe)),
                ("/0/httpHealthCheck", Value::Null),
            ],
            &[],
        );
    }
    expect_one(
        external(),
        &[weighted, ("/3/healthChecks", json!([]))],
        "$[3].localityLbPolicy",
        "health check",
    );
}

#[test]
fn zonal_affinity_is_internal_and_without_subsetting() {
    for value in [
        "ZONAL_AFFINITY_STAY_WITHIN_ZONE",
        "ZONAL_AFFINITY_SPILL_CROSS_ZONE",
    ] {
        expect(internal(), &[(SPILLOVER, json!(value))], &[]);
        expect_one(
            external(),
            &[(SPILLOVER, json!(value))],
            SPILLOVER_PATH,
            "INTERNAL",
        );
        let subsets = ("/3/subsetting/policy", json!("CONSISTENT_HASH_SUBSETTING"));
        expect_one(
            internal(),
            &[(SPILLOVER, json!(value)), subsets],
            SPILLOVER_PATH,
            "subsetting",
        );
    }
    expect(external(), &[(SPILLOVER, json!("ZONAL_AFFINITY_DISABLED"))], &[]);
}

#[test]
fn a_spillover_ratio_needs_spilling() {
    let ratio = "/3/networkPassThroughLbTrafficPolicy/zonalAffinity/spilloverRatio";
    let path = "$[3].networkPassThroughLbTrafficPolicy.zonalAffinity.spilloverRatio";
    let spill = (SPILLOVER, json!("ZONAL_AFFINITY_SPILL_CROSS_ZONE"));
    expect(internal(), &[spill.clone(), (ratio, json!(0.5))], &[]);
    expect_one(internal(), &[spill, (ratio, json!(1.5))], path, "0..1");
    expect_one(internal(), &[(ratio, json!(0.5))], path, "SPILL_CROSS_ZONE");
    expect(internal(), &[(ratio, json!(0))], &[]);
}

#[test]
fn subsetting_is_internal_and_by_five_fields() {
    let subsets = ("/3/subsetting/policy", json!("CONSISTENT_HASH_SUBSETTING"));
    for affinity in ["NONE", "CLIENT_IP_PORT_PROTO"] {
        expect(
            internal(),
            &[subsets.clone(), ("/3/sessionAffinity", json!(affinity))],
            &[],
        );
    }
    for affinity in ["CLIENT_IP", "CLIENT_IP_PROTO", "CLIENT_IP_NO_DESTINATION"] {
        let edits = [subsets.clone(), ("/3/sessionAffinity", json!(affinity))];
        expect_one(
            internal(),
            &edits,
            "$[3].subsetting.policy",
            "CLIENT_IP_PORT_PROTO",
        );
    }
    expect_one(external(), &[subsets], "$[3].subsetting.policy", "INTERNAL");
}

/// The internal base as a service whose leader gets everything.
fn led() -> Value {
    let mut value = internal();
    edit(
        &mut value,
        &[
            ("/3/healthChecks", Value::Null),
            ("/3/backends/1/failover", Value::Null),
            (
                "/3/haPolicy",
                json!({"fastIPMove": "DISABLED", "leader": {"backendGroup": "one"}}),
            ),
            (
                "/3/haPolicy/leader/networkEndpoint",
                json!({"instance": "projects/local/zones/local-a/instances/b"}),
            ),
        ],
    );
    value
}

#[test]
fn a_leader_excludes_what_balances() {
    expect(led(), &[], &[]);
    for (pointer, value, path) in [
        ("/3/healthChecks", json!(["probe"]), "$[3].healthChecks"),
        ("/3/sessionAffinity", json!("CLIENT_IP"), "$[3].sessionAffinity"),
        (
            "/3/connectionTrackingPolicy",
            json!({"trackingMode": "PER_CONNECTION"}),
            "$[3].connectionTrackingPolicy",
        ),
        (
            "/3/failoverPolicy",
            json!({"failoverRatio": 0.5}),
            "$[3].failoverPolicy",
        ),
        (
            "/3/connectionDraining",
            json!({"drainingTimeoutSec": 1}),
            "$[3].connectionDraining.drainingTimeoutSec",
        ),
        (
            "/3/subsetting",
            json!({"policy": "CONSISTENT_HASH_SUBSETTING"}),
            "$[3].subsetting.policy",
        ),
        (
            "/3/localityLbPolicy",
            json!("GCP_RENDEZVOUS"),
            "$[3].localityLbPolicy",
        ),
        (
            SPILLOVER,
            json!("ZONAL_AFFINITY_STAY_WITHIN_ZONE"),
            SPILLOVER_PATH,
        ),
        ("/3/backends/1/failover", json!(true), "$[3].backends[1].failover"),
    ] {
        expect_one(
            led(),
            &[(pointer, value)],
            path,
            "can't be combined with haPolicy",
        );
    }
    for (pointer, value) in [
        ("/3/sessionAffinity", json!("NONE")),
        ("/3/connectionDraining", json!({"drainingTimeoutSec": 0})),
        ("/3/subsetting", json!({"policy": "NONE"})),
        ("/3/connectionTrackingPolicy", json!({})),
    ] {
        expect(led(), &[(pointer, value)], &[]);
    }
}

#[test]
fn a_leader_is_an_endpoint_of_the_service() {
    let group = "/3/haPolicy/leader/backendGroup";
    expect_one(
        led(),
        &[(group, json!("none"))],
        "$[3].haPolicy.leader.backendGroup",
        "there is no such",
    );
    let instance = "/3/haPolicy/leader/networkEndpoint/instance";
    let path = "$[3].haPolicy.leader.networkEndpoint.instance";
    expect_one(
        led(),
        &[(instance, json!("c"))],
        path,
        "no instance of network endpoint group one",
    );
    let away = [("/3/backends", json!([{"group": "two"}]))];
    expect_one(
        led(),
        &away,
        "$[3].haPolicy.leader.backendGroup",
        "none of the service's backends",
    );
}

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
        &[bare.clone()],
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
        &[port.clone()],
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

#[test]
fn references_take_every_form() {
    for form in [
        "probe",
        "regions/local/healthChecks/probe",
        "projects/local/regions/local/healthChecks/probe",
        "https://www.googleapis.com/compute/v1/projects/local/regions/local/healthChecks/probe",
        "https://compute.googleapis.com/compute/beta/projects/local/regions/local/healthChecks/probe",
        "http://127.0.0.1:8080/compute/alpha/projects/local/regions/local/healthChecks/probe",
    ] {
        expect(internal(), &[("/3/healthChecks/0", json!(form))], &[]);
    }
    for form in [
        "",
        "prob",
        "zones/local/healthChecks/probe",
        "regions/local/instances/probe",
        "a/b",
        "projects//x",
        "global/healthChecks/probe",
    ] {
        let found = expect(
            internal(),
            &[("/3/healthChecks/0", json!(form))],
            &["$[3].healthChecks[0]"],
        );
        assert_eq!(kinds(&found), [FaultKind::Dangling]);
    }
}

#[test]
fn a_dangling_reference_says_what_there_is() {
    let fault = expect(
        internal(),
        &[(
            "/3/backends/0/group",
            json!("zones/other/networkEndpointGroups/one"),
        )],
        &["$[3].backends[0].group"],
    );
    assert_eq!(
        fault[0].hint.as_deref(),
        Some("did you mean projects/local/zones/local-a/networkEndpointGroups/one?")
    );
}

#[test]
fn a_global_check_serves_internal_services_only() {
    let link = json!("projects/local/global/healthChecks/probe");
    let edits = [("/0/selfLink", link.clone()), ("/3/healthChecks/0", link)];
    expect(internal(), &edits, &[]);
    expect_one(external(), &edits, "$[3].healthChecks[0]", "regional");
}

#[test]
fn a_region_keeps_to_itself() {
    let check = [
        ("/0/region", json!("r2")),
        ("/3/healthChecks/0", json!("regions/r2/healthChecks/probe")),
    ];
    expect_one(internal(), &check, "$[3].healthChecks[0]", "another region");
    let rule = [
        ("/4/region", json!("r2")),
        ("/4/backendService", json!("regions/local/backendServices/shop")),
    ];
    expect_one(internal(), &rule, "$[4].backendService", "another region");
}

#[test]
fn a_health_check_agrees_with_itself() {
    expect_one(
        internal(),
        &[("/0/checkIntervalSec", json!(4)), ("/0/timeoutSec", json!(5))],
        "$[0].timeoutSec",
        "at most",
    );
    let fault = expect_one(
        internal(),
        &[("/0/checkIntervalSec", json!(1))],
        "$[0].timeoutSec",
        "at most",
    );
    assert_eq!(fault.hint.as_deref(), Some("an absent timeoutSec is 5"));
    expect_one(
        internal(),
        &[("/0/tcpHealthCheck", json!({"port": 1}))],
        "$[0].tcpHealthCheck",
        "the type is HTTP",
    );
    for (field, bad) in [
        ("requestPath", "alive"),
        ("requestPath", "/a b"),
        ("host", "a\r\nX: y"),
        ("response", "né"),
    ] {
        let pointer = format!("/0/httpHealthCheck/{field}");
        expect(
            internal(),
            &[(&pointer, json!(bad))],
            &[&format!("$[0].httpHealthCheck.{field}")],
        );
    }
    let grpc = [("/0/type", json!("GRPC")), ("/0/httpHealthCheck", Value::Null)];
    expect_one(internal(), &grpc, "$[0].grpcHealthCheck", "no default port");
}

#[test]
fn ports_are_said_in_one_way() {
    let rule = |edits: &[(&str, Value)], paths: &[&str]| {
        expect(external(), edits, paths);
    };
    let none = ("/4/ports", Value::Null);
    rule(&[none.clone()], &["$[4].ports"]);
    rule(&[none.clone(), ("/4/allPorts", json!(true))], &[]);
    rule(&[none.clone(), ("/4/portRange", json!("80-90"))], &[]);
    rule(&[("/4/allPorts", json!(true))], &["$[4].ports"]);
    rule(&[("/4/portRange", json!("90"))], &["$[4].portRange"]);
    rule(
        &[
            none.clone(),
            ("/4/portRange", json!("90")),
            ("/4/allPorts", json!(true)),
        ],
        &["$[4].portRange"],
    );
    rule(
        &[none.clone(), ("/4/portRange", json!("90-80"))],
        &["$[4].portRange"],
    );
    rule(
        &[("/4/ports", json!(["80", "8000-8010", "0", "x"]))],
        &["$[4].ports[2]", "$[4].ports[3]"],
    );
    rule(&[("/4/ports", json!(["80-90", "85"]))], &["$[4].ports[1]"]);
    expect_one(
        internal(),
        &[none, ("/4/portRange", json!("80"))],
        "$[4].portRange",
        "EXTERNAL",
    );
}

#[test]
fn protocols_without_ports_name_none() {
    for protocol in ["ESP", "AH", "ICMP"] {
        let bare = [("/4/IPProtocol", json!(protocol)), ("/4/ports", Value::Null)];
        expect(external(), &bare, &[]);
        expect_one(external(), &bare[..1], "$[4].ports", "names no ports");
        let all = [bare[0].clone(), bare[1].clone(), ("/4/allPorts", json!(true))];
        expect_one(external(), &all, "$[4].allPorts", "names no ports");
    }
    let any = [("/4/IPProtocol", json!("L3_DEFAULT")), ("/4/ports", Value::Null)];
    expect_one(external(), &any, "$[4].allPorts", "must be true");
    expect(
        external(),
        &[any[0].clone(), any[1].clone(), ("/4/allPorts", json!(true))],
        &[],
    );
}

#[test]
fn an_address_is_a_literal_of_its_version() {
    for good in ["192.0.2.9", "2001:db8:2::7", "2001:db8:2::/96"] {
        expect(external(), &[("/4/IPAddress", json!(good))], &[]);
    }
    for bad in [
        "shop-ip",
        "192.0.2.0/24",
        "2001:db8::/64",
        "2001:db8::1:2/96",
        "0.0.0.0",
        "224.0.0.1",
        "",
    ] {
        expect(external(), &[("/4/IPAddress", json!(bad))], &["$[4].IPAddress"]);
    }
    expect_one(
        external(),
        &[("/4/ipVersion", json!("IPV6"))],
        "$[4].ipVersion",
        "not the version",
    );
    expect(external(), &[("/5/ipVersion", json!("IPV6"))], &[]);
}

#[test]
fn a_rule_pairs_with_its_service() {
    for (service, rule, fine) in [
        ("TCP", "TCP", true),
        ("UDP", "UDP", true),
        ("TCP", "UDP", false),
        ("UDP", "TCP", false),
        ("TCP", "SCTP", false),
        ("UNSPECIFIED", "TCP", true),
        ("UNSPECIFIED", "UDP", true),
        ("UNSPECIFIED", "SCTP", true),
    ] {
        let edits = [("/3/protocol", json!(service)), ("/4/IPProtocol", json!(rule))];
        let wrong = ["$[4].IPProtocol"];
        expect(internal(), &edits, if fine { &[] } else { &wrong });
    }
    let any = [
        ("/4/IPProtocol", json!("L3_DEFAULT")),
        ("/4/ports", Value::Null),
        ("/4/allPorts", json!(true)),
    ];
    expect_one(
        internal(),
        &any,
        "$[4].IPProtocol",
        "which takes rules for TCP only",
    );
    let scheme = ("/4/loadBalancingScheme", json!("EXTERNAL"));
    expect_one(
        internal(),
        &[scheme],
        "$[4].loadBalancingScheme",
        "must be that of backend service shop",
    );
}

/// A copy of rule 4 with another name.
fn second(edits: &[(&str, Value)]) -> Value {
    let mut value = external();
    let mut rule = value[4].clone();
    rule["name"] = json!("other");
    edit(&mut rule, edits);
    edit(&mut value, &[("/-", rule)]);
    value
}

#[test]
fn no_packet_has_two_rules() {
    for edits in [
        vec![],
        vec![("/ports", json!(["70-90"]))],
        vec![("/ports", json!(["443", "80"]))],
        vec![("/ports", Value::Null), ("/allPorts", json!(true))],
        vec![("/ports", Value::Null), ("/portRange", json!("1-65535"))],
    ] {
        let found = faults(&second(&edits));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            found[0].reason,
            "overlaps forwarding rule front in address, protocol and port"
        );
    }
    for edits in [
        vec![("/ports", json!(["81-90"]))],
        vec![("/IPProtocol", json!("UDP"))],
        vec![("/IPAddress", json!("192.0.2.2"))],
        vec![
            ("/IPProtocol", json!("L3_DEFAULT")),
            ("/ports", Value::Null),
            ("/allPorts", json!(true)),
        ],
    ] {
        expect(second(&edits), &[], &[]);
    }
}

#[test]
fn an_ipv6_rule_owns_its_prefix() {
    let within = [
        ("/IPAddress", json!("2001:db8:1::5")),
        ("/IPProtocol", json!("UDP")),
        ("/ports", json!(["53"])),
    ];
    assert_eq!(faults(&second(&within)).len(), 1);
    let beside = [
        ("/IPAddress", json!("2001:db8:1:0:0:1::5")),
        within[1].clone(),
        within[2].clone(),
    ];
    expect(second(&beside), &[], &[]);
}

#[test]
fn a_steering_rule_has_a_base_and_its_own_prefixes() {
    let steer = |ranges: Value| second(&[("/sourceIpRanges", ranges)]);
    expect(steer(json!(["198.51.100.0/24", "203.0.113.7"])), &[], &[]);
    expect_one(
        steer(json!(["198.51.100.0/24"])),
        &[("/6/ports", json!(["81"]))],
        "$[6].sourceIpRanges",
        "no forwarding rule",
    );
    expect_one(
        steer(json!(["198.51.100.1/24"])),
        &[],
        "$[6].sourceIpRanges[0]",
        "the prefix is 198.51.100.0/24",
    );
    expect_one(
        steer(json!(["2001:db8::/32"])),
        &[],
        "$[6].sourceIpRanges[0]",
        "address family",
    );
    expect_one(
        steer(json!(["here"])),
        &[],
        "$[6].sourceIpRanges[0]",
        "expected an address",
    );
    expect_one(
        steer(json!(["198.51.100.0/24", "198.51.100.0/24"])),
        &[],
        "$[6].sourceIpRanges[1]",
        "same prefix",
    );

    let mut two = steer(json!(["198.51.100.0/24", "192.0.2.128/25"]));
    let mut third = two[6].clone();
    edit(
        &mut third,
        &[
            ("/name", json!("third")),
            ("/sourceIpRanges", json!(["198.51.0.0/16", "198.51.100.0/24"])),
        ],
    );
    edit(&mut two, &[("/-", third)]);
    expect_one(
        two,
        &[],
        "$[7].sourceIpRanges[1]",
        "forwarding rule other on the same base has the same prefix",
    );

    let inside = [("/4/sourceIpRanges", json!(["10.0.0.0/8"]))];
    let found = expect(
        internal(),
        &inside,
        &["$[4].sourceIpRanges", "$[4].sourceIpRanges"],
    );
    assert!(found.iter().any(|fault| fault.reason.contains("EXTERNAL")));
}

#[test]
fn log_fields_of_choice_need_the_choice() {
    let fields = ("/3/logConfig/optionalFields", json!(["serverInstance"]));
    expect_one(
        internal(),
        &[fields.clone()],
        "$[3].logConfig.optionalFields",
        "CUSTOM",
    );
    expect(
        internal(),
        &[fields, ("/3/logConfig/optionalMode", json!("CUSTOM"))],
        &[],
    );
}

#[test]
fn a_service_without_a_check_is_warned_about() {
    let mut value = internal();
    edit(&mut value, &[("/3/healthChecks", json!([]))]);
    let warnings: Vec<String> = apply(&value)
        .unwrap()
        .warnings
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        warnings,
        ["test.json: $[3].healthChecks: no health check: every endpoint counts as healthy"]
    );
}
