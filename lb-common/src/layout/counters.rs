//! What each CPU counts and keeps for itself.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::verdict::REASON_SLOTS;

/// Per-CPU counters of one verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VerdictCounter {
    pub packets: u64,
    pub bytes: u64,
}

/// What each CPU keeps for itself, in one place because finding a map's value takes a dozen instructions.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CpuState {
    /// When this CPU last asked for the time, in jiffies, and the second that it was told.
    pub asked: u64,
    pub now: u64,
    /// By the number of the [`Reason`](crate::verdict::Reason).
    pub verdicts: [VerdictCounter; REASON_SLOTS as usize],
    /// The last frame that was found to be this host's: the address that it was sent to, as a [`mac_word`](super::mac_word), and the interface;
    /// and in which epoch it was looked up. Nothing has interface 0.
    pub own_mac: u64,
    pub own_ifindex: u32,
    pub own_epoch: u32,
    /// [`Interface::mtu`](super::Interface::mtu) of that interface.
    pub own_mtu: u64,
    /// Packets to VIPs by interfaces that nothing is known of: whose the frames are was not judged.
    pub not_judged: u64,
}

/// Per-CPU counters of one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MemberCounter {
    pub packets: u64,
    pub bytes: u64,
    pub new_flows: u64,
    pub persisted: u64,
}
