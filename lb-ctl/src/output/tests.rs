use std::time::Duration;

use serde_json::json;

use super::*;
use crate::control::wire::WireFault;
use crate::control::{ApplyReport, Change, ChangeAction};
use crate::model::ResourcePath;
use crate::resources::Kind;
use crate::views::*;

fn rendered(render: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
    let mut out = Vec::new();
    render(&mut out).expect("to write to memory");
    String::from_utf8(out).expect("text")
}

fn path(kind: Kind, name: &str) -> ResourcePath {
    crate::control::fake::path(kind, name)
}

#[test]
fn counts_keep_three_digits() {
    for (n, text) in [
        (0, "0"),
        (9_999, "9999"),
        (10_000, "10.0k"),
        (12_345, "12.3k"),
        (999_999, "999k"),
        (1_000_000, "1.00M"),
        (4_194_304, "4.19M"),
        (u64::MAX, "18.4E"),
    ] {
        assert_eq!(human_count(n), text);
    }
}

#[test]
fn bytes_are_binary() {
    for (n, text) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (1536, "1.50 KiB"),
        (102_400_000, "97.6 MiB"),
        (1 << 40, "1.00 TiB"),
        (u64::MAX, "15.9 EiB"),
    ] {
        assert_eq!(human_bytes(n), text);
    }
}

#[test]
fn durations_have_two_units() {
    for (seconds, text) in [
        (0, "0s"),
        (59, "59s"),
        (200, "3m 20s"),
        (18_000, "5h 0m"),
        (1_047_600, "12d 3h"),
    ] {
        assert_eq!(human_duration(Duration::from_secs(seconds)), text);
    }
}

/// The default table of resources of one kind.
fn listed(kind: Kind, resources: &[serde_json::Value]) -> String {
    rendered(|out| {
        Listing::Resources(kind)
            .columns()
            .print(out, Data::Many(resources))
    })
}

#[test]
fn every_listing_has_columns_and_an_empty_table_is_empty() {
    let others = [Listing::NetworkEndpoints, Listing::Instances, Listing::Operations];
    for listing in Kind::ALL.map(Listing::Resources).into_iter().chain(others) {
        let columns = listing.columns();
        assert!(!columns.is_default_table(), "{listing:?}");
        assert_eq!(rendered(|out| columns.print(out, Data::Many(&[]))), "");
    }
}

#[test]
fn resource_lists_have_gclouds_columns() {
    let base = "https://www.googleapis.com/compute/v1/projects/acme";
    assert_eq!(
        listed(
            Kind::ForwardingRule,
            &[
                json!({"name": "rule", "region": format!("{base}/regions/r1"), "IPAddress": "2001:db8::/96",
                "IPProtocol": "UDP", "backendService": format!("{base}/regions/r1/backendServices/dns")})
            ],
        ),
        "NAME  REGION  IP_ADDRESS     IP_PROTOCOL  TARGET\n\
         rule  r1      2001:db8::/96  UDP          r1/backendServices/dns\n"
    );
    assert_eq!(
        listed(
            Kind::BackendService,
            &[
                json!({"name": "dns", "protocol": "UDP", "loadBalancingScheme": "EXTERNAL", "backends": [
                {"group": format!("{base}/zones/r1-a/instanceGroups/a")},
                {"group": format!("{base}/zones/r1-b/instanceGroups/b")}]})
            ],
        ),
        "NAME  BACKENDS                                     PROTOCOL  LOAD_BALANCING_SCHEME  HEALTH_CHECKS\n\
         dns   r1-a/instanceGroups/a,r1-b/instanceGroups/b  UDP       EXTERNAL\n"
    );
    let zone = format!("{base}/zones/r1-a");
    assert_eq!(
        listed(
            Kind::NetworkEndpointGroup,
            &[json!({"name": "g", "zone": zone, "networkEndpointType": "GCE_VM_IP", "size": 2})],
        ),
        "NAME  LOCATION  ENDPOINT_TYPE  SIZE\ng     r1-a      GCE_VM_IP      2\n"
    );
    assert_eq!(
        listed(
            Kind::InstanceGroup,
            &[json!({"name": "ig", "zone": zone, "network": format!("{base}/global/networks/n"), "size": 3})],
        ),
        "NAME  LOCATION  SCOPE  NETWORK  MANAGED  INSTANCES\nig    r1-a      zone   n        No       3\n"
    );
    assert_eq!(
        listed(
            Kind::Instance,
            &[
                json!({"name": "vm", "zone": zone, "networkInterfaces": [{"networkIP": "10.0.0.1"}, {"ipv6Address": "2001:db8::1"}]})
            ],
        ),
        "NAME  ZONE  INTERNAL_IP  INTERNAL_IPV6\nvm    r1-a  10.0.0.1     2001:db8::1\n"
    );
    assert_eq!(
        rendered(|out| Listing::Operations.columns().print(
            out,
            Data::Many(&[
                json!({"name": "operation-1", "operationType": "insert", "status": "DONE",
                "targetLink": format!("{base}/global/healthChecks/hc"), "insertTime": "2026-01-01T00:00:00Z"})
            ])
        )),
        "NAME         TYPE    TARGET                  HTTP_STATUS  STATUS  TIMESTAMP\n\
         operation-1  insert  global/healthChecks/hc               DONE    2026-01-01T00:00:00Z\n"
    );
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let text = listed(
        Kind::HealthCheck,
        &[json!({"name": "hc", "region": "regions/r1", "type": "T\u{1b}[2J\nX\tY"})],
    );
    assert_eq!(text, "NAME  REGION  PROTOCOL\nhc    r1      T [2J X Y\n");
}

