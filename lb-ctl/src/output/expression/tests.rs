use proptest::prelude::*;
use serde_json::{Value, json};

use crate::output::{Data, Filter, Format, SortKey};

fn resource() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[ab]", inner, 0..3).prop_map(|fields| json!(fields)),
        ]
    })
}

/// Pieces of expressions in any order, which are right often enough.
fn expression(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop_oneof![4 => prop::sample::select(pieces).prop_map(str::to_owned), 1 => ".{0,3}"],
        0..9,
    )
    .prop_map(|pieces| pieces.concat())
}

const KEYS: &[&str] = &[
    "a",
    "b",
    ".",
    "[]",
    "[0]",
    "[-2]",
    ".basename()",
    ".len()",
    ".list()",
    ".segment(-1)",
    ".scope()",
    ".yesno(no=x)",
    ".sort()",
    "(",
    ")",
    ",",
    ":label=X",
    ":sort=1",
    "value(",
    "csv(",
    "table(",
    "json",
    "yaml",
    "[no-heading]",
];

const TERMS: &[&str] = &[
    "a", "b", ".a", "[]", "=", "!=", ":", "~", "<", ">=", "1", "x*", "\"q\"", "(", ")", " ", " AND ", " OR ",
    "NOT ", "-",
];

proptest! {
    #[test]
    fn any_text_is_a_format_or_refused(text in expression(KEYS), rows in prop::collection::vec(resource(), 0..3)) {
        if let Ok(format) = text.parse::<Format>() {
            let mut out = Vec::new();
            format.print(&mut out, Data::Many(&rows)).expect("to write to memory");
        }
        if let Ok(key) = text.parse::<SortKey>() {
            let mut rows = rows;
            rows.sort_by(|a, b| SortKey::compare(std::slice::from_ref(&key), a, b));
        }
    }

    #[test]
    fn any_text_is_a_filter_or_refused(text in expression(TERMS), row in resource()) {
        if let Ok(filter) = text.parse::<Filter>() {
            let opposite: Filter = format!("NOT ({text})").parse().expect("a filter in parentheses");
            prop_assert_ne!(filter.admits(&row), opposite.admits(&row));
        }
    }

    #[test]
    fn yaml_keeps_any_resource(row in resource()) {
        let text = crate::output::to_yaml(&row).expect("YAML");
        let read = crate::output::from_yaml(&text);
        prop_assert_eq!(read.expect("YAML"), row, "{}", text);
    }
}
