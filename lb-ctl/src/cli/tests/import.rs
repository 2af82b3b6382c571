//! `export` and `import`.

use http::StatusCode;
use serde_json::json;

use super::fake_api::FakeApi;
use super::*;
use crate::output::from_yaml;

const WEB: &str = "projects/acme/regions/r1/backendServices/web";

#[test]
fn an_export_is_what_import_takes() {
    let api = FakeApi::start();
    api.edit(WEB, |web| web["fingerprint"] = json!("f1="));
    for args in [
        &["backend-services", "web"][..],
        &["forwarding-rules", "web-rule"],
        &["health-checks", "hc", "--global"],
        &["network-endpoint-groups", "near"],
        &["instance-groups", "far"],
    ] {
        let export = [&args[..1], &["export"], &args[1..]].concat();
        let text = api.run(&export).is(ExitCode::Ok).out.clone();
        let exported = from_yaml(&text).expect("YAML");
        assert!(exported["id"].is_null() && exported["name"].is_string(), "{text}");
        let file = api.file(&text);
        let import = [
            &args[..1],
            &["import"],
            &args[1..],
            &["--source", &file, "--quiet"],
        ]
        .concat();
        api.run(&import)
            .is(ExitCode::Ok)
            .says("is as the file says already");
    }
    assert_eq!(api.asked().requests, []);
    let file = api.file("");
    let args = [
        "network-endpoint-groups",
        "export",
        "near",
        "--destination",
        &file,
    ];
    api.run(&args)
        .is(ExitCode::Ok)
        .says("Exported [projects/acme/zones/r1-a/networkEndpointGroups/near]");
    let exported = from_yaml(&std::fs::read_to_string(&file).expect("a file")).expect("YAML");
    assert_eq!(exported["networkEndpoints"][1]["ipAddress"], "10.0.0.2");
    let args = [
        "network-endpoint-groups",
        "export",
        "near",
        "--destination",
        "/does/not/exist",
    ];
    api.run(&args).is(ExitCode::Failed).says("can't be written");
}

#[test]
fn an_import_creates_or_replaces_with_the_files_fingerprint() {
    let api = FakeApi::start();
    api.edit(WEB, |web| web["fingerprint"] = json!("f1="));
    let import = |name: &str, text: &str| {
        let file = api.file(text);
        api.change(&["backend-services", "import", name, "--source", &file, "--quiet"])
    };
    let owned = |method: &str, path: &str, body| (method.to_owned(), path.to_owned(), body);
    assert_eq!(
        import("new", "protocol: UDP\nid: '7'\nregion: elsewhere\n"),
        owned(
            "POST",
            "projects/acme/regions/r1/backendServices",
            json!({"name": "new", "protocol": "UDP"})
        )
    );
    assert_eq!(
        import("web", "{\"name\": \"web\", \"protocol\": \"UDP\"}"),
        owned(
            "PUT",
            WEB,
            json!({"name": "web", "protocol": "UDP", "fingerprint": "f1="})
        )
    );
    assert_eq!(
        import("web", "protocol: UDP\nfingerprint: old=\n"),
        owned(
            "PUT",
            WEB,
            json!({"name": "web", "protocol": "UDP", "fingerprint": "old="})
        )
    );
    api.asked().next = Some((
        StatusCode::PRECONDITION_FAILED,
        json!({"error": {"message": "m"}}),
    ));
    let file = api.file("protocol: UDP\nfingerprint: old=\n");
    api.run(&["backend-services", "import", "web", "--source", &file, "--quiet"])
        .is(ExitCode::Failed)
        .says("'web' was changed since it was read");
}

#[test]
fn a_rule_is_replaced_by_what_differs() {
    let api = FakeApi::start();
    let rule = "projects/acme/regions/r1/forwardingRules/web-rule";
    api.edit(rule, |rule| {
        rule["fingerprint"] = json!("f1=");
        rule["description"] = json!("old");
    });
    let backend = "https://www.googleapis.com/compute/v1/projects/acme/regions/r1/backendServices/web";
    let file = api.file(&format!(
        "IPProtocol: TCP\nIPAddress: 10.0.0.100\nbackendService: {backend}\nallowGlobalAccess: true\n"
    ));
    let (method, path, body) = api.change(&[
        "forwarding-rules",
        "import",
        "web-rule",
        "--source",
        &file,
        "--quiet",
    ]);
    assert_eq!((method.as_str(), path.as_str()), ("PATCH", rule));
    assert_eq!(
        body,
        json!({"allowGlobalAccess": true, "description": null, "fingerprint": "f1="})
    );
}

#[test]
fn groups_and_instances_are_applied_with_their_members() {
    let api = FakeApi::start();
    let file = api.file("networkEndpointType: GCE_VM_IP\nnetworkEndpoints:\n- ipAddress: 10.0.0.9\n");
    for (name, told) in [("near", "Updated"), ("new", "Created")] {
        let args = [
            "network-endpoint-groups",
            "import",
            name,
            "--source",
            &file,
            "--quiet",
        ];
        let (method, path, body) = api.change(&args);
        assert_eq!((method.as_str(), path.as_str()), ("POST", "/lb/v1/apply"));
        let self_link = format!(
            "https://www.googleapis.com/compute/v1/projects/acme/zones/r1-a/networkEndpointGroups/{name}"
        );
        assert_eq!(
            body,
            json!({"documents": [{"source": file, "value": {
                "kind": "compute#networkEndpointGroup", "name": name, "selfLink": self_link,
                "networkEndpointType": "GCE_VM_IP", "networkEndpoints": [{"ipAddress": "10.0.0.9"}]}}]})
        );
        api.run(&args)
            .is(ExitCode::Ok)
            .says("warning: as a warning\n")
            .says(told);
    }
    api.edit("projects/acme/zones/r1-a/instanceGroups/far", |far| {
        far["fingerprint"] = json!("f1=")
    });
    let file = api.file("instances: []\nfingerprint: old=\n");
    api.run(&["instance-groups", "import", "far", "--source", &file, "--quiet"])
        .is(ExitCode::Failed)
        .says("'far' was changed since it was read");
}

#[test]
fn a_file_of_something_else_is_refused_with_its_paths() {
    let api = FakeApi::start();
    for (text, message) in [
        (
            "kind: compute#healthCheck\nname: x\n",
            "$.kind: 'compute#healthCheck': the resource to import has",
        ),
        (
            "kind: compute#healthCheck\nname: x\n",
            "$.name: 'x': the resource to import has 'web'",
        ),
        ("[1, 2]", "$: must be one resource"),
        ("a: [", "$: malformed YAML"),
    ] {
        let file = api.file(text);
        let ran = api.run(&["backend-services", "import", "web", "--source", &file, "--quiet"]);
        ran.is(ExitCode::Invalid).says(&format!("{file}: ")).says(message);
    }
    api.run(&[
        "backend-services",
        "import",
        "web",
        "--source",
        "/does/not/exist",
        "--quiet",
    ])
    .is(ExitCode::Invalid)
    .says("can't be read");
    assert_eq!(api.asked().requests, []);
}
