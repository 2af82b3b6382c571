//! From names to resources.

use super::super::command;
use super::super::scope::Scope;
use super::Failure;
use crate::client::{Client, ClientError};
use crate::control::ResourceMap;
use crate::control::place::{Parts, canonical};
use crate::model::ResourcePath;
use crate::resources::Kind;

/// All resources, of every kind, project and place, with the members of groups.
pub(in crate::cli) async fn load(client: &Client) -> Result<ResourceMap, ClientError> {
    client.get("/lb/v1/resources").await
}

/// The one resource that a name means within the scope.
pub(in crate::cli) fn find<S: Scope>(
    resources: &ResourceMap,
    kind: Kind,
    name: &str,
    scope: &S,
) -> Result<ResourcePath, Failure> {
    named(resources, kind, name, scope)?.ok_or_else(|| Failure::failed(not_found(resources, kind, name)))
}

/// The one resource that a name means within the scope, if there is one.
pub(super) fn named<S: Scope>(
    resources: &ResourceMap,
    kind: Kind,
    name: &str,
    scope: &S,
) -> Result<Option<ResourcePath>, Failure> {
    let by_url = canonical(name);
    let named = |path: &ResourcePath| match &by_url {
        Some(url) => path == url,
        None => path.name() == name,
    };
    let found: Vec<&ResourcePath> = resources
        .keys()
        .filter(|path| Kind::of(path) == Some(kind) && named(path) && scope.contains(path))
        .collect();
    match found.as_slice() {
        [] => Ok(None),
        [path] => Ok(Some((*path).clone())),
        several => Err(Failure::Usage(format!(
            "'{name}' is ambiguous in {}; say which with its URL or {}:\n{}",
            command(kind),
            flags(several),
            several
                .iter()
                .map(|path| format!("  {path}"))
                .collect::<Vec<_>>()
                .join("\n"),
        ))),
    }
}

fn not_found(resources: &ResourceMap, kind: Kind, name: &str) -> String {
    let elsewhere: Vec<String> = resources
        .keys()
        .filter(|path| Kind::of(path) == Some(kind) && path.name() == name)
        .map(|path| format!("  {path}"))
        .collect();
    let message = format!("there is no '{name}' in {}", command(kind));
    if elsewhere.is_empty() {
        message
    } else {
        format!(
            "{message} where the flags say, but there is\n{}",
            elsewhere.join("\n")
        )
    }
}

/// The flags that tell the paths apart.
fn flags(paths: &[&ResourcePath]) -> &'static str {
    let parts: Vec<Parts<'_>> = paths.iter().filter_map(|path| Parts::of(path)).collect();
    match parts.split_first() {
        Some((first, rest)) if rest.iter().any(|parts| parts.project != first.project) => {
            "--project, --region, --zone or --global"
        }
        _ => "--region, --zone or --global",
    }
}
