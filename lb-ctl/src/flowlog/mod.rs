//! The log of connections that `backendService.logConfig` asks for: a reader of the flow table, which costs packets nothing.
//!
//! The controller publishes what services and members mean ([`Publisher`]); [`Scanner`] compares the table with what it
//! was a tick ago; [`FlowLog`] does so every tick and hands the lines to a writer of its own. What can't be written in
//! time is dropped and counted.

mod event;
mod line;
mod scan;
mod sink;
mod snapshot;
mod task;
#[cfg(test)]
mod tests;
mod writer;

pub use event::{Counters, Event, EventKind, Limits, Slots};
pub use scan::Scanner;
pub use sink::Destination;
pub use snapshot::{Endpoint, MoveReason, Publisher, Service, Snapshot, is_sampled};
pub use task::FlowLog;
