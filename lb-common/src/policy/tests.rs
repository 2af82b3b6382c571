//! The tables of semantics §3 to §5, written out.

use super::*;

/// The columns of every table: protocol, and whether the packet is a fragment.
const COLUMNS: [(u8, bool); 10] = [
    (6, false),
    (132, false),
    // The first fragment of TCP counts as whole, and later ones follow it.
    (6, true),
    (17, false),
    (17, true),
    (50, false),
    (51, false),
    (47, false),
    (1, false),
    (58, false),
];

use Persistence::*;
use Scheme::*;
use SessionAffinity::*;
use TrackingMode::*;

/// scheme, affinity, mode; then TCP, SCTP, a TCP fragment, UDP, a UDP fragment, ESP, AH, GRE, ICMP, ICMPv6.
const TRACKING: [(Scheme, SessionAffinity, TrackingMode, &str); 18] = [
    (External, SessionAffinity::None, PerConnection, "555-------"),
    (External, ClientIp, PerConnection, "55553333--"),
    (External, ClientIpProto, PerConnection, "55553333--"),
    (External, ClientIpPortProto, PerConnection, "55553333--"),
    (External, SessionAffinity::None, PerSession, "555-------"),
    (External, ClientIp, PerSession, "22222222--"),
    (External, ClientIpProto, PerSession, "33333333--"),
    (External, ClientIpPortProto, PerSession, "55553333--"),
    (Internal, SessionAffinity::None, PerConnection, "5555333333"),
    (Internal, ClientIpPortProto, PerConnection, "5555333333"),
    (Internal, ClientIpProto, PerConnection, "5555333333"),
    (Internal, ClientIp, PerConnection, "5555333333"),
    (Internal, ClientIpNoDestination, PerConnection, "5555333333"),
    (Internal, SessionAffinity::None, PerSession, "5555333333"),
    (Internal, ClientIpPortProto, PerSession, "5555333333"),
    (Internal, ClientIpProto, PerSession, "3333333333"),
    (Internal, ClientIp, PerSession, "2222222222"),
    (Internal, ClientIpNoDestination, PerSession, "1111111111"),
];

const SELECTION: [(SessionAffinity, &str); 5] = [
    (SessionAffinity::None, "5555333333"),
    (ClientIpPortProto, "5555333333"),
    (ClientIpProto, "3333333333"),
    (ClientIp, "2222222222"),
    (ClientIpNoDestination, "1111111111"),
];

/// Policy, mode, affinities, and whether an entry persists.
const PERSISTS: [(Persistence, TrackingMode, &[SessionAffinity], &str); 7] = [
    (
        DefaultForProtocol,
        PerConnection,
        SessionAffinity::ALL,
        "yyynnnnnnn",
    ),
    (
        DefaultForProtocol,
        PerSession,
        &[SessionAffinity::None, ClientIpPortProto],
        "yyynnnnnnn",
    ),
    (
        DefaultForProtocol,
        PerSession,
        &[ClientIpProto, ClientIp, ClientIpNoDestination],
        "nnnnnnnnnn",
    ),
    (NeverPersist, PerConnection, SessionAffinity::ALL, "nnnnnnnnnn"),
    (NeverPersist, PerSession, SessionAffinity::ALL, "nnnnnnnnnn"),
    (AlwaysPersist, PerConnection, SessionAffinity::ALL, "yyyyyyyyyy"),
    // Refused as a configuration: nothing may persist by accident.
    (AlwaysPersist, PerSession, SessionAffinity::ALL, "nnnnnnnnnn"),
];

/// Semantics §1, step 4: affinities with which a SYN is new, by mode.
const SYN_IS_NEW: [(TrackingMode, &[SessionAffinity]); 2] = [
    (PerConnection, SessionAffinity::ALL),
    (PerSession, &[SessionAffinity::None, ClientIpPortProto]),
];

fn policy(scheme: Scheme, affinity: SessionAffinity, mode: TrackingMode) -> Policy {
    Policy {
        scheme,
        affinity,
        mode,
        persistence: DefaultForProtocol,
        subsetting: false,
        idle_seconds: 60,
    }
}

fn classes() -> impl Iterator<Item = Class> {
    COLUMNS
        .iter()
        .map(|(protocol, fragmented)| Class::of(*protocol, *fragmented))
}

fn tuple(cell: char) -> Tuple {
    match cell {
        '-' => Tuple::Off,
        '1' => Tuple::One,
        '2' => Tuple::Two,
        '3' => Tuple::Three,
        '5' => Tuple::Five,
        other => panic!("no tuple {other}"),
    }
}

#[test]
fn tracking_keys_are_those_of_the_table() {
    for (scheme, affinity, mode, row) in TRACKING {
        for ((class, cell), column) in classes().zip(row.chars()).zip(COLUMNS) {
            let actual = policy(scheme, affinity, mode).tracking(class);
            assert_eq!(actual, tuple(cell), "{scheme:?} {affinity:?} {mode:?} {column:?}");
        }
    }
}

