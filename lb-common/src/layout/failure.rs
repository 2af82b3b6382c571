//! What XDP could not send, as tracepoints tell it. The maps are made anew by each run, so their layout is nobody else's.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Frames that were lost in one way at one device: the key of their counter. Wide words, because the compiler joins narrow
/// ones to misaligned stores, which the verifier refuses.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct XdpFailure {
    /// The device that frames should have left by.
    pub ifindex: u64,
    /// An [`XdpEvent`].
    pub event: u64,
    /// A positive error number; 0 where none is told.
    pub errno: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum XdpEvent {
    /// A redirection was refused before the device was asked.
    Redirect = 1,
    /// A driver did not do what the program said.
    Exception = 2,
    /// The device took fewer frames than it was given.
    Transmit = 3,
}

impl XdpEvent {
    pub fn of_word(number: u64) -> Option<Self> {
        [Self::Redirect, Self::Exception, Self::Transmit]
            .into_iter()
            .find(|event| *event as u64 == number)
    }
}

/// Where the running kernel has a device's number and namespace, in bytes from the beginning of its structures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FailurePlace {
    pub ifindex_of_device: u32,
    pub net_of_device: u32,
    pub inode_of_net: u32,
    /// Our network namespace's inode.
    pub inode: u32,
}
