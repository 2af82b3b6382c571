//! The field tables: one row a field rule.

use super::*;

#[test]
fn the_bases_are_right() {
    for value in [internal(), external(), instances()] {
        assert_eq!(faults(&value), []);
    }
}

#[test]
fn the_name_is_an_rfc_1035_label() {
    for good in ["a", "a1", "a-b", &"a".repeat(63)] {
        expect(
            json!({"kind": "compute#healthCheck", "type": "TCP"}),
            &[("/name", json!(good))],
            &[],
        );
    }
    for bad in ["", "A", "1a", "-a", "a-", "a_b", "a.b", "ä", &"a".repeat(64)] {
        expect(
            json!({"kind": "compute#healthCheck", "type": "TCP"}),
            &[("/name", json!(bad))],
            &["$.name"],
        );
    }
}

#[test]
fn values_have_types() {
    for (pointer, value, path) in [
        ("/0/checkIntervalSec", json!("5"), "$[0].checkIntervalSec"),
        ("/0/checkIntervalSec", json!(5.5), "$[0].checkIntervalSec"),
        ("/0/httpHealthCheck", json!([]), "$[0].httpHealthCheck"),
        (
            "/1/networkEndpoints/0/ipAddress",
            json!(7),
            "$[1].networkEndpoints[0].ipAddress",
        ),
        ("/1/annotations", json!({"a": 1}), "$[1].annotations.a"),
        ("/3/backends", json!({}), "$[3].backends"),
        (
            "/3/backends/1/failover",
            json!("true"),
            "$[3].backends[1].failover",
        ),
        ("/3/description", json!(false), "$[3].description"),
        ("/3/timeoutSec", json!(true), "$[3].timeoutSec"),
        ("/3/enableCDN", json!(0), "$[3].enableCDN"),
        ("/3/healthChecks", json!("probe"), "$[3].healthChecks"),
        ("/4/ports", json!("80"), "$[4].ports"),
        ("/4/ports/0", json!(80), "$[4].ports[0]"),
        ("/4/labels", json!([]), "$[4].labels"),
        ("/4/allowGlobalAccess", json!("yes"), "$[4].allowGlobalAccess"),
    ] {
        expect_one(internal(), &[(pointer, value)], path, "expected ");
    }
}

#[test]
fn values_have_ranges() {
    for (pointer, value, path) in [
        ("/0/checkIntervalSec", json!(301), "$[0].checkIntervalSec"),
        ("/0/unhealthyThreshold", json!(11), "$[0].unhealthyThreshold"),
        ("/0/healthyThreshold", json!(0), "$[0].healthyThreshold"),
        ("/0/httpHealthCheck/port", json!(0), "$[0].httpHealthCheck.port"),
        (
            "/0/httpHealthCheck/port",
            json!(65536),
            "$[0].httpHealthCheck.port",
        ),
        (
            "/0/httpHealthCheck/response",
            json!("x".repeat(1025)),
            "$[0].httpHealthCheck.response",
        ),
        (
            "/3/connectionDraining/drainingTimeoutSec",
            json!(3601),
            "$[3].connectionDraining.drainingTimeoutSec",
        ),
        (
            "/3/connectionDraining/drainingTimeoutSec",
            json!(-1),
            "$[3].connectionDraining.drainingTimeoutSec",
        ),
        (
            "/3/failoverPolicy/failoverRatio",
            json!(1.01),
            "$[3].failoverPolicy.failoverRatio",
        ),
        (
            "/3/failoverPolicy/failoverRatio",
            json!(-0.5),
            "$[3].failoverPolicy.failoverRatio",
        ),
        ("/3/logConfig/sampleRate", json!(2), "$[3].logConfig.sampleRate"),
        ("/3/timeoutSec", json!(u64::MAX), "$[3].timeoutSec"),
    ] {
        expect_one(internal(), &[(pointer, value)], path, "must be ");
    }
    expect(
        internal(),
        &[("/3/failoverPolicy/failoverRatio", json!(1e-30))],
        &["$[3].failoverPolicy.failoverRatio"],
    );
}

