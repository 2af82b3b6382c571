//! Every outcome that a packet can have, named once: the name is the counter, the metric label and the word that
//! tools print.

/// What happens to the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// To the host's own stack, untouched.
    Pass,
    /// To a backend.
    Forward,
    /// Answered to the sender by the balancer.
    Reply,
    Drop,
}

impl Action {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Forward => "forward",
            Self::Reply => "reply",
            Self::Drop => "drop",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $value:literal, $action:ident, $name:literal;)+) => {
        /// Why a packet was treated as it was.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Reason { $($(#[$doc])* $variant = $value,)+ }

        impl Reason {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The reason whose number is the low byte of a word that was made from one: what a function of the kernel's
            /// program returns has to fit a register.
            #[inline(always)]
            pub const fn of_word(word: u64) -> Self {
                match word as u8 {
                    $($value => Self::$variant,)+
                    // Nobody makes such a word.
                    _ => Self::DropBadService,
                }
            }

            #[inline(always)]
            pub const fn action(self) -> Action {
                match self { $(Self::$variant => Action::$action,)+ }
            }
        }
    };
}

reasons! {
    /// Neither IPv4 nor IPv6: ARP and everything else on the segment.
    PassNotIp = 0, Pass, "pass_not_ip";
    /// The destination is no VIP.
    PassNoVip = 1, Pass, "pass_no_vip";
    /// ICMPv6 133–137 with hop limit 255 (RFC 4861).
    PassNeighborDiscovery = 2, Pass, "pass_neighbor_discovery";
    /// Too short for the headers that it announces, and not provably for a VIP.
    PassTruncated = 3, Pass, "pass_truncated";
    /// More than two VLAN tags.
    PassVlanDepth = 4, Pass, "pass_vlan_depth";

    /// For a VIP, in a frame for another host: its stack's, or the bridge's.
    PassOtherHost = 5, Pass, "pass_other_host";

    /// A tracking entry decided.
    ForwardTracked = 8, Forward, "forward_tracked";
    /// A tracking entry decided although its backend is unhealthy.
    ForwardPersisted = 9, Forward, "forward_persisted";
    /// Selected by hash and recorded: a new connection or session.
    ForwardNew = 10, Forward, "forward_new";
    /// An entry was no longer usable: selected anew and recorded.
    ForwardDiverted = 11, Forward, "forward_diverted";
    /// Selected by hash, not tracked by this service's policy.
    ForwardUntracked = 12, Forward, "forward_untracked";
    /// Selected by hash; its bucket of the flow table is full of living, confirmed flows.
    ForwardBucketFull = 13, Forward, "flow_bucket_full";
    /// Selected by hash; other CPUs kept taking the slot that it was to be recorded in.
    ForwardInsertRaced = 15, Forward, "flow_insert_raced";
    /// haPolicy: to the leader.
    ForwardLeader = 14, Forward, "forward_leader";

    /// A later fragment, to where its first one went.
    ForwardFragment = 16, Forward, "forward_fragment";
    /// An ICMP error, to the backend of the flow that it is about.
    ForwardIcmpError = 17, Forward, "forward_icmp_error";

    /// The packet does not fit the path to its backend: ICMP fragmentation-needed or packet-too-big is sent back.
    ReplyTooBig = 24, Reply, "reply_packet_too_big";

    /// An echo request to a VIP that no rule takes, answered because it is so configured.
    ReplyEcho = 25, Reply, "reply_echo";

    /// For a VIP, but no forwarding rule matches protocol and port.
    DropNoRule = 32, Drop, "drop_no_rule";
    /// dropTrafficIfUnhealthy, and nothing is healthy.
    DropNoHealthyBackend = 33, Drop, "drop_no_healthy_backend";
    /// The service has no endpoint of this address family.
    DropNoBackend = 34, Drop, "drop_no_backend";
    /// haPolicy without a leader.
    DropNoLeader = 35, Drop, "drop_no_leader";
    /// For a VIP, and shorter than its headers announce.
    DropTruncated = 36, Drop, "drop_truncated";
    /// For a VIP, with a header length or version that can't be.
    DropMalformed = 37, Drop, "drop_malformed";
    /// For a VIP, a later fragment whose first one is not known, and only rules with ports.
    DropFragment = 38, Drop, "drop_fragment";
    /// For a VIP, more IPv6 extension headers than are walked.
    DropExtensionHeaders = 39, Drop, "drop_extension_headers";
    /// The next hop of the backend is not resolved.
    DropUnresolved = 40, Drop, "drop_backend_unresolved";
    /// Too big for the path, and no ICMP error may be sent about it.
    DropTooBig = 41, Drop, "drop_too_big";
    /// The time to live ran out at the balancer, which routes to this backend.
    DropTtlExpired = 42, Drop, "drop_ttl_expired";
    /// The kernel refused to move the packet's head or tail.
    DropNoRoom = 43, Drop, "drop_no_room";

    /// For a VIP, an ICMP error about nothing that a backend there could have sent.
    DropIcmpError = 44, Drop, "drop_icmp_error";

    /// For a VIP, from an address that no client has (RFC 1812 §5.3.7): loopback, a group, everybody, the VIP itself.
    DropMartianSource = 45, Drop, "drop_martian_source";
    /// From a link-local address, to a backend that is routed to: it may not leave its link.
    DropLinkLocalSource = 46, Drop, "drop_link_local_source";

    /// Broken invariant: a rule names a service without a record.
    DropBadService = 56, Drop, "drop_bad_service";
    /// Broken invariant: a selection table or an entry names a member without a record.
    DropBadMember = 57, Drop, "drop_bad_member";
    /// Broken invariant: a selection table ends before its size.
    DropBadTable = 58, Drop, "drop_bad_table";
    /// Broken invariant: a member names a delivery record that is not there.
    DropBadDelivery = 59, Drop, "drop_bad_delivery";
}

