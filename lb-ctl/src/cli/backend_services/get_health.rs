//! `backend-services get-health`.

use clap::Args;
use serde_json::{Value, json};

use super::super::options::Shape;
use super::super::resource::{NameArgs, find, load};
use super::super::scope::Regional;
use super::super::{Failure, Streams};
use crate::client::Client;
use crate::model::ResourcePath;
use crate::output::{self, Data};
use crate::resources::Kind;
use crate::views::EndpointHealth;

#[derive(Debug, Args)]
pub(in crate::cli) struct GetHealthArgs {
    #[command(flatten)]
    service: NameArgs<Regional>,
    #[command(flatten)]
    shape: Shape,
}

/// The daemon's own view has more to tell in a table; other formats print what the API answers.
pub(super) async fn run(args: &GetHealthArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let client = args.service.connection.client();
    let services = load(&client).await?;
    let path = find(
        &services,
        Kind::BackendService,
        &args.service.name,
        &args.service.scope,
    )?;
    match &args.shape.format {
        Some(format) if !format.is_default_table() => {
            let healths = group_healths(&client, &path, &services[&path]).await?;
            format.print(streams.out, Data::Many(&healths))?;
        }
        _ => {
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
