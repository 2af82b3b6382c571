//! What the kernel should hold, derived from resources, health and network: pure, without IO.

pub mod contents;
pub mod diff;
