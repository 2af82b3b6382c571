//! Whom frames are for that arrive.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// An Ethernet address as packets are compared with it: its bytes are the upper ones as a little-endian machine reads them, so
/// that one load and a shift make it of a frame.
pub const fn mac_word(mac: [u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = mac;
    u64::from_le_bytes([0, 0, a, b, c, d, e, f])
}

/// The address that [`mac_word`] was made of.
#[inline(always)]
pub const fn mac_of(word: u64) -> [u8; 6] {
    let [_, _, a, b, c, d, e, f] = word.to_le_bytes();
    [a, b, c, d, e, f]
}

/// An interface that packets arrive on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Interface {
    /// Its own Ethernet address, as a [`mac_word`].
    pub mac: u64,
    /// The longest IP packet that it takes from the wire, in bytes: a longer one was joined from several.
    pub mtu: u64,
}

/// An Ethernet address that frames to this host may have on an interface: the interface's own, or that of a device that lies
/// on it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct OwnMac {
    pub ifindex: u64,
    /// As a [`mac_word`].
    pub mac: u64,
}
