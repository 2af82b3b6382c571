//! The policy choices of a backend service, as the Compute API names them.
//!
//! Each enum is one byte in the kernel's service record; an unknown byte is a broken record, never a default.

macro_rules! policy_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $value:literal => $api:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $value,)+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            #[inline(always)]
            pub const fn from_u8(value: u8) -> Option<Self> {
                match value { $($value => Some(Self::$variant),)+ _ => None }
            }

            /// The enum string of the Compute API.
            pub const fn as_api(self) -> &'static str {
                match self { $(Self::$variant => $api,)+ }
            }

            pub fn from_api(text: &str) -> Option<Self> {
                match text { $($api => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

policy_enum! {
    /// `loadBalancingScheme`.
    Scheme {
        External = 0 => "EXTERNAL",
        Internal = 1 => "INTERNAL",
    }
}

policy_enum! {
    /// `sessionAffinity`: which fields of a packet select its backend.
    SessionAffinity {
        None = 0 => "NONE",
        ClientIpPortProto = 1 => "CLIENT_IP_PORT_PROTO",
        ClientIpProto = 2 => "CLIENT_IP_PROTO",
        ClientIp = 3 => "CLIENT_IP",
        ClientIpNoDestination = 4 => "CLIENT_IP_NO_DESTINATION",
    }
}

policy_enum! {
    /// `connectionTrackingPolicy.trackingMode`.
    TrackingMode {
        PerConnection = 0 => "PER_CONNECTION",
        PerSession = 1 => "PER_SESSION",
    }
}

policy_enum! {
    /// `connectionTrackingPolicy.connectionPersistenceOnUnhealthyBackends`.
    Persistence {
        DefaultForProtocol = 0 => "DEFAULT_FOR_PROTOCOL",
        NeverPersist = 1 => "NEVER_PERSIST",
        AlwaysPersist = 2 => "ALWAYS_PERSIST",
    }
}

policy_enum! {
    /// `IPProtocol` of a forwarding rule.
    RuleProtocol {
        L3Default = 0 => "L3_DEFAULT",
        Tcp = 6 => "TCP",
        Udp = 17 => "UDP",
        Esp = 50 => "ESP",
        Ah = 51 => "AH",
        Icmp = 1 => "ICMP",
        Sctp = 132 => "SCTP",
    }
}

impl RuleProtocol {
    /// Whether a rule of this protocol names ports.
    pub const fn has_ports(self) -> bool {
        matches!(self, Self::Tcp | Self::Udp | Self::Sctp)
    }
}

/// What a protocol is to the policy tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// TCP and SCTP: connection-oriented, with ports; a first fragment counts as whole.
    Connection = 0,
    /// Unfragmented UDP.
    Datagram = 1,
    /// A fragment of UDP: portless, so that every fragment of a datagram agrees.
    DatagramFragment = 2,
    /// ESP, AH, GRE and any protocol that has no row of its own.
    Portless = 3,
    /// ICMP and ICMPv6.
    Icmp = 4,
}

impl Class {
    pub const ALL: &'static [Self] = &[
        Self::Connection,
        Self::Datagram,
        Self::DatagramFragment,
        Self::Portless,
        Self::Icmp,
    ];

    /// `fragmented`: more fragments follow, or the offset is not 0.
    #[inline(always)]
    pub const fn of(protocol: u8, fragmented: bool) -> Self {
        match protocol {
            6 | 132 => Self::Connection,
            17 if fragmented => Self::DatagramFragment,
            17 => Self::Datagram,
            1 | 58 => Self::Icmp,
            _ => Self::Portless,
        }
    }

    /// Of a fragment without a transport header: TCP and SCTP lose their ports too.
    #[inline(always)]
    pub const fn of_later_fragment(protocol: u8) -> Self {
        match Self::of(protocol, true) {
            Self::Connection => Self::Portless,
            class => class,
        }
    }
}

/// Which fields of a packet make up a tracking key or a selection hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Tuple {
    /// No key: the packet is not tracked.
    Off = 0,
    /// Source.
    One = 1,
    /// Source, destination.
    Two = 2,
    /// Source, destination, protocol.
    Three = 3,
    /// Source, destination, protocol, ports.
    Five = 5,
}

/// The policy fields of a service, from which its [`PolicyWord`] is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub scheme: Scheme,
    pub affinity: SessionAffinity,
    pub mode: TrackingMode,
    pub persistence: Persistence,
    /// `subsetting.policy: CONSISTENT_HASH_SUBSETTING`.
    pub subsetting: bool,
    /// Idle timeout of an entry, in seconds.
    pub idle_seconds: u16,
}

impl Policy {
    /// The tracking key of a packet (semantics §3).
    pub const fn tracking(&self, class: Class) -> Tuple {
        match (self.scheme, self.mode) {
            (Scheme::External, TrackingMode::PerConnection) => self.external_per_connection(class),
            (Scheme::External, TrackingMode::PerSession) => self.external_per_session(class),
            (Scheme::Internal, TrackingMode::PerConnection) => five_or_three(class),
            (Scheme::Internal, TrackingMode::PerSession) => match self.affinity {
                SessionAffinity::None | SessionAffinity::ClientIpPortProto => five_or_three(class),
                SessionAffinity::ClientIpProto => Tuple::Three,
                SessionAffinity::ClientIp => Tuple::Two,
                SessionAffinity::ClientIpNoDestination => Tuple::One,
            },
        }
    }

