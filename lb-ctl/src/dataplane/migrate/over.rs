//! From the former layout to this one, at a start.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{AtStep, Former, Step, former_pins, links, v5};
use crate::dataplane::flows::Copied;
use crate::dataplane::kernel::MapSet;
use crate::dataplane::load::{LoadOptions, Program, check_pinned_sizes};
use crate::dataplane::pin::PinDirectory;
use crate::dataplane::{now, wait_for_readers};
use crate::resources::StoreId;

/// No packet is judged for that long.
const LONGEST_JUDGEMENT: Duration = Duration::from_millis(100);

/// Loads the program on the pinned maps of this layout, with everything that a former layout's version has left in it.
pub fn load(options: &LoadOptions, pins: &PinDirectory, store: StoreId, at: AtStep<'_>) -> Result<Program> {
    let former = former_pins(pins);
    let found = Former::find(pins)?;
    if found == Former::Useless {
        links::remove_pins(&former, pins)?;
    }
    if found == Former::Counts {
        check_pinned_sizes(&options.sizes.entries(), &|name| former.map_pin(name))?;
        links::remove_pins(pins, &former)?;
        at(Step::Cleared)?;
    }
    pins.make()?;
    let mut program = Program::load(options, Some(pins))?;
    let (Former::Counts | Former::HasFlows) = found else {
        program.maps.set_store(store);
        return Ok(program);
    };
    tracing::info!("taking over what is pinned in {}", former.layout().display());
    let former_maps = v5::open(&former, &options.sizes).context("opening the former maps")?;
    let copied = match found {
        Former::Counts => {
            let copied = program.maps.fill_from(&former_maps)?;
            program.maps.set_incarnation(former_maps.incarnation());
            Some(copied)
        }
        _ => None,
    };
    program.maps.set_store(store);
    at(Step::Filled)?;
    let handed = hand_over(&mut program, pins, &former, &former_maps, copied.as_ref(), at);
    handed.context("taking over what an earlier version has pinned")?;
    Ok(program)
}

fn hand_over(
    program: &mut Program,
    pins: &PinDirectory,
    former: &PinDirectory,
    former_maps: &MapSet,
    copied: Option<&Copied>,
    at: AtStep<'_>,
) -> Result<()> {
    links::pin_in_both(former, pins)?;
    at(Step::Linked)?;
    for index in pins.linked_interfaces()? {
        program.adopt(&format!("the interface with index {index}"), &pins.link(index))?;
        at(Step::Swapped)?;
    }
    if wait_for_readers().is_err() {
        std::thread::sleep(LONGEST_JUDGEMENT);
    }
    at(Step::Quiet)?;
    program.maps.take_flows_of(former_maps, copied, now())?;
    at(Step::Merged)?;
    // Dead links stay away.
    for index in former.linked_interfaces()? {
        if !pins.link(index).exists() {
            former.remove_link(index)?;
        }
    }
    crate::dataplane::pin::remove(&former.flows_pin())?;
    at(Step::Committed)?;
    links::remove_pins(former, pins)?;
    at(Step::Removed)
}
