use serde_json::json;

use super::*;

const BASE: &str = "https://www.googleapis.com/compute/v1/projects/p";

fn services() -> Vec<Value> {
    vec![
        json!({
            "name": "web",
            "IPAddress": "10.0.0.1",
            "selfLink": format!("{BASE}/regions/r1/backendServices/web"),
            "region": format!("{BASE}/regions/r1"),
            "timeoutSec": 30,
            "failoverPolicy": {"failoverRatio": 0.5, "dropTrafficIfUnhealthy": true},
            "backends": [
                {"group": format!("{BASE}/zones/r1-a/networkEndpointGroups/near")},
                {"group": format!("{BASE}/zones/r1-b/networkEndpointGroups/far"), "failover": true}],
        }),
        json!({
            "name": "dns,tcp",
            "selfLink": format!("{BASE}/regions/r2/backendServices/dns"),
            "region": format!("{BASE}/regions/r2"),
            "timeoutSec": 7,
            "healthChecks": [format!("{BASE}/global/healthChecks/hc")],
        }),
    ]
}

#[track_caller]
fn printed(format: &str, data: Data<'_>) -> String {
    let format: Format = format.parse().unwrap_or_else(|error| panic!("{format}: {error}"));
    let mut out = Vec::new();
    format.print(&mut out, data).expect("to write to memory");
    String::from_utf8(out).expect("text")
}

#[test]
fn columns_are_what_their_keys_say() {
    let services = services();
    for (columns, row) in [
        ("name", "web"),
        ("name,timeoutSec", "web|30"),
        ("region.basename()", "r1"),
        ("selfLink.scope()", "r1/backendServices/web"),
        ("uri().scope(projects)", "p/regions/r1/backendServices/web"),
        ("uri().segment(-3)", "r1"),
        ("backends[].group.basename()", "near;far"),
        (
            "backends[].group.scoped_suffixes().list()",
            "r1-a/networkEndpointGroups/near,r1-b/networkEndpointGroups/far",
        ),
        (
            "backends[].group.map().basename().list(separator=' ')",
            "near far",
        ),
        ("backends[1].group.basename()", "far"),
        ("backends[-1].failover", "True"),
        ("backends[0].failover", ""),
        ("backends[7].failover", ""),
        ("backends.len()", "2"),
        ("backends[].failover", "True"),
        ("backends[].failover.yesno(yes=backup)", "backup"),
        ("absent.yesno(yes=Y,no=N)", "N"),
        ("absent", ""),
        ("name.yesno(no='-')", "web"),
        ("failoverPolicy.failoverRatio", "0.5"),
        ("failoverPolicy", "failoverRatio=0.5;dropTrafficIfUnhealthy=True"),
        ("\"name\"", "web"),
        ("failoverPolicy[\"failoverRatio\"]", "0.5"),
        ("IPAddress.split('.').sort().join(-)", "0-0-1-10"),
    ] {
        let format = format!("value[separator=\"|\"]({columns})");
        assert_eq!(
            printed(&format, Data::One(&services[0])),
            format!("{row}\n"),
            "{columns}"
        );
    }
}

#[test]
fn tables_have_gclouds_headings() {
    assert_eq!(
        printed(
            "table(name, IPAddress, timeoutSec:sort=1, backends[0].group.basename():label=FIRST, failoverPolicy)",
            Data::Many(&services()),
        ),
        "NAME     IP_ADDRESS  TIMEOUT_SEC  FIRST  FAILOVER_POLICY\n\
         dns,tcp              7\n\
         web      10.0.0.1    30           near   {'failoverRatio': 0.5, 'dropTrafficIfUnhealthy': True}\n"
    );
    assert_eq!(
        printed(
            "table[no-heading](name,timeoutSec:sort=1:reverse)",
            Data::Many(&services())
        ),
        "web      30\ndns,tcp  7\n"
    );
    assert_eq!(printed("table(name)", Data::Many(&[])), "");
}

#[test]
fn csv_quotes_what_must_be() {
    assert_eq!(
        printed("csv(name,backends[].group.basename())", Data::Many(&services())),
        "name,group\nweb,near;far\n\"dns,tcp\",\n"
    );
    assert_eq!(
        printed(
            "csv[no-heading,separator=\";\",delimiter=+](name,backends[].group.basename())",
            Data::Many(&services())
        ),
        "web;near+far\ndns,tcp;\n"
    );
}

#[test]
fn values_take_separators() {
    assert_eq!(
        printed("value(name,timeoutSec)", Data::Many(&services())),
        "web\t30\ndns,tcp\t7\n"
    );
    assert_eq!(
        printed(
            "value[delimiter=\"\\n\"](backends[].group.basename())",
            Data::One(&services()[0])
        ),
        "near\nfar\n"
    );
}