#[test]
fn lists_have_lengths() {
    let ports = json!(["1", "2", "3", "4", "5", "6"]);
    expect_one(internal(), &[("/4/ports", ports)], "$[4].ports", "at most 5");
    expect_one(
        internal(),
        &[("/3/healthChecks", json!(["probe", "probe"]))],
        "$[3].healthChecks",
        "at most 1",
    );
    let ranges: Vec<String> = (0..65).map(|i| format!("198.51.{i}.0/24")).collect();
    let mut steering = external();
    let mut rule = steering[4].clone();
    edit(
        &mut rule,
        &[("/name", json!("steer")), ("/sourceIpRanges", json!(ranges))],
    );
    edit(&mut steering, &[("/-", rule)]);
    expect_one(steering, &[], "$[6].sourceIpRanges", "at most 64");
}

#[test]
fn an_unknown_enum_value_lists_the_accepted_ones() {
    for (pointer, value, path, accepted) in [
        (
            "/3/protocol",
            "tcp",
            "$[3].protocol",
            "did you mean TCP? accepted: TCP, UDP, UNSPECIFIED",
        ),
        (
            "/3/protocol",
            "GRPC",
            "$[3].protocol",
            "accepted: TCP, UDP, UNSPECIFIED",
        ),
        (
            "/3/sessionAffinity",
            "HTTP_COOKIE",
            "$[3].sessionAffinity",
            "CLIENT_IP_NO_DESTINATION",
        ),
        (
            "/3/localityLbPolicy",
            "ROUND_ROBIN",
            "$[3].localityLbPolicy",
            "WEIGHTED_MAGLEV",
        ),
        (
            "/3/backends/0/balancingMode",
            "RATE",
            "$[3].backends[0].balancingMode",
            "accepted: CONNECTION",
        ),
        (
            "/3/connectionTrackingPolicy/trackingMode",
            "PER_PACKET",
            "$[3].connectionTrackingPolicy.trackingMode",
            "PER_SESSION",
        ),
        ("/3/subsetting/policy", "SOME", "$[3].subsetting.policy", "NONE"),
        (
            "/3/haPolicy/fastIPMove",
            "GARP_RA",
            "$[3].haPolicy.fastIPMove",
            "accepted: DISABLED",
        ),
        ("/4/IPProtocol", "GRE", "$[4].IPProtocol", "L3_DEFAULT"),
        ("/4/ipVersion", "IPV5", "$[4].ipVersion", "did you mean IPV4?"),
        ("/4/networkTier", "GOLD", "$[4].networkTier", "PREMIUM"),
        (
            "/1/networkEndpointType",
            "SERVERLESS",
            "$[1].networkEndpointType",
            "NON_GCP_PRIVATE_IP_PORT",
        ),
        ("/0/type", "PING", "$[0].type", "GRPC_WITH_TLS"),
        (
            "/0/httpHealthCheck/portSpecification",
            "USE_SERVING_PORT",
            "$[0].httpHealthCheck.portSpecification",
            "USE_FIXED_PORT",
        ),
        (
            "/0/httpHealthCheck/proxyHeader",
            "PROXY_V2",
            "$[0].httpHealthCheck.proxyHeader",
            "did you mean PROXY_V1?",
        ),
    ] {
        let mut base = internal();
        if pointer.contains("haPolicy") {
            edit(
                &mut base,
                &[
                    ("/3/healthChecks", Value::Null),
                    ("/3/backends/1/failover", Value::Null),
                ],
            );
        }
        let fault = expect(base, &[(pointer, json!(value))], &[path]).remove(0);
        assert!(
            fault.hint.as_ref().is_some_and(|hint| hint.contains(accepted)),
            "{fault}"
        );
    }
}

#[test]
fn an_unknown_field_has_the_nearest_known_one_as_hint() {
    for (pointer, path, near) in [
        (
            "/0/checkIntervallSec",
            "$[0].checkIntervallSec",
            Some("checkIntervalSec"),
        ),
        ("/0/httpHealthCheck/pathh", "$[0].httpHealthCheck.pathh", None),
        (
            "/1/networkEndpoints/0/ipaddress",
            "$[1].networkEndpoints[0].ipaddress",
            Some("ipAddress"),
        ),
        (
            "/3/sesionAffinity",
            "$[3].sesionAffinity",
            Some("sessionAffinity"),
        ),
        ("/3/backends/0/grup", "$[3].backends[0].grup", Some("group")),
        ("/4/IPAdress", "$[4].IPAdress", Some("IPAddress")),
        ("/4/colour", "$[4].colour", None),
    ] {
        let fault = expect_one(internal(), &[(pointer, json!("x"))], path, "is no field");
        assert_eq!(fault.kind, FaultKind::UnknownField);
        assert_eq!(fault.hint, near.map(|near| format!("did you mean {near}?")));
    }
}

