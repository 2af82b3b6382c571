//! gcloud's `--sort-by`.

use std::cmp::Ordering;
use std::str::FromStr;

use serde_json::Value;

use super::expression::{Cursor, Key, SyntaxError};
use super::format::order;

/// A key to order by, from the greatest on with a `~` before it.
#[derive(Clone, Debug, PartialEq)]
pub struct SortKey {
    key: Key,
    reverse: bool,
}

impl SortKey {
    /// By the first key that tells the two apart.
    pub fn compare(keys: &[Self], a: &Value, b: &Value) -> Ordering {
        let orders = keys.iter().map(|by| {
            let order = order(&by.key.get(a), &by.key.get(b));
            if by.reverse { order.reverse() } else { order }
        });
        orders.fold(Ordering::Equal, Ordering::then)
    }
}

impl FromStr for SortKey {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let mut cursor = Cursor::new(text);
        let reverse = cursor.eat("~");
        let key = Key::parse(&mut cursor)?;
        if !cursor.at_end() {
            return Err(cursor.error("expected nothing more"));
        }
        Ok(Self { key, reverse })
    }
}
