//! `instances`, of which only the names and the addresses count.

mod create;
mod flags;
#[cfg(test)]
mod tests;
mod update;

use clap::Subcommand;

use super::resource;
use super::scope::Zonal;
use super::{Failure, Streams};
use crate::resources::Kind;

#[derive(Debug, Subcommand)]
pub(super) enum Instances {
    /// Name a host and its addresses.
    Create(create::CreateArgs),
    /// Change what flags say of an instance, and nothing else.
    Update(update::UpdateArgs),
    #[command(flatten)]
    Common(resource::Verb<Zonal>),
}

pub(super) async fn run(verb: &Instances, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match verb {
        Instances::Create(args) => create::run(args, streams).await,
        Instances::Update(args) => update::run(args, streams).await,
        Instances::Common(verb) => resource::run(Kind::Instance, verb, streams).await,
    }
}
