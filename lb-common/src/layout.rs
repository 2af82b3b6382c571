//! The shape of the state that user space and the kernel share: keys and values of the maps.
//!
//! Every type is made of 32- and 64-bit words without padding. What must change at once is one 64-bit word,
//! written by one store: a packet sees the old value or the new one. A change of any type here, or of what a bit
//! means, raises [`LAYOUT_VERSION`], which is part of the path that the maps are pinned under.

mod arrival;
mod counters;
mod failure;
mod tuple;

pub use arrival::{Interface, OwnMac, mac_of, mac_word};
pub use counters::{CpuState, MemberCounter, VerdictCounter};
pub use failure::{FailurePlace, XdpEvent, XdpFailure};
pub use tuple::{TupleHead, TupleRecord, TupleRest};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::policy::PolicyWord;
use crate::verdict::REASON_SLOTS;

pub const LAYOUT_VERSION: u32 = 6;

/// Member numbers fit a flow-table slot; 0 is none.
pub const MEMBER_BITS: u32 = 20;
/// Service numbers are told apart by the tags of flows; 0 is none.
pub const SERVICE_BITS: u32 = 20;

pub mod map {
    //! Names of the maps: at most 15 characters, as the kernel keeps them.
    pub const RULES: &str = "LB_RULES";
    pub const VIPS: &str = "LB_VIPS";
    pub const STEERING: &str = "LB_STEERING";
    pub const SERVICES: &str = "LB_SERVICES";
    pub const MEMBERS: &str = "LB_MEMBERS";
    pub const BACKENDS: &str = "LB_BACKENDS";
    pub const PROBES: &str = "LB_PROBES";
    pub const TABLES: &str = "LB_TABLES";
    pub const FLOWS: &str = "LB_FLOWS";
    pub const TUPLES: &str = "LB_TUPLES";
    pub const TUPLES6: &str = "LB_TUPLES6";
    pub const ZONES: &str = "LB_ZONES";
    pub const ZONE_TABLES: &str = "LB_ZONE_TABLES";
    pub const FRAGMENTS: &str = "LB_FRAGMENTS";
    pub const DEVICES: &str = "LB_DEVICES";
    pub const CPU: &str = "LB_CPU";
    pub const MEMBER_STATS: &str = "LB_MEMBER_STATS";
    pub const VIP_FILTER: &str = "LB_VIP_FILTER";
    pub const EPOCH: &str = "LB_EPOCH";
    pub const INTERFACES: &str = "LB_INTERFACES";
    pub const OWN_MACS: &str = "LB_OWN_MACS";
    /// Whose the maps are: see [`about`](super::about).
    pub const ABOUT: &str = "LB_ABOUT";
    /// Every map that outlives the daemon.
    pub const ALL: &[&str] = &[
        RULES,
        VIPS,
        ZONES,
        ZONE_TABLES,
        FRAGMENTS,
        STEERING,
        SERVICES,
        MEMBERS,
        BACKENDS,
        PROBES,
        TABLES,
        FLOWS,
        TUPLES,
        TUPLES6,
        DEVICES,
        CPU,
        MEMBER_STATS,
        VIP_FILTER,
        EPOCH,
        INTERFACES,
        OWN_MACS,
        ABOUT,
    ];
}

/// Words of the map that says whose the maps are. Only user space reads and writes it.
pub mod about {
    /// The two halves of the id of the store that the maps are written from; 0 is none.
    pub const STORE: [u32; 2] = [0, 1];
    /// Tells one life of the maps from another. Maps that were copied from an older layout have the number of those.
    pub const INCARNATION: u32 = 2;
    pub const WORDS: u32 = 4;
}

/// Default sizes, in entries.
pub mod size {
    pub const RULES: u32 = 1 << 17;
    pub const VIPS: u32 = 1 << 16;
    pub const STEERING: u32 = 1 << 17;
    pub const SERVICES: u32 = 1 << 15;
    pub const MEMBERS: u32 = 1 << 17;
    pub const BACKENDS: u32 = 1 << 17;
    /// Ways on which health probes are delivered; the value is a delivery record's number, 0 is none.
    pub const PROBES: u32 = 1 << 17;
    pub const TABLE_SLOTS: u32 = 1 << 23;
    pub const FLOW_SLOTS: u32 = 1 << 22;
    /// Prefixes of client zones.
    pub const ZONES: u32 = 1 << 14;
    /// Zones of all services with zonal affinity together.
    pub const ZONE_TABLES: u32 = 1 << 16;
    /// Datagrams in fragments at a time.
    pub const FRAGMENTS: u32 = 1 << 14;
    pub const DEVICES: u32 = 64;
    /// Interfaces that packets arrive on, the slaves of bonds among them.
    pub const INTERFACES: u32 = 1 << 8;
    /// Ethernet addresses that frames may be sent to, over all of those.
    pub const OWN_MACS: u32 = 1 << 13;
    /// Words of the VIP filter.
    pub const VIP_FILTER: u32 = 1 << 13;
    /// Ways in which XDP failed to send, by device.
    pub const FAILURES: u32 = 256;
}

