//! The rules of `haPolicy`: what it excludes, and who may lead.

use serde_json::Value;

use super::super::draft::{Draft, Drafts, Known, Report};
use super::super::kind::Kind;
use super::super::members;
use super::backend_service::{AFFINITY, LOCALITY, SPILLOVER, SUBSETTING, View, find};

/// A leader takes every packet, so whatever chooses among backends is a contradiction.
pub(super) fn check(view: &View<'_>, drafts: &Drafts, report: &mut Report) {
    let service = view.service;
    let why = "can't be combined with haPolicy";
    for field in ["connectionTrackingPolicy", "failoverPolicy", LOCALITY] {
        if service.is_present(field) && !is_empty_object(service.get(field)) {
            report.invalid(service, field, why);
        }
    }
    if !service.list("healthChecks").is_empty() {
        report.invalid(service, "healthChecks", why);
    }
    if view.affinity.is_some_and(|affinity| affinity != "NONE") {
        report.invalid(service, AFFINITY, why);
    }
    if service
        .int("connectionDraining.drainingTimeoutSec")
        .get()
        .is_some_and(|seconds| seconds > 0)
    {
        report.invalid(service, "connectionDraining.drainingTimeoutSec", why);
    }
    if view.subsetting {
        report.invalid(service, SUBSETTING, why);
    }
    if view.zonal {
        report.invalid(service, SPILLOVER, why);
    }
    for entry in service.list("backends") {
        ha_backend(service, &entry, drafts, report);
    }
    ha_leader(service, drafts, report);
}

fn is_empty_object(value: Known<&Value>) -> bool {
    value
        .get()
        .and_then(Value::as_object)
        .is_some_and(|object| object.is_empty())
}

fn ha_backend(service: &Draft, entry: &(String, &Value), drafts: &Drafts, report: &mut Report) {
    if service.member(entry, "failover") == Some(&Value::Bool(true)) {
        report.invalid(
            service,
            &format!("{}.failover", entry.0),
            "can't be combined with haPolicy",
        );
    }
    let group = service
        .member(entry, "group")
        .and_then(|group| find(drafts, group));
    let right = group.is_none_or(|group| {
        group.text("networkEndpointType").or("GCE_VM_IP") != Some("NON_GCP_PRIVATE_IP_PORT")
    });
    if group.is_some_and(|group| group.kind == Kind::InstanceGroup) || !right {
        let why = "haPolicy needs network endpoint groups of type GCE_VM_IP";
        report.invalid(service, &format!("{}.group", entry.0), why);
    }
}

fn ha_leader(service: &Draft, drafts: &Drafts, report: &mut Report) {
    let Known::Is(group) = service.get("haPolicy.leader.backendGroup") else {
        return;
    };
    let backends = service.list("backends");
    if !backends
        .iter()
        .any(|entry| service.member(entry, "group") == Some(group))
    {
        report.invalid(
            service,
            "haPolicy.leader.backendGroup",
            "is none of the service's backends",
        );
    }
    let field = "haPolicy.leader.networkEndpoint.instance";
    let (Known::Is(instance), Some(group)) = (service.text(field), find(drafts, group)) else {
        return;
    };
    let name = instance.rsplit('/').next();
    let endpoints = members::endpoints(group, drafts);
    if !endpoints
        .iter()
        .any(|(_, endpoint)| endpoint.instance.as_deref() == name)
    {
        report.invalid(service, field, format!("is no instance of {}", group.described()));
    }
}
