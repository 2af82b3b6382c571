//! `health-checks`.

mod create;
mod flags;
#[cfg(test)]
mod tests;
mod update;

use clap::Subcommand;

use super::resource;
use super::scope::RegionalOrGlobal;
use super::{Failure, Streams};
use crate::resources::Kind;

#[derive(Debug, Subcommand)]
pub(super) enum HealthChecks {
    /// Say how endpoints are to be probed.
    #[command(subcommand)]
    Create(create::Create),
    /// Change what flags say of a check, and nothing else.
    #[command(subcommand)]
    Update(update::Update),
    #[command(flatten)]
    Common(Box<resource::Verb<RegionalOrGlobal>>),
}

pub(super) async fn run(verb: &HealthChecks, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match verb {
        HealthChecks::Create(verb) => create::run(verb, streams).await,
        HealthChecks::Update(verb) => update::run(verb, streams).await,
        HealthChecks::Common(verb) => resource::run(Kind::HealthCheck, verb, streams).await,
    }
}
