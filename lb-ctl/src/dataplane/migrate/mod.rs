//! What another layout's version has pinned is taken over, and given back, without a packet lost or a flow moved.
//!
//! While both layouts are pinned, packets are judged by the maps of the program that the links run. Up to the first
//! link that runs this version's program, the former layout's maps are the ones that count, and whatever there is of
//! this layout is of an attempt that was cut off. From then on this layout's maps count, and the former's may hold flows
//! that are not handed over yet. So a process that ends between any two steps leaves a state that the next start, or the
//! next `migrate`, finishes or begins again:
//!
//! | step | what counts | after a crash |
//! |---|---|---|
//! | fill this layout's maps | the former | begun again |
//! | pin each link in both places | the former | begun again |
//! | put this version's program into each link | this one, from the first link on | finished |
//! | hand over flows that were recorded meanwhile | this one | done again |
//! | unpin the former flow table, then the rest of the former | this one | finished |
//!
//! Giving back is the same the other way round, but that no program is put into the links: the older version does that
//! when it starts. There, the former's maps count from the moment on at which this layout's flow table is unpinned.

mod back;
mod links;
mod over;
pub(super) mod v5;

use anyhow::Result;
use aya::maps::MapData;

pub use self::back::give_back;
pub use self::over::load;
pub use self::v5::LAYOUT as FORMER_LAYOUT;

use super::link_info::LinkInfo;
use super::pin::PinDirectory;

/// What has just been done; tests stop there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing is left of an attempt that was cut off.
    Cleared,
    /// The maps hold what the others do.
    Filled,
    /// The history knows the maps that it is given back to.
    Kept,
    /// Each link is pinned twice.
    Linked,
    /// One more link runs this version's program.
    Swapped,
    /// No packet is judged by the former maps any more.
    Quiet,
    /// All flows are handed over.
    Merged,
    /// The flow table that does not count any more is unpinned.
    Committed,
    /// Nothing is left of the other layout.
    Removed,
}

/// Called after each step; an error ends the migration there, as a crash would.
pub type AtStep<'a> = &'a mut dyn FnMut(Step) -> Result<()>;

/// What the former layout's directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Former {
    Absent,
    /// Packets are judged by its maps.
    Counts,
    /// Packets are judged by this layout's maps, and it may hold flows that are not handed over.
    HasFlows,
    /// Of no use to anybody.
    Useless,
}

impl Former {
    fn find(pins: &PinDirectory) -> Result<Self> {
        let former = former_pins(pins);
        if !former.layout().exists() {
            return Ok(Self::Absent);
        }
        if !former.flows_pin().exists() || former.linked_interfaces()?.is_empty() {
            return Ok(Self::Useless);
        }
        Ok(match runs_on(pins, &[pins, &former])? {
            true => Self::HasFlows,
            false => Self::Counts,
        })
    }
}

fn former_pins(pins: &PinDirectory) -> PinDirectory {
    PinDirectory::of_layout(pins.root(), v5::LAYOUT)
}

/// Whether the link of an interface is pinned, by this version or a former one.
pub fn has_link(pins: &PinDirectory, index: u32) -> bool {
    [pins, &former_pins(pins)]
        .iter()
        .any(|pins| pins.link(index).exists())
}

/// The directory whose maps count.
pub fn in_force(pins: &PinDirectory) -> Result<PinDirectory> {
    Ok(match Former::find(pins)? {
        Former::Counts => former_pins(pins),
        _ => pins.clone(),
    })
}

/// Whether a pinned link, in one of the directories, runs a program on the flow table of `maps`.
fn runs_on(maps: &PinDirectory, directories: &[&PinDirectory]) -> Result<bool> {
    if !maps.flows_pin().exists() {
        return Ok(false);
    }
    let flows = MapData::from_pin(maps.flows_pin())?.info()?.id();
    for directory in directories {
        for index in directory.linked_interfaces()? {
            let link = LinkInfo::of_pin(&directory.link(index))?;
            if links::maps_of(link.program_id).contains(&flows) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
