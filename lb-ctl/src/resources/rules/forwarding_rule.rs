//! The rules of one forwarding rule, and of its pairing with its service.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::super::draft::{Draft, Drafts, Known, Report};
use super::super::{link, typed};
use crate::model::{Ports, RuleProtocol, Vip};

pub(super) fn check(rule: &Draft, drafts: &Drafts, report: &mut Report) {
    address(rule, report);
    port_fields(rule, report);
    source_fields(rule, report);
    labels(rule, report);
    pairing(rule, drafts, report);
}

pub(crate) fn vip(rule: &Draft) -> Option<Vip> {
    typed::vip(rule.text("IPAddress").get()?).ok()
}

pub(crate) fn protocol(rule: &Draft) -> Option<RuleProtocol> {
    rule.text("IPProtocol").or("TCP").and_then(RuleProtocol::from_api)
}

/// Nothing when they can't be told because of a fault.
pub(crate) fn ports(rule: &Draft) -> Option<Ports> {
    let protocol = protocol(rule)?;
    if !protocol.has_ports() || rule.flag("allPorts") {
        return Some(Ports::All);
    }
    let listed = rule.list("ports");
    let texts = listed.iter().map(|(_, text)| text.as_str()).chain(
        rule.text("portRange")
            .get()
            .filter(|range| !range.is_empty())
            .map(Some),
    );
    let mut ranges = texts
        .map(|text| typed::port_range(text?).ok())
        .collect::<Option<Vec<_>>>()?;
    ranges.sort_unstable();
    (!ranges.is_empty()).then_some(Ports::Ranges(ranges))
}

pub(crate) fn source_ranges(rule: &Draft) -> Vec<IpNet> {
    let texts = rule.list("sourceIpRanges");
    let parsed = texts
        .iter()
        .filter_map(|(_, text)| typed::source_range(text.as_str()?, vip(rule)).ok());
    let mut ranges: Vec<IpNet> = parsed.collect();
    ranges.sort_unstable();
    ranges
}

fn address(rule: &Draft, report: &mut Report) {
    let Known::Is(text) = rule.text("IPAddress") else {
        return;
    };
    match typed::vip(text) {
        Err(why) => report.invalid(rule, "IPAddress", why),
        Ok(vip) => {
            let wrong = if vip.address.is_ipv4() { "IPV6" } else { "IPV4" };
            if rule.text("ipVersion") == Known::Is(wrong) {
                report.invalid(rule, "ipVersion", "is not the version of IPAddress");
            }
            if let Some(why) = unreachable(vip.address) {
                refuse_address(rule, why, report);
            }
        }
    }
}

/// Why no client beyond the link can reach an address, if so.
fn unreachable(vip: IpAddr) -> Option<&'static str> {
    match vip {
        IpAddr::V4(vip) if vip.is_link_local() => Some(LINK_LOCAL),
        IpAddr::V6(vip) if vip.is_unicast_link_local() => Some(LINK_LOCAL),
        IpAddr::V4(vip) if vip.octets()[0] == 0 => {
            Some("is of 0.0.0.0/8, which means this network: hosts and routers drop packets to it")
        }
        _ => None,
    }
}

const LINK_LOCAL: &str = "is a link-local address: no router passes its packets on, and any host on the link may give it to itself";

/// What is stored was right when it came.
fn refuse_address(rule: &Draft, why: &str, report: &mut Report) {
    if rule.is_new {
        report.invalid(rule, "IPAddress", why);
        report.hint("choose an address that is routed to this host, or of a prefix that it is connected to");
    } else {
        report.warn(rule, "IPAddress", why);
    }
}

fn port_fields(rule: &Draft, report: &mut Report) {
    let listed = rule.list("ports");
    let has_list = !listed.is_empty() || rule.is_faulty("ports");
    let has_range = match rule.text("portRange") {
        Known::Is(text) => !text.is_empty(),
        other => other == Known::Invalid,
    };
    let all = rule.flag("allPorts");
    port_values(rule, &listed, has_range, report);
    let Some(protocol) = protocol(rule) else { return };
    for field in [("ports", has_list), ("portRange", has_range)]
        .into_iter()
        .filter(|(_, has)| *has)
        .map(|(f, _)| f)
    {
        if !protocol.has_ports() {
            report.invalid(
                rule,
                field,
                format!("a rule for {} names no ports", protocol.as_api()),
            );
        } else if all {
            report.invalid(rule, field, "can't be combined with allPorts");
        }
    }
    if has_list && has_range && protocol.has_ports() {
        report.invalid(rule, "portRange", "can't be combined with ports");
    }
    if has_range && rule.text("loadBalancingScheme") == Known::Is("INTERNAL") {
        report.invalid(rule, "portRange", "needs loadBalancingScheme EXTERNAL");
        report.hint("an internal rule has ports, whose entries may be ranges");
    }
    if rule.is_faulty("allPorts") {
        return;
    }
    if protocol == RuleProtocol::L3Default && !all {
        report.invalid(rule, "allPorts", "must be true for L3_DEFAULT");
    }
    if all && !protocol.has_ports() && protocol != RuleProtocol::L3Default {
        report.invalid(
            rule,
            "allPorts",
            format!("a rule for {} names no ports", protocol.as_api()),
        );
    }
    if protocol.has_ports() && !all && !has_list && !has_range {
        report.invalid(rule, "ports", "one of ports, portRange and allPorts is required");
    }
}

