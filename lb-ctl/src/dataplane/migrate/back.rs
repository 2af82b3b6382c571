//! From this layout to the former one, while no daemon runs: so that an older version finds what it knows.

use anyhow::{Context as _, Result, bail};
use aya::maps::MapData;

use super::{AtStep, Former, Step, former_pins, links, runs_on, v5};
use crate::dataplane::kernel::MapSet;
use crate::dataplane::load::LoadOptions;
use crate::dataplane::pin::{self, PinDirectory};
use crate::dataplane::{now, pinned};

/// `keep` is told the incarnation of this layout's maps, and that of the former's, before those count.
///
/// Until the older version starts, packets go on being judged by this version's program and maps, which nobody can read
/// any more when this returns: a flow that is recorded in between is chosen by the same tables, and known to nobody
/// afterwards.
pub fn give_back(
    pins: &PinDirectory,
    keep: &mut dyn FnMut(u32, u32) -> Result<()>,
    at: AtStep<'_>,
) -> Result<()> {
    let former = former_pins(pins);
    if Former::find(pins)? == Former::Counts {
        // An earlier attempt came that far.
        links::remove_pins(pins, &former)?;
        return at(Step::Removed);
    }
    if pins.linked_interfaces()?.is_empty() {
        bail!(
            "nothing is attached by what is pinned in {}",
            pins.root().display()
        );
    }
    if runs_on(&former, &[pins, &former])? {
        bail!(
            "{} was not taken over wholly; start this version once, which finishes that",
            former.layout().display()
        );
    }
    links::remove_pins(&former, pins)?;
    at(Step::Cleared)?;
    let options = LoadOptions {
        sizes: pinned::sizes(pins.maps())?,
        seed: 0,
        answer_echo: false,
        trace_packets: false,
        test_now: 0,
    };
    let mut source = |name: &'static str| Ok(MapData::from_pin(pins.maps().join(name))?);
    let maps = MapSet::open(&mut source, &options.sizes).context("opening the pinned maps")?;
    former.make()?;
    v5::make(&former, &options).context("making the former maps")?;
    let mut former_maps = v5::open(&former, &options.sizes)?;
    let copied = former_maps.fill_from(&maps)?;
    former_maps.take_identity(&maps);
    at(Step::Filled)?;
    keep(maps.incarnation(), former_maps.incarnation())?;
    at(Step::Kept)?;
    links::pin_in_both(pins, &former)?;
    at(Step::Linked)?;
    former_maps.take_flows_of(&maps, Some(&copied), now())?;
    at(Step::Merged)?;
    pin::remove(&pins.flows_pin())?;
    at(Step::Committed)?;
    links::remove_pins(pins, &former)?;
    at(Step::Removed)
}
