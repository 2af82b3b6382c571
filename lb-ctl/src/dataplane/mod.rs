//! The kernel side: the program, its maps, its attachment. The only user of aya.

mod attach;
mod btf;
mod failures;
mod flows;
mod fragments;
mod kernel;
mod link_info;
mod load;
mod mapped;
pub mod migrate;
mod pin;
mod pinned;
mod readers;
mod refusal;
mod tuple;

pub use attach::{AttachError, Attached, PinnedLinkState, XdpMode};
pub use failures::XdpFailures;
pub use flows::{FlowEntry, FlowTable};
pub use fragments::FragmentMemory;
pub use kernel::{ApplyError, MapSet};
pub use load::{LoadError, LoadOptions, Program, Sizes, object, object_can_trace, object_is_embedded};
pub use pin::{PinDirectory, TakenPins, detach_offline};
pub use pinned::Pinned;
pub use readers::wait_for_readers;
pub use tuple::{TrackedTuple, is_of_slot};

/// What a loaded program, of whomever, is called; nothing if it has no name or is gone.
pub fn program_name(id: u32) -> Option<String> {
    let mut programs = aya::programs::loaded_programs().flatten();
    let program = programs.find(|program| program.id() == id)?;
    let name = program.name_as_str()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// The second that it is on the data plane's clock.
pub fn now() -> u32 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .expect("the monotonic clock always exists");
    let nanoseconds = time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64;
    lb_common::clock::from_nanoseconds(nanoseconds)
}
