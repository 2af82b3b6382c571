//! Links that are pinned in two places.

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::programs::links::{FdLink, PinnedLink};

use crate::dataplane::pin::{self, PinDirectory};

/// The maps that a loaded program uses; none if it is gone.
pub(super) fn maps_of(program: u32) -> Vec<u32> {
    let mut programs = aya::programs::loaded_programs().flatten();
    let program = programs.find(|loaded| loaded.id() == program);
    let maps = program.and_then(|program| program.map_ids().ok().flatten());
    maps.unwrap_or_default()
}

/// Every link of `from` is pinned in `to`, too.
pub(super) fn pin_in_both(from: &PinDirectory, to: &PinDirectory) -> Result<()> {
    for index in from.linked_interfaces()? {
        let (old, new) = (from.link(index), to.link(index));
        if !new.exists() {
            pin_again(&old, &new)
                .with_context(|| format!("pinning {} as {}", old.display(), new.display()))?;
        }
    }
    Ok(())
}

fn pin_again(old: &Path, new: &Path) -> Result<()> {
    let link: FdLink = PinnedLink::from_pin(old)?.into();
    link.pin(new)?;
    Ok(())
}

/// Unpins what is pinned in `of`, which does not count any more: the flow table first, as a sign that all flows were handed
/// over. A link that is pinned nowhere else is kept in `other`.
pub(super) fn remove_pins(of: &PinDirectory, other: &PinDirectory) -> Result<()> {
    pin::remove(&of.flows_pin())?;
    if of.linked_interfaces()?.is_empty() {
        return pin::remove_layout(&of.layout());
    }
    other.make()?;
    pin_in_both(of, other)?;
    for index in of.linked_interfaces()? {
        pin::remove(&of.link(index))?;
    }
    pin::remove_layout(&of.layout())
}