fn port_values(rule: &Draft, listed: &[(String, &Value)], has_range: bool, report: &mut Report) {
    let mut seen: Vec<(&str, (u16, u16))> = Vec::new();
    for (at, text) in listed.iter().filter(|(at, _)| !rule.is_faulty(at)) {
        match typed::port_range(text.as_str().unwrap_or_default()) {
            Err(why) => report.invalid(rule, at, why),
            Ok(range) => {
                if let Some((first, _)) = seen.iter().find(|(_, other)| typed::overlap(*other, range)) {
                    report.invalid(rule, at, format!("overlaps {first}"));
                }
                seen.push((at, range));
            }
        }
    }
    if let (true, Known::Is(text)) = (has_range, rule.text("portRange"))
        && let Err(why) = typed::port_range(text)
    {
        report.invalid(rule, "portRange", why);
    }
}

fn source_fields(rule: &Draft, report: &mut Report) {
    let texts = rule.list("sourceIpRanges");
    if !texts.is_empty() && rule.text("loadBalancingScheme") == Known::Is("INTERNAL") {
        report.invalid(rule, "sourceIpRanges", "needs loadBalancingScheme EXTERNAL");
    }
    let mut seen: Vec<(IpNet, &str)> = Vec::new();
    for (at, text) in texts.iter().filter(|(at, _)| !rule.is_faulty(at)) {
        match typed::source_range(text.as_str().unwrap_or_default(), vip(rule)) {
            Err(why) => report.invalid(rule, at, why),
            Ok(range) => {
                if let Some((_, first)) = seen.iter().find(|(other, _)| *other == range) {
                    report.invalid(rule, at, format!("is the same prefix as {first}"));
                }
                seen.push((range, at));
            }
        }
    }
}

/// As the cloud has them: 64 at most, of 63 characters, without capitals.
fn labels(rule: &Draft, report: &mut Report) {
    const MOST: usize = 64;
    const LONGEST: usize = 63;
    let Known::Is(Value::Object(labels)) = rule.get("labels") else {
        return;
    };
    if labels.len() > MOST {
        let why = format!("has {} entries; at most {MOST} are allowed", labels.len());
        report.invalid(rule, "labels", why);
    }
    let plain = |c: char| c == '-' || c == '_' || c.is_numeric() || (c.is_alphabetic() && !c.is_uppercase());
    let fits = |text: &str| text.chars().count() <= LONGEST && text.chars().all(plain);
    for (key, value) in labels {
        let at = format!("labels.{key}");
        let starts_well = key.chars().next().is_some_and(char::is_alphabetic);
        if !fits(key) || !starts_well {
            let why = "the key must be 1 to 63 lower-case letters, digits, hyphens and underscores, and start with a letter";
            report.invalid(rule, &at, why);
        } else if !rule.is_faulty(&at) && !value.as_str().is_some_and(fits) {
            let why = "must be at most 63 lower-case letters, digits, hyphens and underscores";
            report.invalid(rule, &at, why);
        }
    }
}

fn pairing(rule: &Draft, drafts: &Drafts, report: &mut Report) {
    let Known::Is(url) = rule.text("backendService") else {
        return;
    };
    let Some(service) = link::resolved(url).and_then(|path| drafts.get(&path)) else {
        return;
    };
    let schemes = (scheme(rule), scheme(service));
    if let (Some(ours), Some(theirs)) = schemes
        && ours != theirs
    {
        report.invalid(
            rule,
            "loadBalancingScheme",
            format!("must be that of {}, which is {theirs}", service.described()),
        );
        report.hint("an absent loadBalancingScheme is EXTERNAL");
    }
    if link::location_name(&rule.path) != link::location_name(&service.path) {
        report.invalid(rule, "backendService", "is in another region than the rule");
    }
    let (Some(ours), Some(theirs)) = (protocol(rule), service.text("protocol").or("TCP")) else {
        return;
    };
    let pair = match theirs {
        "UNSPECIFIED" => true,
        theirs => theirs == ours.as_api(),
    };
    if !pair {
        let why = format!(
            "{} has the protocol {theirs}, which takes rules for {theirs} only",
            service.described()
        );
        report.invalid(rule, "IPProtocol", why);
        report.hint("a service for several protocols has the protocol UNSPECIFIED");
    }
}

fn scheme(draft: &Draft) -> Option<&str> {
    draft.text("loadBalancingScheme").or("EXTERNAL")
}
