//! `backend-services set-table-slots`.

use clap::Args;
use serde_json::{Value, json};

use super::super::resource::{NameArgs, find, load};
use super::super::scope::Regional;
use super::super::{Failure, Streams};
use crate::resources::Kind;
use crate::views::TableSlots;

/// Gives a service selection tables of another size. Nearly every flow of it that is not tracked moves, once.
#[derive(Debug, Args)]
pub(in crate::cli) struct SetTableSlotsArgs {
    #[command(flatten)]
    service: NameArgs<Regional>,
    /// 4096, 16384, 65536 or 1048576: 100 for each endpoint are enough.
    slots: u32,
}

pub(super) async fn run(args: &SetTableSlotsArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let client = args.service.connection.client();
    let services = load(&client).await?;
    let path = find(
        &services,
        Kind::BackendService,
        &args.service.name,
        &args.service.scope,
    )?;
    let before: TableSlots = client.get(&format!("/lb/v1/tableSlots?service={path}")).await?;
    let body = json!({ "service": path, "slots": args.slots });
    let answer = client.post::<Value>("/lb/v1/tableSlots", &body).await;
    answer.map_err(Failure::of_configuration)?;
    let after: TableSlots = client.get(&format!("/lb/v1/tableSlots?service={path}")).await?;
    if before == after {
        writeln!(
            streams.err,
            "The tables of {} have {} slots already.",
            path.name(),
            args.slots
        )?;
    } else {
        writeln!(
            streams.err,
            "The tables of {} have {} slots now.",
            path.name(),
            args.slots
        )?;
    }
    if let Some(note) = after.note {
        writeln!(streams.err, "warning: {note}")?;
    }
    Ok(())
}
