//! The cold side of the flow table: whose each slot is.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The full tuple of a slot, written when a flow is recorded and read only by user space. It is kept in two arrays: all
/// that IPv4 has is in the first, so that its records are few pages, and none lies in two cache lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TupleRecord {
    pub head: TupleHead,
    /// Of IPv6; nothing of a record of IPv4.
    pub rest: TupleRest,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(8))]
pub struct TupleHead {
    /// Protocol (8) · tuple kind (8) · 1 if IPv6 (8), from the low bits up.
    kind: u32,
    /// As in the packet, source first.
    ports: u32,
    /// The first words of source and destination.
    first: [u32; 2],
}

/// The other words of source and destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(8))]
pub struct TupleRest([[u32; 3]; 2]);

impl TupleRecord {
    /// Addresses are words in network order; IPv4 has only the first. `tuple` is the number of a
    /// [`Tuple`](crate::policy::Tuple).
    #[inline(always)]
    pub const fn new(
        source: [u32; 4],
        destination: [u32; 4],
        ports: u32,
        protocol: u8,
        tuple: u32,
        is_ipv6: bool,
    ) -> Self {
        Self {
            head: TupleHead {
                kind: protocol as u32 | (tuple << 8) | ((is_ipv6 as u32) << 16),
                ports,
                first: [source[0], destination[0]],
            },
            rest: TupleRest([
                [source[1], source[2], source[3]],
                [destination[1], destination[2], destination[3]],
            ]),
        }
    }

    #[inline(always)]
    pub const fn source(&self) -> [u32; 4] {
        let [a, b, c] = self.rest.0[0];
        [self.head.first[0], a, b, c]
    }

    #[inline(always)]
    pub const fn destination(&self) -> [u32; 4] {
        let [a, b, c] = self.rest.0[1];
        [self.head.first[1], a, b, c]
    }

    /// As in the packet, source first.
    #[inline(always)]
    pub const fn ports(&self) -> u32 {
        self.head.ports
    }

    #[inline(always)]
    pub const fn protocol(&self) -> u8 {
        self.head.kind as u8
    }

    /// The number of the [`Tuple`](crate::policy::Tuple) that the flow is tracked by.
    #[inline(always)]
    pub const fn tuple(&self) -> u32 {
        (self.head.kind >> 8) & 0xff
    }

    #[inline(always)]
    pub const fn is_ipv6(&self) -> bool {
        self.head.is_ipv6()
    }
}

impl TupleHead {
    #[inline(always)]
    pub const fn is_ipv6(&self) -> bool {
        (self.kind >> 16) & 1 != 0
    }
}

const _: () = {
    assert!(size_of::<TupleHead>() == 16);
    assert!(size_of::<TupleRest>() == 24);
};
