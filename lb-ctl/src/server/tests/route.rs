use http::Method;

use crate::control::place::Location;
use crate::resources::Kind;
use crate::server::route::{Action, Place, RouteError, Verb, route};

fn place(location: Location, kind: Kind) -> Place {
    Place {
        project: "p".to_owned(),
        location,
        kind,
    }
}

fn region() -> Location {
    Location::Region("r".to_owned())
}

fn zone() -> Location {
    Location::Zone("z".to_owned())
}

#[test]
fn every_built_method_has_its_url() {
    let services = || place(region(), Kind::BackendService);
    let groups = || place(zone(), Kind::NetworkEndpointGroup);
    let x = || "x".to_owned();
    let rows = [
        (
            Method::GET,
            "p/regions/r/backendServices",
            Action::List(services()),
        ),
        (
            Method::POST,
            "p/regions/r/backendServices",
            Action::Insert(services()),
        ),
        (
            Method::GET,
            "p/regions/r/backendServices/x",
            Action::Get(services(), x()),
        ),
        (
            Method::DELETE,
            "p/regions/r/backendServices/x",
            Action::Delete(services(), x()),
        ),
        (
            Method::POST,
            "p/regions/r/backendServices/x/getHealth",
            Action::GetHealth(services(), x()),
        ),
        (
            Method::GET,
            "p/regions/r/forwardingRules",
            Action::List(place(region(), Kind::ForwardingRule)),
        ),
        (
            Method::GET,
            "p/regions/r/healthChecks/x",
            Action::Get(place(region(), Kind::HealthCheck), x()),
        ),
        (
            Method::GET,
            "p/global/healthChecks/x",
            Action::Get(place(Location::Global, Kind::HealthCheck), x()),
        ),
        (
            Method::GET,
            "p/zones/z/networkEndpointGroups",
            Action::List(groups()),
        ),
        (
            Method::POST,
            "p/zones/z/networkEndpointGroups/x/listNetworkEndpoints",
            Action::ListNetworkEndpoints(groups(), x()),
        ),
        (
            Method::POST,
            "p/zones/z/instanceGroups/x/listInstances",
            Action::ListInstances(place(zone(), Kind::InstanceGroup), x()),
        ),
        (
            Method::GET,
            "p/aggregated/forwardingRules",
            Action::Aggregated {
                project: "p".to_owned(),
                kind: Kind::ForwardingRule,
            },
        ),
        (
            Method::POST,
            "p/global/operations/x/wait",
            Action::WaitOperation {
                project: "p".to_owned(),
                location: Location::Global,
                name: x(),
            },
        ),
    ];
    for (method, path, action) in rows {
        assert_eq!(route(&method, path), Ok(action), "{method} {path}");
    }
}

#[test]
fn every_verb_that_changes_has_its_url() {
    let service = || place(region(), Kind::BackendService);
    let rule = || place(region(), Kind::ForwardingRule);
    let check = || place(Location::Global, Kind::HealthCheck);
    let (neg, group) = (Kind::NetworkEndpointGroup, Kind::InstanceGroup);
    for (method, path, place, verb) in [
        (
            Method::PATCH,
            "p/regions/r/backendServices/x",
            service(),
            Verb::Patch,
        ),
        (
            Method::PUT,
            "p/regions/r/backendServices/x",
            service(),
            Verb::Update,
        ),
        (
            Method::POST,
            "p/regions/r/backendServices/x/setSecurityPolicy",
            service(),
            Verb::SetSecurityPolicy,
        ),
        (
            Method::PATCH,
            "p/regions/r/forwardingRules/x",
            rule(),
            Verb::Patch,
        ),
        (
            Method::POST,
            "p/regions/r/forwardingRules/x/setLabels",
            rule(),
            Verb::SetLabels,
        ),
        (
            Method::POST,
            "p/regions/r/forwardingRules/x/setTarget",
            rule(),
            Verb::SetTarget,
        ),
        (Method::PATCH, "p/global/healthChecks/x", check(), Verb::Patch),
        (Method::PUT, "p/global/healthChecks/x", check(), Verb::Update),
        (
            Method::POST,
            "p/zones/z/networkEndpointGroups/x/attachNetworkEndpoints",
            place(zone(), neg),
            Verb::AttachNetworkEndpoints,
        ),
        (
            Method::POST,
            "p/zones/z/networkEndpointGroups/x/detachNetworkEndpoints",
            place(zone(), neg),
            Verb::DetachNetworkEndpoints,
        ),
        (
            Method::POST,
            "p/zones/z/instanceGroups/x/addInstances",
            place(zone(), group),
            Verb::AddInstances,
        ),
        (
            Method::POST,
            "p/zones/z/instanceGroups/x/removeInstances",
            place(zone(), group),
            Verb::RemoveInstances,
        ),
        (
            Method::POST,
            "p/zones/z/instanceGroups/x/setNamedPorts",
            place(zone(), group),
            Verb::SetNamedPorts,
        ),
    ] {
        let expected = Ok(Action::Edit(place, "x".to_owned(), verb));
        assert_eq!(route(&method, path), expected, "{method} {path}");
    }
}

#[test]
fn methods_that_are_not_built_are_named() {
    for (method, path, name) in [
        (
            Method::GET,
            "p/regions/r/backendServices/listUsable",
            "backendServices.listUsable",
        ),
        (
            Method::GET,
            "p/regions/r/backendServices/x/getIamPolicy",
            "backendServices.getIamPolicy",
        ),
    ] {
        assert_eq!(
            route(&method, path),
            Err(RouteError::NotSupportedYet(name.to_owned())),
            "{method} {path}"
        );
    }
}

#[test]
fn what_the_api_does_not_have_is_refused() {
    for path in [
        "",
        "p",
        "p/regions",
        "p/regions/r",
        "p/regions//backendServices",
        "p/regions/r/backendServices/",
        "p/zones/z/backendServices",
        "p/global/backendServices",
        "p/regions/r/networkEndpointGroups",
        "p/regions/r/instances",
        "p/regions/r/targetPools",
        "p/aggregated/operations",
        "p/regions/r/backendServices/x/getHealth/y",
        "p/regions/r/forwardingRules/x/getHealth",
    ] {
        assert_eq!(route(&Method::GET, path), Err(RouteError::NotFound), "{path}");
    }
    for (method, path) in [
        (Method::PUT, "p/regions/r/backendServices"),
        (Method::PUT, "p/regions/r/forwardingRules/x"),
        (Method::PATCH, "p/zones/z/networkEndpointGroups/x"),
        (Method::GET, "p/regions/r/backendServices/x/getHealth"),
        (Method::POST, "p/aggregated/backendServices"),
    ] {
        assert_eq!(
            route(&method, path),
            Err(RouteError::MethodNotAllowed),
            "{method} {path}"
        );
    }
}
