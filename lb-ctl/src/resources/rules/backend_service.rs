//! The rules of one backend service and of what it refers to.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use super::super::draft::{Draft, Drafts, Known, Report};
use super::super::{link, members, typed};
use super::{ha_policy, log_config};
use crate::model::ResourcePath;

pub(super) const AFFINITY: &str = "sessionAffinity";
const MODE: &str = "connectionTrackingPolicy.trackingMode";
const PERSISTENCE: &str = "connectionTrackingPolicy.connectionPersistenceOnUnhealthyBackends";
const IDLE_TIMEOUT: &str = "connectionTrackingPolicy.idleTimeoutSec";
const STRONG: &str = "connectionTrackingPolicy.enableStrongAffinity";
pub(super) const LOCALITY: &str = "localityLbPolicy";
pub(super) const SUBSETTING: &str = "subsetting.policy";
pub(super) const SPILLOVER: &str = "networkPassThroughLbTrafficPolicy.zonalAffinity.spillover";
const SPILLOVER_RATIO: &str = "networkPassThroughLbTrafficPolicy.zonalAffinity.spilloverRatio";
const FAILOVER_RATIO: &str = "failoverPolicy.failoverRatio";

pub(super) fn check(service: &Draft, drafts: &Drafts, report: &mut Report) {
    let view = View::of(service);
    affinity(&view, report);
    tracking(&view, report);
    locality(&view, drafts, report);
    zones_and_subsets(&view, report);
    ratios(service, report);
    log_config::check(service, report);
    health_check(&view, drafts, report);
    backends(service, drafts, report);
    if service.is_present("haPolicy") {
        ha_policy::check(&view, drafts, report);
    }
}

/// The fields that most rules ask for; nothing stands for "not known, so conclude nothing".
pub(super) struct View<'a> {
    pub(super) service: &'a Draft,
    scheme: Option<&'a str>,
    pub(super) affinity: Option<&'a str>,
    per_session: Option<bool>,
    pub(super) subsetting: bool,
    pub(super) zonal: bool,
}

impl<'a> View<'a> {
    fn of(service: &'a Draft) -> Self {
        Self {
            service,
            scheme: service.text("loadBalancingScheme").or("EXTERNAL"),
            affinity: service.text(AFFINITY).or("NONE"),
            per_session: service
                .text(MODE)
                .or("PER_CONNECTION")
                .map(|mode| mode == "PER_SESSION"),
            subsetting: service.text(SUBSETTING) == Known::Is("CONSISTENT_HASH_SUBSETTING"),
            zonal: service
                .text(SPILLOVER)
                .get()
                .is_some_and(|spillover| spillover != "ZONAL_AFFINITY_DISABLED"),
        }
    }

    fn internal(&self) -> Option<bool> {
        self.scheme.map(|scheme| scheme == "INTERNAL")
    }

    fn is_external(&self) -> bool {
        self.internal() == Some(false)
    }

    fn is_internal(&self) -> bool {
        self.internal() == Some(true)
    }

    fn five_tuple(&self) -> Option<bool> {
        self.affinity
            .map(|affinity| matches!(affinity, "NONE" | "CLIENT_IP_PORT_PROTO"))
    }
}

fn affinity(view: &View<'_>, report: &mut Report) {
    if view.affinity == Some("CLIENT_IP_NO_DESTINATION") && view.is_external() {
        report.invalid(view.service, AFFINITY, "needs loadBalancingScheme INTERNAL");
    }
}

fn tracking(view: &View<'_>, report: &mut Report) {
    let service = view.service;
    let strong = service.flag(STRONG);
    if strong && view.is_internal() {
        report.invalid(service, STRONG, "needs loadBalancingScheme EXTERNAL");
    }
    if strong && view.per_session == Some(false) {
        report.invalid(service, STRONG, "needs trackingMode PER_SESSION");
    }
    if service.text(PERSISTENCE) == Known::Is("ALWAYS_PERSIST") && view.per_session == Some(true) {
        report.invalid(
            service,
            PERSISTENCE,
            "can't be combined with trackingMode PER_SESSION",
        );
    }
    if let Known::Is(seconds) = service.int(IDLE_TIMEOUT) {
        idle_timeout(view, seconds, strong, report);
    }
}

