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
