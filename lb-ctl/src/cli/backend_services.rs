//! `backend-services`: what every kind of resource has, and `get-health`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::options::{Format, Shape};
use super::resource::{self, DeleteArgs, DescribeArgs, ListArgs, NameArgs, find, load};
use super::scope::Regional;
use super::{Failure, Streams};
use crate::client::Client;
use crate::model::ResourcePath;
use crate::output;
use crate::resources::Kind;
use crate::views::EndpointHealth;

const COLLECTION: Kind = Kind::BackendService;

#[derive(Debug, Subcommand)]
pub(super) enum BackendServices {
    /// List the services, of all regions unless told which.
    List(ListArgs<Regional>),
    /// Print one service as JSON.
    Describe(DescribeArgs<Regional>),
    /// Show what the probes say of every endpoint of a service.
    GetHealth(GetHealthArgs),
    /// Delete services that no forwarding rule refers to.
    Delete(DeleteArgs<Regional>),
}

#[derive(Debug, Args)]
pub(super) struct GetHealthArgs {
    #[command(flatten)]
    service: NameArgs<Regional>,
    #[command(flatten)]
    shape: Shape,
}

pub(super) async fn run(verb: &BackendServices, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match verb {
        BackendServices::List(args) => resource::list(COLLECTION, args, streams).await,
        BackendServices::Describe(args) => resource::describe(COLLECTION, args, streams).await,
        BackendServices::Delete(args) => resource::delete(COLLECTION, args, streams).await,
        BackendServices::GetHealth(args) => get_health(args, streams).await,
    }
}

async fn get_health(args: &GetHealthArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let client = args.service.connection.client();
    let services = load(&client, COLLECTION).await?;
    let path = find(&services, COLLECTION, &args.service.name, &args.service.scope)?;
    match args.shape.format {
        Format::Json => {
            let healths = group_healths(&client, &path, &services[&path]).await?;
            output::render_json(streams.out, &healths)?;
        }
        Format::Table => {
            let healths: Vec<EndpointHealth> = client.get(&format!("/lb/v1/health?service={path}")).await?;
            output::render_health(streams.out, &healths)?;
        }
    }
    Ok(())
}

/// As gcloud prints them: an entry for each backend, with the API's answer for its group.
async fn group_healths(client: &Client, path: &ResourcePath, service: &Value) -> Result<Vec<Value>, Failure> {
    let mut healths = Vec::new();
    for backend in service["backends"].as_array().into_iter().flatten() {
        let body = json!({ "group": backend["group"] });
        let status: Value = client
            .post(&format!("/compute/v1/{path}/getHealth"), &body)
            .await?;
        healths.push(json!({ "backend": backend["group"], "status": status }));
    }
    Ok(healths)
}