#[test]
fn what_only_a_proxy_does_is_refused_when_it_would_act() {
    for (pointer, value, path) in [
        ("/3/iap", json!({"enabled": true}), "$[3].iap.enabled"),
        ("/3/enableCDN", json!(true), "$[3].enableCDN"),
        (
            "/3/customRequestHeaders",
            json!(["A: b"]),
            "$[3].customRequestHeaders",
        ),
        (
            "/3/customResponseHeaders",
            json!(["A: b"]),
            "$[3].customResponseHeaders",
        ),
        ("/3/compressionMode", json!("AUTOMATIC"), "$[3].compressionMode"),
        ("/3/serviceLbPolicy", json!("p"), "$[3].serviceLbPolicy"),
        ("/3/serviceBindings", json!(["b"]), "$[3].serviceBindings"),
        (
            "/3/localityLbPolicies",
            json!([{"policy": {"name": "RANDOM"}}]),
            "$[3].localityLbPolicies",
        ),
        ("/3/customMetrics", json!([{"name": "m"}]), "$[3].customMetrics"),
        (
            "/3/ipAddressSelectionPolicy",
            json!("PREFER_IPV6"),
            "$[3].ipAddressSelectionPolicy",
        ),
        (
            "/3/externalManagedMigrationState",
            json!("PREPARE"),
            "$[3].externalManagedMigrationState",
        ),
        (
            "/3/externalManagedMigrationTestingPercentage",
            json!(5),
            "$[3].externalManagedMigrationTestingPercentage",
        ),
        ("/3/affinityCookieTtlSec", json!(60), "$[3].affinityCookieTtlSec"),
        ("/3/port", json!(80), "$[3].port"),
        ("/3/portName", json!("http"), "$[3].portName"),
        (
            "/3/backends/0/capacityScaler",
            json!(1.0),
            "$[3].backends[0].capacityScaler",
        ),
        (
            "/3/backends/0/capacityScaler",
            json!(0),
            "$[3].backends[0].capacityScaler",
        ),
        (
            "/3/backends/0/maxConnections",
            json!(9),
            "$[3].backends[0].maxConnections",
        ),
        (
            "/3/backends/0/maxRatePerInstance",
            json!(0.5),
            "$[3].backends[0].maxRatePerInstance",
        ),
        (
            "/3/backends/0/preference",
            json!("PREFERRED"),
            "$[3].backends[0].preference",
        ),
        (
            "/3/backends/0/trafficDuration",
            json!("LONG"),
            "$[3].backends[0].trafficDuration",
        ),
        (
            "/3/backends/0/customMetrics",
            json!([{"name": "m"}]),
            "$[3].backends[0].customMetrics",
        ),
        (
            "/3/logConfig/loggingHttpRequestHeaders",
            json!([{"headerName": "A"}]),
            "$[3].logConfig.loggingHttpRequestHeaders",
        ),
        ("/4/target", json!("proxy"), "$[4].target"),
        (
            "/4/isMirroringCollector",
            json!(true),
            "$[4].isMirroringCollector",
        ),
        (
            "/4/metadataFilters",
            json!([{"filterMatchCriteria": "MATCH_ANY"}]),
            "$[4].metadataFilters",
        ),
        (
            "/4/allowPscGlobalAccess",
            json!(true),
            "$[4].allowPscGlobalAccess",
        ),
        ("/4/serviceLabel", json!("shop"), "$[4].serviceLabel"),
        ("/0/sourceRegions", json!(["a", "b", "c"]), "$[0].sourceRegions"),
        (
            "/0/httpHealthCheck/portName",
            json!("http"),
            "$[0].httpHealthCheck.portName",
        ),
        ("/1/region", json!("r"), "$[1].region"),
        ("/1/pscTargetService", json!("x"), "$[1].pscTargetService"),
        (
            "/1/networkEndpoints/0/fqdn",
            json!("example.com"),
            "$[1].networkEndpoints[0].fqdn",
        ),
        (
            "/1/networkEndpoints/0/clientDestinationPort",
            json!(80),
            "$[1].networkEndpoints[0].clientDestinationPort",
        ),
    ] {
        let found = expect(internal(), &[(pointer, value)], &[path]);
        assert_eq!(kinds(&found), [FaultKind::Refused]);
    }
}

