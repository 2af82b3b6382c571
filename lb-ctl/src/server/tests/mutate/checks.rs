//! `healthChecks`, regional and global: patch and update.

use super::*;

fn urls() -> [String; 2] {
    [
        format!("{REGION}/healthChecks/hc"),
        format!("{GLOBAL}/healthChecks/ghc"),
    ]
}

#[test]
fn a_patch_merges() {
    let server = server();
    for url in urls() {
        let before = server.get(&url).ok();
        let body = json!({"checkIntervalSec": 7, "tcpHealthCheck": {"request": "ping"}});
        done(&server.patch(&url, &body).ok(), "patch", &url);
        let after = server.get(&url).ok();
        assert_eq!(after["checkIntervalSec"], 7);
        assert_eq!(
            after["tcpHealthCheck"],
            json!({"port": 80, "request": "ping", "proxyHeader": "NONE"})
        );
        for kept in [
            "id",
            "creationTimestamp",
            "selfLink",
            "region",
            "healthyThreshold",
        ] {
            assert_eq!(after.get(kept), before.get(kept), "{kept}");
        }
    }
}

#[test]
fn an_update_replaces_without_a_fingerprint() {
    let server = server();
    for url in urls() {
        let before = server.get(&url).ok();
        server
            .patch(&url, &json!({"checkIntervalSec": 7, "description": "x"}))
            .ok();
        let name = before["name"].as_str().expect("a name");
        let body = json!({"name": name, "type": "TCP", "tcpHealthCheck": {"port": 81}});
        done(&server.put(&url, &body).ok(), "update", &url);
        let after = server.get(&url).ok();
        assert_eq!(
            (&after["checkIntervalSec"], &after["description"]),
            (&json!(5), &json!(""))
        );
        assert_eq!(after["tcpHealthCheck"]["port"], 81);
        assert_eq!(after["id"], before["id"]);
        assert_eq!(after.get("fingerprint"), None);
    }
}

#[test]
fn the_type_changes_and_takes_its_settings_along() {
    let server = server();
    for url in urls() {
        server
            .patch(
                &url,
                &json!({"type": "HTTP", "httpHealthCheck": {"requestPath": "/up"}}),
            )
            .ok();
        let after = server.get(&url).ok();
        assert_eq!(after["httpHealthCheck"]["requestPath"], "/up");
        assert_eq!(after.get("tcpHealthCheck"), None);
        let both = json!({"type": "TCP", "tcpHealthCheck": {"port": 1}, "httpHealthCheck": {"port": 2}});
        let expected = ["Invalid value for field 'resource.httpHealthCheck'"];
        refused(&server, &url, |server| server.patch(&url, &both), &expected);
    }
}

#[test]
fn all_faults_are_told() {
    let server = server();
    for url in urls() {
        let body = json!({"timeoutSec": 9, "healthyThreshold": 11, "fingerprint": "AAAA",
            "tcpHealthCheck": {"port": 0, "portName": "http"}});
        let expected = [
            "Invalid value for field 'resource.fingerprint': 'AAAA'. Is no field",
            "Invalid value for field 'resource.healthyThreshold': '11'.",
            "Invalid value for field 'resource.tcpHealthCheck.port': '0'.",
            "Invalid value for field 'resource.tcpHealthCheck.portName': 'http'.",
            "Invalid value for field 'resource.timeoutSec': '9'.",
        ];
        refused(&server, &url, |server| server.patch(&url, &body), &expected);
        let mut of_update = expected.to_vec();
        of_update.insert(0, "Required field 'resource.type' not specified");
        of_update.sort_unstable();
        refused(&server, &url, |server| server.put(&url, &body), &of_update[..]);
    }
}

#[test]
fn only_a_check_that_is_there_and_free_changes() {
    let server = server();
    for url in urls() {
        let missing = format!("{url}-missing");
        not_found(&server.patch(&missing, &json!({})), &missing);
        not_found(&server.put(&missing, &json!({})), &missing);
        owned(&server, &url, |server| {
            server.patch(&url, &json!({"description": "mine"}))
        });
        let body = json!({"type": "TCP", "description": "mine"});
        owned(&server, &url, |server| server.put(&url, &body));
        owned(&server, &url, |server| server.delete(&url));
    }
}
