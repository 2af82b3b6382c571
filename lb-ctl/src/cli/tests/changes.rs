//! What verbs that change something ask of the API.

use http::StatusCode;
use serde_json::json;

use super::fake_api::{FakeApi, Request};
use super::*;

const BASE: &str = "https://www.googleapis.com/compute/v1/projects/acme";

fn request(method: &str, path: &str, body: Value) -> Request {
    (method.to_owned(), format!("projects/acme/{path}"), body)
}

fn group(name: &str) -> String {
    format!("{BASE}/zones/r1-a/networkEndpointGroups/{name}")
}

const WEB: &str = "projects/acme/regions/r1/backendServices/web";

#[test]
fn a_new_resource_goes_where_flags_the_url_or_the_daemon_say() {
    let api = FakeApi::start();
    for (args, place) in [
        (
            &["backend-services", "create", "x"][..],
            "projects/acme/regions/r1/backendServices",
        ),
        (
            &[
                "backend-services",
                "create",
                "x",
                "--project",
                "p",
                "--region",
                "r9",
            ],
            "projects/p/regions/r9/backendServices",
        ),
        (
            &[
                "backend-services",
                "create",
                "https://h/compute/v1/projects/p/regions/r8/backendServices/x",
            ],
            "projects/p/regions/r8/backendServices",
        ),
        (
            &["health-checks", "create", "tcp", "x"],
            "projects/acme/global/healthChecks",
        ),
        (
            &["health-checks", "create", "tcp", "x", "--region", "r2"],
            "projects/acme/regions/r2/healthChecks",
        ),
        (
            &["network-endpoint-groups", "create", "x"],
            "projects/acme/zones/r1-a/networkEndpointGroups",
        ),
        (
            &["instance-groups", "create", "x", "--zone", "z"],
            "projects/acme/zones/z/instanceGroups",
        ),
        (
            &["instance-groups", "unmanaged", "create", "y"],
            "projects/acme/zones/r1-a/instanceGroups",
        ),
        (
            &["instances", "create", "x"],
            "projects/acme/zones/r1-a/instances",
        ),
        (
            &["forwarding-rules", "create", "x", "--backend-service", "web"],
            "projects/acme/regions/r1/forwardingRules",
        ),
    ] {
        let (method, path, _) = api.change(args);
        assert_eq!((method.as_str(), path.as_str()), ("POST", place), "{args:?}");
    }
    for wrong in [
        "projects/p/zones/z/backendServices/x",
        "projects/p/regions/r/healthChecks/x",
        "a/b",
    ] {
        api.run(&["backend-services", "create", wrong])
            .is(ExitCode::Usage);
    }
}

#[test]
fn what_was_created_is_told_and_shown() {
    let api = FakeApi::start();
    let ran = api.run(&[
        "backend-services",
        "create",
        "x",
        "--load-balancing-scheme",
        "internal",
    ]);
    ran.is(ExitCode::Ok)
        .says(&format!("Created [{BASE}/regions/r1/backendServices/x].\n"));
    assert_eq!(
        ran.out,
        "NAME  BACKENDS  PROTOCOL  LOAD_BALANCING_SCHEME  HEALTH_CHECKS\nx               TCP       INTERNAL\n"
    );
    let ran = api.run(&["backend-services", "create", "y", "--format", "value(name)"]);
    assert_eq!(ran.is(ExitCode::Ok).out, "y\n");
}

