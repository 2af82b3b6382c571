//! The lines as they are written.

use serde_json::{Value, json};

use super::super::line::{self, Calendar};
use super::*;
use crate::model::{InstanceField, Ports, RuleProtocol, SessionAffinity, TrackingMode};

/// What a scan writes.
fn lines(lab: &mut Lab) -> Vec<Value> {
    let mut text = Vec::new();
    let now = lab.world.now;
    let calendar = Calendar::default();
    lab.scanner
        .scan(&lab.maps.tables, &lab.snapshot, now, &mut |event| {
            line::append(&mut text, event, &calendar);
        });
    let text = String::from_utf8(text).expect("JSON is text");
    let lines = text.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).expect("a line is JSON");
        let time = line["timestamp"].take();
        let time: Result<jiff::Timestamp, _> = time.as_str().expect("a text").parse();
        time.expect("RFC 3339");
        line.as_object_mut().expect("an object").remove("timestamp");
        line
    });
    lines.collect()
}

#[test]
fn a_line_has_the_names_of_the_cloud() {
    let mut lab = Lab::new(web());
    let at = lab.send(Kind::Syn, 5);
    let endpoint = json!({"ipAddress": at.to_string(), "group": "main", "zone": "europe-west4-a"});
    let connection = json!({
        "clientIp": "198.51.0.5",
        "clientPort": 40005,
        "serverIp": VIP,
        "serverPort": 80,
        "protocol": 6,
    });
    let resource = json!({"labels": {
        "project_id": "", "region": "",
        "backend_service_name": "web", "forwarding_rule_name": "web-tcp",
    }});
    // Second 4003 of a clock that began with the epoch, a tick of 4 s or less ago.
    let start = "1970-01-01T01:06:40Z";
    assert_eq!(
        lines(&mut lab),
        [json!({
            "event": "BEGIN",
            "connection": connection,
            "startTime": start,
            "endpoint": endpoint,
            "resource": resource,
        })]
    );
    lab.wait(8);
    lab.send(Kind::Ack, 5);
    assert_eq!(lines(&mut lab), [] as [Value; 0]);
    lab.wait(70);
    assert_eq!(
        lines(&mut lab),
        [json!({
            "event": "END",
            "connection": connection,
            "startTime": start,
            "endTime": "1970-01-01T01:06:48Z",
            "endpoint": endpoint,
            "resource": resource,
        })]
    );
}

#[test]
fn a_move_names_both_ends_and_the_reason() {
    let mut lab = Lab::new(web());
    let client = (0..)
        .find(|client| lab.send(Kind::Udp, *client) == ip(A))
        .expect("one");
    lines(&mut lab);
    lab.change(|world| world.health(A, false));
    lab.send(Kind::Udp, client);
    let told = lines(&mut lab);
    assert_eq!(told.len(), 1);
    let line = &told[0];
    assert_eq!(
        (&line["event"], &line["reason"]),
        (&json!("MOVED"), &json!("UNHEALTHY"))
    );
    assert_eq!(line["previousEndpoint"]["ipAddress"], A);
    assert_eq!(line["endpoint"]["ipAddress"], B);
}

#[test]
fn parts_that_are_not_tracked_are_left_out() {
    let mut world = web();
    let service = world.service("web");
    service.affinity = SessionAffinity::ClientIp;
    service.tracking = TrackingMode::PerSession;
    let mut lab = Lab::new(world);
    lab.send(Kind::Udp, 5);
    let told = lines(&mut lab);
    assert_eq!(
        told[0]["connection"],
        json!({"clientIp": "198.51.0.5", "serverIp": VIP})
    );
    let labels = &told[0]["resource"]["labels"];
    assert_eq!(labels.get("forwarding_rule_name"), None, "two rules fit");
}

#[test]
fn optional_fields_are_those_chosen() {
    let mut world = web();
    for (index, endpoint) in world
        .config
        .groups
        .values_mut()
        .flat_map(|group| &mut group.endpoints)
        .enumerate()
    {
        endpoint.instance = Some(format!("vm-{index}"));
    }
    let mut lab = Lab::new(world);
    let details = |lab: &mut Lab, client, fields: &[InstanceField]| {
        lab.change(|world| {
            let log = world.service("web").log.as_mut().expect("it is logged");
            log.fields = fields.iter().copied().collect();
        });
        lab.send(Kind::Udp, client);
        lines(lab)[0].get("serverInstance").cloned()
    };
    assert_eq!(details(&mut lab, 1, &[]), None);
    let all = details(&mut lab, 2, &InstanceField::ALL).expect("details");
    assert_eq!(
        all.as_object().expect("an object").len(),
        InstanceField::ALL.len()
    );
    assert!(all["vm"].as_str().is_some_and(|vm| vm.starts_with("vm-")));
    let chosen = details(&mut lab, 3, &[InstanceField::Zone]);
    assert_eq!(chosen, Some(json!({"zone": "europe-west4-a"})));
}

#[test]
fn the_rule_is_the_one_that_the_data_plane_took() {
    let mut world = web();
    world.rule("rest", VIP, RuleProtocol::L3Default, Ports::All, "web");
    world.steer("near", "web-udp", &["198.51.0.0/28"], "web");
    world.steer("nearer", "web-udp", &["198.51.0.8/29"], "web");
    let mut lab = Lab::new(world);
    for (kind, client, rule) in [
        (Kind::Udp, 1, "near"),
        (Kind::Udp, 9, "nearer"),
        (Kind::Udp, 20, "web-udp"),
        (Kind::Syn, 9, "web-tcp"),
    ] {
        lab.send(kind, client);
        let told = lines(&mut lab);
        assert_eq!(told[0]["resource"]["labels"]["forwarding_rule_name"], rule);
    }
    lab.maps.decide(&frame(Kind::Udp, 30, VIP, 9999));
    let told = lines(&mut lab);
    assert_eq!(told[0]["resource"]["labels"]["forwarding_rule_name"], "rest");
}
