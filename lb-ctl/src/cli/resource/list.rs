//! `list`.

use clap::Args;
use serde_json::{Value, json};

use super::super::options::Connection;
use super::super::scope::Within;
use super::answering::Answering;
use super::selection::Selection;
use super::{Failure, Streams, load};
use crate::control::place::url;
use crate::model::ResourcePath;
use crate::output::Listing;
use crate::resources::Kind;

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs<S: Within> {
    /// Only resources of these names or URLs.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    scope: S,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run<S: Within>(
    kind: Kind,
    args: &ListArgs<S>,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let client = args.connection.client();
    let resources = load(&client).await?;
    let named = |path: &ResourcePath| {
        args.names.is_empty()
            || args
                .names
                .iter()
                .any(|name| name == path.name() || name.ends_with(path.as_str()))
    };
    let mut items: Vec<Value> = resources
        .into_iter()
        .filter(|(path, _)| Kind::of(path) == Some(kind) && args.scope.contains(path) && named(path))
        .map(|(path, resource)| listed(kind, &path, resource))
        .collect();
    if kind == Kind::ForwardingRule && !items.is_empty() {
        let answering = Answering::load(&client).await;
        items.iter_mut().for_each(|rule| answering.annotate(rule));
    }
    args.selection.print(streams, items, Listing::Resources(kind))
}

/// As the API lists it: members of groups have methods of their own.
fn listed(kind: Kind, path: &ResourcePath, mut resource: Value) -> Value {
    if let Some(fields) = resource.as_object_mut() {
        if let Some(members) = kind.members_field().and_then(|field| fields.shift_remove(field)) {
            fields
                .entry("size")
                .or_insert_with(|| json!(members.as_array().map_or(0, Vec::len)));
        }
        fields
            .entry("selfLink")
            .or_insert_with(|| json!(url(path.as_str())));
    }
    resource
}