/// An address as map keys hold it: IPv6 in four words in network order; IPv4 as the IPv4-mapped IPv6 address.
pub type AddressKey = [u32; 4];

pub const fn ipv4_key(address: u32) -> AddressKey {
    [0, 0, MAPPED, address]
}

/// The key of the whole /96 that an address is in. A VIP whose last 32 bits are zero owns that; any other IPv6 VIP owns its
/// address alone, and its key is the address.
pub const fn ipv6_prefix_key(address: AddressKey) -> AddressKey {
    [address[0], address[1], address[2], 0]
}

/// What the VIP filter knows an address by: IPv4, the address; IPv6, its /96, so that one look tells of both kinds of VIP.
pub const fn filter_key(address: AddressKey) -> AddressKey {
    match address {
        [0, 0, MAPPED, _] => address,
        _ => ipv6_prefix_key(address),
    }
}

const MAPPED: u32 = 0xffff_u32.to_be();

/// The VIP filter: 64 bits a word, of which each [`filter_key`] of a VIP or a rule sets one. A clear bit proves that neither
/// is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilterBit {
    pub word: u32,
    pub mask: u64,
}

impl FilterBit {
    #[inline(always)]
    pub const fn of(vip: &AddressKey) -> Self {
        let folded = vip[3] ^ vip[2].rotate_left(11) ^ vip[1].rotate_left(22) ^ vip[0].rotate_left(5);
        let bit = folded.wrapping_mul(0x9e37_79b1) >> (32 - size::VIP_FILTER.trailing_zeros() - 6);
        Self {
            word: bit / 64,
            mask: 1 << (bit % 64),
        }
    }
}

/// A forwarding rule's claim on one aligned block of ports. A range of ports is the sum of such blocks.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct RuleKey {
    pub address: AddressKey,
    /// First port of the block (16) · protocol (8) · log2 of the block's size (8), from the high bits down.
    pub block: u32,
}

impl RuleKey {
    /// The block of all ports, and the only one of a protocol without ports.
    pub const ALL_PORTS: u8 = 16;

    /// `bits` is log2 of the block's size; the port's low bits are cleared.
    #[inline(always)]
    pub const fn new(address: AddressKey, protocol: u8, port: u16, bits: u8) -> Self {
        let first = (port as u32 >> bits) << bits;
        Self {
            address,
            block: (first << 16) | ((protocol as u32) << 8) | bits as u32,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(8))]
pub struct Rule {
    pub service: u32,
    /// Number of the steering set that may choose another service by source; 0 is none.
    pub steering: u32,
}

impl Rule {
    pub const NONE: Self = Self {
        service: 0,
        steering: 0,
    };
}

/// What a VIP's rules look like, so that a packet makes no look-up that can't hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Vip {
    /// For TCP, UDP, SCTP: bit b says that there are blocks of 2^b ports, b in 0..=16.
    pub blocks: [u32; 3],
    /// [`Vip::L3_DEFAULT`], [`Vip::WHOLE_PREFIX`].
    pub flags: u32,
}

impl Vip {
    /// An L3_DEFAULT rule takes what no other rule does.
    pub const L3_DEFAULT: u32 = 1;
    /// Some rule is for the whole /96 of IPv6, and none of its addresses is anybody else's.
    pub const WHOLE_PREFIX: u32 = 2;

    /// The block sizes to try. A protocol without ports has one block, of all ports.
    #[inline(always)]
    pub const fn port_blocks(&self, protocol: u8) -> u32 {
        match protocol {
            6 => self.blocks[0],
            17 => self.blocks[1],
            132 => self.blocks[2],
            _ => 1 << RuleKey::ALL_PORTS,
        }
    }
}

/// Key of the longest-prefix map that steering rules share.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SteeringKey {
    pub steering: u32,
    /// As in [`AddressKey`], so IPv4 prefixes are 96 bits longer here.
    pub source: AddressKey,
}

impl SteeringKey {
    /// Bits that come before the source's prefix.
    pub const SCOPE_BITS: u32 = 32;
}

/// A backend service for one address family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Service {
    pub policy: u64,
    pub selection: u64,
    pub pools: u64,
    pub leader: u64,
    pub zones: u64,
}

impl Service {
    #[inline(always)]
    pub const fn policy(&self) -> PolicyWord {
        PolicyWord(self.policy)
    }

