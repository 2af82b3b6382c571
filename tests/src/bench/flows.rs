//! `flows`: what the flow table takes of memory, how many flows find a slot in it, and what a flood of packets that never
//! repeat does to flows that are known.

mod flood;
mod memory;

use std::borrow::Cow;

use anyhow::Result;
use lb_ctl::dataplane::{Sizes, now};
use lb_ctl::plan::contents::Contents;
use serde::{Deserialize, Serialize};

use super::Extent;
use super::clock;
use super::generator::{Generator, Walk};
use super::machine::Machine;
use super::progress::Progress;
use super::report::{Report, Row};
use super::rows::{HUNDRED, Plan, SLOTS};
use super::subject::{Build, Subject};
use super::world;
use crate::conformance::bench::enter_namespace;

/// One thing that was measured. What a case is not about is absent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Case {
    pub name: String,
    /// `flow table`, or `LRU hash`: the same program over the kernel's.
    pub table: Cow<'static, str>,
    /// Entries that there is room for.
    pub slots: u32,
    pub flows: u32,
    /// Packets of the flood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flood: Option<u32>,
    /// Flows that found a slot, or that were still known after the flood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<u32>,
    /// Confirmed flows that lost their slots to the flood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evicted: Option<u32>,
    /// As the kernel accounts for the maps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_slot: Option<f64>,
    /// With so many slots for so many flows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_flow: Option<f64>,
}

impl Row for Case {
    const HEADER: &'static [&'static str] = &[
        "CASE", "TABLE", "SLOTS", "FLOWS", "FLOOD", "KEPT", "SHARE", "EVICTED", "B/SLOT", "B/FLOW",
    ];

    fn row(&self) -> Vec<String> {
        let count = |value: Option<u32>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let bytes = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
        let share = |kept: u32| format!("{:.3} %", f64::from(kept) / f64::from(self.flows) * 100.0);
        vec![
            self.name.clone(),
            self.table.to_string(),
            self.slots.to_string(),
            self.flows.to_string(),
            count(self.flood),
            count(self.kept),
            self.kept.map_or_else(|| "-".to_owned(), share),
            count(self.evicted),
            bytes(self.bytes_per_slot),
            bytes(self.bytes_per_flow),
        ]
    }
}

/// Endpoints of each service.
const ENDPOINTS: u32 = 64;

/// How large everything is: four slots a flow, as the table should be sized.
struct Scale {
    slots: u32,
    flows: u32,
    /// Packets of each flood.
    flood: u32,
    /// Flows and slots.
    rooms: &'static [(u32, u32)],
    builds: &'static [Build],
}

const FULL: Scale = Scale {
    slots: SLOTS,
    flows: 1_000_000,
    flood: 10_000_000,
    rooms: &[(1_000_000, SLOTS), (3_500_000, SLOTS), (3_500_000, 4 * SLOTS)],
    builds: &[Build::Shipped, Build::Lru],
};

/// The kernel's table can't be made smaller, and filling it takes too long.
const QUICK: Scale = Scale {
    slots: SLOTS / 4,
    flows: 250_000,
    flood: 1_000_000,
    rooms: &[(250_000, SLOTS / 4)],
    builds: &[Build::Shipped],
};

pub(super) fn run(extent: Extent, progress: &mut Progress) -> Result<Report<Case>> {
    enter_namespace();
    clock::pin()?;
    let scale = match extent {
        Extent::Quick => QUICK,
        Extent::Full => FULL,
    };
    let mut generator = Generator::load()?;
    let mut cases = Vec::new();
    for (flows, slots) in scale.rooms {
        progress.say(&format!("{flows} flows in {slots} slots"));
        cases.push(room(&mut generator, *flows, *slots)?);
    }
    for build in scale.builds {
        let (mut subject, _) = loaded(*build, scale.slots)?;
        progress.say(&format!("memory, {}", table_name(*build)));
        cases.extend(memory::cases(&mut subject, scale.slots, scale.flows)?);
        cases.extend(flood::cases(&mut generator, &mut subject, &scale, progress)?);
    }
    Ok(Report {
        part: "flows".into(),
        machine: Machine::read()?,
        cases,
    })
}

fn table_name(build: Build) -> &'static str {
    match build {
        Build::Lru => "LRU hash",
        Build::Shipped | Build::WithoutTuples => "flow table",
    }
}

fn loaded(build: Build, slots: u32) -> Result<(Subject, Contents)> {
    let sizes = Sizes {
        flow_slots: slots,
        ..Sizes::default()
    };
    let contents = world::table(ENDPOINTS, &sizes)?;
    Ok((Subject::load(build, sizes, &contents)?, contents))
}

/// TCP packets that are not first ones, of so many flows.
fn plan(flows: u32) -> Plan {
    Plan { flows, ..HUNDRED }
}

/// How many of so many flows find a slot.
fn room(generator: &mut Generator, flows: u32, slots: u32) -> Result<Case> {
    let (mut subject, _) = loaded(Build::Shipped, slots)?;
    let mut load = plan(flows).load(Walk::Sequential);
    subject.run(generator, &mut load, flows)?;
    let kept = subject.flows().alive_slots(now()).count();
    Ok(Case {
        name: "room".to_owned(),
        table: table_name(Build::Shipped).into(),
        slots,
        flows,
        kept: Some(kept as u32),
        ..Case::default()
    })
}
