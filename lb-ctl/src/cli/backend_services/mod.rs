//! `backend-services`.

mod backend;
mod create;
mod flags;
mod get_health;
mod set_table_slots;
#[cfg(test)]
mod tests;
mod update;

use clap::Subcommand;

use super::resource;
use super::scope::Regional;
use super::{Failure, Streams};
use crate::resources::Kind;

#[derive(Debug, Subcommand)]
pub(super) enum BackendServices {
    /// Create a service without backends.
    Create(Box<create::CreateArgs>),
    /// Change what flags say of a service, and nothing else.
    Update(Box<update::UpdateArgs>),
    /// Let a group take part.
    AddBackend(backend::AddArgs),
    /// Change what flags say of a group that takes part.
    UpdateBackend(backend::UpdateArgs),
    /// Let a group take part no more.
    RemoveBackend(backend::RemoveArgs),
    /// Show what the probes say of every endpoint of a service.
    GetHealth(get_health::GetHealthArgs),
    /// Give a service selection tables of another size: nearly every flow of it that is not tracked moves, once.
    SetTableSlots(set_table_slots::SetTableSlotsArgs),
    #[command(flatten)]
    Common(resource::Verb<Regional>),
}

pub(super) async fn run(verb: &BackendServices, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match verb {
        BackendServices::Create(args) => create::run(args, streams).await,
        BackendServices::Update(args) => update::run(args, streams).await,
        BackendServices::AddBackend(args) => backend::add(args, streams).await,
        BackendServices::UpdateBackend(args) => backend::update(args, streams).await,
        BackendServices::RemoveBackend(args) => backend::remove(args, streams).await,
        BackendServices::GetHealth(args) => get_health::run(args, streams).await,
        BackendServices::SetTableSlots(args) => set_table_slots::run(args, streams).await,
        BackendServices::Common(verb) => resource::run(Kind::BackendService, verb, streams).await,
    }
}
