//! Where a new resource goes, and how it is made.

use clap::Args;
use http::Method;
use serde_json::Value;

use super::super::options::{Connection, Shape};
use super::super::scope::Scope;
use super::super::values::Fields;
use super::reference::article;
use super::{Failure, Streams, send};
use crate::client::Client;
use crate::control::place::{Parts, canonical, url};
use crate::model::ResourcePath;
use crate::output::{Data, Format, Listing};
use crate::resources::Kind;
use crate::views::{DefaultPlace, Status};

#[derive(Debug, Args)]
pub(in crate::cli) struct NewArgs<S: Scope> {
    /// The resource's name or URL.
    name: String,
    #[command(flatten)]
    scope: S,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    pub(in crate::cli) connection: Connection,
}

impl<S: Scope> NewArgs<S> {
    pub(in crate::cli) async fn path(&self, client: &Client, kind: Kind) -> Result<ResourcePath, Failure> {
        new_path(client, kind, &self.name, &self.scope).await
    }

    /// Inserts the resource and shows it.
    pub(in crate::cli) async fn insert(
        &self,
        client: &Client,
        kind: Kind,
        path: &ResourcePath,
        mut fields: Fields,
        streams: &mut Streams<'_>,
    ) -> Result<(), Failure> {
        fields.set("name", Some(path.name()));
        insert(client, path, &fields.into(), streams).await?;
        let resource: Value = client.get(&format!("/compute/v1/{path}")).await?;
        self.shape.print_data(
            streams,
            Data::Many(&[resource]),
            Listing::Resources(kind),
            Format::table(),
        )
    }
}

pub(super) async fn insert(
    client: &Client,
    path: &ResourcePath,
    resource: &Value,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let collection = path
        .as_str()
        .rsplit_once('/')
        .map_or(path.as_str(), |(collection, _)| collection);
    send(client, Method::POST, collection, resource, streams).await?;
    writeln!(streams.err, "Created [{}].", url(path.as_str()))?;
    Ok(())
}

/// By the name's own URL, or else by the flags and the daemon's defaults.
pub(super) async fn new_path<S: Scope>(
    client: &Client,
    kind: Kind,
    name: &str,
    scope: &S,
) -> Result<ResourcePath, Failure> {
    if let Some(path) = canonical(name) {
        let fits = Kind::of(&path) == Some(kind)
            && Parts::of(&path).is_some_and(|parts| parts.location.may_hold(kind));
        return match fits && scope.contains(&path) {
            true => Ok(path),
            false => Err(Failure::Usage(format!(
                "'{name}' is not the URL of {} {kind} where the flags say",
                article(kind)
            ))),
        };
    }
    if name.contains('/') {
        return Err(Failure::Usage(format!("'{name}' is neither a name nor a URL")));
    }
    let place = default_place(client).await?;
    Ok(ResourcePath::from_canonical(format!(
        "projects/{}/{}/{}/{name}",
        scope.project(&place),
        scope.location(&place).segment(),
        kind.collection(),
    )))
}

pub(in crate::cli) async fn default_place(client: &Client) -> Result<DefaultPlace, Failure> {
    let status: Status = client.get("/lb/v1/status").await?;
    Ok(status.default_place)
}