#[test]
fn an_update_carries_the_fingerprint_and_only_what_flags_say() {
    let api = FakeApi::start();
    api.edit(WEB, |web| web["fingerprint"] = json!("f1="));
    for (args, expected) in [
        (
            &[
                "backend-services",
                "update",
                "web",
                "--session-affinity",
                "CLIENT_IP",
            ][..],
            request(
                "PATCH",
                "regions/r1/backendServices/web",
                json!({"sessionAffinity": "CLIENT_IP", "fingerprint": "f1="}),
            ),
        ),
        (
            &[
                "backend-services",
                "add-backend",
                "web",
                "--instance-group",
                "far",
                "--failover",
            ],
            request(
                "PATCH",
                "regions/r1/backendServices/web",
                json!({"fingerprint": "f1=", "backends": [
                    {"group": group("near")},
                    {"group": format!("{BASE}/zones/r1-a/instanceGroups/far"), "failover": true}]}),
            ),
        ),
        (
            &[
                "backend-services",
                "update-backend",
                "web",
                "--network-endpoint-group",
                "near",
                "--network-endpoint-group-zone",
                "r1-a",
                "--failover",
            ],
            request(
                "PATCH",
                "regions/r1/backendServices/web",
                json!({"fingerprint": "f1=", "backends": [{"group": group("near"), "failover": true}]}),
            ),
        ),
        (
            &[
                "backend-services",
                "remove-backend",
                "web",
                "--network-endpoint-group",
                "near",
            ],
            request(
                "PATCH",
                "regions/r1/backendServices/web",
                json!({"fingerprint": "f1=", "backends": []}),
            ),
        ),
        (
            &[
                "health-checks",
                "update",
                "tcp",
                "hc",
                "--region",
                "r1",
                "--check-interval",
                "10s",
            ],
            request(
                "PATCH",
                "regions/r1/healthChecks/hc",
                json!({"checkIntervalSec": 10}),
            ),
        ),
        (
            &["forwarding-rules", "update", "web-rule", "--allow-global-access"],
            request(
                "PATCH",
                "regions/r1/forwardingRules/web-rule",
                json!({"allowGlobalAccess": true}),
            ),
        ),
        (
            &[
                "forwarding-rules",
                "update",
                "web-rule",
                "--update-labels",
                "a=1,b=2",
            ],
            request(
                "POST",
                "regions/r1/forwardingRules/web-rule/setLabels",
                json!({"labels": {"a": "1", "b": "2"}}),
            ),
        ),
        (
            &[
                "network-endpoint-groups",
                "update",
                "near",
                "--add-endpoint",
                "instance=n3,ip=10.0.0.3",
                "--add-endpoint",
                "ipv6=2001:db8::4,port=80",
            ],
            request(
                "POST",
                "zones/r1-a/networkEndpointGroups/near/attachNetworkEndpoints",
                json!({"networkEndpoints": [{"instance": "n3", "ipAddress": "10.0.0.3"},
                                            {"ipv6Address": "2001:db8::4", "port": 80}]}),
            ),
        ),
        (
            &[
                "network-endpoint-groups",
                "update",
                "near",
                "--remove-endpoint",
                "instance=n1",
            ],
            request(
                "POST",
                "zones/r1-a/networkEndpointGroups/near/detachNetworkEndpoints",
                json!({"networkEndpoints": [{"instance": "n1"}]}),
            ),
        ),
        (
            &[
                "network-endpoint-groups",
                "attach-network-endpoints",
                "near",
                "--network-endpoint",
                "ip=10.0.0.3",
            ],
            request(
                "POST",
                "zones/r1-a/networkEndpointGroups/near/attachNetworkEndpoints",
                json!({"networkEndpoints": [{"ipAddress": "10.0.0.3"}]}),
            ),
        ),
        (
            &[
                "network-endpoint-groups",
                "detach-network-endpoints",
                "near",
                "--network-endpoint",
                "ip=10.0.0.1",
            ],
            request(
                "POST",
                "zones/r1-a/networkEndpointGroups/near/detachNetworkEndpoints",
                json!({"networkEndpoints": [{"ipAddress": "10.0.0.1"}]}),
            ),
        ),
        (
            &[
                "instance-groups",
                "unmanaged",
                "add-instances",
                "far",
                "--instances",
                "a,b",
            ],
            request(
                "POST",
                "zones/r1-a/instanceGroups/far/addInstances",
                json!({"instances": [{"instance": format!("{BASE}/zones/r1-a/instances/a")},
                                     {"instance": format!("{BASE}/zones/r1-a/instances/b")}]}),
            ),
        ),
        (
            &["instance-groups", "remove-instances", "far", "--instances", "f1"],
            request(
                "POST",
                "zones/r1-a/instanceGroups/far/removeInstances",
                json!({"instances": [{"instance": format!("{BASE}/zones/r1-a/instances/f1")}]}),
            ),
        ),
    ] {
        assert_eq!(api.change(args), expected, "{args:?}");
    }
}

#[test]
fn an_update_tells_that_it_was_made_and_shows_it_when_asked() {
    let api = FakeApi::start();
    let args = ["backend-services", "update", "web", "--timeout", "9"];
    let ran = api.run(&args);
    ran.is(ExitCode::Ok)
        .says(&format!("Updated [{BASE}/regions/r1/backendServices/web].\n"));
    assert_eq!(ran.out, "");
    let ran = api.run(&[&args[..], &["--format", "value(name)"]].concat());
    assert_eq!(ran.is(ExitCode::Ok).out, "web\n");
}