fn backend(name: &str, healthy: bool, draining: bool) -> BackendStats {
    BackendStats {
        group: path(Kind::NetworkEndpointGroup, "near"),
        instance: Some(name.to_owned()),
        ip_address: [10, 0, 0, 1].into(),
        pool: "primary".to_owned(),
        healthy,
        draining,
        weight: None,
        delivery: "l2".to_owned(),
        packets: 12_345,
        bytes: 1536,
        new_flows: 7,
        persisted_packets: 2,
        flows: healthy.then_some(5),
    }
}

#[test]
fn stats_show_what_happened() {
    let verdict = |name: &str, action: &str, packets| VerdictStats {
        name: name.to_owned(),
        action: action.to_owned(),
        packets,
        bytes: packets * 100,
    };
    let stats = Stats {
        verdicts: vec![
            verdict("hit", "forward", 123_456),
            verdict("never", "drop", 0),
            verdict("x", "drop", 1),
        ],
        not_judged: 0,
        services: vec![ServiceStats {
            service: path(Kind::BackendService, "web"),
            ip_version: "IPV4".to_owned(),
            active_pool: "primary".to_owned(),
            backends: vec![backend("n1", true, false), backend("n2", false, true)],
        }],
        xdp_failures: vec![XdpFailureStats {
            interface: "eth1".to_owned(),
            event: "redirect".to_owned(),
            error: Some("Operation not supported (os error 95)".to_owned()),
            frames: 7,
        }],
    };
    assert_eq!(
        rendered(|out| render_stats(out, &stats)),
        "VERDICT  ACTION   PACKETS  BYTES\n\
         hit      forward  123k     11.7 MiB\n\
         x        drop     1        100 B\n\
         \n\
         NOT_SENT_BY  EVENT     ERROR                                  FRAMES\n\
         eth1         redirect  Operation not supported (os error 95)  7\n\
         \n\
         web (IPV4, active pool: primary)\n\
         \u{20} BACKEND  IP_ADDRESS  POOL     STATE               WEIGHT  DELIVERY  PACKETS  BYTES     NEW_FLOWS  PERSISTED  FLOWS\n\
         \u{20} near/n1  10.0.0.1    primary  healthy             -       l2        12.3k    1.50 KiB  7          2          5\n\
         \u{20} near/n2  10.0.0.1    primary  draining,unhealthy  -       l2        12.3k    1.50 KiB  7          2          -\n"
    );
}

