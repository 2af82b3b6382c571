//! Which method of the Compute API a request names. Pure: a method and a path in, an action or a refusal out.

use http::Method;

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
    Insert(Place),
    Get(Place, String),
    Delete(Place, String),
    Edit(Place, String, Verb),
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

/// What makes something else of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Patch,
    Update,
    SetSecurityPolicy,
    SetLabels,
    SetTarget,
    SetNamedPorts,
    AttachNetworkEndpoints,
    DetachNetworkEndpoints,
    AddInstances,
    RemoveInstances,
}

impl Verb {
    /// As an operation names it.
    pub(super) const fn operation_type(self) -> &'static str {
        match self {
            Self::Patch => "patch",
            Self::Update => "update",
            Self::SetSecurityPolicy => "setSecurityPolicy",
            Self::SetLabels => "setLabels",
            Self::SetTarget => "setTarget",
            Self::SetNamedPorts => "setNamedPorts",
            Self::AttachNetworkEndpoints => "attachNetworkEndpoints",
            Self::DetachNetworkEndpoints => "detachNetworkEndpoints",
            Self::AddInstances => "compute.instanceGroups.addInstances",
            Self::RemoveInstances => "compute.instanceGroups.removeInstances",
        }
    }
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
            let kind = Kind::from_collection(noun)
                .filter(|kind| location.may_hold(*kind))
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
            not_built("listUsable")
        }
        [name] => match *method {
            Method::GET => Ok(Action::Get(place, (*name).to_owned())),
            Method::DELETE => Ok(Action::Delete(place, (*name).to_owned())),
            Method::PATCH if has_patch(place.kind) => {
                Ok(Action::Edit(place, (*name).to_owned(), Verb::Patch))
            }
            Method::PUT if has_update(place.kind) => {
                Ok(Action::Edit(place, (*name).to_owned(), Verb::Update))
            }
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
    use Kind::{BackendService, InstanceGroup, NetworkEndpointGroup};
    let (method, built): (Method, Option<MakeAction>) = match (kind, verb) {
        (BackendService, "getHealth") => (Method::POST, Some(Action::GetHealth)),
        (NetworkEndpointGroup, "listNetworkEndpoints") => (Method::POST, Some(Action::ListNetworkEndpoints)),
        (InstanceGroup, "listInstances") => (Method::POST, Some(Action::ListInstances)),
        (BackendService, "getIamPolicy") => (Method::GET, None),
        (BackendService, "setIamPolicy" | "testIamPermissions")
        | (NetworkEndpointGroup, "testIamPermissions") => (Method::POST, None),
        _ => (Method::POST, Some(edit(kind, verb)?)),
    };
    Some((method, built))
}

/// The custom verbs that change a resource.
fn edit(kind: Kind, verb: &str) -> Option<MakeAction> {
    use Kind::{BackendService, ForwardingRule, InstanceGroup, NetworkEndpointGroup};
    Some(match (kind, verb) {
        (BackendService, "setSecurityPolicy") => |p, n| Action::Edit(p, n, Verb::SetSecurityPolicy),
        (ForwardingRule, "setLabels") => |p, n| Action::Edit(p, n, Verb::SetLabels),
        (ForwardingRule, "setTarget") => |p, n| Action::Edit(p, n, Verb::SetTarget),
        (NetworkEndpointGroup, "attachNetworkEndpoints") => {
            |p, n| Action::Edit(p, n, Verb::AttachNetworkEndpoints)
        }
        (NetworkEndpointGroup, "detachNetworkEndpoints") => {
            |p, n| Action::Edit(p, n, Verb::DetachNetworkEndpoints)
        }
        (InstanceGroup, "addInstances") => |p, n| Action::Edit(p, n, Verb::AddInstances),
        (InstanceGroup, "removeInstances") => |p, n| Action::Edit(p, n, Verb::RemoveInstances),
        (InstanceGroup, "setNamedPorts") => |p, n| Action::Edit(p, n, Verb::SetNamedPorts),
        _ => return None,
    })
}

fn only(method: &Method, expected: &Method) -> Result<(), RouteError> {
    if method == expected {
        Ok(())
    } else {
        Err(RouteError::MethodNotAllowed)
    }
}
