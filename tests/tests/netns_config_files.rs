//! The files of `--config`, followed: what they say is what the balancer does, and what they say wrong it says back.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use lb_ctl::views::{ConfigStatus, RefusedConfig};
use lb_tests::condition::eventually;
use lb_tests::daemon::Daemon;
use lb_tests::topology::Lab;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);

fn group(name: &str) -> Value {
    json!({
        "kind": "compute#networkEndpointGroup", "name": name, "zone": "projects/lab/zones/z",
        "networkEndpointType": "GCE_VM_IP", "networkEndpoints": [{"ipAddress": "10.66.0.11"}],
    })
}

fn service(group: &str) -> Value {
    json!({
        "kind": "compute#backendService", "name": "web", "region": "projects/lab/regions/r", "protocol": "TCP",
        "loadBalancingScheme": "EXTERNAL",
        "backends": [{"group": format!("projects/lab/zones/z/networkEndpointGroups/{group}")}],
    })
}

struct Followed<'lab> {
    daemon: Daemon<'lab>,
    file: PathBuf,
}

impl<'lab> Followed<'lab> {
    fn start(lab: &'lab Lab, resources: &[Value]) -> Self {
        let daemon = Daemon::start_with(lab, &text(resources));
        let file = daemon.directory().join("config.json");
        Self { daemon, file }
    }

    /// As most editors write.
    fn replace(&self, resources: &[Value]) {
        let fresh = self.file.with_extension("swp");
        fs::write(&fresh, text(resources)).unwrap();
        fs::rename(fresh, &self.file).unwrap();
    }

    fn status(&self) -> ConfigStatus {
        self.daemon.status().config
    }

    #[track_caller]
    fn wait_for_groups(&self, wanted: usize) {
        eventually(SOON, || {
            let groups = self.daemon.status().resources["networkEndpointGroups"];
            match groups == wanted {
                true => Ok(()),
                false => Err(format!("{groups} groups, {:?}", self.status())),
            }
        });
    }

    #[track_caller]
    fn wait_for_refusal(&self, part: &str) -> RefusedConfig {
        eventually(SOON, || {
            let status = self.status();
            let refused = status.refused.ok_or("nothing is refused")?;
            match refused.faults.iter().any(|fault| fault.contains(part)) {
                true => Ok(refused),
                false => Err(format!("{refused:?}")),
            }
        })
    }
}

fn text(resources: &[Value]) -> String {
    json!(resources).to_string()
}

#[test]
fn a_file_is_followed_and_owns_what_it_defines() {
    let lab = Lab::flat("follow");
    let followed = Followed::start(&lab, &[group("one")]);
    let status = followed.status();
    assert_eq!(status.files.values().sum::<usize>(), 1, "{status:?}");
    followed.replace(&[group("one"), group("two")]);
    followed.wait_for_groups(2);
    fs::write(&followed.file, text(&[group("two")])).unwrap();
    followed.wait_for_groups(1);
    assert_eq!(followed.status().refused, None);

    let applied = followed.daemon.write(
        "api.json",
        &text(&[json!({
            "kind": "compute#networkEndpointGroup", "name": "two", "zone": "projects/lab/zones/z",
            "networkEndpointType": "GCE_VM_IP", "description": "changed by the API",
        })]),
    );
    let output = followed
        .daemon
        .run_ctl(&["apply", "-f", applied.to_str().unwrap()]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        complaint.contains("it is defined by") && complaint.contains("config.json"),
        "{complaint}"
    );
}

#[test]
fn a_bad_version_is_refused_as_a_whole_and_told() {
    let lab = Lab::flat("refuse");
    let followed = Followed::start(&lab, &[group("one")]);
    let loaded_at = followed.status().loaded_at;
    let mut bad = group("two");
    bad["colour"] = json!("red");
    bad["networkEndpointType"] = json!("NONE");
    followed.replace(&[bad, group("three")]);
    let refused = followed.wait_for_refusal("colour");
    assert!(refused.faults.len() > 1, "all faults at once: {refused:?}");
    assert_eq!(followed.status().loaded_at, loaded_at, "what was in force stays");
    assert_eq!(followed.daemon.status().resources["networkEndpointGroups"], 1);
    assert!(followed.daemon.log().contains("refused as a whole"));
    let shown = followed.daemon.ctl(&["status"]);
    assert!(
        shown.contains("A newer version was refused") && shown.contains("colour"),
        "{shown}"
    );

    fs::remove_file(&followed.file).unwrap();
    followed.wait_for_refusal("can't be read");
    followed.replace(&[group("one"), group("three")]);
    followed.wait_for_groups(2);
    assert_eq!(followed.status().refused, None);
    assert_eq!(followed.daemon.verify().differences, [""; 0]);
}

#[test]
fn what_another_resource_uses_stays_until_it_does_not() {
    let lab = Lab::flat("in-use");
    let followed = Followed::start(&lab, &[group("one"), group("two")]);
    let api = followed.daemon.write("api.json", &text(&[service("one")]));
    followed.daemon.ctl(&["apply", "-f", api.to_str().unwrap()]);
    followed.replace(&[group("two")]);
    let refused = followed.wait_for_refusal("does not define it any more");
    assert!(refused.faults[0].contains("backendServices/web"), "{refused:?}");
    // Without anything else happening to the file.
    let api = followed.daemon.write("api.json", &text(&[service("two")]));
    followed.daemon.ctl(&["apply", "-f", api.to_str().unwrap()]);
    followed.wait_for_groups(1);
    assert_eq!(followed.status().refused, None);
}

#[test]
fn what_left_the_file_while_nobody_looked_goes_at_the_start() {
    let lab = Lab::flat("while-down");
    let mut followed = Followed::start(&lab, &[group("one"), group("two")]);
    followed.daemon.kill();
    followed.replace(&[group("two"), group("three")]);
    followed.daemon.start_again();
    followed.wait_for_groups(2);
    assert!(!followed.daemon.log().contains("refused as a whole"));
}

#[test]
fn sighup_rereads() {
    let lab = Lab::flat("hangup");
    let followed = Followed::start(&lab, &[group("one")]);
    followed.replace(&[group("one"), group("two")]);
    followed.daemon.signal(Signal::SIGHUP);
    followed.wait_for_groups(2);
    followed.daemon.signal(Signal::SIGHUP);
    followed.daemon.assert_quiet(&[]);
}
