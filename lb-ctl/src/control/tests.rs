use super::place::*;
use super::*;
use crate::resources::{Kind, Mode, parse};

#[test]
fn a_url_of_any_version_names_the_same_path() {
    let path = "projects/acme/regions/r1/backendServices/web";
    for url in [
        path.to_owned(),
        format!("https://www.googleapis.com/compute/v1/{path}"),
        format!("https://compute.googleapis.com/compute/beta/{path}"),
        format!("http://127.0.0.1:8080/compute/v1/{path}/"),
    ] {
        assert_eq!(canonical(&url), Some(ResourcePath::from_canonical(path)), "{url}");
    }
    for not in [
        "web",
        "regions/r1/backendServices/web",
        "projects/acme",
        "",
        "projects/a/b/c/d/e/f",
    ] {
        assert_eq!(canonical(not), None, "{not}");
    }
}

#[test]
fn a_path_comes_apart() {
    let path = ResourcePath::from_canonical("projects/acme/zones/z-a/networkEndpointGroups/g");
    let parts = Parts::of(&path).expect("a canonical path");
    assert_eq!(parts.location, Location::Zone("z-a".to_owned()));
    assert_eq!(
        (parts.project, parts.noun, parts.name),
        ("acme", "networkEndpointGroups", "g")
    );
    assert_eq!(Kind::of(&path), Some(Kind::NetworkEndpointGroup));
    assert!(parts.location.may_hold(Kind::NetworkEndpointGroup));
    assert!(!parts.location.may_hold(Kind::BackendService));
    assert!(Location::Global.may_hold(Kind::HealthCheck));
    assert!(!Location::Global.may_hold(Kind::BackendService));
}

#[test]
fn what_resources_make_of_documents_is_what_the_server_shows() {
    let text = r#"[
        {"kind": "compute#healthCheck", "name": "hc", "type": "TCP", "tcpHealthCheck": {"port": 80}},
        {"kind": "compute#networkEndpointGroup", "name": "g", "networkEndpointType": "GCE_VM_IP",
         "networkEndpoints": [{"instance": "n1", "ipAddress": "10.0.0.1"}]}
    ]"#;
    let options = ApplyOptions {
        region: Some("r1".to_owned()),
        ..ApplyOptions::default()
    };
    let scope = options.scope(&Scope {
        project: "p".to_owned(),
        region: "r0".to_owned(),
        zone: "z0".to_owned(),
    });
    assert_eq!(
        (scope.project.as_str(), scope.region.as_str(), scope.zone.as_str()),
        ("p", "r1", "z0")
    );
    let documents = parse("f.json", text).expect("to read");
    let now = jiff::Timestamp::UNIX_EPOCH;
    let applied = Resources::default()
        .apply(&documents, &scope, Mode::Additive, now)
        .expect("to be valid");

    let created = |path: &str| Change {
        path: ResourcePath::from_canonical(path),
        action: ChangeAction::Created,
    };
    let group = "projects/p/zones/z0/networkEndpointGroups/g";
    let report = ApplyReport::new(&applied, &options);
    assert_eq!(
        report.changes,
        [created("projects/p/regions/r1/healthChecks/hc"), created(group)]
    );

    let map = resource_map(&applied.resources);
    let shown = &map[&ResourcePath::from_canonical(group)];
    assert_eq!(shown["networkEndpoints"][0]["ipAddress"], "10.0.0.1");
    assert_eq!(shown["selfLink"], place::url(group));
    assert_eq!(map.len(), 2);
}

#[test]
fn references_are_relative_to_the_project() {
    let path = ResourcePath::from_canonical("projects/p/zones/z/instanceGroups/g");
    for reference in ["zones/z/instanceGroups/g", "projects/p/zones/z/instanceGroups/g"] {
        assert_eq!(resolve(reference, "p"), Some(path.clone()));
    }
    assert_eq!(resolve("g", "p"), None);
}

#[test]
fn an_edit_sees_what_came_between() {
    let path = ResourcePath::from_canonical("projects/p/regions/r/healthChecks/hc");
    let with = |value: serde_json::Value| ResourceMap::from([(path.clone(), value)]);
    let edit = |before: Option<serde_json::Value>| Edit {
        path: path.clone(),
        before,
        in_place: true,
    };
    let kind = |edit: Edit, now: &ResourceMap| match edit.check(now) {
        Ok(()) => None,
        Err(ControlError::Faults(faults)) => Some(faults[0].kind),
        Err(other) => panic!("{other}"),
    };
    let (old, new, gone) = (json!({"a": 1}), json!({"a": 2}), ResourceMap::new());
    assert_eq!(kind(edit(Some(old.clone())), &with(old.clone())), None);
    assert_eq!(kind(edit(None), &gone), None);
    assert_eq!(
        kind(edit(Some(old.clone())), &with(new.clone())),
        Some(FaultKind::ConditionNotMet)
    );
    assert_eq!(kind(edit(Some(old)), &gone), Some(FaultKind::NotFound));
    assert_eq!(kind(edit(None), &with(new)), Some(FaultKind::AlreadyExists));
}