    const fn external_per_connection(&self, class: Class) -> Tuple {
        match (class, self.affinity) {
            (Class::Icmp, _) => Tuple::Off,
            (Class::Connection, _) => Tuple::Five,
            (_, SessionAffinity::None) => Tuple::Off,
            _ => five_or_three(class),
        }
    }

    const fn external_per_session(&self, class: Class) -> Tuple {
        match (class, self.affinity) {
            (Class::Icmp, _) => Tuple::Off,
            (Class::Connection, SessionAffinity::None) => Tuple::Five,
            (_, SessionAffinity::None) => Tuple::Off,
            (_, SessionAffinity::ClientIp) => Tuple::Two,
            (_, SessionAffinity::ClientIpProto) => Tuple::Three,
            (_, SessionAffinity::ClientIpPortProto) => five_or_three(class),
            // Refused for EXTERNAL by the API; the nearest meaning.
            (_, SessionAffinity::ClientIpNoDestination) => Tuple::One,
        }
    }

    /// The fields that select a backend (semantics §4).
    pub const fn selection(&self, class: Class) -> Tuple {
        match self.affinity {
            SessionAffinity::None | SessionAffinity::ClientIpPortProto => five_or_three(class),
            SessionAffinity::ClientIpProto => Tuple::Three,
            SessionAffinity::ClientIp => Tuple::Two,
            SessionAffinity::ClientIpNoDestination => Tuple::One,
        }
    }

    /// Whether the selection hash is the same for both directions (semantics §4).
    pub const fn symmetric(&self, protocol_has_direction: bool) -> bool {
        protocol_has_direction
            && matches!(self.scheme, Scheme::Internal)
            && !matches!(self.affinity, SessionAffinity::ClientIpNoDestination)
    }

    /// Whether an entry stays on an unhealthy backend (semantics §5).
    pub const fn persists(&self, class: Class) -> bool {
        match self.persistence {
            Persistence::NeverPersist => false,
            // The API refuses it with PER_SESSION.
            Persistence::AlwaysPersist => matches!(self.mode, TrackingMode::PerConnection),
            Persistence::DefaultForProtocol => {
                matches!(class, Class::Connection)
                    && (matches!(self.mode, TrackingMode::PerConnection) || self.has_connection_affinity())
            }
        }
    }

    /// Whether a TCP SYN is new whatever the table holds (semantics §1, step 4).
    pub const fn syn_is_new(&self) -> bool {
        matches!(self.mode, TrackingMode::PerConnection) || self.has_connection_affinity()
    }

    const fn has_connection_affinity(&self) -> bool {
        matches!(
            self.affinity,
            SessionAffinity::None | SessionAffinity::ClientIpPortProto
        )
    }
}

const fn five_or_three(class: Class) -> Tuple {
    match class {
        Class::Connection | Class::Datagram => Tuple::Five,
        Class::DatagramFragment | Class::Portless | Class::Icmp => Tuple::Three,
    }
}

/// A service's policy as the packet path reads it: the tables of semantics §3 to §5, evaluated once for every
/// [`Class`] and packed, so that a packet looks its row up with a shift instead of a chain of comparisons.
///
/// Bits 8·c to 8·c+7 of class c: tracking tuple (3), selection tuple (3), persists (1), symmetric (1).
/// Bit 40: a SYN is always new. Bit 41: subsetting. Bits 47 to 62: idle timeout in seconds. Bit 63: the record is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyWord(pub u64);

impl PolicyWord {
    pub const fn new(policy: &Policy) -> Self {
        let mut word = 1 << 63;
        let mut index = 0;
        while index < Class::ALL.len() {
            let class = Class::ALL[index];
            let directed = matches!(
                class,
                Class::Connection | Class::Datagram | Class::DatagramFragment
            );
            let row = policy.tracking(class) as u64
                | ((policy.selection(class) as u64) << 3)
                | ((policy.persists(class) as u64) << 6)
                | ((policy.symmetric(directed) as u64) << 7);
            word |= row << (8 * class as u64);
            index += 1;
        }
        word |= (policy.syn_is_new() as u64) << 40;
        word |= (policy.subsetting as u64) << 41;
        word |= (policy.idle_seconds as u64) << 47;
        Self(word)
    }

    #[inline(always)]
    pub const fn in_use(self) -> bool {
        self.0 >> 63 != 0
    }

    /// The row of a [`Class`], by its number.
    #[inline(always)]
    pub const fn row(self, class: u32) -> PolicyRow {
        PolicyRow(self.0 >> (8 * class))
    }

    #[inline(always)]
    pub const fn syn_is_new(self) -> bool {
        self.0 & (1 << 40) != 0
    }

    #[inline(always)]
    pub const fn subsetting(self) -> bool {
        self.0 & (1 << 41) != 0
    }

    #[inline(always)]
    pub const fn idle_seconds(self) -> u32 {
        (self.0 >> 47) as u16 as u32
    }
}

/// What a service's policy says of one [`Class`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyRow(u64);

impl PolicyRow {
    /// The number of the tracking [`Tuple`].
    #[inline(always)]
    pub const fn tracking(self) -> u32 {
        (self.0 & 7) as u32
    }

    /// The number of the selection [`Tuple`].
    #[inline(always)]
    pub const fn selection(self) -> u32 {
        ((self.0 >> 3) & 7) as u32
    }

    #[inline(always)]
    pub const fn persists(self) -> bool {
        self.0 & (1 << 6) != 0
    }

    /// 1 if the selection hash is the same for both directions, else 0.
    #[inline(always)]
    pub const fn symmetric(self) -> u32 {
        ((self.0 >> 7) & 1) as u32
    }
}

#[cfg(test)]
mod tests;
