//! The conformance table: what must happen to an existing and to a new flow, for every combination of policy,
//! protocol and event, written from the specification and not from the code under test.

pub mod bench;
pub mod documents;
pub mod eligible;
pub mod events;
pub mod expected;
pub mod packet;
pub mod picture;
pub mod render;
pub mod rows;
#[cfg(test)]
mod tests;
pub mod world;
