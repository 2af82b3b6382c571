//! What every kind of resource has: `list`, `describe`, `delete`, `export` and `import`; and how a resource is found
//! and changed.

mod answering;
mod change;
mod delete;
mod describe;
mod export;
mod find;
mod import;
mod list;
mod new;
mod pages;
mod reference;
mod selection;

use clap::{Args, Subcommand};

pub(super) use self::change::{Target, apply, patch, send, update};
pub(super) use self::find::{find, load};
pub(super) use self::new::{NewArgs, default_place};
pub(super) use self::pages::all_pages;
pub(super) use self::reference::{GroupFlags, References};
pub(super) use self::selection::Selection;
use super::options::Connection;
use super::scope::Scope;
use super::{Failure, Streams};
use crate::resources::Kind;

#[derive(Debug, Subcommand)]
pub(super) enum Verb<S: Scope> {
    /// List the resources, of all places unless told which.
    List(Box<list::ListArgs<S::Several>>),
    /// Print one resource.
    Describe(describe::DescribeArgs<S>),
    /// Delete resources that nothing refers to.
    Delete(delete::DeleteArgs<S>),
    /// Write one resource as YAML, for import.
    Export(export::ExportArgs<S>),
    /// Create or replace one resource from YAML or JSON.
    Import(import::ImportArgs<S>),
}

/// Which resource.
#[derive(Debug, Args)]
pub(super) struct NameArgs<S: Scope> {
    /// The resource's name or URL.
    pub(super) name: String,
    #[command(flatten)]
    pub(super) scope: S,
    #[command(flatten)]
    pub(super) connection: Connection,
}

pub(super) async fn run<S: Scope>(
    kind: Kind,
    verb: &Verb<S>,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    match verb {
        Verb::List(args) => list::run(kind, args, streams).await,
        Verb::Describe(args) => describe::run(kind, args, streams).await,
        Verb::Delete(args) => delete::run(kind, args, streams).await,
        Verb::Export(args) => export::run(kind, args, streams).await,
        Verb::Import(args) => import::run(kind, args, streams).await,
    }
}
