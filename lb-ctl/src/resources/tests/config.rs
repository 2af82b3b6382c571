use super::*;
use crate::model::*;
use crate::resources::{Kind, read, validate};

fn config(value: &Value) -> Config {
    let applied = apply(value).unwrap();
    assert_eq!(applied.resources.config().unwrap().0, applied.config);
    applied.config
}

fn service(value: Value, edits: &[(&str, Value)]) -> BackendService {
    let mut value = value;
    edit(&mut value, edits);
    config(&value).services.into_values().next().unwrap()
}

#[test]
fn defaults_are_filled_in() {
    let service = service(internal(), &[("/3/backends/1", json!({"group": "two"}))]);
    assert_eq!(service.affinity, SessionAffinity::None);
    assert_eq!(service.tracking, TrackingMode::PerConnection);
    assert_eq!(service.persistence, Persistence::DefaultForProtocol);
    assert_eq!((service.idle_timeout_sec, service.draining_timeout_sec), (600, 0));
    assert_eq!(
        (service.locality, service.failover),
        (LocalityPolicy::Rendezvous, None)
    );
    assert_eq!(
        (service.subsetting, service.zonal_affinity, service.ha_policy),
        (false, None, None)
    );
    let outside = self::service(external(), &[]);
    assert_eq!(
        (outside.idle_timeout_sec, outside.locality),
        (60, LocalityPolicy::Maglev)
    );
    assert_eq!(
        (outside.scheme, outside.protocol),
        (Scheme::External, ServiceProtocol::Unspecified)
    );
}

#[test]
fn failover_is_exact() {
    let policy = json!({"failoverRatio": 0.1, "dropTrafficIfUnhealthy": true, "disableConnectionDrainOnFailover": true});
    let failover = service(internal(), &[("/3/failoverPolicy", policy)])
        .failover
        .unwrap();
    assert_eq!(
        failover.ratio,
        Ratio {
            numerator: 1,
            denominator: 10
        }
    );
    assert!(failover.drop_traffic_if_unhealthy && failover.disable_connection_drain_on_failover);
    // The base has a failover backend and no policy.
    let implied = service(internal(), &[]).failover.unwrap();
    assert_eq!(
        implied.ratio,
        Ratio {
            numerator: 0,
            denominator: 1
        }
    );
}

#[test]
fn everything_a_service_says_is_in_the_model() {
    let all = service(
        external(),
        &[
            ("/3/sessionAffinity", json!("CLIENT_IP_PROTO")),
            ("/3/localityLbPolicy", json!("WEIGHTED_MAGLEV")),
            ("/3/connectionDraining", json!({"drainingTimeoutSec": 42})),
            (
                "/3/connectionTrackingPolicy",
                json!({
                    "trackingMode": "PER_SESSION", "enableStrongAffinity": true, "idleTimeoutSec": 900,
                    "connectionPersistenceOnUnhealthyBackends": "NEVER_PERSIST",
                }),
            ),
        ],
    );
    assert_eq!(
        (all.affinity, all.locality),
        (SessionAffinity::ClientIpProto, LocalityPolicy::WeightedMaglev)
    );
    assert_eq!(
        (all.tracking, all.persistence),
        (TrackingMode::PerSession, Persistence::NeverPersist)
    );
    assert_eq!((all.idle_timeout_sec, all.draining_timeout_sec), (900, 42));
    let zonal =
        json!({"zonalAffinity": {"spillover": "ZONAL_AFFINITY_SPILL_CROSS_ZONE", "spilloverRatio": 0.25}});
    let inside = service(internal(), &[("/3/networkPassThroughLbTrafficPolicy", zonal)]);
    assert_eq!(
        inside.zonal_affinity,
        Some(ZonalAffinity::SpillCrossZone(Ratio {
            numerator: 25,
            denominator: 100
        }))
    );
    assert_eq!(
        inside
            .backends
            .iter()
            .map(|backend| (backend.group.name(), backend.failover))
            .collect::<Vec<_>>(),
        [("one", false), ("two", true)]
    );
    assert_eq!(
        inside.health_check,
        Some(Scope::default().path(Kind::HealthCheck, "probe"))
    );
}

#[test]
fn rules_have_sorted_ports_and_ranges() {
    let mut value = external();
    let mut steering = value[4].clone();
    edit(
        &mut steering,
        &[
            ("/name", json!("steer")),
            ("/sourceIpRanges", json!(["203.0.113.0/24", "198.51.100.9"])),
        ],
    );
    edit(&mut value, &[("/-", steering)]);
    edit(
        &mut value,
        &[
            ("/4/ports", json!(["443", "80-81"])),
            ("/6/ports", json!(["80", "81", "443"])),
        ],
    );
    let config = config(&value);
    let rule = |name: &str| &config.rules[&Scope::default().path(Kind::ForwardingRule, name)];
    assert_eq!(rule("front").ports, Ports::Ranges(vec![(80, 81), (443, 443)]));
    assert_eq!(
        rule("steer").source_ranges,
        [
            "198.51.100.9/32".parse().unwrap(),
            "203.0.113.0/24".parse().unwrap()
        ]
    );
    assert_eq!(
        rule("side").vip.address,
        "2001:db8:1::".parse::<std::net::IpAddr>().unwrap()
    );
    assert_eq!(
        (rule("side").protocol, rule("side").scheme),
        (RuleProtocol::Udp, Scheme::External)
    );
}