    /// Whether it is in use, without haPolicy, zonal affinity and subsetting: one table serves every client.
    #[inline(always)]
    pub const fn is_plain(&self) -> bool {
        self.policy().in_use() && !self.policy().subsetting() && self.leader == 0 && self.zones == 0
    }

    #[inline(always)]
    pub const fn selection(&self) -> Selection {
        Selection::from_word(self.selection)
    }

    #[inline(always)]
    pub const fn pools(&self) -> Pools {
        Pools(self.pools)
    }

    #[inline(always)]
    pub const fn leader(&self) -> Leader {
        Leader(self.leader)
    }

    #[inline(always)]
    pub const fn zones(&self) -> ZoneTables {
        ZoneTables {
            first: self.zones as u32,
            count: (self.zones >> 32) as u32,
        }
    }
}

/// Zonal affinity: the selections of clients in a zone, in the zone-table array. Entry `first + zone - 1` is the
/// [`Selection`] word of zone `zone` (from 1 on); 0 means the service's own selection, and so does a zone that is
/// greater than `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneTables {
    pub first: u32,
    /// 0 without zonal affinity.
    pub count: u32,
}

impl ZoneTables {
    pub const fn to_word(self) -> u64 {
        self.first as u64 | ((self.count as u64) << 32)
    }
}

/// Where a service's selection table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Index of its first slot.
    pub offset: u32,
    /// Slots; 0 is the empty set.
    pub size: u32,
}

impl Selection {
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self {
            offset: word as u32,
            size: (word >> 32) as u32,
        }
    }

    pub const fn to_word(self) -> u64 {
        self.offset as u64 | ((self.size as u64) << 32)
    }
}

/// Bits 0 to 31: second at which the failover drain has ended. Bit 32: the active pool. Bit 33: nothing is healthy.
/// Bit 34: an empty selection means dropTrafficIfUnhealthy, not the absence of endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pools(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Pool {
    Primary = 0,
    Failover = 1,
}

impl Pools {
    pub const fn new(
        active: Pool,
        nothing_healthy: bool,
        drops_if_unhealthy: bool,
        drain_deadline: u32,
    ) -> Self {
        Self(
            drain_deadline as u64
                | ((active as u64) << 32)
                | ((nothing_healthy as u64) << 33)
                | ((drops_if_unhealthy as u64) << 34),
        )
    }

    /// Whether entries to `member` count: it is in the active pool, or the failover drain lasts.
    #[inline(always)]
    pub const fn counts(self, member: &Member, now: u32) -> bool {
        let active = (self.0 >> 32) & 1;
        active == member.pool_bit() || now < self.0 as u32
    }

    #[inline(always)]
    pub const fn nothing_healthy(self) -> bool {
        self.0 & (1 << 33) != 0
    }

    #[inline(always)]
    pub const fn drops_if_unhealthy(self) -> bool {
        self.0 & (1 << 34) != 0
    }
}

/// Bit 63: haPolicy is set. Bits 0 to 31: the leader's member number, 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader(pub u64);

impl Leader {
    pub const fn new(member: u32) -> Self {
        Self((1 << 63) | member as u64)
    }

    #[inline(always)]
    pub const fn is_set(self) -> bool {
        self.0 >> 63 != 0
    }

    #[inline(always)]
    pub const fn member(self) -> u32 {
        self.0 as u32
    }
}

/// One endpoint of one service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Member {
    /// Bits 0 to 31: service. Bit 32: in use. Bit 33: healthy. Bit 34: pool. Bit 35: draining.
    pub state: u64,
    /// Bits 0 to 31: delivery record, 0 is unresolved. Bits 32 to 63: second at which the drain has ended.
    pub route: u64,
}

impl Member {
    pub const fn new(
        service: u32,
        healthy: bool,
        pool: Pool,
        backend: u32,
        drain_deadline: Option<u32>,
    ) -> Self {
        let (draining, deadline) = match drain_deadline {
            Some(second) => (1, second),
            None => (0, 0),
        };
        Self {
            state: service as u64
                | (1 << 32)
                | ((healthy as u64) << 33)
                | ((pool as u64) << 34)
                | (draining << 35),
            route: backend as u64 | ((deadline as u64) << 32),
        }
    }

    /// Whether it is a healthy member of `service` in the active pool that is not draining: then its entries decide, and
    /// nothing else need be asked.
    #[inline(always)]
    pub const fn is_plain(&self, service: u32, pools: Pools) -> bool {
        let active = ((pools.0 >> 32) & 1) << 34;
        self.state == service as u64 | (1 << 32) | (1 << 33) | active
    }

    #[inline(always)]
    pub const fn in_use(&self) -> bool {
        self.state & (1 << 32) != 0
    }

    #[inline(always)]
    pub const fn service(&self) -> u32 {
        self.state as u32
    }

