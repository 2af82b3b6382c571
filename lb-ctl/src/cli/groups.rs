//! `network-endpoint-groups` and `instance-groups`: what every kind of resource has, and their members.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::options::{Format, Shape};
use super::resource::{self, DeleteArgs, DescribeArgs, ListArgs, NameArgs, find, load};
use super::scope::Zonal;
use super::{Failure, Streams};
use crate::client::{Client, ClientError};
use crate::output;
use crate::resources::Kind;

#[derive(Debug, Subcommand)]
pub(super) enum NetworkEndpointGroups {
    /// List the groups, of all zones unless told which.
    List(ListArgs<Zonal>),
    /// Print one group as JSON.
    Describe(DescribeArgs<Zonal>),
    /// List a group's endpoints.
    ListNetworkEndpoints(MembersArgs),
    /// Delete groups that no backend service refers to.
    Delete(DeleteArgs<Zonal>),
}

#[derive(Debug, Subcommand)]
pub(super) enum InstanceGroups {
    /// List the groups, of all zones unless told which.
    List(ListArgs<Zonal>),
    /// Print one group as JSON.
    Describe(DescribeArgs<Zonal>),
    /// List a group's instances.
    ListInstances(MembersArgs),
    /// Delete groups that no backend service refers to.
    Delete(DeleteArgs<Zonal>),
}

#[derive(Debug, Args)]
pub(super) struct MembersArgs {
    #[command(flatten)]
    group: NameArgs<Zonal>,
    #[command(flatten)]
    shape: Shape,
}

pub(super) async fn run_endpoint_groups(
    verb: &NetworkEndpointGroups,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let kind = Kind::NetworkEndpointGroup;
    match verb {
        NetworkEndpointGroups::List(args) => resource::list(kind, args, streams).await,
        NetworkEndpointGroups::Describe(args) => resource::describe(kind, args, streams).await,
        NetworkEndpointGroups::Delete(args) => resource::delete(kind, args, streams).await,
        NetworkEndpointGroups::ListNetworkEndpoints(args) => {
            members(kind, "listNetworkEndpoints", args, streams).await
        }
    }
}

pub(super) async fn run_instance_groups(
    verb: &InstanceGroups,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let kind = Kind::InstanceGroup;
    match verb {
        InstanceGroups::List(args) => resource::list(kind, args, streams).await,
        InstanceGroups::Describe(args) => resource::describe(kind, args, streams).await,
        InstanceGroups::Delete(args) => resource::delete(kind, args, streams).await,
        InstanceGroups::ListInstances(args) => members(kind, "listInstances", args, streams).await,
    }
}

async fn members(
    kind: Kind,
    method: &str,
    args: &MembersArgs,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let client = args.group.connection.client();
    let path = find(
        &load(&client, kind).await?,
        kind,
        &args.group.name,
        &args.group.scope,
    )?;
    let items = all_pages(&client, &format!("/compute/v1/{path}/{method}")).await?;
    match args.shape.format {
        Format::Table => output::render_members(streams.out, kind, &items)?,
        Format::Json => output::render_json(streams.out, &items)?,
    }
    Ok(())
}

async fn all_pages(client: &Client, url: &str) -> Result<Vec<Value>, ClientError> {
    let mut items = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let page_url = match &token {
            Some(token) => format!("{url}?pageToken={}", query_escape(token)),
            None => url.to_owned(),
        };
        let mut page: Value = client.post(&page_url, &json!({})).await?;
        if let Some(page) = page["items"].as_array_mut() {
            items.append(page);
        }
        match page["nextPageToken"].as_str() {
            Some(next) => token = Some(next.to_owned()),
            None => return Ok(items),
        }
    }
}

/// Percent-encodes everything but the characters that mean nothing in a query.
fn query_escape(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(escape).collect()
}
