//! Which permission of IAM a request needs. Pure: a method and a path in. What is not known to be a reading needs a
//! permission to change.

use http::Method;

use crate::server::path;

#[derive(Debug, PartialEq, Eq)]
pub(in crate::server) struct Needed {
    pub(in crate::server) permission: String,
    pub(in crate::server) resource: String,
}

const COMPUTE: &str = "/compute/v1/";

/// Nothing when the request does nothing by itself, or can't be understood and so is refused later.
pub(super) fn needed(method: &Method, path: &str) -> Option<Needed> {
    if let Some(own) = path.strip_prefix("/lb/v1/") {
        let verb = match (method, own) {
            (&Method::GET | &Method::HEAD, _) => "get",
            (_, "detach") => "detach",
            _ => "update",
        };
        return Some(Needed {
            permission: format!("lb.{}.{verb}", own.split('/').next().unwrap_or_default()),
            resource: own.to_owned(),
        });
    }
    // The parts of a batch are judged one by one.
    let path = path::decode(path.strip_prefix(COMPUTE)?).ok()?;
    let segments: Vec<&str> = path.split('/').collect();
    let ["projects", project, rest @ ..] = segments.as_slice() else {
        return None;
    };
    let in_project = format!("projects/{project}");
    let (scope, rest) = match rest {
        ["global" | "aggregated", rest @ ..] => ("", rest),
        ["regions", _, rest @ ..] if !rest.is_empty() => ("region", rest),
        ["zones", _, rest @ ..] if !rest.is_empty() => ("zone", rest),
        rest => ("", rest),
    };
    let (noun, verb, whole) = match rest {
        [] => ("projects", read_or(method, "get"), true),
        [noun] => (*noun, collection_verb(method), false),
        [noun, "listUsable"] if *method == Method::GET => (*noun, "list", false),
        [noun, _name] => (*noun, resource_verb(method), true),
        [noun, _name, verb, ..] => (*noun, custom_verb(method, verb)?, true),
    };
    Some(Needed {
        permission: format!("compute.{}.{verb}", collection(scope, noun, segments.get(2))),
        resource: if whole { path } else { in_project },
    })
}

fn read_or<'a>(method: &Method, verb: &'a str) -> &'a str {
    match *method {
        Method::GET | Method::HEAD => verb,
        _ => "update",
    }
}

fn collection_verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        _ => read_or(method, "list"),
    }
}

fn resource_verb(method: &Method) -> &'static str {
    match *method {
        Method::DELETE => "delete",
        _ => read_or(method, "get"),
    }
}

/// Nothing for a test of permissions: that is for everybody.
fn custom_verb<'a>(method: &Method, verb: &'a str) -> Option<&'a str> {
    Some(match verb {
        "testIamPermissions" => return None,
        "getHealth" | "listNetworkEndpoints" | "wait" => "get",
        "listInstances" => "list",
        "getIamPolicy" if *method == Method::GET => "getIamPolicy",
        "setIamPolicy"
        | "setLabels"
        | "setTarget"
        | "setSecurityPolicy"
        | "attachNetworkEndpoints"
        | "detachNetworkEndpoints" => verb,
        _ => "update",
    })
}