fn idle_timeout(view: &View<'_>, seconds: i64, strong: bool, report: &mut Report) {
    let range = match (view.internal(), strong) {
        (Some(true), _) => Some((600..=57600, "must be in 600..57600 for an internal service")),
        (Some(false), true) => Some((60..=57600, "must be in 60..57600 for an external service")),
        (Some(false), false) => Some((
            60..=60,
            "must be 60 for an external service without enableStrongAffinity",
        )),
        (None, _) => None,
    };
    let range = range.filter(|_| !view.service.is_faulty(STRONG));
    if let Some((_, why)) = range.filter(|(range, _)| !range.contains(&seconds)) {
        report.invalid(view.service, IDLE_TIMEOUT, why);
    }
    if view.per_session == Some(false) {
        report.invalid(view.service, IDLE_TIMEOUT, "needs trackingMode PER_SESSION");
    }
    if view.five_tuple() == Some(true) {
        let why = "needs sessionAffinity CLIENT_IP, CLIENT_IP_PROTO or CLIENT_IP_NO_DESTINATION";
        report.invalid(view.service, IDLE_TIMEOUT, why);
    }
}

fn locality(view: &View<'_>, drafts: &Drafts, report: &mut Report) {
    let Known::Is(policy) = view.service.text(LOCALITY) else {
        return;
    };
    if policy.ends_with("MAGLEV") && view.is_internal() {
        report.invalid(view.service, LOCALITY, "needs loadBalancingScheme EXTERNAL");
        report.hint("internal: GCP_RENDEZVOUS or WEIGHTED_GCP_RENDEZVOUS");
    }
    if policy.ends_with("GCP_RENDEZVOUS") && view.is_external() {
        report.invalid(view.service, LOCALITY, "needs loadBalancingScheme INTERNAL");
        report.hint("external: MAGLEV or WEIGHTED_MAGLEV");
    }
    if policy.starts_with("WEIGHTED_") {
        weights(view.service, drafts, report);
    }
}

/// Weights come in an HTTP header of the probe's answer.
fn weights(service: &Draft, drafts: &Drafts, report: &mut Report) {
    let why = "needs a health check of type HTTP, HTTPS or HTTP2, whose answers carry the weights";
    let checks = service.list("healthChecks");
    if checks.is_empty() && !service.is_faulty("healthChecks") {
        report.invalid(service, LOCALITY, why);
    }
    for (at, check) in checks {
        let check = if service.is_faulty(&at) {
            None
        } else {
            find(drafts, check)
        };
        let Some(Known::Is(probe)) = check.map(|check| check.text("type")) else {
            continue;
        };
        if !matches!(probe, "HTTP" | "HTTPS" | "HTTP2") {
            report.invalid(service, LOCALITY, why);
        }
    }
}

fn zones_and_subsets(view: &View<'_>, report: &mut Report) {
    let service = view.service;
    if view.zonal && view.is_external() {
        report.invalid(
            service,
            SPILLOVER,
            "zonal affinity needs loadBalancingScheme INTERNAL",
        );
    }
    if view.zonal && view.subsetting {
        report.invalid(
            service,
            SPILLOVER,
            "zonal affinity can't be combined with subsetting",
        );
    }
    if view.subsetting && view.is_external() {
        report.invalid(service, SUBSETTING, "needs loadBalancingScheme INTERNAL");
    }
    if view.subsetting && view.five_tuple() == Some(false) {
        report.invalid(
            service,
            SUBSETTING,
            "needs sessionAffinity NONE or CLIENT_IP_PORT_PROTO",
        );
    }
    let ratio = service
        .get(SPILLOVER_RATIO)
        .get()
        .and_then(Value::as_f64)
        .unwrap_or(0.0);
    let spills = matches!(
        service.text(SPILLOVER),
        Known::Is("ZONAL_AFFINITY_SPILL_CROSS_ZONE") | Known::Invalid
    );
    if ratio != 0.0 && !spills {
        report.invalid(
            service,
            SPILLOVER_RATIO,
            "needs spillover ZONAL_AFFINITY_SPILL_CROSS_ZONE",
        );
    }
}

