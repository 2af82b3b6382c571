//! Filters, orders, pages and parts of lists.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::harness::TestServer;
use crate::control::fake::sample;
use crate::control::place::url;

const PROJECT: &str = "/compute/v1/projects/acme";
const CHECKS: &str = "/compute/v1/projects/acme/regions/r1/healthChecks";

fn with(path: &str, parameters: &[(&str, &str)]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    format!("{path}?{}", pairs.join("&"))
}

/// The daemon's own time would make an order that can't be told from that of the names.
fn add(server: &TestServer, name: &str, minute: u32) {
    let body = json!({"name": name, "type": "TCP", "checkIntervalSec": minute,
        "creationTimestamp": format!("2026-01-01T00:{minute:02}:00.000Z")});
    server.post(CHECKS, &body).ok();
}

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().expect("items").iter();
    items
        .map(|item| item["name"].as_str().expect("a name").to_owned())
        .collect()
}

/// Names of all pages, and how many pages there were.
fn walk(server: &TestServer, path: &str, parameters: &[(&str, &str)]) -> (Vec<String>, usize) {
    let (mut seen, mut pages, mut token) = (Vec::new(), 0, String::new());
    loop {
        let parameters = [parameters, &[("pageToken", token.as_str())]].concat();
        let page = server.get(&with(path, &parameters)).ok();
        seen.extend(names(&page));
        pages += 1;
        match page["nextPageToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => return (seen, pages),
        }
    }
}

fn server() -> TestServer {
    let server = TestServer::start(sample());
    for (name, minute) in [("d", 4), ("a", 30), ("c", 30), ("b", 50)] {
        add(&server, name, minute);
    }
    server
}

#[test]
fn a_list_is_filtered_in_both_syntaxes() {
    let server = server();
    for (filter, expected) in [
        ("name = a OR name = b", vec!["a", "b"]),
        ("checkIntervalSec >= 30 AND name != c", vec!["a", "b"]),
        ("name eq [ab]", vec!["a", "b"]),
        ("(name ne hc) (checkIntervalSec eq \"30\")", vec!["a", "c"]),
        ("creationTimestamp < 2026-01-01T00:05:00Z", vec!["d"]),
        ("", vec!["a", "b", "c", "d", "hc"]),
        ("name = nothing", vec![]),
    ] {
        let list = server.get(&with(CHECKS, &[("filter", filter)])).ok();
        assert_eq!(names(&list), expected, "{filter}");
    }
}

#[test]
fn a_wrong_list_is_told_every_fault() {
    let server = server();
    let answer = server.get(&with(
        CHECKS,
        &[
            ("filter", "nmae = a AND typ = TCP"),
            ("orderBy", "id"),
            ("maxResults", "501"),
            ("pageToken", "x"),
            ("returnPartialSuccess", "perhaps"),
        ],
    ));
    let message = answer.error(400, "invalid");
    assert_eq!(
        message,
        "Invalid value for field 'maxResults': '501'. Must be a number from 0 to 500."
    );
    let errors = answer.body["error"]["errors"].as_array().expect("errors");
    let messages: Vec<&str> = errors
        .iter()
        .filter_map(|error| error["message"].as_str())
        .collect();
    assert_eq!(messages.len(), 6, "{messages:?}");
    assert_eq!(
        messages[2],
        "Invalid value for field 'filter': 'nmae = a AND typ = TCP'. Invalid list filter expression. \
         there is no field 'nmae' (at character 0)"
    );
    let answer = server.get(&with(
        CHECKS,
        &[("maxResults", "1"), ("maxResults", "2"), ("orderby", "name")],
    ));
    assert_eq!(answer.body["error"]["errors"].as_array().map(Vec::len), Some(2));
    assert!(
        answer.body.to_string().contains("Did you mean 'orderBy'?"),
        "{}",
        answer.body
    );
    server
        .get(&format!("{CHECKS}?filter=%ff"))
        .error(400, "badRequest");
}

#[test]
fn pages_go_on_where_the_last_one_ended() {
    let server = server();
    assert_eq!(
        walk(&server, CHECKS, &[("maxResults", "2")]),
        (["a", "b", "c", "d", "hc"].map(str::to_owned).to_vec(), 3)
    );
    let newest = &[("orderBy", "creationTimestamp desc"), ("maxResults", "2")];
    let in_time = ["b", "a", "c", "d", "hc"].map(str::to_owned).to_vec();
    assert_eq!(walk(&server, CHECKS, newest), (in_time.clone(), 3));
    let some = [newest.as_slice(), &[("filter", "name != c")]].concat();
    assert_eq!(
        walk(&server, CHECKS, &some).0,
        ["b", "a", "d", "hc"].map(str::to_owned)
    );
    // Zero is the default, which is more than there are.
    assert_eq!(
        walk(&server, CHECKS, &[("maxResults", "0"), ("orderBy", "name")]).1,
        1
    );

    let first = server.get(&with(CHECKS, newest)).ok();
    let token = first["nextPageToken"].as_str().expect("a token");
    assert_eq!(names(&first), in_time[..2]);
    server.delete(&format!("{CHECKS}/a")).ok();
    add(&server, "z", 59);
    add(&server, "aa", 10);
    let rest = server
        .get(&with(
            CHECKS,
            &[("orderBy", "creationTimestamp desc"), ("pageToken", token)],
        ))
        .ok();
    assert_eq!(names(&rest), ["c", "aa", "d", "hc"]);
}

