//! The plan from outside: configuration, health and time in; numbers, maps and verdicts out.

mod adoption;
mod changes;
mod deliverable;
mod end_to_end;
mod events;
mod lifecycle;
pub(crate) mod maps;
mod pending;
mod probes;
mod rules;
mod scope;
mod tables;
mod weights;
pub(crate) mod world;
mod zones;
