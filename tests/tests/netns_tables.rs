//! Table space: hundreds of endpoints that fail, and a thousand services at once, in little room.

use std::time::Duration;

use lb_tests::condition::eventually;
use lb_tests::daemon::Daemon;
use lb_tests::documents::Documents;
use lb_tests::held::members_of;
use lb_tests::multitude::{Multitude, small_vip};
use lb_tests::resources::{endpoint, group, group_path, http_check, rule, service, tcp_check};
use lb_tests::topology::{Lab, PRIMARIES, VIP4};
use serde_json::json;

const OWN_ADDRESS: &str = "probe-destination = \"own-address\"\n";
const ZONE: &str = "lab-1-a";
/// Longer than a machine with other work needs, and far shorter than until somebody restarts the daemon.
const FOLLOWED: Duration = Duration::from_secs(180);

/// Of a machine with more work than processors: nothing that this is about.
const IS_BUSY: &str = "health probes start later than a whole check interval";

const ENDPOINTS: u16 = 700;
/// Room for few changes of one service at a time.
const ROOM_FOR_ONE: u32 = 4 << 20;
const SERVICES: u16 = 1000;
/// Of which the services' tables of 4,096 slots take 37 %.
const ROOM_FOR_ALL: u32 = 11_000_000;
/// Of each.
const FEW: u16 = 6;

fn large_service(endpoints: &Multitude) -> Documents {
    let all = (0..ENDPOINTS).map(|index| endpoint(&[endpoints.ipv4(index).into()]));
    Documents::of(vec![
        http_check("check", 2),
        group(ZONE, "large", all),
        service(
            "large",
            "EXTERNAL",
            &[group_path(ZONE, "large")],
            Some("check"),
            json!({}),
        ),
        rule("large", "EXTERNAL", VIP4.into(), "large"),
    ])
}

#[test]
fn dead_endpoints_leave_the_maps_however_many_they_are() {
    let lab = Lab::flat("dead");
    let endpoints = Multitude::start(&lab, PRIMARIES[0], 77);
    let mut daemon = Daemon::new(&lab);
    daemon.table_slots = ROOM_FOR_ONE;
    daemon.give("--settings", "lb.toml", OWN_ADDRESS);
    daemon.start_again();
    daemon.apply(&large_service(&endpoints));
    let serves = |count: usize| daemon.wait_for_rotation(FOLLOWED, VIP4.into(), count);
    serves(ENDPOINTS.into());
    let half = (0..ENDPOINTS)
        .step_by(2)
        .map(|index| endpoints.ipv4(index).into());
    endpoints.fail(half);
    serves(usize::from(ENDPOINTS) / 2);
    endpoints.fail([]);
    serves(ENDPOINTS.into());
    assert_eq!(daemon.verify().differences, [""; 0]);
    daemon.assert_quiet(&[IS_BUSY]);
}

fn small_services(endpoints: &Multitude) -> Documents {
    // The second probes are spread over the interval, so that results come one after another.
    let mut check = tcp_check("check", 5);
    check["healthyThreshold"] = 2.into();
    let services = endpoints.small_services(ZONE, SERVICES, FEW, "check");
    Documents::of(std::iter::once(check).chain(services).collect())
}

#[test]
fn a_thousand_services_are_whole_after_a_cold_start() {
    let lab = Lab::flat("cold");
    let endpoints = Multitude::start(&lab, PRIMARIES[0], 78);
    let mut daemon = Daemon::new(&lab);
    daemon.table_slots = ROOM_FOR_ALL;
    daemon.give("--settings", "lb.toml", OWN_ADDRESS);
    daemon.give("--config", "config.json", &small_services(&endpoints).json());
    daemon.start_again();
    let all = usize::from(SERVICES) * usize::from(FEW);
    eventually(FOLLOWED, || {
        let held = daemon.held();
        let healthy_in_rotation = |number: u16| {
            let (_, service) = held.found(small_vip(number))?;
            let (_, slots) = service.table.as_ref()?;
            let is_healthy =
                |member: &u32| service.members.get(member).is_some_and(|member| member.healthy());
            Some(
                members_of(slots)
                    .iter()
                    .filter(|member| is_healthy(member))
                    .count(),
            )
        };
        match (0..SERVICES).filter_map(healthy_in_rotation).sum::<usize>() {
            healthy if healthy == all => Ok(()),
            healthy => Err(format!(
                "{healthy} of {all} endpoints serve by the maps, and {} errors are in the log",
                daemon.log().matches("ERROR").count()
            )),
        }
    });
    daemon.assert_quiet(&[IS_BUSY]);
    // There is room for more.
    let one = [
        service(
            "more",
            "EXTERNAL",
            &[group_path(ZONE, "s0")],
            Some("check"),
            json!({}),
        ),
        rule("more", "EXTERNAL", small_vip(SERVICES), "more"),
    ];
    daemon.apply(&Documents::of(one.into()));
}
