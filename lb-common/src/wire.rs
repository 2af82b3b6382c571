//! Reading packet bytes: fields at offsets, in network byte order, and the numbers of the protocols.
//!
//! A [`Packet`] hands out windows of a fixed length or nothing; a field is then read at a constant offset inside
//! its window, which the compiler proves to be in range. Nothing here panics for any packet.

/// The bytes of one frame, from the Ethernet header on.
#[allow(clippy::len_without_is_empty, reason = "no frame is empty")]
pub trait Packet {
    /// `N` bytes from `offset` on, or nothing if the frame ends before.
    fn window<const N: usize>(&self, offset: usize) -> Option<&[u8; N]>;

    /// Bytes in the frame.
    fn length(&self) -> usize;

    /// The same value. In the kernel, one that the verifier knows nothing of: it follows every combination of
    /// constants that it knows apart, and merges what it does not.
    #[inline(always)]
    fn forget(&self, value: u32) -> u32 {
        value
    }
}

impl Packet for &[u8] {
    #[inline(always)]
    fn window<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        self.get(offset..)?.first_chunk()
    }

    fn length(&self) -> usize {
        self.len()
    }
}

/// The 16-bit field at constant offset `AT`, host order.
#[inline(always)]
pub fn be16<const N: usize>(window: &[u8; N], at: usize) -> u16 {
    u16::from_be_bytes([window[at], window[at + 1]])
}

/// The 32-bit word at constant offset `AT`, as it lies in memory (network order).
#[inline(always)]
pub fn word<const N: usize>(window: &[u8; N], at: usize) -> u32 {
    u32::from_ne_bytes([window[at], window[at + 1], window[at + 2], window[at + 3]])
}

/// Whom the frame was sent to, as a [`mac_word`](crate::layout::mac_word).
#[inline(always)]
pub fn recipient<P: Packet>(packet: &P) -> Option<u64> {
    let bytes = packet.window::<ETHERNET_HEADER>(0)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes) << 16)
}

/// Whether a [`recipient`] is a group of stations, or all of them.
#[inline(always)]
pub const fn is_group(recipient: u64) -> bool {
    recipient & (1 << 16) != 0
}

pub mod ethertype {
    pub const IPV4: u16 = 0x0800;
    pub const IPV6: u16 = 0x86dd;
    pub const VLAN: u16 = 0x8100;
    /// IEEE 802.1ad service tag.
    pub const QINQ: u16 = 0x88a8;
}

pub mod ipproto {
    pub const HOP_BY_HOP: u8 = 0;
    pub const ICMP: u8 = 1;
    pub const IPIP: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const IPV6: u8 = 41;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const ESP: u8 = 50;
    pub const AH: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const DESTINATION_OPTIONS: u8 = 60;
    pub const SCTP: u8 = 132;
}

pub const ETHERNET_HEADER: usize = 14;
pub const VLAN_TAG: usize = 4;
pub const IPV4_HEADER: usize = 20;
pub const IPV6_HEADER: usize = 40;

pub mod tcp_flags {
    pub const SYN: u8 = 0x02;
    pub const ACK: u8 = 0x10;
}
