//! `list`, `describe` and `delete`, which every kind of resource has.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::command;
use super::options::{Connection, Format, Shape};
use super::prompt::confirm;
use super::scope::Scope;
use super::{Failure, Streams};
use crate::client::Client;
use crate::control::ResourceMap;
use crate::control::place::{Parts, canonical, url};
use crate::model::ResourcePath;
use crate::output;
use crate::resources::Kind;

#[derive(Debug, Subcommand)]
pub(super) enum Verb<S: Scope> {
    /// List the resources, of all places unless told which.
    List(ListArgs<S>),
    /// Print one resource as JSON.
    Describe(DescribeArgs<S>),
    /// Delete resources that nothing refers to.
    Delete(DeleteArgs<S>),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs<S: Scope> {
    #[command(flatten)]
    scope: S,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct NameArgs<S: Scope> {
    /// The resource's name or URL.
    pub(super) name: String,
    #[command(flatten)]
    pub(super) scope: S,
    #[command(flatten)]
    pub(super) connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct DescribeArgs<S: Scope> {
    #[command(flatten)]
    resource: NameArgs<S>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = DescribeFormat::Json)]
    format: DescribeFormat,
}

/// A resource has no table.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum DescribeFormat {
    Json,
}

#[derive(Debug, Args)]
pub(super) struct DeleteArgs<S: Scope> {
    /// The resources' names or URLs.
    #[arg(required = true)]
    names: Vec<String>,
    #[command(flatten)]
    scope: S,
    /// Don't ask.
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run<S: Scope>(
    kind: Kind,
    verb: &Verb<S>,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    match verb {
        Verb::List(args) => list(kind, args, streams).await,
        Verb::Describe(args) => describe(kind, args, streams).await,
        Verb::Delete(args) => delete(kind, args, streams).await,
    }
}

pub(super) async fn list<S: Scope>(
    kind: Kind,
    args: &ListArgs<S>,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let mut resources = load(&args.connection.client(), kind).await?;
    resources.retain(|path, _| args.scope.contains(path));
    match args.shape.format {
        Format::Table => output::render_resource_list(streams.out, kind, &resources)?,
        Format::Json => output::render_json(streams.out, &resources.values().collect::<Vec<_>>())?,
    }
    if resources.is_empty() {
        writeln!(streams.err, "Listed 0 items.")?;
    }
    Ok(())
}

pub(super) async fn describe<S: Scope>(
    kind: Kind,
    args: &DescribeArgs<S>,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let NameArgs {
        name,
        scope,
        connection,
    } = &args.resource;
    let client = connection.client();
    let path = find(&load(&client, kind).await?, kind, name, scope)?;
    let resource: Value = client.get(&format!("/compute/v1/{path}")).await?;
    match args.format {
        DescribeFormat::Json => Ok(output::render_json(streams.out, &resource)?),
    }
}

pub(super) async fn delete<S: Scope>(
    kind: Kind,
    args: &DeleteArgs<S>,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let client = args.connection.client();
    let resources = load(&client, kind).await?;
    let paths: Vec<ResourcePath> = args
        .names
        .iter()
        .map(|name| find(&resources, kind, name, &args.scope))
        .collect::<Result<_, _>>()?;
    if !args.quiet {
        let what: Vec<String> = paths.iter().map(|path| format!(" - {path}")).collect();
        let question = format!("These {} will be deleted:\n{}", command(kind), what.join("\n"));
        confirm(&question, streams)?;
    }
    for path in paths {
        let _operation: Value = client.delete(&format!("/compute/v1/{path}")).await?;
        writeln!(streams.err, "Deleted [{}].", url(path.as_str()))?;
    }
    Ok(())
}

/// All resources of the kind, of every project and place.
pub(super) async fn load(client: &Client, kind: Kind) -> Result<ResourceMap, Failure> {
    let mut resources: ResourceMap = client.get("/lb/v1/resources").await?;
    resources.retain(|path, _| Kind::of(path) == Some(kind));
    Ok(resources)
}

/// The one resource that a name means within the scope.
pub(super) fn find<S: Scope>(
    resources: &ResourceMap,
    kind: Kind,
    name: &str,
    scope: &S,
) -> Result<ResourcePath, Failure> {
    let by_url = canonical(name);
    let named = |path: &ResourcePath| match &by_url {
        Some(url) => path == url,
        None => path.name() == name,
    };
    let found: Vec<&ResourcePath> = resources
        .keys()
        .filter(|path| named(path) && scope.contains(path))
        .collect();
    match found.as_slice() {
        [path] => Ok((*path).clone()),
        [] => Err(Failure::failed(not_found(resources, kind, name))),
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
        .filter(|path| path.name() == name)
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
