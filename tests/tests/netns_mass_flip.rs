//! Half of a large service fails at once: others are answered, and their health is followed, meanwhile.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use lb_tests::answers::Answers;
use lb_tests::daemon::Daemon;
use lb_tests::documents::Documents;
use lb_tests::multitude::Multitude;
use lb_tests::resources::{endpoint, group, group_path, http_check, rule, service};
use lb_tests::topology::{Lab, PRIMARIES, VIP4};
use serde_json::{Value, json};

const ZONE: &str = "lab-1-a";
const MANY: u16 = 2000;
const FEW: u16 = 2;
const OTHER_VIP: Ipv4Addr = Ipv4Addr::new(10, 66, 0, 101);
/// Whoever waits so long on a machine that has other work waits for the flip.
const PATIENCE: Duration = Duration::from_secs(15);
const FOLLOWED: Duration = Duration::from_secs(60);

fn of(name: &str, endpoints: &Multitude, count: u16, interval_sec: u32, vip: Ipv4Addr) -> [Value; 4] {
    let all = (0..count).map(|index| endpoint(&[endpoints.ipv4(index).into()]));
    [
        http_check(name, interval_sec),
        group(ZONE, name, all),
        service(name, "EXTERNAL", &[group_path(ZONE, name)], Some(name), json!({})),
        rule(name, "EXTERNAL", vip.into(), name),
    ]
}

/// So many members are healthy and have all of the VIP's new connections.
#[track_caller]
fn wait_for(daemon: &Daemon<'_>, bound: Duration, vip: Ipv4Addr, count: u16) {
    daemon.wait_for_rotation(bound, vip.into(), count.into());
}

#[test]
fn nobody_waits_for_a_thousand_endpoints_that_fail() {
    let lab = Lab::flat("flip");
    let (many, few) = (
        Multitude::start(&lab, PRIMARIES[0], 81),
        Multitude::start(&lab, PRIMARIES[1], 82),
    );
    let mut daemon = Daemon::new(&lab);
    daemon.table_slots = 32 << 20;
    daemon.give("--settings", "lb.toml", "probe-destination = \"own-address\"\n");
    daemon.start_again();
    let all = [
        of("many", &many, MANY, 5, VIP4),
        of("few", &few, FEW, 2, OTHER_VIP),
    ];
    daemon.apply(&Documents::of(all.concat()));
    wait_for(&daemon, FOLLOWED, VIP4, MANY);
    wait_for(&daemon, FOLLOWED, OTHER_VIP, FEW);

    let answers = Answers::watch(daemon.socket());
    let half: BTreeSet<IpAddr> = (0..MANY)
        .step_by(2)
        .map(|index| many.ipv4(index).into())
        .collect();
    let one = [few.ipv4(0).into()];
    // The results of the many come for as long as a check's interval; the others flip in the midst of them.
    many.fail(half);
    for round in 0..3 {
        few.fail(if round % 2 == 0 { one.to_vec() } else { Vec::new() });
        wait_for(
            &daemon,
            PATIENCE,
            OTHER_VIP,
            if round % 2 == 0 { FEW - 1 } else { FEW },
        );
    }
    wait_for(&daemon, FOLLOWED, VIP4, MANY / 2);
    assert!(answers.count() > 0);
    let worst = answers.worst();
    assert!(worst < PATIENCE, "an answer took {worst:?}");
    drop(answers);
    assert_eq!(daemon.verify().differences, [""; 0]);
}