#[test]
fn a_refused_object_names_its_acting_members_too() {
    for (name, members) in [
        (
            "cdnPolicy",
            json!({"cacheMode": "FORCE_CACHE_ALL", "negativeCaching": false, "clientTtl": 0}),
        ),
        ("circuitBreakers", json!({"maxRequests": 5})),
        ("consistentHash", json!({"minimumRingSize": "1024"})),
        ("outlierDetection", json!({"interval": {"seconds": "5"}})),
        ("maxStreamDuration", json!({"seconds": 5})),
        ("securitySettings", json!({"clientTlsPolicy": "p"})),
        ("strongSessionAffinityCookie", json!({"name": "c"})),
        ("orchestrationInfo", json!({"resourceUri": "u"})),
        ("tlsSettings", json!({"sni": "s"})),
    ] {
        let member = members.as_object().unwrap().keys().next().unwrap().clone();
        let paths = [format!("$[3].{name}"), format!("$[3].{name}.{member}")];
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        expect(internal(), &[(&format!("/3/{name}"), members)], &paths);
    }
}

#[test]
fn a_disabling_value_counts_as_absent() {
    for (pointer, value) in [
        (
            "/3/iap",
            json!({"enabled": false, "oauth2ClientId": "", "oauth2ClientSecretSha256": "e3b0"}),
        ),
        ("/3/enableCDN", json!(false)),
        ("/3/cdnPolicy", json!({})),
        ("/3/cdnPolicy", json!({"negativeCaching": false})),
        ("/3/compressionMode", json!("DISABLED")),
        ("/3/customMetrics", json!([])),
        ("/3/consistentHash", json!({"minimumRingSize": "0"})),
        (
            "/3/ipAddressSelectionPolicy",
            json!("IP_ADDRESS_SELECTION_POLICY_UNSPECIFIED"),
        ),
        ("/3/port", json!(0)),
        ("/3/portName", json!("")),
        ("/3/subsetting", json!({"policy": "NONE"})),
        (
            "/3/networkPassThroughLbTrafficPolicy",
            json!({"zonalAffinity": {"spillover": "ZONAL_AFFINITY_DISABLED"}}),
        ),
        ("/3/affinityCookieTtlSec", json!(0)),
        ("/3/connectionTrackingPolicy", json!({})),
        ("/3/tlsSettings", json!(null)),
        ("/3/backends/0/maxRate", json!(null)),
        ("/4/isMirroringCollector", json!(false)),
        ("/4/target", json!("")),
        ("/4/allPorts", json!(false)),
        ("/4/portRange", json!("")),
    ] {
        expect(internal(), &[(pointer, value)], &[]);
    }
}

#[test]
fn output_only_fields_are_ignored() {
    expect(
        internal(),
        &[
            ("/3/id", json!("4815")),
            ("/3/fingerprint", json!("AAAA")),
            ("/3/creationTimestamp", json!("2020-01-01T00:00:00Z")),
            (
                "/3/selfLink",
                json!("https://elsewhere/compute/beta/projects/q/regions/r/backendServices/other"),
            ),
            ("/3/region", json!("local")),
            ("/3/usedBy", json!([{"reference": "x"}])),
            ("/3/securityPolicy", json!("x")),
            ("/4/pscConnectionStatus", json!("A_VALUE_OF_TOMORROW")),
            ("/1/size", json!(99)),
        ],
        &[],
    );
}

