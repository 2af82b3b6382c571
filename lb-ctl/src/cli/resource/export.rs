//! `export`: a resource as a file that `import` takes.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::super::scope::Scope;
use super::{Failure, NameArgs, Streams, find, load};
use crate::output::to_yaml;
use crate::resources::Kind;

#[derive(Debug, Args)]
pub(in crate::cli) struct ExportArgs<S: Scope> {
    #[command(flatten)]
    resource: NameArgs<S>,
    /// The file to write; standard output by default.
    #[arg(long, value_name = "FILE")]
    destination: Option<PathBuf>,
}

/// What only a daemon can say, and what no other would want to hear.
const LEFT_OUT: [&str; 4] = ["creationTimestamp", "id", "selfLinkWithId", "usedBy"];

pub(super) async fn run<S: Scope>(
    kind: Kind,
    args: &ExportArgs<S>,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let NameArgs {
        name,
        scope,
        connection,
    } = &args.resource;
    let resources = load(&connection.client()).await?;
    let path = find(&resources, kind, name, scope)?;
    let mut resource = resources[&path].clone();
    if let Some(fields) = resource.as_object_mut() {
        fields.retain(|name, _| !LEFT_OUT.contains(&name.as_str()));
        fields.insert("kind".to_owned(), Value::from(kind.as_api()));
    }
    let text = to_yaml(&resource).map_err(|error| Failure::failed(error.to_string()))?;
    match &args.destination {
        None => streams.out.write_all(text.as_bytes())?,
        Some(file) => {
            std::fs::write(file, text)
                .map_err(|error| Failure::failed(format!("{} can't be written: {error}", file.display())))?;
            writeln!(streams.err, "Exported [{path}] to {}.", file.display())?;
        }
    }
    Ok(())
}
