//! What a decision needs of the transport layer.

use super::{Fragment, Network};
use crate::layout::FragmentKey;
use crate::policy::Class;

/// The transport layer. The small fields are packed into one word, because the verifier follows every combination
/// of fields whose values it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// The verifier wants every access to the stack aligned, and the compiler joins 32-bit ones.
#[repr(align(8))]
pub struct Transport {
    /// Source and destination port as they lie in memory (network order, source first); 0 without ports.
    pub ports: u32,
    /// Protocol (8) · class (3) · opens (1) · neighbour discovery (1) · later fragment (1) · first fragment (1) ·
    /// echo request (1) · ICMP error (1), from the low bits up.
    pub(super) bits: u32,
    /// Of a fragment: what names its datagram beside the addresses, as [`FragmentKey`] has it.
    pub(super) identification: u32,
    pub(super) fragment_kind: u32,
}

pub(super) const OPENS: u32 = 1 << 11;
pub(super) const NEIGHBOR_DISCOVERY: u32 = 1 << 12;
pub(super) const LATER_FRAGMENT: u32 = 1 << 13;
pub(super) const FIRST_FRAGMENT: u32 = 1 << 14;
pub(super) const ECHO_REQUEST: u32 = 1 << 15;
pub(super) const ICMP_ERROR: u32 = 1 << 16;

impl Transport {
    /// Of no packet.
    pub const NONE: Self = Self {
        ports: 0,
        bits: 0,
        identification: 0,
        fragment_kind: 0,
    };

    #[inline(always)]
    pub(super) const fn new(
        protocol: u8,
        fragment: Fragment,
        (identification, fragment_kind): (u32, u32),
    ) -> Self {
        let (class, fragment) = match fragment {
            Fragment::Whole => (Class::of(protocol, false), 0),
            Fragment::First => (Class::of(protocol, true), FIRST_FRAGMENT),
            Fragment::Later => (Class::of_later_fragment(protocol), LATER_FRAGMENT),
        };
        Self {
            ports: 0,
            bits: protocol as u32 | ((class as u32) << 8) | fragment,
            identification,
            fragment_kind,
        }
    }

    #[inline(always)]
    pub(super) const fn with_ports(self, ports: u32) -> Self {
        Self { ports, ..self }
    }

    #[inline(always)]
    pub(super) const fn with(self, flag: u32, is: bool) -> Self {
        Self {
            bits: if is { self.bits | flag } else { self.bits },
            ..self
        }
    }

    /// The same packet as seen from its other end.
    #[inline(always)]
    pub fn reversed(self) -> Self {
        Self {
            ports: self.ports.rotate_left(16),
            ..self
        }
    }

    #[inline(always)]
    pub const fn protocol(&self) -> u8 {
        self.bits as u8
    }

    /// The number of the packet's [`Class`].
    #[inline(always)]
    pub const fn class(&self) -> u32 {
        (self.bits >> 8) & 7
    }

    /// TCP SYN without ACK, or SCTP INIT.
    #[inline(always)]
    pub const fn opens(&self) -> bool {
        self.bits & OPENS != 0
    }

    /// A neighbour-discovery message (RFC 4861), which is the host's own.
    #[inline(always)]
    pub const fn is_neighbor_discovery(&self) -> bool {
        self.bits & NEIGHBOR_DISCOVERY != 0
    }

    /// A fragment that carries no transport header.
    #[inline(always)]
    pub const fn is_later_fragment(&self) -> bool {
        self.bits & LATER_FRAGMENT != 0
    }

    /// A fragment that carries the transport header.
    #[inline(always)]
    pub const fn is_first_fragment(&self) -> bool {
        self.bits & FIRST_FRAGMENT != 0
    }

    /// An ICMP or ICMPv6 echo request, whole.
    #[inline(always)]
    pub const fn is_echo_request(&self) -> bool {
        self.bits & ECHO_REQUEST != 0
    }

    /// The transport layer of the packet that an ICMP error quotes, as seen from its receiver.
    #[inline(always)]
    pub fn of_error(self) -> Self {
        self.reversed().with(ICMP_ERROR, true)
    }

    /// No ICMP error may be sent about it: it is one (also one that is a fragment, or of a type that quotes nothing),
    /// or a later fragment.
    #[inline(always)]
    pub const fn is_unreportable(&self) -> bool {
        self.bits & (ICMP_ERROR | LATER_FRAGMENT) != 0
    }

    /// The datagram that this is a fragment of.
    #[inline(always)]
    pub const fn fragment_key(&self, network: &Network) -> FragmentKey {
        FragmentKey {
            source: network.source,
            destination: network.destination,
            identification: self.identification,
            kind: self.fragment_kind,
        }
    }

    /// Destination port, host order.
    #[inline(always)]
    pub fn destination_port(&self) -> u16 {
        // The second half of the word in memory.
        u16::from_be((self.ports.to_le() >> 16) as u16)
    }

    /// Source port, host order.
    #[inline(always)]
    pub fn source_port(&self) -> u16 {
        let [high, low, _, _] = self.ports.to_ne_bytes();
        u16::from_be_bytes([high, low])
    }
}