    #[inline(always)]
    pub const fn healthy(&self) -> bool {
        self.state & (1 << 33) != 0
    }

    #[inline(always)]
    const fn pool_bit(&self) -> u64 {
        (self.state >> 34) & 1
    }

    #[inline(always)]
    pub const fn backend(&self) -> u32 {
        self.route as u32
    }

    /// The same member, reached by another delivery record.
    pub const fn with_backend(self, backend: u32) -> Self {
        let deadline = self.route & !(u32::MAX as u64);
        Self {
            route: deadline | backend as u64,
            ..self
        }
    }

    /// Attached, or draining and not yet at the end of it.
    #[inline(always)]
    pub const fn serves_entries(&self, now: u32) -> bool {
        let draining = self.state & (1 << 35) != 0;
        self.in_use() && (!draining || now < (self.route >> 32) as u32)
    }
}

/// How packets reach an endpoint. A record never changes while a member names it: a new next hop is a new record.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Backend {
    /// A [`DeliveryMode`]; 0 is no record.
    pub mode: u32,
    /// Egress interface.
    pub ifindex: u32,
    /// Largest IP packet, in bytes, that the route carries.
    pub mtu: u32,
    /// Destination and source MAC address, as on the wire.
    pub ethernet: [u8; 12],
    /// Outer source and destination, network order; IPv4 uses the first word.
    pub outer_source: [u32; 4],
    pub outer_destination: [u32; 4],
    /// GUE: the UDP destination port, host order.
    pub port: u16,
    /// Kept free for the VLAN tag that frames get; 0 is none.
    pub tag: u16,
    /// What the outer IPv4 header of every packet has in common, summed for its checksum
    /// ([`rewrite::ipv4_sum`](crate::rewrite::ipv4_sum)).
    pub outer_sum: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum DeliveryMode {
    /// Same segment: only the Ethernet addresses change.
    L2 = 1,
    /// In an IPv4 packet (protocol 4 or 41).
    Ipv4 = 2,
    /// In an IPv6 packet (next header 4 or 41).
    Ipv6 = 3,
    /// In UDP over IPv4, GUE variant 1: the IP packet follows the UDP header.
    GueIpv4 = 4,
    /// The same over IPv6.
    GueIpv6 = 5,
}

impl DeliveryMode {
    #[inline(always)]
    pub const fn from_u32(value: u32) -> Option<Self> {
        match value {
            1 => Some(Self::L2),
            2 => Some(Self::Ipv4),
            3 => Some(Self::Ipv6),
            4 => Some(Self::GueIpv4),
            5 => Some(Self::GueIpv6),
            _ => None,
        }
    }
}

/// Eight flow-table slots: one cache line.
pub const BUCKET_SLOTS: u32 = 8;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct Bucket {
    pub slots: [u64; BUCKET_SLOTS as usize],
}

/// Names the fragments of one datagram (RFC 791 §3.2, RFC 8200 §4.5).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C, align(8))]
pub struct FragmentKey {
    /// As packets have them: IPv4 in the first word.
    pub source: [u32; 4],
    pub destination: [u32; 4],
    /// IPv6: as it lies in the packet. IPv4: the number, in the low 16 bits.
    pub identification: u32,
    /// Protocol (8) · 1 if IPv6 (8), from the low bits up.
    pub kind: u32,
}

/// Where a datagram's first fragment went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(8))]
pub struct FragmentRecord {
    pub member: u32,
    /// The second from which on it is forgotten.
    pub deadline: u32,
}

/// How long a first fragment is remembered, in seconds (semantics §8; RFC 791 leaves up to 255, RFC 8200 asks for 60
/// at the receiver).
pub const FRAGMENT_LIFETIME_SEC: u32 = 30;

/// Subsetting: how many slots, and so at most how many endpoints, one client's packets choose among (semantics §6).
pub const SUBSET_SIZE: u32 = 25;

const _: () = {
    assert!(size_of::<RuleKey>() == 20);
    assert!(size_of::<Rule>() == 8);
    assert!(size_of::<Vip>() == 16);
    assert!(size_of::<SteeringKey>() == 20);
    assert!(size_of::<Service>() == 40);
    assert!(size_of::<FragmentKey>() == 40);
    assert!(size_of::<FragmentRecord>() == 8);
    assert!(size_of::<Member>() == 16);
    assert!(size_of::<Backend>() == 64);
    assert!(size_of::<Bucket>() == 64 && align_of::<Bucket>() == 64);
    assert!(size_of::<VerdictCounter>() == 16);
    assert!(size_of::<CpuState>() == 16 * (1 + REASON_SLOTS as usize) + 32);
    assert!(size_of::<Interface>() == 16 && size_of::<OwnMac>() == 16);
    assert!(size_of::<MemberCounter>() == 32);
};