fn ratios(service: &Draft, report: &mut Report) {
    for field in [FAILOVER_RATIO, SPILLOVER_RATIO] {
        if let Known::Is(value) = service.get(field)
            && typed::ratio(value).is_none()
        {
            report.invalid(service, field, "has more than 18 digits after the point");
        }
    }
}

fn health_check(view: &View<'_>, drafts: &Drafts, report: &mut Report) {
    let service = view.service;
    let checks = service.list("healthChecks");
    if checks.is_empty() && !service.is_present("haPolicy") {
        report.warn(
            service,
            "healthChecks",
            "no health check: every endpoint counts as healthy",
        );
    }
    for (at, text) in checks {
        let check = if service.is_faulty(&at) {
            None
        } else {
            find(drafts, text)
        };
        let Some(check) = check else { continue };
        match link::location_name(&check.path) {
            None if view.is_external() => {
                report.invalid(
                    service,
                    &at,
                    "an external service needs a regional health check, not a global one",
                );
            }
            Some(region) if Some(region) != link::location_name(&service.path) => {
                report.invalid(service, &at, "is in another region than the service");
            }
            _ => {}
        }
    }
}

fn backends(service: &Draft, drafts: &Drafts, report: &mut Report) {
    let entries = service.list("backends");
    let failover = |entry: &&(String, &Value)| service.member(entry, "failover") == Some(&Value::Bool(true));
    let standby = entries.iter().filter(failover).count();
    for (count, what) in [(entries.len() - standby, "primary"), (standby, "failover")] {
        if count > 50 {
            report.invalid(
                service,
                "backends",
                format!("has {count} {what} groups; at most 50 are allowed"),
            );
        }
    }
    let groups: Vec<(String, &Draft)> = entries
        .iter()
        .filter_map(|entry| {
            Some((
                format!("{}.group", entry.0),
                find(drafts, service.member(entry, "group")?)?,
            ))
        })
        .collect();
    one_kind(service, &groups, report);
    distinct(service, &groups, drafts, report);
}

fn one_kind(service: &Draft, groups: &[(String, &Draft)], report: &mut Report) {
    let Some((first_at, first)) = groups.first() else {
        return;
    };
    for (at, group) in groups.iter().filter(|(_, group)| group.kind != first.kind) {
        let why = format!(
            "is an {}, but {first_at} is a {}; a service has groups of one kind",
            group.kind, first.kind
        );
        let why = why
            .replace("is an network", "is a network")
            .replace("is a instance", "is an instance");
        report.invalid(service, at, why);
    }
}

/// No group twice, and no address in two groups: an endpoint's identity would depend on the order of groups.
fn distinct(service: &Draft, groups: &[(String, &Draft)], drafts: &Drafts, report: &mut Report) {
    let mut seen_groups: BTreeMap<&ResourcePath, &str> = BTreeMap::new();
    let mut seen_addresses: BTreeMap<IpAddr, &str> = BTreeMap::new();
    for (at, group) in groups {
        if let Some(first) = seen_groups.insert(&group.path, at) {
            report.invalid(service, at, format!("is the same group as {first}"));
            continue;
        }
        let mut own = BTreeMap::new();
        for (_, endpoint) in members::endpoints(group, drafts) {
            let addresses = endpoint
                .ipv4
                .map(IpAddr::V4)
                .into_iter()
                .chain(endpoint.ipv6.map(IpAddr::V6));
            own.extend(addresses.map(|address| (address, at.as_str())));
        }
        for address in own.keys() {
            if let Some(first) = seen_addresses.get(address) {
                report.invalid(
                    service,
                    at,
                    format!("has the address {address}, which the group of {first} has too"),
                );
            }
        }
        own.extend(std::mem::take(&mut seen_addresses));
        seen_addresses = own;
    }
}

/// The draft that a resolved reference names.
pub(super) fn find<'a>(drafts: &'a Drafts, url: &Value) -> Option<&'a Draft> {
    drafts.get(&link::resolved(url.as_str()?)?)
}
