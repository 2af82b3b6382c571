use serde_json::{Value, json};

use super::super::resource::References;
use super::super::tests::{flags, told};
use super::super::values::Fields;
use super::backend::{added, removed, updated};
use super::create::CreateFlags;
use super::update::UpdateFlags;
use crate::control::Control;
use crate::control::fake::{path, sample};
use crate::resources::Kind;

const BASE: &str = "https://www.googleapis.com/compute/v1/projects/acme";

/// With the sample's resources, which have a health check `hc` in the region and globally.
fn create(args: &[&str]) -> Value {
    let resources = sample().resources();
    let references = References {
        resources: &resources,
        path: &path(Kind::BackendService, "x"),
    };
    let fields = flags::<CreateFlags>(args).fields(&references);
    fields
        .unwrap_or_else(|failure| panic!("{}", told(failure)))
        .into()
}

fn update(args: &[&str]) -> Value {
    let resources = sample().resources();
    let references = References {
        resources: &resources,
        path: &path(Kind::BackendService, "x"),
    };
    let fields = flags::<UpdateFlags>(args).fields(&references);
    fields
        .unwrap_or_else(|failure| panic!("{}", told(failure)))
        .into()
}

#[test]
fn a_new_service_has_gclouds_defaults() {
    assert_eq!(
        create(&[]),
        json!({"loadBalancingScheme": "EXTERNAL", "protocol": "TCP", "timeoutSec": 30})
    );
    assert_eq!(
        create(&[
            "--load-balancing-scheme=internal",
            "--protocol=udp",
            "--timeout=1m",
            "--network=n"
        ]),
        json!({"loadBalancingScheme": "INTERNAL", "protocol": "UDP", "timeoutSec": 60,
               "network": format!("{BASE}/global/networks/n")})
    );
}

