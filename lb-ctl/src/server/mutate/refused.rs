//! Methods of the API that would do what no passthrough load balancer does. They are known, and say why not.

use serde_json::Value;

use super::{Object, fault, only_fields, required};
use crate::resources::{Fault, FaultKind, sorted};
use crate::server::error::{ApiError, ApiResult};

/// No service has a security policy, so taking it away is done at once.
pub(super) fn set_security_policy(body: &Object) -> ApiResult<()> {
    let mut faults = only_fields(body, &["securityPolicy"]);
    let given = body.get("securityPolicy").filter(|given| !is_empty(given));
    faults.extend(given.map(|given| {
        refusal(
            "securityPolicy",
            given,
            "there are no security policies here: packets pass unopened, and a firewall before them may filter",
            "an empty securityPolicy is taken",
        )
    }));
    if faults.is_empty() {
        Ok(())
    } else {
        Err(ApiError::faults(sorted(faults)))
    }
}

pub(super) fn set_target(body: &Object) -> ApiError {
    let why = "a rule keeps its backendService, and other targets, such as proxies, do not exist here";
    let hint = "to lead to another service, delete the rule and insert it anew, or apply a file";
    refuse(body, "target", why, hint)
}

pub(super) fn set_named_ports(body: &Object) -> ApiError {
    let why = "only proxy load balancers look up ports by name; packets keep their destination port here";
    refuse(body, "namedPorts", why, "a health check has its own port")
}

fn refuse(body: &Object, field: &str, why: &str, hint: &str) -> ApiError {
    let mut faults = only_fields(body, &[field, "fingerprint"]);
    faults.push(match body.get(field) {
        Some(given) => refusal(field, given, why, hint),
        None => required(field),
    });
    ApiError::faults(sorted(faults))
}

fn refusal(field: &str, given: &Value, why: &str, hint: &str) -> Fault {
    Fault {
        kind: FaultKind::Refused,
        hint: Some(hint.to_owned()),
        ..fault(field, Some(given), why)
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value == ""
}