/// One more than the largest discriminant: the size of a counter array.
pub const REASON_SLOTS: u32 = 64;

impl Reason {
    /// Whether this can only come from a fault in the balancer itself.
    pub const fn is_broken_invariant(self) -> bool {
        self as u8 >= 56
    }
}

/// The decision about one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub reason: Reason,
    /// The data-plane service that the packet matched; 0 is none.
    pub service: u32,
    /// The chosen member; 0 is none. Not 0 when the action is to forward.
    pub member: u32,
    /// The delivery record of the chosen member; 0 is unresolved.
    pub backend: u32,
    /// Hash bits of the flow, for what spreads over paths: the outer source port, the flow label.
    pub entropy: u32,
    /// No ICMP error may be sent about it: it is one, or a later fragment (RFC 1122 §3.2.2, RFC 4443 §2.4 e).
    pub unreportable: bool,
}

impl Verdict {
    /// Reason, member and backend in one word: reason (8) · member (24) · backend (32), from the low bits up.
    #[inline(always)]
    pub(crate) const fn pack(&self) -> u64 {
        self.reason as u64 | ((self.member as u64) << 8) | ((self.backend as u64) << 32)
    }

    /// What was packed.
    #[inline(always)]
    pub(crate) const fn unpack(packed: u64) -> Self {
        Self {
            reason: Reason::of_word(packed),
            service: 0,
            member: (packed as u32) >> 8,
            backend: (packed >> 32) as u32,
            entropy: 0,
            unreportable: false,
        }
    }

    #[inline(always)]
    pub const fn without_member(reason: Reason, service: u32) -> Self {
        Self {
            reason,
            service,
            member: 0,
            backend: 0,
            entropy: 0,
            unreportable: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_unique() {
        let names: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|r| r.name()).collect();
        let numbers: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|r| *r as u8).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        assert_eq!(numbers.len(), Reason::ALL.len());
        assert!(numbers.iter().all(|n| u32::from(*n) < REASON_SLOTS));
    }

    /// Nothing else is ever sent by the program itself: no RST and no FIN.
    #[test]
    fn only_echo_requests_and_packets_too_big_are_answered() {
        let answers = Reason::ALL
            .iter()
            .filter(|reason| reason.action() == Action::Reply);
        let answers: Vec<Reason> = answers.copied().collect();
        assert_eq!(answers, [Reason::ReplyTooBig, Reason::ReplyEcho]);
    }

    #[test]
    fn the_name_says_the_action() {
        for reason in Reason::ALL {
            let prefix = reason.name().split('_').next().unwrap_or_default();
            let expected = match reason {
                Reason::ForwardBucketFull | Reason::ForwardInsertRaced => "flow",
                _ => reason.action().name(),
            };
            assert_eq!(prefix, expected, "{reason:?}");
        }
    }
}
