//! Changes of resources: requests that carry the fingerprint of what was read, and end when the data plane holds the
//! change.

use http::Method;
use serde_json::{Value, json};

use super::super::options::Shape;
use super::super::scope::Scope;
use super::super::values::Fields;
use super::{Failure, NameArgs, References, Streams, find, load};
use crate::client::Client;
use crate::control::ResourceMap;
use crate::control::place::url;
use crate::model::ResourcePath;
use crate::output::{Data, Format, Listing};
use crate::resources::Kind;

/// A resource that is about to be changed, with all the others as they were then.
pub(in crate::cli) struct Target {
    pub(in crate::cli) client: Client,
    pub(in crate::cli) kind: Kind,
    pub(in crate::cli) path: ResourcePath,
    pub(in crate::cli) resources: ResourceMap,
}

impl Target {
    pub(in crate::cli) async fn read<S: Scope>(kind: Kind, args: &NameArgs<S>) -> Result<Self, Failure> {
        let client = args.connection.client();
        let resources = load(&client).await?;
        let path = find(&resources, kind, &args.name, &args.scope)?;
        Ok(Self {
            client,
            kind,
            path,
            resources,
        })
    }

    pub(in crate::cli) fn resource(&self) -> &Value {
        &self.resources[&self.path]
    }

    pub(in crate::cli) fn references(&self) -> References<'_> {
        References {
            resources: &self.resources,
            path: &self.path,
        }
    }

    /// Calls one of the resource's own methods, such as `attachNetworkEndpoints`.
    pub(in crate::cli) async fn call(
        &self,
        method: &str,
        body: &Value,
        streams: &mut Streams<'_>,
    ) -> Result<(), Failure> {
        let path = format!("{}/{method}", self.path);
        send(&self.client, Method::POST, &path, body, streams).await
    }

    /// Tells that the change was made; shows the resource if a format is asked for.
    pub(in crate::cli) async fn updated(
        &self,
        shape: &Shape,
        streams: &mut Streams<'_>,
    ) -> Result<(), Failure> {
        writeln!(streams.err, "Updated [{}].", url(self.path.as_str()))?;
        if shape.format.is_some() {
            let resource: Value = self.client.get(&format!("/compute/v1/{}", self.path)).await?;
            let listing = Listing::Resources(self.kind);
            shape.print_data(streams, Data::One(&resource), listing, Format::none())?;
        }
        Ok(())
    }
}

/// Sends what flags change, and tells it.
pub(in crate::cli) async fn update(
    target: &Target,
    fields: Fields,
    shape: &Shape,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    patch(target, fields, streams).await?;
    target.updated(shape, streams).await
}

/// Sends a merge patch, with the fingerprint of what was read.
pub(in crate::cli) async fn patch(
    target: &Target,
    mut fields: Fields,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    fields.set("fingerprint", target.resource()["fingerprint"].as_str());
    let path = target.path.as_str();
    send(&target.client, Method::PATCH, path, &fields.into(), streams).await
}

/// Does a request that changes something; tells the warnings of its operation.
pub(in crate::cli) async fn send(
    client: &Client,
    method: Method,
    path: &str,
    body: &Value,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let answer = client.send(method, &format!("/compute/v1/{path}"), body).await;
    let operation: Value = answer.map_err(|error| Failure::of_change(error, path))?;
    for warning in operation["warnings"].as_array().into_iter().flatten() {
        if let Some(message) = warning["message"].as_str() {
            writeln!(streams.err, "warning: {message}")?;
        }
    }
    let errors = operation["error"]["errors"].as_array().into_iter().flatten();
    let errors: Vec<&str> = errors.filter_map(|error| error["message"].as_str()).collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Failure::failed(errors.join("\n")))
    }
}

/// Gives `apply` the one resource, for what the API has no method.
pub(in crate::cli) async fn apply(
    client: &Client,
    kind: Kind,
    path: &ResourcePath,
    resource: &Value,
    source: &str,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let mut value = resource.clone();
    value["kind"] = json!(kind.as_api());
    value["name"] = json!(path.name());
    value["selfLink"] = json!(url(path.as_str()));
    let body = json!({ "documents": [{ "source": source, "value": value }] });
    let answer = client.post("/lb/v1/apply", &body).await;
    let report: crate::control::ApplyReport = answer.map_err(Failure::of_configuration)?;
    for warning in &report.warnings {
        writeln!(streams.err, "warning: {warning}")?;
    }
    Ok(())
}