/// IAM has regional services and health checks, and all operations, under names of their own.
fn collection(scope: &str, noun: &str, place: Option<&&str>) -> String {
    match (scope, noun) {
        ("region", "backendServices") => "regionBackendServices".to_owned(),
        ("region", "healthChecks") => "regionHealthChecks".to_owned(),
        ("region", "operations") => "regionOperations".to_owned(),
        ("zone", "operations") => "zoneOperations".to_owned(),
        (_, "operations") => "globalOperations".to_owned(),
        ("", "forwardingRules") if place == Some(&"global") => "globalForwardingRules".to_owned(),
        _ => noun.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_needs_the_permission_that_iam_knows() {
        let services = "/compute/v1/projects/p/regions/r/backendServices";
        let groups = "/compute/v1/projects/p/zones/z/networkEndpointGroups";
        let rows = [
            (
                "GET",
                services.to_owned(),
                "compute.regionBackendServices.list",
                "projects/p",
            ),
            (
                "POST",
                services.to_owned(),
                "compute.regionBackendServices.create",
                "projects/p",
            ),
            (
                "GET",
                format!("{services}/x"),
                "compute.regionBackendServices.get",
                "…/x",
            ),
            (
                "PATCH",
                format!("{services}/x"),
                "compute.regionBackendServices.update",
                "…/x",
            ),
            (
                "PUT",
                format!("{services}/x"),
                "compute.regionBackendServices.update",
                "…/x",
            ),
            (
                "DELETE",
                format!("{services}/%78"),
                "compute.regionBackendServices.delete",
                "…/x",
            ),
            (
                "GET",
                format!("{services}/listUsable"),
                "compute.regionBackendServices.list",
                "projects/p",
            ),
            (
                "DELETE",
                format!("{services}/listUsable"),
                "compute.regionBackendServices.delete",
                "…/listUsable",
            ),
            (
                "POST",
                format!("{services}/x/getHealth"),
                "compute.regionBackendServices.get",
                "…/x/getHealth",
            ),
            (
                "GET",
                format!("{services}/x/getIamPolicy"),
                "compute.regionBackendServices.getIamPolicy",
                "…/x/getIamPolicy",
            ),
            (
                "POST",
                format!("{services}/x/setIamPolicy"),
                "compute.regionBackendServices.setIamPolicy",
                "…/x/setIamPolicy",
            ),
            (
                "POST",
                format!("{services}/x/unheardOf"),
                "compute.regionBackendServices.update",
                "…/x/unheardOf",
            ),
            (
                "POST",
                format!("{groups}/x/listNetworkEndpoints"),
                "compute.networkEndpointGroups.get",
                "…",
            ),
            (
                "POST",
                format!("{groups}/x/attachNetworkEndpoints"),
                "compute.networkEndpointGroups.attachNetworkEndpoints",
                "…",
            ),
            (
                "GET",
                "/compute/v1/projects/p/aggregated/healthChecks".to_owned(),
                "compute.healthChecks.list",
                "projects/p",
            ),
            (
                "GET",
                "/compute/v1/projects/p/regions/r/healthChecks/x".to_owned(),
                "compute.regionHealthChecks.get",
                "…",
            ),
            (
                "GET",
                "/compute/v1/projects/p/zones/z/operations/o".to_owned(),
                "compute.zoneOperations.get",
                "…",
            ),
            (
                "POST",
                "/compute/v1/projects/p/global/operations/o/wait".to_owned(),
                "compute.globalOperations.get",
                "…",
            ),
            (
                "DELETE",
                "/compute/v1/projects/p/regions/r/operations/o".to_owned(),
                "compute.regionOperations.delete",
                "…",
            ),
            (
                "GET",
                "/compute/v1/projects/p".to_owned(),
                "compute.projects.get",
                "projects/p",
            ),
            (
                "GET",
                "/compute/v1/projects/p/zones".to_owned(),
                "compute.zones.list",
                "projects/p",
            ),
            (
                "GET",
                "/compute/v1/projects/p/zones/z".to_owned(),
                "compute.zones.get",
                "projects/p/zones/z",
            ),
            (
                "GET",
                "/lb/v1/flows/count".to_owned(),
                "lb.flows.get",
                "flows/count",
            ),
            ("POST", "/lb/v1/apply".to_owned(), "lb.apply.update", "apply"),
            (
                "POST",
                "/lb/v1/tableSlots".to_owned(),
                "lb.tableSlots.update",
                "tableSlots",
            ),
            ("POST", "/lb/v1/detach".to_owned(), "lb.detach.detach", "detach"),
        ];
        for (method, path, permission, resource) in rows {
            let method = method.parse().expect("a method");
            let needed = needed(&method, &path).unwrap_or_else(|| panic!("{method} {path}"));
            assert_eq!(needed.permission, permission, "{method} {path}");
            match resource.strip_prefix('…') {
                Some(end) => assert!(needed.resource.ends_with(end), "{needed:?}"),
                None => assert_eq!(needed.resource, resource),
            }
        }
    }

    #[test]
    fn testing_permissions_and_opening_a_batch_need_none() {
        for path in [
            "/compute/v1/projects/p/regions/r/backendServices/x/testIamPermissions",
            "/batch/compute/v1",
        ] {
            assert_eq!(needed(&Method::POST, path), None);
        }
    }
}
