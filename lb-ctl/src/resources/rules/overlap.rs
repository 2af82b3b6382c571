//! Forwarding rules among each other: no packet may have two, and a steering rule needs its base.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::super::draft::{Draft, Drafts, Report};
use super::super::kind::Kind;
use super::super::set::Resource;
use super::super::typed;
use super::forwarding_rule::{ports, protocol, source_ranges, vip};
use crate::model::{Ports, RuleProtocol};

/// What a rule without source ranges owns.
#[derive(PartialEq)]
struct Claim {
    address: IpAddr,
    protocol: RuleProtocol,
    ports: Ports,
}

pub(super) fn check(drafts: &Drafts, report: &mut Report) {
    let rules = drafts.values().filter(|draft| draft.kind == Kind::ForwardingRule);
    let claims: Vec<(&Draft, Claim)> = rules.filter_map(|rule| Some((rule, claim(rule)?))).collect();
    let (steering, base): (Vec<_>, Vec<_>) = claims.into_iter().partition(|(rule, _)| is_steering(rule));
    let mut neighbours: BTreeMap<(IpAddr, u8), Vec<&(&Draft, Claim)>> = BTreeMap::new();
    for rule in &base {
        neighbours.entry(rule.1.place()).or_default().push(rule);
    }
    for rules in neighbours.values() {
        overlaps(rules, report);
    }
    for (rule, claim) in &steering {
        let mut bases = neighbours.get(&claim.place()).into_iter().flatten();
        if !bases.any(|(_, other)| other == claim) && !may_be_base(drafts) {
            let why = "no forwarding rule with the same address, protocol and ports and without sourceIpRanges exists";
            report.invalid(rule, "sourceIpRanges", why);
        }
    }
    shared_prefixes(&steering, report);
}

impl Claim {
    /// Rules of different places have no packet in common.
    fn place(&self) -> (IpAddr, u8) {
        (self.address, self.protocol as u8)
    }
}

fn overlaps(rules: &[&(&Draft, Claim)], report: &mut Report) {
    for (i, first) in rules.iter().enumerate() {
        for second in rules[i + 1..]
            .iter()
            .filter(|second| collide(&first.1, &second.1))
        {
            let (blamed, other) = blame(first.0, second.0);
            let field = colliding_field(blamed);
            report.invalid(
                blamed,
                field,
                format!("overlaps {} in address, protocol and port", other.described()),
            );
        }
    }
}

/// Whether some rule without source ranges has a fault that keeps us from knowing what it owns.
fn may_be_base(drafts: &Drafts) -> bool {
    let rules = drafts.values().filter(|draft| draft.kind == Kind::ForwardingRule);
    rules
        .into_iter()
        .any(|rule| !is_steering(rule) && claim(rule).is_none())
}

fn is_steering(rule: &Draft) -> bool {
    !rule.list("sourceIpRanges").is_empty()
}

fn claim(rule: &Draft) -> Option<Claim> {
    Some(Claim {
        address: vip(rule)?.address,
        protocol: protocol(rule)?,
        ports: merged(ports(rule)?),
    })
}

/// Adjacent ranges as one, so that `80-81` and `80`, `81` are the same ports.
fn merged(ports: Ports) -> Ports {
    let Ports::Ranges(ranges) = ports else {
        return ports;
    };
    let mut merged: Vec<(u16, u16)> = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(before) if u32::from(first) <= u32::from(before.1) + 1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    Ports::Ranges(merged)
}

fn collide(a: &Claim, b: &Claim) -> bool {
    a.address == b.address
        && a.protocol == b.protocol
        && match (&a.ports, &b.ports) {
            (Ports::Ranges(a), Ports::Ranges(b)) => {
                a.iter().any(|a| b.iter().any(|b| typed::overlap(*a, *b)))
            }
            _ => true,
        }
}

/// The rule to report on, a new one if there is one, and the other.
fn blame<'a>(first: &'a Draft, second: &'a Draft) -> (&'a Draft, &'a Draft) {
    if first.is_new && !second.is_new {
        (first, second)
    } else {
        (second, first)
    }
}

fn colliding_field(rule: &Draft) -> &'static str {
    ["ports", "portRange", "allPorts"]
        .into_iter()
        .find(|field| rule.is_present(field))
        .unwrap_or("IPAddress")
}

fn shared_prefixes(steering: &[(&Draft, Claim)], report: &mut Report) {
    for (i, (first, claim)) in steering.iter().enumerate() {
        for (second, other) in &steering[i + 1..] {
            if claim != other {
                continue;
            }
            let (blamed, other) = blame(first, second);
            let taken: BTreeMap<IpNet, ()> = source_ranges(other)
                .into_iter()
                .map(|range| (range, ()))
                .collect();
            for (at, text) in blamed.list("sourceIpRanges") {
                let range = text
                    .as_str()
                    .and_then(|text| typed::source_range(text, vip(blamed)).ok());
                if range.is_some_and(|range| taken.contains_key(&range)) {
                    report.invalid(
                        blamed,
                        &at,
                        format!("{} on the same base has the same prefix", other.described()),
                    );
                }
            }
        }
    }
}

/// Whether one stored rule steers packets that else the other would take.
pub(crate) fn steers_from(rule: &Resource, base: &Resource) -> bool {
    if rule.kind != Kind::ForwardingRule || base.kind != Kind::ForwardingRule {
        return false;
    }
    let draft = |resource: &Resource| {
        let path = crate::model::ResourcePath::from_canonical("");
        Draft::of_stored(&path, resource, &mut Report::default())
    };
    let (rule, base) = (draft(rule), draft(base));
    is_steering(&rule) && !is_steering(&base) && claim(&rule).is_some() && claim(&rule) == claim(&base)
}
