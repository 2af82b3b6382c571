use serde_json::json;

use super::*;

/// Whether the filter admits a service.
#[track_caller]
fn admits(filter: &str) -> bool {
    let service = json!({
        "name": "web-1",
        "region": "https://www.googleapis.com/compute/v1/projects/p/regions/europe-west4",
        "protocol": "TCP",
        "timeoutSec": 30,
        "labels": {"env": "prod"},
        "backends": [{"group": "a/near", "failover": true}, {"group": "a/far"}],
    });
    let filter: Filter = filter.parse().unwrap_or_else(|error| panic!("{filter}: {error}"));
    filter.admits(&service)
}

#[test]
fn filters_admit_as_gclouds_do() {
    for (filter, expected) in [
        ("name=web-1", true),
        ("name=WEB-1", true),
        ("name=web", false),
        ("name!=web", true),
        ("name=(other web-1)", true),
        ("name=(other,another)", false),
        ("name:web", true),
        ("name:EB", true),
        ("name:web*", true),
        ("name:eb*", false),
        ("name:*-1", true),
        ("name:w*1", true),
        ("name:web-1*web-1", false),
        ("name:*", true),
        ("description:*", false),
        ("-description:*", true),
        ("name:(db OR web)", true),
        ("name~^web-[0-9]$", true),
        ("name~\"^(db|web)-\"", true),
        ("name~^(db|web)-", true),
        ("name!~^web", false),
        ("region=europe-west4", true),
        ("region:europe-west4", true),
        ("region=west4", false),
        ("region.basename()=europe-west4", true),
        ("timeoutSec=30", true),
        ("timeoutSec=30.0", true),
        ("timeoutSec>9", true),
        ("timeoutSec<=30", true),
        ("timeoutSec < 30", false),
        ("absent<30", false),
        ("absent=\"\"", true),
        ("labels:env", true),
        ("labels.env=prod", true),
        ("labels.env:staging", false),
        ("backends[].group:far", true),
        ("backends[0].group.basename()=near", true),
        ("backends[0].failover=true", true),
        ("protocol=TCP AND name:web", true),
        ("protocol=TCP name:db", false),
        ("protocol=UDP OR name:web", true),
        ("NOT protocol=UDP", true),
        ("NOT (protocol=TCP OR name=x)", false),
        ("(protocol=UDP OR protocol=TCP) AND timeoutSec>=30", true),
        ("protocol=UDP OR protocol=TCP name:db", false),
        ("orange=x OR android:y OR name='web-1'", true),
    ] {
        assert_eq!(admits(filter), expected, "{filter}");
    }
}

#[test]
fn what_is_no_filter_is_refused_with_its_place() {
    for (filter, message) in [
        ("", "expected the name of a field, at character 1 of ''"),
        (
            "name",
            "expected an operator: != !~ <= >= : = < > ~, at character 5 of 'name'",
        ),
        ("name=", "expected a value, at character 6 of 'name='"),
        ("name=x)", "expected nothing more, at character 7 of 'name=x)'"),
        ("(name=x", "expected ')', at character 8 of '(name=x'"),
        (
            "a=1 AND b=2 OR c=3",
            "AND and OR side by side: parentheses must say which goes first, at character 13 of \
             'a=1 AND b=2 OR c=3'",
        ),
        (
            "name~[",
            "not a regular expression (RE2 syntax), at character 6 of 'name~['",
        ),
        (
            "name:a*b*c",
            "a pattern has one * at most, at character 6 of 'name:a*b*c'",
        ),
        (
            "name=\"x",
            "the quote is not closed, at character 6 of 'name=\"x'",
        ),
        ("name=()", "expected a value, at character 8 of 'name=()'"),
    ] {
        let error = filter.parse::<Filter>().expect_err(filter);
        assert_eq!(error.to_string(), message);
    }
}