#[test]
fn an_update_without_flags_names_them() {
    let api = FakeApi::start();
    for (args, flag) in [
        (&["backend-services", "update", "web"][..], "--session-affinity"),
        (
            &[
                "backend-services",
                "update-backend",
                "web",
                "--network-endpoint-group",
                "near",
            ],
            "--failover",
        ),
        (&["forwarding-rules", "update", "web-rule"], "--update-labels"),
        (
            &["health-checks", "update", "http", "hc", "--global"],
            "--request-path",
        ),
    ] {
        let ran = api.run(args);
        ran.is(ExitCode::Usage)
            .says("nothing to change; give at least one of --")
            .says(flag);
        assert!(
            !ran.err.contains("--endpoint,") && !ran.err.contains("--region"),
            "{}",
            ran.err
        );
    }
    assert_eq!(api.asked().requests, []);
}

#[test]
fn what_can_not_be_done_is_told_before_the_daemon_is_asked() {
    let api = FakeApi::start();
    for (args, message) in [
        (
            &[
                "backend-services",
                "add-backend",
                "web",
                "--network-endpoint-group",
                "near",
            ][..],
            "is a backend already",
        ),
        (
            &[
                "backend-services",
                "remove-backend",
                "web",
                "--instance-group",
                "far",
            ],
            "is not a backend of the service",
        ),
        (
            &[
                "backend-services",
                "update-backend",
                "web",
                "--instance-group",
                "far",
                "--failover",
            ],
            "is not a backend of the service",
        ),
        (
            &["backend-services", "update", "none", "--timeout", "9"],
            "there is no 'none' in backend-services",
        ),
    ] {
        api.run(args).is(ExitCode::Failed).says(message);
    }
    for (args, message) in [
        (
            &[
                "backend-services",
                "add-backend",
                "web",
                "--instance-group",
                "none",
            ][..],
            "there is no instance group 'none'; --instance-group-zone says where it will be",
        ),
        (
            &[
                "backend-services",
                "add-backend",
                "web",
                "--instance-group",
                "zones/r1-a/networkEndpointGroups/near",
            ],
            "is neither a name nor the URL of an instance group",
        ),
        (
            &[
                "health-checks",
                "update",
                "http",
                "hc",
                "--region",
                "r1",
                "--port",
                "1",
            ],
            "'hc' is a check by TCP, not by HTTP",
        ),
    ] {
        api.run(args).is(ExitCode::Usage).says(message);
    }
    assert_eq!(api.asked().requests, []);
}

#[test]
fn refusals_of_a_change_are_told_as_what_they_are() {
    let api = FakeApi::start();
    let args = [
        "backend-services",
        "update",
        "web",
        "--protocol",
        "http",
        "--failover-ratio",
        "2",
    ];
    let fault = |path: &str| json!({"source": "request", "path": path, "value": "x", "reason": "wrong"});
    let invalid =
        json!({"error": {"message": "m", "faults": [fault("$.protocol"), fault("$.failoverPolicy")]}});
    api.asked().next = Some((StatusCode::BAD_REQUEST, invalid.clone()));
    let ran = api.run(&args);
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (
            ExitCode::Invalid,
            "request: $.protocol: 'x': wrong\nrequest: $.failoverPolicy: 'x': wrong\n2 faults\n"
        )
    );
    api.asked().next = Some((StatusCode::PRECONDITION_FAILED, invalid.clone()));
    api.run(&args)
        .is(ExitCode::Failed)
        .says("'web' was changed since it was read");
    api.asked().next = Some((StatusCode::CONFLICT, invalid));
    let ran = api.run(&["backend-services", "create", "web"]);
    assert_eq!((ran.code, ran.err.as_str()), (ExitCode::Failed, "error: m\n"));
    let operation = json!({"status": "DONE", "error": {"errors": [{"message": "the kernel said no"}]}});
    api.asked().next = Some((StatusCode::OK, operation));
    api.run(&args).is(ExitCode::Failed).says("the kernel said no");
    let operation = json!({"status": "DONE", "warnings": [{"message": "no health check"}]});
    api.asked().next = Some((StatusCode::OK, operation));
    api.run(&args).is(ExitCode::Ok).says("warning: no health check\n");
}

#[test]
fn an_instance_changes_by_apply() {
    let api = FakeApi::start();
    api.change(&[
        "instances",
        "create",
        "vm",
        "--private-network-ip",
        "10.0.0.7",
        "--description",
        "d",
    ]);
    let (method, path, body) = api.change(&[
        "instances",
        "update",
        "vm",
        "--internal-ipv6-address",
        "2001:db8::7",
    ]);
    assert_eq!((method.as_str(), path.as_str()), ("POST", "/lb/v1/apply"));
    assert_eq!(
        body["documents"][0]["value"],
        json!({"kind": "compute#instance", "name": "vm", "description": "d",
               "selfLink": format!("{BASE}/zones/r1-a/instances/vm"),
               "networkInterfaces": [{"networkIP": "10.0.0.7", "ipv6Address": "2001:db8::7"}]})
    );
}
