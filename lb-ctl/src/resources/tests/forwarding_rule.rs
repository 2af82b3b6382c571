//! The rules of a forwarding rule, with its service and with other rules.

use super::*;

#[test]
fn ports_are_said_in_one_way() {
    let rule = |edits: &[(&str, Value)], paths: &[&str]| {
        expect(external(), edits, paths);
    };
    let none = ("/4/ports", Value::Null);
    rule(std::slice::from_ref(&none), &["$[4].ports"]);
    rule(&[none.clone(), ("/4/allPorts", json!(true))], &[]);
    rule(&[none.clone(), ("/4/portRange", json!("80-90"))], &[]);
    rule(&[("/4/allPorts", json!(true))], &["$[4].ports"]);
    rule(&[("/4/portRange", json!("90"))], &["$[4].portRange"]);
    rule(
        &[
            none.clone(),
            ("/4/portRange", json!("90")),
            ("/4/allPorts", json!(true)),
        ],
        &["$[4].portRange"],
    );
    rule(
        &[none.clone(), ("/4/portRange", json!("90-80"))],
        &["$[4].portRange"],
    );
    rule(
        &[("/4/ports", json!(["80", "8000-8010", "0", "x"]))],
        &["$[4].ports[2]", "$[4].ports[3]"],
    );
    rule(&[("/4/ports", json!(["80-90", "85"]))], &["$[4].ports[1]"]);
    expect_one(
        internal(),
        &[none, ("/4/portRange", json!("80"))],
        "$[4].portRange",
        "EXTERNAL",
    );
}

#[test]
fn protocols_without_ports_name_none() {
    for protocol in ["ESP", "AH", "ICMP"] {
        let bare = [("/4/IPProtocol", json!(protocol)), ("/4/ports", Value::Null)];
        expect(external(), &bare, &[]);
        expect_one(external(), &bare[..1], "$[4].ports", "names no ports");
        let all = [bare[0].clone(), bare[1].clone(), ("/4/allPorts", json!(true))];
        expect_one(external(), &all, "$[4].allPorts", "names no ports");
    }
    let any = [("/4/IPProtocol", json!("L3_DEFAULT")), ("/4/ports", Value::Null)];
    expect_one(external(), &any, "$[4].allPorts", "must be true");
    expect(
        external(),
        &[any[0].clone(), any[1].clone(), ("/4/allPorts", json!(true))],
        &[],
    );
}

#[test]
fn an_address_is_a_literal_of_its_version() {
    for good in ["192.0.2.9", "2001:db8:2::7", "2001:db8:2::/96"] {
        expect(external(), &[("/4/IPAddress", json!(good))], &[]);
    }
    for bad in [
        "shop-ip",
        "192.0.2.0/24",
        "2001:db8::/64",
        "2001:db8::1:2/96",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "169.254.10.1",
        "fe80::/96",
        "",
    ] {
        expect(external(), &[("/4/IPAddress", json!(bad))], &["$[4].IPAddress"]);
    }
    expect_one(
        external(),
        &[("/4/IPAddress", json!("169.254.10.1"))],
        "$[4].IPAddress",
        "is a link-local address: no router passes its packets on",
    );
    expect_one(
        external(),
        &[("/4/ipVersion", json!("IPV6"))],
        "$[4].ipVersion",
        "not the version",
    );
    expect(external(), &[("/5/ipVersion", json!("IPV6"))], &[]);
}

#[test]
fn a_link_local_address_that_is_stored_is_a_warning() {
    let mut resources = apply(&external()).expect("right").resources;
    let mut rules = resources
        .all
        .iter_mut()
        .filter(|(path, _)| path.name() == "front");
    let (_, rule) = rules.next().expect("the rule");
    rule.value.insert("IPAddress".into(), json!("169.254.10.1"));
    drop(rules);
    let (_, warnings) = resources.config().expect("it is kept");
    let told: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|told| told.contains("link-local")), "{told:?}");
}

#[test]
fn a_rule_pairs_with_its_service() {
    for (service, rule, fine) in [
        ("TCP", "TCP", true),
        ("UDP", "UDP", true),
        ("TCP", "UDP", false),
        ("UDP", "TCP", false),
        ("TCP", "SCTP", false),
        ("UNSPECIFIED", "TCP", true),
        ("UNSPECIFIED", "UDP", true),
        ("UNSPECIFIED", "SCTP", true),
    ] {
        let edits = [("/3/protocol", json!(service)), ("/4/IPProtocol", json!(rule))];
        let wrong = ["$[4].IPProtocol"];
        expect(internal(), &edits, if fine { &[] } else { &wrong });
    }
    let any = [
        ("/4/IPProtocol", json!("L3_DEFAULT")),
        ("/4/ports", Value::Null),
        ("/4/allPorts", json!(true)),
    ];
    expect_one(
        internal(),
        &any,
        "$[4].IPProtocol",
        "which takes rules for TCP only",
    );
    let scheme = ("/4/loadBalancingScheme", json!("EXTERNAL"));
    expect_one(
        internal(),
        &[scheme],
        "$[4].loadBalancingScheme",
        "must be that of backend service shop",
    );
}

