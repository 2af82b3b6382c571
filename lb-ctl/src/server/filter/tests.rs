use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::resources::{Kind, field_shape};

fn rule() -> Value {
    json!({
        "kind": "compute#forwardingRule",
        "id": "7261538362514112345",
        "name": "web-1",
        "creationTimestamp": "2026-03-01T10:00:00.000Z",
        "description": "the shop's (new) front",
        "region": "https://www.googleapis.com/compute/v1/projects/p/regions/r1",
        "IPAddress": "10.0.0.100",
        "IPProtocol": "TCP",
        "ports": ["80", "443"],
        "allPorts": false,
        "labels": {"env": "prod", "team": "", "a-b": "x"},
    })
}

fn check() -> Value {
    json!({
        "name": "hc",
        "checkIntervalSec": 5,
        "tcpHealthCheck": {"port": 80, "proxyHeader": "NONE"},
        "logConfig": {"enable": true},
    })
}

fn parse_for(kind: Kind, text: &str) -> Result<Filter, Vec<FilterFault>> {
    Filter::parse(text, &|path| field_shape(kind, path))
}

#[track_caller]
fn holds(kind: Kind, value: &Value, text: &str) -> bool {
    let filter = parse_for(kind, text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
    filter.matches(value)
}

#[test]
fn what_a_filter_says_of_a_rule() {
    let yes = [
        "name = web-1",
        "name = \"web-1\"",
        "name='web-1'",
        "  name  =  web-1  ",
        "name != web-2",
        "name = web-*",
        "name = \"*-1\"",
        "name:eb-",
        "name:WEB",
        "name:w*1",
        "NOT name = x",
        "-name = x",
        "- name:x",
        "NOT (name = x OR name = y)",
        "name > web-0 name < web-2",
        "labels.env = prod",
        "labels.env:*",
        "labels:env",
        "labels.\"a-b\" = x",
        "labels.a-b = x",
        "-labels.owner:*",
        "-labels.team:*",
        "labels.owner != me",
        "ports:80",
        "ports = 443",
        "ports > 442",
        "allPorts = false",
        "allPorts != TRUE",
        "id = 7261538362514112345",
        "id > 7261538362514112344",
        "id < 7261538362514112346",
        "creationTimestamp > 2026-01-01",
        "creationTimestamp > \"2026-03-01T09:59:59Z\"",
        "creationTimestamp = 2026-03-01T12:00:00+02:00",
        "creationTimestamp <= 2026-03-01T10:00:00.000Z",
        "description = \"the shop's (new) front\"",
        "description:'shop\\'s'",
        "(IPProtocol = TCP) (allPorts = false)",
        "(IPProtocol = UDP) OR (IPProtocol = TCP) AND (allPorts = false)",
        // OR first: false AND (x OR true) would hold for none, true OR (false AND …) for all.
        "name = web-1 OR name = x AND IPProtocol = TCP",
        "region:r1",
        "((((name = web-1))))",
    ];
    for text in yes {
        assert!(holds(Kind::ForwardingRule, &rule(), text), "{text}");
    }
    let no = [
        "name = web",
        "name = WEB-1",
        "name != web-1",
        "name != web-*",
        "name:x",
        "name = x OR name = web-1 AND IPProtocol = UDP",
        "name = web-1 AND (IPProtocol = UDP OR labels.env = test)",
        "labels.owner = me",
        "labels.owner < me",
        "labels.owner:*",
        "labels:own",
        "ports != 80",
        "allPorts = true",
        "id > 7261538362514112345",
        "id < 7261538362514112345",
        "creationTimestamp < 2026-03-01",
        "NOT name:web",
        "name = \"web-1\" name = x",
        "backendService:*",
        "description = the",
    ];
    for text in no {
        assert!(!holds(Kind::ForwardingRule, &rule(), text), "{text}");
    }
}

#[test]
fn nested_numbers_and_booleans() {
    for text in [
        "checkIntervalSec = 5",
        "checkIntervalSec = 5.0",
        "checkIntervalSec < 10",
        "checkIntervalSec >= 5",
        "tcpHealthCheck.port = 80",
        "tcpHealthCheck.port != 81",
        "tcpHealthCheck:port",
        "tcpHealthCheck:*",
        "logConfig.enable = true",
        "logConfig.enable:*",
        "-httpHealthCheck:*",
        "httpHealthCheck.port != 80",
        "tcpHealthCheck.port eq 8.",
        "logConfig.enable eq true",
    ] {
        assert!(holds(Kind::HealthCheck, &check(), text), "{text}");
    }
    for text in [
        "checkIntervalSec > 5",
        "checkIntervalSec = 50",
        "tcpHealthCheck.port = 8",
        "httpHealthCheck.port = 80",
        "logConfig.enable != true",
        "tcpHealthCheck.port eq 8",
    ] {
        assert!(!holds(Kind::HealthCheck, &check(), text), "{text}");
    }
}

#[test]
fn regular_expressions_match_the_whole_value() {
    for text in [
        "name eq web-1",
        "name eq web-.*",
        "name eq 'web-[0-9]'",
        "name eq \"web-\\d\"",
        "name ne web",
        "name ne .*instance",
        "  (name eq web.*) (IPProtocol ne \"UDP\")  ",
        "(name eq (web|mail)-1)(IPProtocol eq TCP)",
        "( name eq web-1 )",
        "description eq the shop's .*front",
        "description eq .*\\(new\\).*",
        "(description eq .*\\(new\\).*)",
        "region eq \".*\\br1\\b.*\"",
        "labels.env eq pr.d",
        "labels.owner ne x",
        "ports eq 4+3",
        "name eq (?i)WEB-1",
        "labels.team eq ''",
    ] {
        assert!(holds(Kind::ForwardingRule, &rule(), text), "{text}");
    }
    for text in [
        "name eq web",
        "name eq eb-1",
        "name ne web-1",
        "name eq web|x-1",
        "(name eq web.*) (IPProtocol eq UDP)",
        "labels.owner eq .*",
        "region eq r1",
    ] {
        assert!(!holds(Kind::ForwardingRule, &rule(), text), "{text}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let faults = |text: &str| {
        let faults = parse_for(Kind::ForwardingRule, text).expect_err(text);
        faults.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        faults("nmae = x AND labels.a.b = y OR allPorts = maybe"),
        [
            "there is no field 'nmae' (at character 0)",
            "there is no field 'labels.a.b' (at character 13)",
            "'maybe' is neither true nor false (at character 42)",
        ]
    );
    assert_eq!(
        faults("(nmae eq x) (name eq [)"),
        [
            "there is no field 'nmae' (at character 1)",
            "the regular expression is wrong: unclosed character class (at character 21)",
        ]
    );
    for (text, why) in [
        ("name", "expected one of the operators"),
        ("name =", "expected a value"),
        ("= x", "expected the name of a field"),
        ("name = x AND", "expected the name of a field"),
        ("name = x OR", "expected the name of a field"),
        ("(name = x", "expected ')'"),
        ("name = x)", "expected AND, OR, or the end"),
        ("name = \"x", "the quotes are not closed"),
        ("name = x and name = y", "expected one of the operators"),
        ("name == x", "expected one of the operators"),
        ("name ~ x", "expected one of the operators"),
        ("name.x = y", "there is no field 'name.x'"),
        ("labels = x", "the field is an object"),
        ("allPorts > true", "true and false have no order"),
        ("name eq", "expected a regular expression"),
        ("name eq x) y", "the regular expression is wrong"),
        ("(name eq x", "expected ')'"),
        (
            "(name eq x) OR (name eq y)",
            "eq and ne don't go with other operators",
        ),
        ("(name eq x) name = y", "eq and ne don't go with other operators"),
        (
            "name eq 'x' (name eq y)",
            "several expressions stand in parentheses",
        ),
        ("name eq (?=x)", "the regular expression is wrong"),
        ("name eq a)|(b", "the regular expression is wrong"),
        ("name eq \\w{1000}{1000}", "the regular expression is wrong"),
        ("func(name)", "expected one of the operators"),
    ] {
        let told = faults(text);
        assert!(told[0].contains(why), "{text}: {told:?}");
    }
    let deep = format!("{}name = x{}", "(".repeat(2000), ")".repeat(2000));
    assert!(faults(&deep)[0].contains("more than 32 levels"));
    let long = format!("name = {}", "x".repeat(5000));
    assert!(faults(&long)[0].contains("longer than 4096 bytes"));
    let patterns = "(name eq .*)".repeat(300);
    assert!(parse_for(Kind::ForwardingRule, &patterns).is_ok());
}

/// A filter and what it means, built side by side.
#[derive(Clone, Debug)]
enum Meaning {
    Name(String, bool),
    Port(u16, &'static str),
    Not(Box<Meaning>),
    All(Vec<Meaning>),
    Any(Vec<Meaning>),
}

impl Meaning {
    fn text(&self) -> String {
        let joined = |parts: &[Self], by: &str| {
            let texts: Vec<String> = parts.iter().map(|part| format!("({})", part.text())).collect();
            texts.join(by)
        };
        match self {
            Self::Name(name, true) => format!("name = \"{name}\""),
            Self::Name(name, false) => format!("name != {name}"),
            Self::Port(port, sign) => format!("tcpHealthCheck.port {sign} {port}"),
            Self::Not(inner) => format!("NOT ({})", inner.text()),
            Self::All(parts) if parts.len() % 2 == 0 => joined(parts, " AND "),
            Self::All(parts) => joined(parts, " "),
            Self::Any(parts) => joined(parts, " OR "),
        }
    }

    fn holds(&self, name: &str, port: u16) -> bool {
        match self {
            Self::Name(wanted, equal) => (name == wanted) == *equal,
            Self::Port(bound, "<") => port < *bound,
            Self::Port(bound, ">=") => port >= *bound,
            Self::Port(bound, _) => port == *bound,
            Self::Not(inner) => !inner.holds(name, port),
            Self::All(parts) => parts.iter().all(|part| part.holds(name, port)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(name, port)),
        }
    }
}

fn meaning() -> impl Strategy<Value = Meaning> {
    let leaf = prop_oneof![
        ("[a-c]{1,2}", any::<bool>()).prop_map(|(name, equal)| Meaning::Name(name, equal)),
        (1..6_u16, prop::sample::select(vec!["<", ">=", "="]))
            .prop_map(|(port, sign)| Meaning::Port(port, sign)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Meaning::Not(Box::new(inner))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Meaning::All),
            prop::collection::vec(inner, 1..4).prop_map(Meaning::Any),
        ]
    })
}

proptest! {
    #[test]
    fn a_filter_holds_where_its_meaning_does(meaning in meaning(), name in "[a-c]{1,2}", port in 1..6_u16) {
        let value = json!({"name": name, "tcpHealthCheck": {"port": port}});
        let text = meaning.text();
        let filter = parse_for(Kind::HealthCheck, &text).expect("a filter");
        prop_assert_eq!(filter.matches(&value), meaning.holds(&name, port), "{}", text);
    }

    #[test]
    fn no_text_is_too_strange(text in r#"[a-z =!<>:()"'\\.*&é-]{0,60}|.{0,80}|(\(|NOT |-|name (eq|ne|=|:) ?|AND |OR |\)| |"|[a-z]){0,30}"#) {
        if let Ok(filter) = parse_for(Kind::ForwardingRule, &text) {
            filter.matches(&rule());
        }
    }

    #[test]
    fn quoting_takes_any_text(text in ".{1,40}") {
        prop_assume!(!text.contains('*'));
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        let filter = parse_for(Kind::ForwardingRule, &format!("description = \"{quoted}\"")).expect("a filter");
        let described = json!({"description": text});
        let other = json!({"description": format!("{text}x")});
        prop_assert!(filter.matches(&described));
        prop_assert!(!filter.matches(&other));
    }
}