#[test]
fn a_page_token_counts_for_its_own_list_only() {
    let server = server();
    let page = server.get(&with(CHECKS, &[("maxResults", "1")])).ok();
    let token = page["nextPageToken"].as_str().expect("a token");
    let refused = |path: &str, parameters: &[(&str, &str)]| {
        let message = server.get(&with(path, parameters)).error(400, "invalid");
        assert!(message.contains("'pageToken'"), "{message}");
    };
    refused(CHECKS, &[("pageToken", token), ("filter", "name != x")]);
    refused(
        CHECKS,
        &[("pageToken", token), ("orderBy", "creationTimestamp desc")],
    );
    refused(&format!("{PROJECT}/global/healthChecks"), &[("pageToken", token)]);
    refused(
        &format!("{PROJECT}/aggregated/healthChecks"),
        &[("pageToken", token)],
    );
    for at in 0..token.len() {
        let mut tampered = token.as_bytes().to_vec();
        tampered[at] = if tampered[at] == b'A' { b'B' } else { b'A' };
        refused(
            CHECKS,
            &[("pageToken", std::str::from_utf8(&tampered).expect("ASCII"))],
        );
        refused(CHECKS, &[("pageToken", &token[..at.max(1)])]);
    }
    server
        .get(&with(CHECKS, &[("pageToken", token), ("maxResults", "500")]))
        .ok();
}

#[test]
fn an_aggregated_list_shows_every_scope_once() {
    let server = server();
    let services = format!("{PROJECT}/aggregated/backendServices");
    // As gcloud asks.
    let gcloud =
        format!("{services}?alt=json&includeAllScopes=True&maxResults=500&returnPartialSuccess=True");
    let list = server.get(&gcloud).ok();
    assert_eq!(list["kind"], "compute#backendServiceAggregatedList");
    assert_eq!(list["selfLink"], url("projects/acme/aggregated/backendServices"));
    let scopes = |list: &Value| {
        let scopes = list["items"].as_object().expect("scopes").keys();
        scopes.cloned().collect::<Vec<_>>()
    };
    assert_eq!(scopes(&list), ["global", "regions/r1", "zones/r1-a"]);
    assert_eq!(list["items"]["regions/r1"]["backendServices"][0]["name"], "web");
    assert_eq!(list["items"]["regions/r1"].get("warning"), None);
    assert_eq!(
        list["items"]["zones/r1-a"],
        json!({"warning": {"code": "NO_RESULTS_ON_PAGE",
            "message": "There are no results for scope 'zones/r1-a' on this page.",
            "data": [{"key": "scope", "value": "zones/r1-a"}]}})
    );
    let own = server.get(&services).ok();
    assert_eq!(scopes(&own), ["regions/r1"]);
    let filtered = server.get(&with(&services, &[("filter", "name = x")])).ok();
    assert_eq!(
        filtered["items"]["regions/r1"]["warning"]["code"],
        "NO_RESULTS_ON_PAGE"
    );
    let empty = "/compute/v1/projects/empty/aggregated/backendServices?includeAllScopes=TRUE";
    assert_eq!(scopes(&server.get(empty).ok()), ["global"]);
    server
        .get(&format!("{services}?includeAllScopes=yes"))
        .error(400, "invalid");
    server.get(&format!("{services}?serviceProjectNumber=12")).ok();
    server
        .get(&format!("{services}?serviceProjectNumber=acme"))
        .error(400, "invalid");
}

#[test]
fn an_aggregated_list_pages_across_scopes() {
    let server = server();
    for order in ["name", "creationTimestamp desc"] {
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let parameters = [("maxResults", "1"), ("orderBy", order), ("pageToken", &token)];
            let page = server
                .get(&with(&format!("{PROJECT}/aggregated/healthChecks"), &parameters))
                .ok();
            let scopes = page["items"].as_object().expect("scopes");
            assert_eq!(scopes.len(), 2);
            let items: Vec<(&String, &Value)> = scopes
                .iter()
                .flat_map(|(scope, content)| {
                    let items = content["healthChecks"].as_array().into_iter().flatten();
                    items.map(move |item| (scope, item))
                })
                .collect();
            assert_eq!(items.len(), 1, "{page}");
            let (scope, item) = items[0];
            seen.push(format!("{scope} {}", item["name"].as_str().expect("a name")));
            match page["nextPageToken"].as_str() {
                Some(next) => token = next.to_owned(),
                None => break,
            }
        }
        let expected = match order {
            "name" => [
                "global hc",
                "regions/r1 a",
                "regions/r1 b",
                "regions/r1 c",
                "regions/r1 d",
                "regions/r1 hc",
            ],
            _ => [
                "regions/r1 b",
                "regions/r1 a",
                "regions/r1 c",
                "regions/r1 d",
                "global hc",
                "regions/r1 hc",
            ],
        };
        assert_eq!(seen, expected, "{order}");
    }
}

