//! `announce`: true or false, or a table that says more.

use std::time::Duration;

use toml::{Table, Value};

use super::walk::{Faults, path_of};
use crate::resources::FaultKind;

const KEYS: &[&str] = &["enabled", "interval-sec"];
const MOST: i64 = 86_400;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Announce {
    pub(super) enabled: Option<bool>,
    pub(super) repeat: Option<Duration>,
}

pub(super) fn read(table: &Table, faults: &mut Faults<'_>) -> Announce {
    let mut announce = Announce::default();
    match table.get("announce") {
        None => {}
        Some(Value::Boolean(enabled)) => announce.enabled = Some(*enabled),
        Some(Value::Table(table)) => {
            for (key, value) in table {
                entry(&mut announce, key, value, faults);
            }
        }
        Some(other) => faults.invalid("announce", other, "expected true, false or a table"),
    }
    announce
}

fn entry(announce: &mut Announce, key: &str, value: &Value, faults: &mut Faults<'_>) {
    let path = format!("announce.{}", path_of(key));
    match (key, value) {
        ("enabled", Value::Boolean(enabled)) => announce.enabled = Some(*enabled),
        ("enabled", _) => faults.invalid(&path, value, "expected true or false"),
        ("interval-sec", Value::Integer(seconds)) => match u64::try_from(*seconds) {
            Ok(whole) if (1..=MOST).contains(seconds) => announce.repeat = Some(Duration::from_secs(whole)),
            _ => faults.invalid(&path, value, format!("must be 1 to {MOST} seconds")),
        },
        ("interval-sec", _) => faults.invalid(&path, value, "expected an integer"),
        _ => {
            let reason = format!("is no setting (known are announce.{})", KEYS.join(", announce."));
            faults.add(&path, FaultKind::UnknownField, None, reason);
        }
    }
}
