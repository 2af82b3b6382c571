//! `forwarding-rules`.

mod create;
#[cfg(test)]
mod tests;
mod update;

use clap::Subcommand;

use super::resource;
use super::scope::Regional;
use super::{Failure, Streams};
use crate::resources::Kind;

#[derive(Debug, Subcommand)]
pub(super) enum ForwardingRules {
    /// Lead a VIP, a protocol and ports to a service.
    Create(Box<create::CreateArgs>),
    /// Change what flags say of a rule, and nothing else.
    Update(update::UpdateArgs),
    #[command(flatten)]
    Common(resource::Verb<Regional>),
}

pub(super) async fn run(verb: &ForwardingRules, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match verb {
        ForwardingRules::Create(args) => create::run(args, streams).await,
        ForwardingRules::Update(args) => update::run(args, streams).await,
        ForwardingRules::Common(verb) => resource::run(Kind::ForwardingRule, verb, streams).await,
    }
}