#[test]
fn required_fields_are_demanded() {
    for (pointer, path) in [
        ("/0/name", "$[0].name"),
        ("/0/type", "$[0].type"),
        ("/1/networkEndpointType", "$[1].networkEndpointType"),
        ("/3/backends/0/group", "$[3].backends[0].group"),
        ("/4/IPAddress", "$[4].IPAddress"),
        ("/4/backendService", "$[4].backendService"),
    ] {
        let mut value = internal();
        edit(&mut value, &[(pointer, Value::Null)]);
        let found = faults(&value);
        let fault = found
            .iter()
            .find(|fault| fault.path == path)
            .unwrap_or_else(|| panic!("{path}: {found:?}"));
        assert_eq!(fault.kind, FaultKind::Required);
    }
    expect(
        instances(),
        &[("/0/networkInterfaces", Value::Null)],
        &["$[0].networkInterfaces"],
    );
    expect(
        instances(),
        &[("/0/networkInterfaces", json!([]))],
        &["$[0].networkInterfaces"],
    );
    expect(
        instances(),
        &[("/0/networkInterfaces", json!([{}]))],
        &["$[0].networkInterfaces[0]"],
    );
}

#[test]
fn a_described_instance_is_taken_as_it_is() {
    let extra = [
        ("/0/machineType", json!("n2-standard-4")),
        ("/0/disks", json!([{"boot": true}])),
        ("/0/status", json!("RUNNING")),
        (
            "/0/networkInterfaces/0/accessConfigs",
            json!([{"natIP": "203.0.113.4"}]),
        ),
    ];
    expect(instances(), &extra, &[]);
    expect(
        instances(),
        &[("/0/machinType", json!("x"))],
        &["$[0].machinType"],
    );
}

/// All at once, whatever the place: the first fault hides none of the others.
#[test]
fn every_fault_is_told_at_once() {
    let edits = [
        ("/3/name", json!("Shop Front")),
        ("/3/protocol", json!("HTTPS")),
        ("/3/sessionAffinity", json!("HEADER_FIELD")),
        ("/3/enableCDN", json!(true)),
        ("/3/cdnPolicy", json!({"cacheMode": "USE_ORIGIN_HEADERS"})),
        ("/3/backends/0/balancingMode", json!("RATE")),
        ("/3/backends/0/maxRate", json!(100)),
        ("/3/backends/1/group", json!("absent")),
        ("/3/failoverPolicy", json!({"failoverRatio": 2})),
        ("/3/connectionDraining", json!({"drainingTimeoutSec": 4000})),
        (
            "/3/connectionTrackingPolicy",
            json!({
                "trackingMode": "PER_SESSION",
                "connectionPersistenceOnUnhealthyBackends": "ALWAYS_PERSIST",
                "idleTimeoutSec": 10,
            }),
        ),
        ("/3/sesionAffinity", json!("NONE")),
        ("/4", Value::Null),
    ];
    let mut value = internal();
    edit(&mut value, &edits);
    value.as_array_mut().unwrap().pop();
    expect(
        value,
        &[],
        &[
            "$[3].name",
            "$[3].protocol",
            "$[3].sessionAffinity",
            "$[3].enableCDN",
            "$[3].cdnPolicy",
            "$[3].cdnPolicy.cacheMode",
            "$[3].backends[0].balancingMode",
            "$[3].backends[0].maxRate",
            "$[3].backends[1].group",
            "$[3].failoverPolicy.failoverRatio",
            "$[3].connectionDraining.drainingTimeoutSec",
            "$[3].connectionTrackingPolicy.connectionPersistenceOnUnhealthyBackends",
            "$[3].connectionTrackingPolicy.idleTimeoutSec",
            "$[3].sesionAffinity",
        ],
    );
}

#[test]
fn a_fault_speaks_to_people_and_to_the_api() {
    let fault = expect(
        internal(),
        &[("/3/connectionDraining/drainingTimeoutSec", json!(7200))],
        &["$[3].connectionDraining.drainingTimeoutSec"],
    )
    .remove(0);
    assert_eq!(
        fault.to_string(),
        "test.json: $[3].connectionDraining.drainingTimeoutSec: '7200': must be in 0..3600"
    );
    let body = crate::resources::error_body(&[fault]);
    assert_eq!(body["error"]["code"], 400);
    assert_eq!(body["error"]["errors"][0]["reason"], "invalid");
    assert_eq!(
        body["error"]["message"],
        "Invalid value for field 'resource.connectionDraining.drainingTimeoutSec': '7200'. Must be in 0..3600."
    );
}