#[test]
fn json_and_yaml_are_whole_or_projected() {
    let services = services();
    let parsed: Value = serde_json::from_str(&printed("json", Data::Many(&services))).expect("JSON");
    assert_eq!(parsed, json!(services));
    let parsed: Value = serde_json::from_str(&printed("json", Data::One(&services[0]))).expect("JSON");
    assert_eq!(parsed, services[0]);
    let parsed: Value = serde_json::from_str(&printed(
        "json(name,failoverPolicy.failoverRatio,backends[].group.basename(),backends[].failover)",
        Data::One(&services[0]),
    ))
    .expect("JSON");
    assert_eq!(
        parsed,
        json!({"name": "web", "failoverPolicy": {"failoverRatio": 0.5},
               "backends": [{"group": "near"}, {"group": "far", "failover": true}]})
    );
    assert_eq!(
        printed("yaml(name,backends[].failover,timeoutSec)", Data::Many(&services)),
        "---\nbackends:\n- {}\n- failover: true\nname: web\ntimeoutSec: 30\n---\nname: dns,tcp\ntimeoutSec: 7\n"
    );
    assert_eq!(printed("none", Data::Many(&services)), "");
}

#[test]
fn yaml_keeps_types_and_orders_keys() {
    let value = json!({
        "id": "42", "name": "no", "empty": "", "list": [], "map": {}, "ratio": 0.1, "on": true, "nothing": null,
        "when": "2026-11-20T10:00:00.000-07:00", "description": "two\nlines: of #text", "long": "word ".repeat(40),
        "nested": [{"b": 1, "a": ["x", "y"]}, {"c": {"d": "0x1f"}}], "fingerprint": "AbC=", "address": "2001:db8::1",
    });
    let text = to_yaml(&value).expect("YAML");
    assert_eq!(from_yaml(&text).expect("YAML"), value, "{text}");
    let keys: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with([' ', '-']))
        .filter_map(|line| line.split_once(':'))
        .map(|(key, _)| key.trim_matches(['"', '\'']))
        .collect();
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    assert_eq!(keys, sorted, "{text}");
    assert!(
        text.contains("nested:\n- a:\n  - x\n  - \"y\"\n  b: 1\n"),
        "{text}"
    );
}

#[test]
fn yaml_takes_json_and_refuses_what_is_neither() {
    assert_eq!(
        from_yaml("{\"a\": [1, \"2\"]}").expect("JSON"),
        json!({"a": [1, "2"]})
    );
    assert_eq!(
        from_yaml("a: 1\nb: '1'\nc: yes\n").expect("YAML"),
        json!({"a": 1, "b": "1", "c": true})
    );
    for bad in ["a: b: c", "[1", "a: 1\na: 2\n"] {
        assert!(from_yaml(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_no_format_is_refused_with_what_there_is() {
    for (format, message) in [
        (
            "xml",
            "there is no format 'xml', only table, json, yaml, value, csv, none, at character 1 of 'xml'",
        ),
        (
            "value",
            "expected columns, as in value(name,region), at character 6 of 'value'",
        ),
        ("table(name", "expected ',', at character 11 of 'table(name'"),
        (
            "table(name)x",
            "expected nothing more, at character 12 of 'table(name)x'",
        ),
        (
            "table()",
            "expected the name of a field, at character 7 of 'table()'",
        ),
        (
            "table(name.foo())",
            "there is no transform 'foo()', only basename, join, len, list, map, notnull, scope, scoped_suffixes, \
             segment, sort, split, uri, yesno, at character 12 of 'table(name.foo())'",
        ),
        (
            "table(a.basename(1))",
            "basename() takes at most 0 arguments, at character 9 of 'table(a.basename(1))'",
        ),
        (
            "table(a.list(x=1))",
            "list() has no argument 'x', at character 9 of 'table(a.list(x=1))'",
        ),
        (
            "table(a.segment(x))",
            "segment() takes a number, not 'x', at character 9 of 'table(a.segment(x))'",
        ),
        (
            "table(a.basename().b)",
            "a field can't follow a transform, at character 20 of 'table(a.basename().b)'",
        ),
        ("table(a[x])", "expected ']', at character 9 of 'table(a[x])'"),
        (
            "table(a:color=red)",
            "expected label=…, sort=… or reverse, at character 9 of 'table(a:color=red)'",
        ),
        (
            "csv[separator=ab](name)",
            "the separator of csv is one ASCII character, at character 5 of 'csv[separator=ab](name)'",
        ),
        (
            "json[box]",
            "expected no-heading (of table and csv), separator=… or delimiter=… (of value and csv), at character 6 \
             of 'json[box]'",
        ),
    ] {
        let error = format.parse::<Format>().expect_err(format);
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn values_of_different_types_have_one_order() {
    let sorted = [
        json!({}),
        json!({"a": 9}),
        json!({"a": 10}),
        json!({"a": "10"}),
        json!({"a": "5"}),
        json!({"a": "x"}),
    ];
    let mut rows = sorted.to_vec();
    for _ in 0..rows.len() {
        rows.rotate_left(1);
        let printed = printed("value(a:sort=1)", Data::Many(&rows));
        assert_eq!(printed, "\n9\n10\n10\n5\nx\n");
        rows.sort_by(|a, b| order(&a["a"], &b["a"]));
        assert_eq!(rows, sorted);
        rows.reverse();
    }
}