#[test]
fn operations_are_listed_by_place_and_over_all() {
    let server = server();
    let body = json!({"name": "g", "type": "TCP"});
    server.post(&format!("{PROJECT}/global/healthChecks"), &body).ok();
    let operations = format!("{PROJECT}/regions/r1/operations");
    let newest = server
        .get(&with(
            &operations,
            &[("orderBy", "creationTimestamp desc"), ("maxResults", "1")],
        ))
        .ok();
    assert_eq!(
        newest["items"][0]["targetLink"],
        url("projects/acme/regions/r1/healthChecks/b")
    );
    let filter = (
        "filter",
        "operationType = insert AND targetLink:healthChecks/a progress = 100",
    );
    let list = server.get(&with(&operations, &[filter])).ok();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    server
        .get(&with(&operations, &[("filter", "targt = x")]))
        .error(400, "invalid");
    // As gcloud asks.
    let all = server
        .get(&format!(
            "{PROJECT}/aggregated/operations?alt=json&maxResults=500&returnPartialSuccess=True"
        ))
        .ok();
    assert_eq!(all["kind"], "compute#operationAggregatedList");
    assert_eq!(
        all["items"]["global"]["operations"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(
        all["items"]["regions/r1"]["operations"].as_array().map(Vec::len),
        Some(4)
    );
}

#[test]
fn members_are_filtered_and_paged() {
    let server = server();
    let endpoints = format!("{PROJECT}/zones/r1-a/networkEndpointGroups/near/listNetworkEndpoints");
    let ask = |filter: &str, body: Value| server.post(&with(&endpoints, &[("filter", filter)]), &body);
    let addresses = |list: Value| {
        let items = list["items"].as_array().expect("items").clone();
        let address = |item: &Value| {
            item["networkEndpoint"]["ipAddress"]
                .as_str()
                .expect("text")
                .to_owned()
        };
        items.iter().map(address).collect::<Vec<_>>()
    };
    assert_eq!(
        addresses(ask("networkEndpoint.instance = n2", json!({})).ok()),
        ["10.0.0.2"]
    );
    assert_eq!(
        addresses(ask("healths.healthState = HEALTHY", json!({"healthStatus": "SHOW"})).ok()),
        ["10.0.0.1"]
    );
    assert_eq!(
        addresses(ask("healths.healthState = HEALTHY", json!({"healthStatus": "SKIP"})).ok()),
        [""; 0]
    );
    ask("networkEndpoint.adress = x", json!({})).error(400, "invalid");
    ask("", json!({"healthStatus": 1})).error(400, "badRequest");
    ask("", json!({"healthStaus": "SHOW"})).error(400, "badRequest");
    let near = format!("{PROJECT}/zones/r1-a/networkEndpointGroups");
    let hidden = ("filter", "networkEndpoints.instance = n1");
    server.get(&with(&near, &[hidden])).error(400, "invalid");
    let instances = format!("{PROJECT}/zones/r1-a/instanceGroups/far/listInstances");
    let list = server
        .post(&with(&instances, &[("filter", "status ne RUNNING")]), &json!({}))
        .ok();
    assert_eq!(list["items"], json!([]));
}

#[test]
fn no_service_is_usable_by_proxies() {
    let server = server();
    let usable = format!("{PROJECT}/regions/r1/backendServices/listUsable");
    let list = server
        .get(&with(&usable, &[("filter", "name = web"), ("maxResults", "5")]))
        .ok();
    assert_eq!(
        list,
        json!({"kind": "compute#usableBackendServiceList", "items": [],
            "id": "projects/acme/regions/r1/backendServices/listUsable",
            "selfLink": url("projects/acme/regions/r1/backendServices/listUsable")})
    );
    server
        .get(&with(&usable, &[("filter", "nmae = web")]))
        .error(400, "invalid");
}

#[test]
fn the_standard_parameters_act_or_are_refused() {
    let server = server();
    let check = format!("{CHECKS}/a");
    let part = server.get(&with(&check, &[("fields", "name,type")])).ok();
    assert_eq!(part, json!({"name": "a", "type": "TCP"}));
    let list = server
        .get(&with(
            CHECKS,
            &[("fields", "items/name,nextPageToken"), ("filter", "name = a")],
        ))
        .ok();
    assert_eq!(list, json!({"items": [{"name": "a"}]}));
    for harmless in [
        "alt=json&key=k&quotaUser=q&userIp=1.2.3.4&prettyPrint=false&%24.xgafv=2",
        "%24alt=json%3Benum-encoding%3Dint",
        "%24prettyPrint=True",
    ] {
        server.get(&format!("{check}?{harmless}")).ok();
    }
    for refused in [
        "alt=media",
        "%24alt=proto",
        "alt=json%3Bcharset=utf-16",
        "fields=",
        "fields=a(",
        "prettyPrint=very",
        "callback=f",
        "access_token=secret",
        "alt=json&alt=json",
    ] {
        let answer = server.get(&format!("{check}?{refused}"));
        assert!(!answer.error(400, "invalid").contains("secret"), "{refused}");
    }
}