#[test]
fn status_is_a_page() {
    let status = Status {
        version: "0.1.0".to_owned(),
        layout_version: 3,
        pid: 42,
        uptime_sec: 200,
        state_dir: "/var/lib/lb".to_owned(),
        interfaces: vec![InterfaceStatus {
            name: "eth0".to_owned(),
            index: 2,
            xdp_mode: "native".to_owned(),
            program_id: 17,
        }],
        resources: [
            ("backendServices".to_owned(), 1),
            ("forwardingRules".to_owned(), 2),
        ]
        .into(),
        endpoints: 3,
        healthy_endpoints: 2,
        flow_slots: 4_194_304,
        tables: TableStatus {
            slots: 33_554_432,
            reserve: 8_388_608,
            in_use: 200_000,
            retired: 4096,
            wanted: 0,
            services: [(4096, 2), (65_536, 3)].into(),
        },
        default_place: DefaultPlace {
            project: "acme".to_owned(),
            region: "r1".to_owned(),
            zone: "r1-a".to_owned(),
        },
        config: ConfigStatus {
            files: [("/etc/lb/web.json".to_owned(), 4)].into(),
            loaded_at: Some("2026-01-02T03:04:05.678Z".to_owned()),
            refused: Some(RefusedConfig {
                refused_at: "2026-01-02T04:05:06.789Z".to_owned(),
                faults: vec!["/etc/lb/web.json: $.port: no such field".to_owned()],
            }),
        },
        connection_log: ConnectionLogStatus {
            destination: "/var/log/lb.jsonl".to_owned(),
            services: 2,
            connections: 12_345,
            lines: 20_000,
            dropped: 7,
        },
        troubles: Vec::new(),
        vips: (0..7)
            .map(|last| VipStatus {
                address: [10, 0, 0, 100 + last].into(),
                answering: match last {
                    0 => "on no connected prefix".to_owned(),
                    _ => "answered for on eth0".to_owned(),
                },
            })
            .collect(),
        mended: 0,
        warnings: vec!["no route to 10.0.0.9".to_owned()],
    };
    assert_eq!(
        rendered(|out| render_status(out, &status)),
        "version:         0.1.0 (map layout 3)\n\
         pid:             42\n\
         uptime:          3m 20s\n\
         state directory: /var/lib/lb\n\
         resources:       1 backendServices, 2 forwardingRules\n\
         endpoints:       2 of 3 healthy\n\
         flow slots:      4.19M\n\
         table slots:     200k of 33.5M in use, 4096 retired, 8.38M in reserve; services by size: 2 x 4096, 3 x 65536\n\
         default place:   acme, r1, r1-a\n\
         connection log:  2 services to /var/log/lb.jsonl, 12.3k connections, 20.0k lines, 7 dropped\n\
         \n\
         Files of --config, loaded at 2026-01-02T03:04:05.678Z:\n\
         \x20 /etc/lb/web.json: 4 resources\n\
         A newer version was refused at 2026-01-02T04:05:06.789Z:\n\
         \x20 /etc/lb/web.json: $.port: no such field\n\
         \n\
         INTERFACE  INDEX  XDP_MODE  PROGRAM_ID\n\
         eth0       2      native    17\n\
         10.0.0.101, 10.0.0.102, 10.0.0.103, 10.0.0.104 and 2 more: answered for on eth0\n\
         10.0.0.100: on no connected prefix\n\
         warning: no route to 10.0.0.9\n"
    );
}

#[test]
fn a_verification_says_what_is_missing() {
    let mut verification = Verification {
        services: 1,
        members: 2,
        differences: Vec::new(),
    };
    let shown = rendered(|out| render_verification(out, &verification));
    assert!(shown.ends_with("The maps hold what they should.\n"), "{shown}");
    verification.differences.push("PutDevice(3)".to_owned());
    let shown = rendered(|out| render_verification(out, &verification));
    assert!(shown.ends_with("missing: PutDevice(3)\n"), "{shown}");
}

