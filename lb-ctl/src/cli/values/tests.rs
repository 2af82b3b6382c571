use serde_json::{Value, json};

use super::pairs::key_value;
use super::*;

#[test]
fn durations_are_gclouds() {
    for (text, expected) in [
        ("0", 0),
        ("30", 30),
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("1d", 86_400),
        ("PT10M", 600),
        ("2m30s", 150),
    ] {
        assert_eq!(seconds(text), Ok(expected), "{text}");
    }
    for bad in ["", "x", "-5s", "5x", "500ms", "1.5", "-1"] {
        assert!(seconds(bad).is_err(), "{bad}: {:?}", seconds(bad));
    }
}

#[test]
fn fields_that_are_not_given_are_not_there() {
    let mut fields = Fields::default();
    fields.set("name", None::<String>);
    assert!(fields.is_empty());
    fields.set("a.b.c", Some(1));
    fields.set("a.b.d", Some("x"));
    fields.clear("a.e");
    fields.set_or_clear("f", Some(&String::new()));
    fields.set_or_clear("g", Some(&"y".to_owned()));
    fields.set_or_clear("h", None);
    assert_eq!(
        Value::from(fields),
        json!({"a": {"b": {"c": 1, "d": "x"}, "e": null}, "f": null, "g": "y"})
    );
}

#[test]
fn pairs_have_each_key_once() {
    let pairs: KeyValues = "instance=vm,ip=10.0.0.1,note=a=b".parse().expect("pairs");
    let pairs: Vec<(&str, &str)> = pairs.0.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(pairs, [("instance", "vm"), ("ip", "10.0.0.1"), ("note", "a=b")]);
    assert_eq!(
        "a=1,a=2".parse::<KeyValues>(),
        Err("'a' is given twice".to_owned())
    );
    assert_eq!(
        "a".parse::<KeyValues>(),
        Err("expected KEY=VALUE, not 'a'".to_owned())
    );
    assert!(key_value("=x").is_err());
}

#[test]
fn a_flag_and_its_opposite_say_three_things() {
    assert_eq!(switch(true, false), Some(true));
    assert_eq!(switch(false, true), Some(false));
    assert_eq!(switch(false, false), None);
}
