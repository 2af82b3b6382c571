//! The benchmark that `cargo xtask bench` runs: what packets cost, and everything around them.
//!
//! Each part measures its cases, shows progress on standard error, and leaves one [`report::Report`]: a table for people and
//! JSON for programs. A part fails when what it measures does not do what it should, never because it is slow.

mod access;
mod check;
mod clock;
pub mod control;
mod events;
pub mod flows;
pub mod forward;
pub mod generator;
pub mod instructions;
mod machine;
mod packet;
mod progress;
pub mod report;
mod rows;
mod subject;
mod targets;
#[path = "../../ebpf/src/bench/traffic.rs"]
pub mod traffic;
mod world;

use anyhow::Result;

use self::progress::Progress;
use self::report::Report;

/// How much of a part is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Enough to see that everything works, in a minute.
    Quick,
    /// Every case and curve, in ten minutes.
    Full,
}

/// What the data plane costs a packet, by test runs of the loaded program (root). Only rows whose title contains `filter`.
pub fn packet(extent: Extent, filter: &str) -> Result<Report<report::Case>> {
    packet::run(extent, filter, &mut Progress::default())
}

/// How many instructions packets execute, where the clock counts them: in the machine that `cargo xtask instructions` boots.
pub fn instructions() -> Result<instructions::Counts> {
    instructions::run(&mut Progress::default())
}

/// What changes cost the control plane, from documents to the kernel's maps (root).
pub fn control(extent: Extent) -> Result<Report<control::Case>> {
    control::run(extent, &mut Progress::default())
}

/// What the flow table takes of memory, and what a flood does to it (root). Fails if it evicts a confirmed flow.
pub fn flows(extent: Extent) -> Result<Report<flows::Case>> {
    flows::run(extent, &mut Progress::default())
}

/// Packets and connections a second in network namespaces, beside what else forwards them (root).
pub fn forward(extent: Extent) -> Result<Report<forward::Case>> {
    forward::run(extent, &mut Progress::default())
}