fn flow() -> FlowRow {
    FlowRow {
        service: path(Kind::BackendService, "web"),
        source: Some([192, 0, 2, 1].into()),
        destination: Some([10, 0, 0, 100].into()),
        protocol: Some(6),
        source_port: Some(40000),
        destination_port: Some(80),
        tuple_known: true,
        group: path(Kind::NetworkEndpointGroup, "near"),
        instance: Some("n1".to_owned()),
        ip_address: [10, 0, 0, 1].into(),
        backend_healthy: true,
        confirmed: false,
        expires_in_sec: 60,
    }
}

#[test]
fn flows_show_their_keys() {
    let two_tuple = FlowRow {
        protocol: None,
        source_port: None,
        destination_port: None,
        ..flow()
    };
    let one_tuple = FlowRow {
        destination: None,
        ..two_tuple.clone()
    };
    let unknown = FlowRow {
        source: None,
        tuple_known: false,
        instance: None,
        ..one_tuple.clone()
    };
    let v6 = FlowRow {
        source: "2001:db8::1".parse().ok(),
        protocol: Some(132),
        ..flow()
    };
    let list = FlowList {
        flows: vec![flow(), v6, two_tuple, one_tuple, unknown],
        truncated: false,
    };
    assert_eq!(
        rendered(|out| render_flow_list(out, &list)),
        "PROTOCOL  SOURCE               DESTINATION    SERVICE  BACKEND        HEALTHY  CONFIRMED  EXPIRES\n\
         TCP       192.0.2.1:40000      10.0.0.100:80  web      near/n1        yes      no         60s\n\
         SCTP      [2001:db8::1]:40000  10.0.0.100:80  web      near/n1        yes      no         60s\n\
         *         192.0.2.1            10.0.0.100     web      near/n1        yes      no         60s\n\
         *         192.0.2.1            *              web      near/n1        yes      no         60s\n\
         ?         ?                    ?              web      near/10.0.0.1  yes      no         60s\n"
    );
}

#[test]
fn flow_counts_are_by_service() {
    let services = vec![ServiceFlowCount {
        service: path(Kind::BackendService, "web"),
        live: 1024,
    }];
    let count = FlowCount {
        slots: 4096,
        live: 1024,
        confirmed: 9,
        services,
    };
    assert_eq!(
        rendered(|out| render_flow_count(out, &count)),
        "slots:     4096\nlive:      1024 (25.00 %)\nconfirmed: 9\n\nSERVICE  LIVE\nweb      1024\n"
    );
    let empty = FlowCount::default();
    assert_eq!(
        rendered(|out| render_flow_count(out, &empty)),
        "slots:     0\nlive:      0 (0.00 %)\nconfirmed: 0\n"
    );
}

#[test]
fn faults_are_a_line_each() {
    let fault = |source: &str, path: &str, hint: Option<&str>| WireFault {
        source: source.to_owned(),
        path: path.to_owned(),
        value: hint.map(|_| "7".to_owned()),
        reason: "wrong".to_owned(),
        hint: hint.map(str::to_owned),
    };
    let faults = [
        fault("a.json", "$.name", Some("try x")),
        fault("-", "$[1]", None),
        fault("", "", None),
    ];
    assert_eq!(
        rendered(|out| render_faults(out, &faults)),
        "a.json: $.name: '7': wrong (try x)\n-: $[1]: wrong\nwrong\n3 faults\n"
    );
    assert_eq!(
        rendered(|out| render_faults(out, &faults[2..])),
        "wrong\n1 fault\n"
    );
}

#[test]
fn an_apply_is_a_table_of_actions() {
    let change = |action, name| Change {
        path: path(Kind::HealthCheck, name),
        action,
    };
    let changes = vec![
        change(ChangeAction::Unchanged, "a"),
        change(ChangeAction::Deleted, "b"),
    ];
    let report = ApplyReport {
        changes,
        warnings: Vec::new(),
    };
    assert_eq!(
        rendered(|out| render_apply_report(out, &report)),
        "ACTION     RESOURCE\n\
         unchanged  projects/acme/regions/r1/healthChecks/a\n\
         deleted    projects/acme/regions/r1/healthChecks/b\n"
    );
}
