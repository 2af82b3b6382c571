//! A change that doesn't fit the kernel's maps is refused as a whole, before anything of it is kept.

use std::net::Ipv4Addr;

use lb_tests::balanced::Balanced;
use lb_tests::documents::Documents;
use lb_tests::resources::{REGION, endpoint, group, group_path, service, service_path};
use lb_tests::topology::{Lab, PRIMARIES, VIP4};
use serde_json::{Value, json};

const ZONE: &str = "lab-1-a";
/// Each of 28 blocks of ports: together more than the map of rules holds.
const RULES: u32 = 4800;
const INVALID: Option<i32> = Some(4);

fn too_many() -> Documents {
    let vip = |number: u32| Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + number);
    let rule = |number: u32| -> Value {
        json!({
            "kind": "compute#forwardingRule", "name": format!("r{number}"), "region": REGION,
            "IPAddress": vip(number), "IPProtocol": "TCP", "portRange": "2-65534",
            "loadBalancingScheme": "EXTERNAL", "backendService": service_path("wide"),
        })
    };
    let small = [
        group(ZONE, "wide", [endpoint(&[Ipv4Addr::new(10, 66, 0, 11).into()])]),
        service("wide", "EXTERNAL", &[group_path(ZONE, "wide")], None, json!({})),
    ];
    Documents::of(small.into_iter().chain((0..RULES).map(rule)).collect())
}

#[test]
fn more_rules_than_fit_change_nothing() {
    let lab = Lab::flat("limits");
    let mut balanced = Balanced::start(
        &lab,
        &Documents::new(&lab, &PRIMARIES).both_protocols(|service| service),
    );
    let daemon = &balanced.daemon;
    let (before, held) = (daemon.status().resources, daemon.contents());
    let file = daemon.write("wide.json", &too_many().json());
    let refused = daemon.run_ctl(&["apply", "-f", file.to_str().expect("a path in ASCII")]);
    let complaint: String = String::from_utf8_lossy(&refused.stderr)
        .chars()
        .take(2000)
        .collect();
    assert_eq!(refused.status.code(), INVALID, "{complaint}");
    // Which document, and what it doesn't fit into.
    assert!(
        complaint.contains("$[") && complaint.contains("131072"),
        "{complaint}"
    );
    assert!(
        !complaint.contains("PutRule"),
        "a person is told, not a debugger: {complaint}"
    );
    assert_eq!(daemon.status().resources, before, "nothing is stored");
    let after = daemon.contents();
    assert_eq!(after.rules, held.rules, "nothing is changed");
    assert_eq!(
        after.services.keys().collect::<Vec<_>>(),
        held.services.keys().collect::<Vec<_>>()
    );

    balanced.daemon.kill();
    balanced.daemon.start_again();
    balanced.connect_many(VIP4, 4);
    balanced
        .daemon
        .wait_until_well(std::time::Duration::from_secs(20));
}
