//! `instance-groups`, all of them unmanaged: `instance-groups unmanaged VERB` is the same as `instance-groups VERB`.

mod create;
mod instances;

use clap::Subcommand;

use super::resource;
use super::scope::Zonal;
use super::{Failure, Streams};
use crate::resources::Kind;

#[derive(Debug, Subcommand)]
pub(super) enum InstanceGroups {
    #[command(flatten)]
    Direct(Verb),
    /// The same verbs, where gcloud has them.
    #[command(subcommand)]
    Unmanaged(Verb),
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Create a group without instances.
    Create(create::CreateArgs),
    /// Let instances take part.
    AddInstances(instances::InstancesArgs),
    /// Let instances take part no more.
    RemoveInstances(instances::InstancesArgs),
    /// List a group's instances.
    ListInstances(instances::ListArgs),
    #[command(flatten)]
    Common(resource::Verb<Zonal>),
}

pub(super) async fn run(verb: &InstanceGroups, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let (InstanceGroups::Direct(verb) | InstanceGroups::Unmanaged(verb)) = verb;
    match verb {
        Verb::Create(args) => create::run(args, streams).await,
        Verb::AddInstances(args) => instances::add(args, streams).await,
        Verb::RemoveInstances(args) => instances::remove(args, streams).await,
        Verb::ListInstances(args) => instances::list(args, streams).await,
        Verb::Common(verb) => resource::run(Kind::InstanceGroup, verb, streams).await,
    }
}
