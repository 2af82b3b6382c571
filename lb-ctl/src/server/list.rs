//! What all lists have in common: `filter`, `orderBy`, `maxResults`, `pageToken`.
//!
//! A page token names the last item of the page before, so what is inserted or deleted meanwhile makes no other item
//! appear twice or not at all. It counts for the list, filter and order that it was given for.

use std::cmp::Reverse;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::error::{ApiError, ApiResult};
use super::filter::{Filter, Shapes};
use super::query::Query;

/// The parameters of every list.
pub(super) const PARAMETERS: [&str; 5] = [
    "filter",
    "maxResults",
    "orderBy",
    "pageToken",
    "returnPartialSuccess",
];
const MAX_RESULTS: usize = 500;
/// Of the digest that a page token carries.
const DIGEST_BYTES: usize = 12;

pub(super) struct ListQuery {
    filter: Option<Filter>,
    order: Order,
    max: usize,
    after: Option<Position>,
    /// What the list is, for page tokens.
    identity: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Name,
    NewestFirst,
}

/// Where an item is in its list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    key: String,
    /// Only in lists by time; an item without a time comes last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<Timestamp>,
}

/// An item and what it is sorted by when no other order is asked for.
pub(super) struct Item<'a, T> {
    pub(super) key: &'a str,
    pub(super) value: T,
}

pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<String>,
}

impl ListQuery {
    /// `collection` is the path of what is listed, and `shapes` knows the fields of its items.
    pub(super) fn read(query: &Query, collection: &str, shapes: Shapes<'_>) -> ApiResult<Self> {
        let mut faults = Vec::new();
        let max = query
            .number("maxResults", MAX_RESULTS)
            .map_err(|f| faults.push(f));
        let order = order(query).map_err(|f| faults.push(f));
        let filter = filter(query, shapes).map_err(|more| faults.extend(more));
        let _known = query.boolean("returnPartialSuccess").map_err(|f| faults.push(f));
        let identity = [
            collection,
            query.get("filter").unwrap_or_default(),
            query.get("orderBy").unwrap_or_default(),
        ]
        .join("\n");
        let after = position(query, &identity).map_err(|f| faults.push(f));
        match (max, order, filter, after) {
            (Ok(max), Ok(order), Ok(filter), Ok(after)) if faults.is_empty() => Ok(Self {
                filter,
                order,
                max: max.filter(|max| *max > 0).unwrap_or(MAX_RESULTS),
                after,
                identity,
            }),
            _ => Err(ApiError::all(faults)),
        }
    }

    /// Items up to and with this key were on earlier pages.
    pub(super) fn after_key(&self) -> Option<&str> {
        match self.order {
            Order::Name => Some(self.after.as_ref()?.key.as_str()),
            Order::NewestFirst => None,
        }
    }

    /// One page of the items, which come sorted by key. `view` is the item's JSON, to filter and sort by.
    pub(super) fn page<'a, T>(
        &self,
        items: impl Iterator<Item = Item<'a, T>>,
        view: impl Fn(&T) -> &Value,
    ) -> Page<T> {
        let wanted = items.filter(|item| {
            let filter = self.filter.as_ref();
            filter.is_none_or(|filter| filter.matches(view(&item.value)))
        });
        match self.order {
            Order::Name => {
                let after = self.after_key();
                let rest = wanted.filter(|item| after.is_none_or(|after| item.key > after));
                self.cut(rest.map(|item| (item.key, None, item.value)))
            }
            Order::NewestFirst => {
                let mut all: Vec<_> = wanted
                    .map(|item| (Reverse(created(view(&item.value))), item.key, item.value))
                    .collect();
                all.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
                let after = self.after.as_ref();
                let after = after.map(|after| (Reverse(after.created), after.key.as_str()));
                let rest = all
                    .into_iter()
                    .filter(|(time, key, _)| after.is_none_or(|after| (*time, *key) > after));
                self.cut(rest.map(|(time, key, value)| (key, time.0, value)))
            }
        }
    }

    fn cut<'a, T>(&self, rest: impl Iterator<Item = (&'a str, Option<Timestamp>, T)>) -> Page<T> {
        let mut rest = rest;
        let mut items = Vec::new();
        let mut last = None;
        for (key, created, value) in rest.by_ref().take(self.max) {
            items.push(value);
            last = Some((key, created));
        }
        let next = last.filter(|_| rest.next().is_some()).map(|(key, created)| {
            let key = key.to_owned();
            token(&Position { key, created }, &self.identity)
        });
        Page { items, next }
    }
}

impl Page<Value> {
    pub(super) fn into_list(self, kind: &str, path: &str) -> Value {
        let mut list = json!({ "kind": kind, "id": path, "items": self.items });
        list["selfLink"] = json!(crate::control::place::url(path));
        if let Some(token) = self.next {
            list["nextPageToken"] = json!(token);
        }
        list
    }
}

fn created(item: &Value) -> Option<Timestamp> {
    let time = item["creationTimestamp"].as_str().or(item["insertTime"].as_str());
    time?.parse().ok()
}

fn order(query: &Query) -> ApiResult<Order> {
    match query.get("orderBy") {
        None | Some("" | "name") => Ok(Order::Name),
        Some("creationTimestamp desc") => Ok(Order::NewestFirst),
        Some(other) => Err(ApiError::invalid(
            "orderBy",
            other,
            "Only sorting by 'name' or 'creationTimestamp desc' is supported.",
        )),
    }
}

fn filter(query: &Query, shapes: Shapes<'_>) -> Result<Option<Filter>, Vec<ApiError>> {
    let Some(text) = query.get("filter").filter(|text| !text.trim().is_empty()) else {
        return Ok(None);
    };
    let refusal = |fault: &super::filter::FilterFault| {
        let why = format!("Invalid list filter expression. {fault}");
        ApiError::invalid("filter", text, &why)
    };
    Filter::parse(text, shapes)
        .map(Some)
        .map_err(|faults| faults.iter().map(refusal).collect())
}

fn position(query: &Query, identity: &str) -> ApiResult<Option<Position>> {
    let Some(text) = query.get("pageToken").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (digest, position) = bytes.split_at_checked(DIGEST_BYTES)?;
        let genuine = *digest == digest_of(position, identity);
        genuine.then(|| serde_json::from_slice(position).ok()).flatten()
    };
    let refused = || {
        let why = "It is not the nextPageToken of this list with this filter and order.";
        ApiError::invalid("pageToken", text, why)
    };
    read().map(Some).ok_or_else(refused)
}

fn token(position: &Position, identity: &str) -> String {
    let position = json!(position).to_string();
    let mut bytes = digest_of(position.as_bytes(), identity).to_vec();
    bytes.extend(position.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Tells a token that was damaged, or belongs to another list. It hides nothing: a token says no more than
/// the page did.
fn digest_of(position: &[u8], identity: &str) -> [u8; DIGEST_BYTES] {
    let digest = Sha256::new()
        .chain_update(identity)
        .chain_update([0])
        .chain_update(position)
        .finalize();
    std::array::from_fn(|i| digest[i])
}
