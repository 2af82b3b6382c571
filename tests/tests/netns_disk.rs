//! The disk of the state directory is full: health goes on, changes are refused with a sentence, and all is well once
//! there is room again.

use std::net::IpAddr;
use std::time::Duration;

use lb_tests::condition::eventually;
use lb_tests::daemon::Daemon;
use lb_tests::documents::Documents;
use lb_tests::multitude::Multitude;
use lb_tests::resources::{endpoint, group, group_path, http_check, rule, service};
use lb_tests::tmpfs::Tmpfs;
use lb_tests::topology::{Lab, PRIMARIES, VIP4};
use serde_json::json;

const ZONE: &str = "lab-1-a";
const ENDPOINTS: u16 = 300;
const SICK: u16 = 150;
const DISK_MIB: u32 = 12;
const FOLLOWED: Duration = Duration::from_secs(60);

fn documents(endpoints: &Multitude, count: u16) -> Documents {
    let all = (0..count).map(|index| endpoint(&[endpoints.ipv4(index).into()]));
    Documents::of(vec![
        http_check("check", 2),
        group(ZONE, "web", all),
        service(
            "web",
            "EXTERNAL",
            &[group_path(ZONE, "web")],
            Some("check"),
            json!({}),
        ),
        rule("web", "EXTERNAL", VIP4.into(), "web"),
    ])
}

/// Of no service.
fn large_groups(endpoints: &Multitude) -> Documents {
    let group_of = |number: u16| {
        let all = (0..10_000).map(|index| endpoint(&[endpoints.ipv4(index).into()]));
        group(ZONE, &format!("large-{number}"), all)
    };
    Documents::of((0..20).map(group_of).collect())
}

#[track_caller]
fn wait_for(daemon: &Daemon<'_>, count: u16) {
    daemon.wait_for_rotation(FOLLOWED, VIP4.into(), count.into());
}

#[test]
fn health_does_not_wait_for_a_disk() {
    let lab = Lab::flat("disk");
    let endpoints = Multitude::start(&lab, PRIMARIES[0], 83);
    let mut daemon = Daemon::new(&lab);
    let disk = Tmpfs::mount(&daemon.directory().join("state"), DISK_MIB);
    daemon.give("--settings", "lb.toml", "probe-destination = \"own-address\"\n");
    daemon.start_again();
    daemon.apply(&documents(&endpoints, ENDPOINTS));
    wait_for(&daemon, ENDPOINTS);

    disk.fill();
    let sick = (0..SICK).map(|index| IpAddr::from(endpoints.ipv4(index)));
    endpoints.fail(sick);
    wait_for(&daemon, ENDPOINTS - SICK);

    // What has to be kept is refused, and nothing of it happens. It takes more room than the store has set aside.
    let file = daemon.write("more.json", &large_groups(&endpoints).json());
    let apply = ["apply", "-f", file.to_str().expect("a path in ASCII")];
    let refused = daemon.run_ctl(&apply);
    let complaint = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "there is no room to keep it");
    assert!(complaint.contains("No space left on device"), "{complaint}");
    daemon.wait_for_trouble(FOLLOWED, "No space left on device");
    wait_for(&daemon, ENDPOINTS - SICK);

    disk.make_room();
    endpoints.fail([]);
    wait_for(&daemon, ENDPOINTS);
    let smaller = daemon.write("less.json", &documents(&endpoints, ENDPOINTS + 1).json());
    eventually(FOLLOWED, || {
        let applied = daemon.run_ctl(&["apply", "-f", smaller.to_str().expect("a path in ASCII")]);
        match applied.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&applied.stderr).into_owned()),
        }
    });
    wait_for(&daemon, ENDPOINTS + 1);
    daemon.wait_until_well(FOLLOWED);
    daemon.kill();
    daemon.start_again();
    wait_for(&daemon, ENDPOINTS + 1);
}