#[test]
fn each_flag_sets_its_field() {
    for (args, expected) in [
        (&["--description=d"][..], json!({"description": "d"})),
        (&["--protocol", "unspecified"], json!({"protocol": "UNSPECIFIED"})),
        (
            &["--load-balancing-scheme", "internal"],
            json!({"loadBalancingScheme": "INTERNAL"}),
        ),
        (
            &["--session-affinity=client-ip-no-destination"],
            json!({"sessionAffinity": "CLIENT_IP_NO_DESTINATION"}),
        ),
        (
            &["--session-affinity=GENERATED_COOKIE"],
            json!({"sessionAffinity": "GENERATED_COOKIE"}),
        ),
        (
            &["--locality-lb-policy=weighted-maglev"],
            json!({"localityLbPolicy": "WEIGHTED_MAGLEV"}),
        ),
        (&["--timeout=45"], json!({"timeoutSec": 45})),
        (
            &["--connection-draining-timeout=5m"],
            json!({"connectionDraining": {"drainingTimeoutSec": 300}}),
        ),
        (
            &["--connection-drain-on-failover"],
            json!({"failoverPolicy": {"disableConnectionDrainOnFailover": false}}),
        ),
        (
            &["--no-connection-drain-on-failover"],
            json!({"failoverPolicy": {"disableConnectionDrainOnFailover": true}}),
        ),
        (
            &["--drop-traffic-if-unhealthy"],
            json!({"failoverPolicy": {"dropTrafficIfUnhealthy": true}}),
        ),
        (
            &["--drop-traffic-if-unhealthy", "--no-drop-traffic-if-unhealthy"],
            json!({"failoverPolicy": {"dropTrafficIfUnhealthy": false}}),
        ),
        (
            &["--failover-ratio=0.25"],
            json!({"failoverPolicy": {"failoverRatio": 0.25}}),
        ),
        (
            &[
                "--tracking-mode=per-session",
                "--idle-timeout-sec=10m",
                "--enable-strong-affinity",
                "--connection-persistence-on-unhealthy-backends=never-persist",
            ],
            json!({"connectionTrackingPolicy": {
                "trackingMode": "PER_SESSION", "idleTimeoutSec": 600, "enableStrongAffinity": true,
                "connectionPersistenceOnUnhealthyBackends": "NEVER_PERSIST"}}),
        ),
        (
            &["--no-enable-strong-affinity"],
            json!({"connectionTrackingPolicy": {"enableStrongAffinity": false}}),
        ),
        (
            &["--subsetting-policy=consistent-hash-subsetting"],
            json!({"subsetting": {"policy": "CONSISTENT_HASH_SUBSETTING"}}),
        ),
        (
            &[
                "--zonal-affinity-spillover=zonal-affinity-spill-cross-zone",
                "--zonal-affinity-spillover-ratio=0.5",
            ],
            json!({"networkPassThroughLbTrafficPolicy": {"zonalAffinity": {
                "spillover": "ZONAL_AFFINITY_SPILL_CROSS_ZONE", "spilloverRatio": 0.5}}}),
        ),
        (
            &[
                "--ha-policy-fast-ip-move=disabled",
                "--ha-policy-leader-backend-group=near",
                "--ha-policy-leader-network-endpoint=instance=n1",
            ],
            json!({"haPolicy": {"fastIPMove": "DISABLED", "leader": {
                "backendGroup": format!("{BASE}/zones/r1-a/networkEndpointGroups/near"),
                "networkEndpoint": {"instance": "n1"}}}}),
        ),
        (
            &[
                "--enable-logging",
                "--logging-sample-rate=0.1",
                "--logging-optional=custom",
                "--logging-optional-fields=a,b",
            ],
            json!({"logConfig": {"enable": true, "sampleRate": 0.1, "optionalMode": "CUSTOM",
                                 "optionalFields": ["a", "b"]}}),
        ),
        (&["--no-enable-logging"], json!({"logConfig": {"enable": false}})),
        (
            &["--health-checks=hc"],
            json!({"healthChecks": [format!("{BASE}/regions/r1/healthChecks/hc")]}),
        ),
        (
            &["--health-checks=hc", "--global-health-checks"],
            json!({"healthChecks": [format!("{BASE}/global/healthChecks/hc")]}),
        ),
        (
            &["--health-checks=hc,other", "--health-checks-region=r2"],
            json!({"healthChecks": [format!("{BASE}/regions/r2/healthChecks/hc"),
                                    format!("{BASE}/regions/r2/healthChecks/other")]}),
        ),
        (
            &["--health-checks=https://h/compute/v1/projects/acme/global/healthChecks/hc"],
            json!({"healthChecks": [format!("{BASE}/global/healthChecks/hc")]}),
        ),
        (
            &["--health-checks=none-such"],
            json!({"healthChecks": [format!("{BASE}/regions/r1/healthChecks/none-such")]}),
        ),
        (&["--no-health-checks"], json!({"healthChecks": []})),
    ] {
        assert_eq!(update(args), expected, "{args:?}");
    }
}

#[test]
fn backends_change_one_at_a_time() {
    let near = format!("{BASE}/zones/r1-a/networkEndpointGroups/near");
    let near_elsewhere = near.replace(
        "www.googleapis.com/compute/v1",
        "compute.googleapis.com/compute/beta",
    );
    let service = json!({"backends": [{"group": near_elsewhere, "description": "d"}]});
    let fields = |description: &str| {
        let mut fields = Fields::default();
        fields.set("description", Some(description));
        fields
    };
    let list =
        |backends: Result<Vec<Value>, _>| backends.unwrap_or_else(|failure| panic!("{}", told(failure)));
    assert_eq!(
        list(added(&service, "zones/z/far", fields("e")))[1],
        json!({"group": "zones/z/far", "description": "e"})
    );
    assert_eq!(
        list(updated(&service, &near, fields("e"))),
        [json!({"group": near_elsewhere, "description": "e"})]
    );
    assert_eq!(list(removed(&service, &near)), [] as [Value; 0]);
    assert!(added(&service, &near, fields("e")).is_err());
    let far = near.replace("near", "far");
    assert!(updated(&service, &far, fields("e")).is_err() && removed(&service, &far).is_err());
    assert_eq!(list(added(&json!({}), &far, Fields::default())).len(), 1);
}