#[test]
fn the_tracking_table_is_complete() {
    for scheme in Scheme::ALL {
        for affinity in SessionAffinity::ALL {
            for mode in TrackingMode::ALL {
                let rows = TRACKING
                    .iter()
                    .filter(|(s, a, m, _)| (s, a, m) == (scheme, affinity, mode));
                // The API refuses it for EXTERNAL.
                let refused = *scheme == External && *affinity == ClientIpNoDestination;
                assert_eq!(rows.count(), usize::from(!refused));
            }
        }
    }
}

#[test]
fn selection_tuples_are_those_of_the_table() {
    assert_eq!(SELECTION.len(), SessionAffinity::ALL.len());
    for (affinity, row) in SELECTION {
        for scheme in Scheme::ALL {
            for mode in TrackingMode::ALL {
                for ((class, cell), column) in classes().zip(row.chars()).zip(COLUMNS) {
                    let actual = policy(*scheme, affinity, *mode).selection(class);
                    assert_eq!(actual, tuple(cell), "{affinity:?} {column:?}");
                }
            }
        }
    }
}

#[test]
fn persistence_is_that_of_the_table() {
    for (persistence, mode, affinities, row) in PERSISTS {
        for affinity in affinities {
            for scheme in Scheme::ALL {
                for ((class, cell), column) in classes().zip(row.chars()).zip(COLUMNS) {
                    let policy = Policy {
                        persistence,
                        ..policy(*scheme, *affinity, mode)
                    };
                    assert_eq!(
                        policy.persists(class),
                        cell == 'y',
                        "{persistence:?} {mode:?} {affinity:?} {column:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_persistence_table_is_complete() {
    for persistence in Persistence::ALL {
        for mode in TrackingMode::ALL {
            for affinity in SessionAffinity::ALL {
                let rows = PERSISTS.iter().filter(|(p, m, affinities, _)| {
                    p == persistence && m == mode && affinities.contains(affinity)
                });
                assert_eq!(rows.count(), 1, "{persistence:?} {mode:?} {affinity:?}");
            }
        }
    }
}

#[test]
fn a_syn_is_new_as_the_way_of_a_packet_says() {
    for (mode, affinities) in SYN_IS_NEW {
        for affinity in SessionAffinity::ALL {
            let actual = policy(External, *affinity, mode).syn_is_new();
            assert_eq!(actual, affinities.contains(affinity), "{mode:?} {affinity:?}");
        }
    }
}

#[test]
fn only_internal_tcp_and_udp_hash_both_directions_alike() {
    for affinity in SessionAffinity::ALL {
        for mode in TrackingMode::ALL {
            let internal = PolicyWord::new(&policy(Internal, *affinity, *mode));
            let external = PolicyWord::new(&policy(External, *affinity, *mode));
            let directed = *affinity != ClientIpNoDestination;
            for (protocol, fragmented) in COLUMNS {
                let class = Class::of(protocol, fragmented) as u32;
                // SCTP as TCP.
                let expected = directed && [6, 17, 132].contains(&protocol);
                assert_eq!(
                    internal.row(class).symmetric(),
                    u32::from(expected),
                    "{affinity:?} {protocol}"
                );
                assert_eq!(external.row(class).symmetric(), 0);
            }
        }
    }
}

#[test]
fn a_policy_word_says_what_its_policy_says() {
    for scheme in Scheme::ALL {
        for affinity in SessionAffinity::ALL {
            for mode in TrackingMode::ALL {
                for persistence in Persistence::ALL {
                    for idle_seconds in [0, 1, 60, 57_600, u16::MAX] {
                        let policy = Policy {
                            scheme: *scheme,
                            affinity: *affinity,
                            mode: *mode,
                            persistence: *persistence,
                            subsetting: false,
                            idle_seconds,
                        };
                        agree(&policy, PolicyWord::new(&policy));
                    }
                }
            }
        }
    }
    assert!(!PolicyWord(0).in_use());
}

fn agree(policy: &Policy, word: PolicyWord) {
    assert!(word.in_use());
    assert_eq!(word.syn_is_new(), policy.syn_is_new());
    assert_eq!(word.idle_seconds(), u32::from(policy.idle_seconds));
    for class in Class::ALL {
        let row = word.row(*class as u32);
        assert_eq!(row.tracking(), policy.tracking(*class) as u32);
        assert_eq!(row.selection(), policy.selection(*class) as u32);
        assert_eq!(row.persists(), policy.persists(*class));
    }
}

#[test]
fn every_protocol_has_a_class() {
    for protocol in 0..=255u8 {
        for fragmented in [false, true] {
            let expected = match protocol {
                6 | 132 => Class::Connection,
                17 => [Class::Datagram, Class::DatagramFragment][usize::from(fragmented)],
                1 | 58 => Class::Icmp,
                _ => Class::Portless,
            };
            assert_eq!(Class::of(protocol, fragmented), expected);
        }
    }
}

#[test]
fn api_names_and_bytes_lead_back() {
    for affinity in SessionAffinity::ALL {
        assert_eq!(SessionAffinity::from_api(affinity.as_api()), Some(*affinity));
        assert_eq!(SessionAffinity::from_u8(*affinity as u8), Some(*affinity));
    }
    assert_eq!(SessionAffinity::from_u8(5), Option::None);
    assert_eq!(Persistence::from_api("SOMETIMES"), Option::None);
    assert_eq!(
        RuleProtocol::from_api("L3_DEFAULT"),
        Some(RuleProtocol::L3Default)
    );
}
