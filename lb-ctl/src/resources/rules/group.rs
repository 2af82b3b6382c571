//! The rules of groups and of the instances in them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::draft::{Draft, Drafts, Known, Report};
use super::super::{link, members, typed};

const DELIVERY: &str = "lb/delivery";
const DELIVERIES: [&str; 4] = ["auto", "l2", "ipip", "gue"];

pub(super) fn check_endpoints(group: &Draft, drafts: &Drafts, report: &mut Report) {
    annotations(group, "annotations", group.value.get("annotations"), true, report);
    let vm = group.text("networkEndpointType") == Known::Is("GCE_VM_IP");
    if vm && group.is_present("defaultPort") {
        report.invalid(group, "defaultPort", "an endpoint of type GCE_VM_IP has no port");
    }
    let entries = group.list("networkEndpoints");
    for entry in entries.iter().filter(|(at, _)| !group.is_faulty(at)) {
        endpoint(group, entry, vm, drafts, report);
    }
    let first_port = entries.iter().find(|(_, item)| !vm && item.get("port").is_some());
    if let Some((at, _)) = first_port {
        let why = "the port of an endpoint is kept and decides nothing: packets keep their destination port";
        report.warn(group, &format!("{at}.port"), why);
    }
    distinct(group, drafts, report);
}

fn endpoint(group: &Draft, entry: &(String, &Value), vm: bool, drafts: &Drafts, report: &mut Report) {
    let at = &entry.0;
    let text = |name: &str| group.member(entry, name).and_then(Value::as_str);
    if let Some(Err(why)) = text("ipAddress").map(typed::ipv4) {
        report.invalid(group, &format!("{at}.ipAddress"), why);
    }
    if let Some(Err(why)) = text("ipv6Address").map(typed::ipv6) {
        report.invalid(group, &format!("{at}.ipv6Address"), why);
    }
    if vm && group.member(entry, "port").is_some() {
        report.invalid(
            group,
            &format!("{at}.port"),
            "an endpoint of type GCE_VM_IP has no port",
        );
    }
    annotations(
        group,
        &format!("{at}.annotations"),
        entry.1.get("annotations"),
        false,
        report,
    );
    if let Some(name) = text("instance").filter(|name| link::instance(name, &group.scope).is_none()) {
        report.invalid(
            group,
            &format!("{at}.instance"),
            format!("'{name}' is no URL or name of an instance"),
        );
        return;
    }
    let has_address = ["ipAddress", "ipv6Address"]
        .iter()
        .any(|name| entry.1.get(*name).is_some());
    if has_address {
        return;
    }
    let instance = text("instance").and_then(|name| link::instance(name, &group.scope));
    match instance {
        None => report.invalid(group, at, "has no address: set ipAddress or ipv6Address"),
        Some(path) if !drafts.contains_key(&path) => {
            report.invalid(
                group,
                at,
                "has no address, and no instance of this name is known to take it from",
            );
        }
        Some(_) => {}
    }
}

/// Free keys, but those of ours must be known.
fn annotations(group: &Draft, field: &str, value: Option<&Value>, of_group: bool, report: &mut Report) {
    let none = Map::new();
    for (key, value) in value.and_then(Value::as_object).unwrap_or(&none) {
        let at = format!("{field}.{key}");
        if !key.starts_with("lb/") || group.is_faulty(&at) {
            continue;
        }
        if key != DELIVERY || !of_group {
            report.invalid(group, &at, "is no annotation that is known here");
            report.hint(format!("a network endpoint group may have {DELIVERY}"));
        } else if !DELIVERIES
            .iter()
            .any(|delivery| Some(*delivery) == value.as_str())
        {
            report.invalid(group, &at, "is no way of delivery");
            report.hint(format!("accepted: {}", DELIVERIES.join(", ")));
        }
    }
}

pub(super) fn check_instances(group: &Draft, drafts: &Drafts, report: &mut Report) {
    let mut seen: BTreeMap<&str, String> = BTreeMap::new();
    for entry in group.list("instances") {
        let Some(instance) = group.member(&entry, "instance").and_then(Value::as_str) else {
            continue;
        };
        let at = format!("{}.instance", entry.0);
        let elsewhere = link::resolved(instance)
            .is_some_and(|path| link::location_name(&path) != link::location_name(&group.path));
        if elsewhere {
            report.invalid(group, &at, "is in another zone than the group");
        }
        if let Some(first) = seen.get(instance) {
            report.invalid(group, &at, format!("is the same instance as {first}"));
            continue;
        }
        seen.insert(instance, at);
    }
    if seen.len() == group.list("instances").len() {
        distinct(group, drafts, report);
    }
}

/// No address twice within a group.
fn distinct(group: &Draft, drafts: &Drafts, report: &mut Report) {
    let mut seen = BTreeMap::new();
    for (at, endpoint) in members::endpoints(group, drafts) {
        let own = endpoint
            .ipv4
            .map(|a| a.to_string())
            .into_iter()
            .chain(endpoint.ipv6.map(|a| a.to_string()));
        for address in own {
            if let Some(first) = seen.insert(address.clone(), at.clone()) {
                report.invalid(group, &at, format!("has the same address as {first}: {address}"));
            }
        }
    }
}

pub(super) fn check_instance(instance: &Draft, report: &mut Report) {
    let interfaces = instance.list("networkInterfaces");
    for entry in &interfaces {
        let text = |name: &str| instance.member(entry, name).and_then(Value::as_str);
        if let Some(Err(why)) = text("networkIP").map(typed::ipv4) {
            report.invalid(instance, &format!("{}.networkIP", entry.0), why);
        }
        if let Some(Err(why)) = text("ipv6Address").map(typed::ipv6) {
            report.invalid(instance, &format!("{}.ipv6Address", entry.0), why);
        }
    }
    let Some((at, first)) = interfaces.first() else {
        if instance.is_present("networkInterfaces") && !instance.is_faulty("networkInterfaces") {
            report.invalid(
                instance,
                "networkInterfaces",
                "an instance without an interface has no address",
            );
        }
        return;
    };
    if first.is_object() && first.get("networkIP").is_none() && first.get("ipv6Address").is_none() {
        report.invalid(instance, at, "has no address: set networkIP or ipv6Address");
    }
    if interfaces.len() > 1 {
        report.warn(
            instance,
            "networkInterfaces[1]",
            "packets go to the first interface only",
        );
    }
}
