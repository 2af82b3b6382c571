//! The rules within a backend service.

use super::*;
use crate::model::{ConnectionLogging, InstanceField, Ratio};

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
fn failover_drain_can_be_switched_off_for_every_protocol() {
    let switch = "/3/failoverPolicy/disableConnectionDrainOnFailover";
    for (protocol, rule) in [("TCP", "TCP"), ("UDP", "UDP"), ("UNSPECIFIED", "UDP")] {
        let edits = [
            (switch, json!(true)),
            ("/3/protocol", json!(protocol)),
            ("/4/IPProtocol", json!(rule)),
        ];
        expect(internal(), &edits, &[]);
    }
}

/// Without failover backends a failoverPolicy still says what happens when nothing is healthy.
#[test]
fn a_failover_policy_needs_no_failover_group() {
    let edits = [
        ("/3/backends/1/failover", Value::Null),
        ("/3/failoverPolicy", json!({"dropTrafficIfUnhealthy": true})),
    ];
    expect(internal(), &edits, &[]);
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

const LOGGED: (&str, Value) = ("/3/logConfig/enable", Value::Bool(true));
const OPTIONAL_MODE: &str = "/3/logConfig/optionalMode";
const OPTIONAL_FIELDS: &str = "/3/logConfig/optionalFields";

#[test]
fn log_fields_of_choice_need_the_choice() {
    let fields = (OPTIONAL_FIELDS, json!(["serverInstance"]));
    expect_one(
        internal(),
        &[LOGGED, fields.clone()],
        "$[3].logConfig.optionalFields",
        "CUSTOM",
    );
    expect(
        internal(),
        &[LOGGED, fields, (OPTIONAL_MODE, json!("CUSTOM"))],
        &[],
    );
}

#[test]
fn settings_of_the_log_need_the_log() {
    let faults = expect(
        internal(),
        &[
            ("/3/logConfig/sampleRate", json!(0.5)),
            (OPTIONAL_MODE, json!("INCLUDE_ALL_OPTIONAL")),
        ],
        &["$[3].logConfig.optionalMode", "$[3].logConfig.sampleRate"],
    );
    assert!(
        faults
            .iter()
            .all(|fault| fault.reason == "needs logConfig.enable")
    );
    // As the cloud shows a service that logs nothing.
    let shown = json!({"enable": false, "sampleRate": 1.0, "optionalMode": "EXCLUDE_ALL_OPTIONAL"});
    expect(internal(), &[("/3/logConfig", shown)], &[]);
}

#[test]
fn every_optional_field_that_is_not_here_is_told() {
    let names = json!([
        "serverInstance.vm",
        "serverInstance.zones",
        "serverGkeDetails.cluster",
        "orca_load_report",
        7
    ]);
    let reasons = [
        "did you mean serverInstance.zone?",
        "GKE",
        "there are serverInstance, serverInstance.projectId, ",
        "expected a string",
    ];
    let paths = [1, 2, 3, 4].map(|index| format!("$[3].logConfig.optionalFields[{index}]"));
    let faults = expect(
        internal(),
        &[LOGGED, (OPTIONAL_MODE, json!("CUSTOM")), (OPTIONAL_FIELDS, names)],
        &paths.each_ref().map(String::as_str),
    );
    for (fault, reason) in faults.iter().zip(reasons) {
        assert!(fault.reason.contains(reason), "{fault}");
    }
}

#[test]
fn the_log_acts_with_all_of_its_settings() {
    let log = |config: Value| {
        let mut value = internal();
        edit(&mut value, &[("/3/logConfig", config)]);
        let config = apply(&value).unwrap().config;
        config.services.into_values().next().unwrap().log
    };
    let logging = |numerator, denominator, fields: &[InstanceField]| {
        Some(ConnectionLogging {
            sample_rate: Ratio {
                numerator,
                denominator,
            },
            fields: fields.iter().copied().collect(),
        })
    };
    assert_eq!(log(json!({"enable": false})), None);
    assert_eq!(log(json!({"enable": true})), logging(1, 1, &[]));
    assert_eq!(
        log(json!({"enable": true, "sampleRate": 0.25, "optionalMode": "INCLUDE_ALL_OPTIONAL"})),
        logging(25, 100, &InstanceField::ALL)
    );
    let chosen = json!(["serverInstance.zone", "serverInstance.vm"]);
    assert_eq!(
        log(json!({"enable": true, "sampleRate": 0, "optionalMode": "CUSTOM", "optionalFields": chosen})),
        logging(0, 1, &[InstanceField::Vm, InstanceField::Zone])
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
