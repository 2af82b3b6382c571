//! Which method of the Compute API a request names. Pure: a method and a path in, an action or a refusal out.

use http::Method;

use super::scopes::ScopeKind;
use crate::control::place::Location;
use crate::model::ResourcePath;
use crate::resources::Kind;

/// The resources of one kind at one place of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) project: String,
    pub(super) location: Location,
    pub(super) kind: Kind,
}

impl Place {
    /// The collection's own path.
    pub(super) fn path(&self) -> String {
        format!(
            "projects/{}/{}/{}",
            self.project,
            self.location.segment(),
            self.kind.collection()
        )
    }

    pub(super) fn resource(&self, name: &str) -> ResourcePath {
        ResourcePath::from_canonical(format!("{}/{name}", self.path()))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    List(Place),
    Aggregated {
        project: String,
        kind: Kind,
    },
    AggregatedOperations(String),
    GetProject(String),
    ListScopes(String, ScopeKind),
    GetScope(String, Location),
    ListUsable(Place),
    GetIamPolicy(Place, String),
    SetIamPolicy(Place, String),
    TestIamPermissions(Place, String),
    Insert(Place),
    Get(Place, String),
    Delete(Place, String),
    GetHealth(Place, String),
    ListNetworkEndpoints(Place, String),
    ListInstances(Place, String),
    ListOperations {
        project: String,
        location: Location,
    },
    GetOperation {
        project: String,
        location: Location,
        name: String,
    },
    WaitOperation {
        project: String,
        location: Location,
        name: String,
    },
    DeleteOperation {
        project: String,
        location: Location,
        name: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RouteError {
    /// No such URL.
    NotFound,
    /// The URL exists, but not with this method.
    MethodNotAllowed,
    /// A method of the API that is not built; its name, such as `backendServices.patch`.
    NotSupportedYet(String),
}

/// `path` is what follows `/compute/v1/projects/`.
pub(super) fn route(method: &Method, path: &str) -> Result<Action, RouteError> {
    let segments: Vec<&str> = path.split('/').collect();
    if segments.iter().any(|s| s.is_empty()) {
        return Err(RouteError::NotFound);
    }
    match segments.as_slice() {
        [project] => only(method, &Method::GET).map(|()| Action::GetProject((*project).to_owned())),
        [project, "regions"] => scopes(method, project, ScopeKind::Region),
        [project, "zones"] => scopes(method, project, ScopeKind::Zone),
        [project, "regions", name] => scope(method, project, Location::Region((*name).to_owned())),
        [project, "zones", name] => scope(method, project, Location::Zone((*name).to_owned())),
        [project, "aggregated", "operations"] => {
            only(method, &Method::GET).map(|()| Action::AggregatedOperations((*project).to_owned()))
        }
        [project, "aggregated", noun] => aggregated(method, project, noun),
        [project, "global", rest @ ..] => local(method, project, Location::Global, rest),
        [project, "regions", region, rest @ ..] => {
            local(method, project, Location::Region((*region).to_owned()), rest)
        }
        [project, "zones", zone, rest @ ..] => {
            local(method, project, Location::Zone((*zone).to_owned()), rest)
        }
        _ => Err(RouteError::NotFound),
    }
}

fn scopes(method: &Method, project: &str, kind: ScopeKind) -> Result<Action, RouteError> {
    only(method, &Method::GET).map(|()| Action::ListScopes(project.to_owned(), kind))
}

fn scope(method: &Method, project: &str, location: Location) -> Result<Action, RouteError> {
    only(method, &Method::GET).map(|()| Action::GetScope(project.to_owned(), location))
}

fn aggregated(method: &Method, project: &str, noun: &str) -> Result<Action, RouteError> {
    let kind = Kind::from_collection(noun).ok_or(RouteError::NotFound)?;
    only(method, &Method::GET)?;
    Ok(Action::Aggregated {
        project: project.to_owned(),
        kind,
    })
}

fn local(method: &Method, project: &str, location: Location, rest: &[&str]) -> Result<Action, RouteError> {
    match rest {
        ["operations", rest @ ..] => operation(method, project, location, rest),
        [noun, rest @ ..] => {
            let only_looks = *method == Method::GET && rest.len() < 2;
            let kind = Kind::from_collection(noun)
                .filter(|kind| location.may_hold(*kind) || only_looks && is_elsewhere(*kind, &location))
                .ok_or(RouteError::NotFound)?;
            resource(
                method,
                Place {
                    project: project.to_owned(),
                    location,
                    kind,
                },
                rest,
            )
        }
        [] => Err(RouteError::NotFound),
    }
}

/// Collections of the API that are for other load balancers: they are empty here, which lists across all of them have to
/// be told.
fn is_elsewhere(kind: Kind, location: &Location) -> bool {
    use Kind::{BackendService, ForwardingRule, InstanceGroup, NetworkEndpointGroup};
    match location {
        Location::Global => matches!(kind, BackendService | ForwardingRule | NetworkEndpointGroup),
        Location::Region(_) => matches!(kind, NetworkEndpointGroup | InstanceGroup),
        Location::Zone(_) => false,
    }
}

fn operation(
    method: &Method,
    project: &str,
    location: Location,
    rest: &[&str],
) -> Result<Action, RouteError> {
    let project = project.to_owned();
    match rest {
        [] => only(method, &Method::GET).map(|()| Action::ListOperations { project, location }),
        [name] => {
            let name = (*name).to_owned();
            match *method {
                Method::GET => Ok(Action::GetOperation {
                    project,
                    location,
                    name,
                }),
                Method::DELETE => Ok(Action::DeleteOperation {
                    project,
                    location,
                    name,
                }),
                _ => Err(RouteError::MethodNotAllowed),
            }
        }
        [name, "wait"] => only(method, &Method::POST).map(|()| Action::WaitOperation {
            project,
            location,
            name: (*name).to_owned(),
        }),
        _ => Err(RouteError::NotFound),
    }
}

fn resource(method: &Method, place: Place, rest: &[&str]) -> Result<Action, RouteError> {
    let not_built = |name: &str| {
        Err(RouteError::NotSupportedYet(format!(
            "{}.{name}",
            place.kind.collection()
        )))
    };
    match rest {
        [] => match *method {
            Method::GET => Ok(Action::List(place)),
            Method::POST => Ok(Action::Insert(place)),
            _ => Err(RouteError::MethodNotAllowed),
        },
        ["listUsable"] if place.kind == Kind::BackendService => {
            only(method, &Method::GET)?;
            Ok(Action::ListUsable(place))
        }
        [name] => match *method {
            Method::GET => Ok(Action::Get(place, (*name).to_owned())),
            Method::DELETE => Ok(Action::Delete(place, (*name).to_owned())),
            Method::PATCH if has_patch(place.kind) => not_built("patch"),
            Method::PUT if has_update(place.kind) => not_built("update"),
            _ => Err(RouteError::MethodNotAllowed),
        },
        [name, verb] => {
            let (expected, built) = custom_verb(place.kind, verb).ok_or(RouteError::NotFound)?;
            only(method, &expected)?;
            match built {
                Some(action) => Ok(action(place, (*name).to_owned())),
                None => not_built(verb),
            }
        }
        _ => Err(RouteError::NotFound),
    }
}

fn has_patch(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::BackendService | Kind::ForwardingRule | Kind::HealthCheck
    )
}

fn has_update(kind: Kind) -> bool {
    matches!(kind, Kind::BackendService | Kind::HealthCheck)
}

type MakeAction = fn(Place, String) -> Action;

/// The API's custom verbs: the HTTP method of each and, when it is built, what it does.
fn custom_verb(kind: Kind, verb: &str) -> Option<(Method, Option<MakeAction>)> {
    use Kind::{BackendService, ForwardingRule, InstanceGroup, NetworkEndpointGroup};
    let (method, built): (Method, Option<MakeAction>) = match (kind, verb) {
        (BackendService, "getHealth") => (Method::POST, Some(Action::GetHealth)),
        (NetworkEndpointGroup, "listNetworkEndpoints") => (Method::POST, Some(Action::ListNetworkEndpoints)),
        (InstanceGroup, "listInstances") => (Method::POST, Some(Action::ListInstances)),
        (BackendService, "getIamPolicy") => (Method::GET, Some(Action::GetIamPolicy)),
        (BackendService, "setIamPolicy") => (Method::POST, Some(Action::SetIamPolicy)),
        (BackendService | NetworkEndpointGroup, "testIamPermissions") => {
            (Method::POST, Some(Action::TestIamPermissions))
        }
        (BackendService, "setSecurityPolicy")
        | (ForwardingRule, "setLabels" | "setTarget")
        | (NetworkEndpointGroup, "attachNetworkEndpoints" | "detachNetworkEndpoints")
        | (InstanceGroup, "addInstances" | "removeInstances" | "setNamedPorts") => (Method::POST, None),
        _ => return None,
    };
    Some((method, built))
}

fn only(method: &Method, expected: &Method) -> Result<(), RouteError> {
    if method == expected {
        Ok(())
    } else {
        Err(RouteError::MethodNotAllowed)
    }
}
