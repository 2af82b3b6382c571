//! `delete`.

use clap::Args;
use serde_json::Value;

use super::super::command;
use super::super::options::Connection;
use super::super::prompt::confirm;
use super::super::scope::Scope;
use super::{Failure, Streams, find, load};
use crate::control::place::url;
use crate::model::ResourcePath;
use crate::resources::Kind;

#[derive(Debug, Args)]
pub(in crate::cli) struct DeleteArgs<S: Scope> {
    /// The resources' names or URLs.
    #[arg(required = true, value_name = "NAME")]
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
    args: &DeleteArgs<S>,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let client = args.connection.client();
    let resources = load(&client).await?;
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