/// Every protocol of a service with every protocol of a rule.
#[test]
fn every_pair_of_protocols_is_judged() {
    let rules = ["TCP", "UDP", "SCTP", "ESP", "AH", "ICMP", "L3_DEFAULT"];
    for (service, fine) in [
        ("TCP", &["TCP"] as &[&str]),
        ("UDP", &["UDP"]),
        ("UNSPECIFIED", &rules),
    ] {
        for rule in rules {
            let mut edits = vec![("/3/protocol", json!(service)), ("/4/IPProtocol", json!(rule))];
            match rule {
                "TCP" | "UDP" | "SCTP" => {}
                "L3_DEFAULT" => edits.extend([("/4/ports", Value::Null), ("/4/allPorts", json!(true))]),
                _ => edits.push(("/4/ports", Value::Null)),
            }
            let wrong: &[&str] = if fine.contains(&rule) {
                &[]
            } else {
                &["$[4].IPProtocol"]
            };
            expect(internal(), &edits, wrong);
        }
    }
}

/// A copy of rule 4 with another name.
fn second(edits: &[(&str, Value)]) -> Value {
    let mut value = external();
    let mut rule = value[4].clone();
    rule["name"] = json!("other");
    edit(&mut rule, edits);
    edit(&mut value, &[("/-", rule)]);
    value
}

#[test]
fn no_packet_has_two_rules() {
    for edits in [
        vec![],
        vec![("/ports", json!(["70-90"]))],
        vec![("/ports", json!(["443", "80"]))],
        vec![("/ports", Value::Null), ("/allPorts", json!(true))],
        vec![("/ports", Value::Null), ("/portRange", json!("1-65535"))],
    ] {
        let found = faults(&second(&edits));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            found[0].reason,
            "overlaps forwarding rule front in address, protocol and port"
        );
    }
    for edits in [
        vec![("/ports", json!(["81-90"]))],
        vec![("/IPProtocol", json!("UDP"))],
        vec![("/IPAddress", json!("192.0.2.2"))],
        vec![
            ("/IPProtocol", json!("L3_DEFAULT")),
            ("/ports", Value::Null),
            ("/allPorts", json!(true)),
        ],
    ] {
        expect(second(&edits), &[], &[]);
    }
}

#[test]
fn an_ipv6_rule_owns_its_prefix_or_its_address() {
    let at = |address: &str| {
        second(&[
            ("/IPAddress", json!(address)),
            ("/IPProtocol", json!("UDP")),
            ("/ports", json!(["53"])),
        ])
    };
    for same in ["2001:db8:1::", "2001:db8:1::/96"] {
        assert_eq!(faults(&at(same)).len(), 1, "{same}");
    }
    // A VIP by itself, in that /96 or beside it.
    for other in ["2001:db8:1::5", "2001:db8:1:0:0:1::5", "2001:db8:1:0:0:1::"] {
        expect(at(other), &[], &[]);
    }
}

#[test]
fn a_steering_rule_has_a_base_and_its_own_prefixes() {
    let steer = |ranges: Value| second(&[("/sourceIpRanges", ranges)]);
    expect(steer(json!(["198.51.100.0/24", "203.0.113.7"])), &[], &[]);
    expect_one(
        steer(json!(["198.51.100.0/24"])),
        &[("/6/ports", json!(["81"]))],
        "$[6].sourceIpRanges",
        "no forwarding rule",
    );
    expect_one(
        steer(json!(["198.51.100.1/24"])),
        &[],
        "$[6].sourceIpRanges[0]",
        "the prefix is 198.51.100.0/24",
    );
    expect_one(
        steer(json!(["2001:db8::/32"])),
        &[],
        "$[6].sourceIpRanges[0]",
        "address family",
    );
    expect_one(
        steer(json!(["here"])),
        &[],
        "$[6].sourceIpRanges[0]",
        "expected an address",
    );
    expect_one(
        steer(json!(["198.51.100.0/24", "198.51.100.0/24"])),
        &[],
        "$[6].sourceIpRanges[1]",
        "same prefix",
    );

    let mut two = steer(json!(["198.51.100.0/24", "192.0.2.128/25"]));
    let mut third = two[6].clone();
    edit(
        &mut third,
        &[
            ("/name", json!("third")),
            ("/sourceIpRanges", json!(["198.51.0.0/16", "198.51.100.0/24"])),
        ],
    );
    edit(&mut two, &[("/-", third)]);
    expect_one(
        two,
        &[],
        "$[7].sourceIpRanges[1]",
        "forwarding rule other on the same base has the same prefix",
    );

    let inside = [("/4/sourceIpRanges", json!(["10.0.0.0/8"]))];
    let found = expect(
        internal(),
        &inside,
        &["$[4].sourceIpRanges", "$[4].sourceIpRanges"],
    );
    assert!(found.iter().any(|fault| fault.reason.contains("EXTERNAL")));
}

#[test]
fn labels_have_the_form_of_the_cloud() {
    let fine = json!({"team": "a_b-1", "k9": "", "größe": "straße", "x": "9"});
    expect(internal(), &[("/4/labels", fine)], &[]);
    let wrong = json!({"Team": "a", "9k": "a", "k": "A", "": "a", "l": "x".repeat(64), "s": "a b"});
    let at = |key: &str| format!("$[4].labels.{key}").trim_end_matches('.').to_owned();
    let paths = ["Team", "9k", "k", "", "l", "s"].map(at);
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    expect(internal(), &[("/4/labels", wrong)], &paths);
    let many: serde_json::Map<String, Value> = (0..65).map(|n| (format!("k{n}"), json!(""))).collect();
    expect(internal(), &[("/4/labels", many.into())], &["$[4].labels"]);
}
