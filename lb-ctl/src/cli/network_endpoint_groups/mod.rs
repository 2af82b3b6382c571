//! `network-endpoint-groups`.

mod create;
mod endpoints;
#[cfg(test)]
mod tests;

use clap::Subcommand;

use super::resource;
use super::scope::Zonal;
use super::{Failure, Streams};
use crate::resources::Kind;

#[derive(Debug, Subcommand)]
pub(super) enum NetworkEndpointGroups {
    /// Create a group without endpoints.
    Create(create::CreateArgs),
    /// Attach endpoints to a group, or detach them.
    Update(endpoints::UpdateArgs),
    /// Attach endpoints to a group.
    AttachNetworkEndpoints(endpoints::EndpointsArgs),
    /// Detach endpoints from a group.
    DetachNetworkEndpoints(endpoints::EndpointsArgs),
    /// List a group's endpoints.
    ListNetworkEndpoints(endpoints::ListArgs),
    #[command(flatten)]
    Common(resource::Verb<Zonal>),
}

pub(super) async fn run(verb: &NetworkEndpointGroups, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match verb {
        NetworkEndpointGroups::Create(args) => create::run(args, streams).await,
        NetworkEndpointGroups::Update(args) => endpoints::update(args, streams).await,
        NetworkEndpointGroups::AttachNetworkEndpoints(args) => endpoints::attach(args, streams).await,
        NetworkEndpointGroups::DetachNetworkEndpoints(args) => endpoints::detach(args, streams).await,
        NetworkEndpointGroups::ListNetworkEndpoints(args) => endpoints::list(args, streams).await,
        NetworkEndpointGroups::Common(verb) => resource::run(Kind::NetworkEndpointGroup, verb, streams).await,
    }
}