#[test]
fn both_kinds_of_group_name_endpoints() {
    let mut value = instances();
    edit(
        &mut value,
        &[
            ("/-", internal()[1].clone()),
            ("/3/networkEndpoints/0", json!({"instance": "vm-2"})),
        ],
    );
    edit(&mut value, &[("/3/annotations", json!({"lb/delivery": "ipip"}))]);
    let config = config(&value);
    let endpoints = |name: &str| -> Vec<(String, String)> {
        let group = config
            .groups
            .values()
            .find(|group| group.path.name() == name)
            .unwrap();
        let told = |endpoint: &Endpoint| {
            (
                endpoint.instance.clone().unwrap(),
                endpoint.ipv4.unwrap().to_string(),
            )
        };
        group.endpoints.iter().map(told).collect()
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        endpoints("vms"),
        [pair("vm-1", "10.0.5.1"), pair("vm-2", "10.0.5.2")]
    );
    assert_eq!(
        endpoints("one"),
        [pair("vm-2", "10.0.5.2"), pair("b", "10.0.0.2")]
    );
    let one = config
        .groups
        .values()
        .find(|group| group.path.name() == "one")
        .unwrap();
    assert_eq!((one.delivery, one.zone.as_str()), (Delivery::Ipip, "local-a"));
}

#[test]
fn probes_have_the_defaults_of_their_type() {
    let probe = |edits: &[(&str, Value)]| {
        let mut value = json!([{"kind": "compute#healthCheck", "name": "p"}]);
        edit(&mut value, edits);
        config(&value).health_checks.into_values().next().unwrap()
    };
    let tcp = probe(&[("/0/type", json!("TCP"))]);
    assert_eq!(
        (
            tcp.check_interval_sec,
            tcp.timeout_sec,
            tcp.healthy_threshold,
            tcp.unhealthy_threshold
        ),
        (5, 5, 2, 2)
    );
    assert!(matches!(
        tcp.probe,
        Probe::Tcp {
            tls: false,
            port: 80,
            proxy_header: ProxyHeader::None,
            ..
        }
    ));
    assert!(matches!(
        probe(&[("/0/type", json!("SSL"))]).probe,
        Probe::Tcp {
            tls: true,
            port: 443,
            ..
        }
    ));
    let Probe::Http {
        version,
        port,
        host,
        request_path,
        ..
    } = probe(&[("/0/type", json!("HTTP"))]).probe
    else {
        panic!()
    };
    assert_eq!(
        (version, port, host.as_str(), request_path.as_str()),
        (HttpVersion::Http, 80, "", "/")
    );
    assert!(matches!(
        probe(&[("/0/type", json!("HTTP2"))]).probe,
        Probe::Http {
            version: HttpVersion::Http2,
            port: 443,
            ..
        }
    ));
    let settings = json!({"request": "hi", "response": "ho", "proxyHeader": "PROXY_V1", "port": 7});
    let tcp = probe(&[("/0/type", json!("TCP")), ("/0/tcpHealthCheck", settings)]).probe;
    let wanted = Probe::Tcp {
        tls: false,
        port: 7,
        proxy_header: ProxyHeader::ProxyV1,
        request: b"hi".to_vec(),
        response: b"ho".to_vec(),
    };
    assert_eq!(tcp, wanted);
    let grpc = json!({"port": 9000, "grpcServiceName": "s"});
    let grpc = probe(&[
        ("/0/type", json!("GRPC_WITH_TLS")),
        ("/0/grpcTlsHealthCheck", grpc),
    ])
    .probe;
    assert_eq!(
        grpc,
        Probe::Grpc {
            tls: true,
            port: 9000,
            service_name: "s".into()
        }
    );
}

#[test]
fn validate_takes_documents_alone() {
    let (config, warnings) = validate(&documents(&internal()), &Scope::default()).unwrap();
    assert_eq!(
        (config.services.len(), config.rules.len(), warnings.len()),
        (1, 1, 0)
    );
    let alone = json!([internal()[4]]);
    assert_eq!(
        kinds(&validate(&documents(&alone), &Scope::default()).unwrap_err()),
        [FaultKind::Dangling]
    );
}

#[test]
fn the_examples_are_right_and_within_the_data_plane() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    for (name, services, rules, endpoints) in [
        ("web-failover.json", 1, 1, 4),
        ("dns-udp.json", 1, 2, 3),
        ("edge-weighted.json", 1, 3, 2),
    ] {
        let documents = read(&[directory.join(name)]).unwrap();
        let now = "2026-02-03T04:05:06Z".parse().unwrap();
        let applied = Resources::default()
            .apply(&documents, &Scope::default(), Mode::Additive, now)
            .unwrap();
        let found: usize = applied
            .config
            .groups
            .values()
            .map(|group| group.endpoints.len())
            .sum();
        assert_eq!(
            (applied.config.services.len(), applied.config.rules.len(), found),
            (services, rules, endpoints)
        );
        assert_eq!(applied.warnings, [], "{name}");
    }
    let together = read(&[directory]).unwrap();
    assert!(
        validate(&together, &Scope::default()).is_ok(),
        "the examples can be run together"
    );
}
